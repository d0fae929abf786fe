"""Scores a run on data other than its own: a held-out split or folder."""

from collections.abc import Mapping
import itertools
import json
import os
import pathlib
import re
from typing import Any

import ml_collections

from jaxuda.run import workdir as workdir_lib

# Fields of config.data.target that an evaluation may replace -> their help.
FIELDS = {
  'dataset': 'Another dataset with the classes of the run.',
  'manual_dir': "Another folder of the dataset's files.",
  'fit': 'How images are fitted to the network input: stretch or pad.',
  'eval_labels': 'Size of the labels that are scored: native or input.',
  'store': 'Form in which images are stored: raw, png or jpeg.',
}

# Most bytes of a file's name, with room for a number.
_LONGEST = 240


def replace(
  config: ml_collections.ConfigDict, given: Mapping[str, str | None]
) -> None:
  """Points a run's config to other data, in place.

  Another dataset does not keep the folder of the run's own.

  Args:
    config: config of the run.
    given: field of `FIELDS` -> its new value, or None to keep the config's.
  """
  target = config.data.target
  if (given.get('dataset') or target.dataset) != target.dataset:
    target.manual_dir = None
  for field, value in given.items():
    if value is not None:
      target[field] = value


def describe(
  config: ml_collections.ConfigDict, *, split: str | None = None
) -> dict[str, Any]:
  """Returns which data a config scores: 'dataset', 'split', 'manual_dir'.

  The folder is an absolute path, or None if data prepared earlier are used.
  """
  target = config.data.target
  place = target.manual_dir
  return {
    'dataset': target.dataset,
    'split': split or target.eval_split,
    'manual_dir': place and os.path.abspath(os.path.expanduser(place)),
  }


def choose_file(
  file: str | os.PathLike[str], scores: Mapping[str, Any]
) -> pathlib.Path:
  """Returns the file for scores on data other than a run's own.

  Args:
    file: file of the scores on its own data, such as RUN/evaluation.json.
    scores: what `scores.make_scores` returned, with `describe` as 'data'.

  Returns:
    RUN/evaluation_<dataset>_<split>_<folder>.json, with a number if that name
    is taken by an evaluation of other data, or with another checkpoint, other
    classes or views.
  """
  file, data = pathlib.Path(file), scores['data']
  folder = pathlib.PurePath(data['manual_dir'] or '').name
  names = filter(None, (data['dataset'], data['split'], folder))
  shown = '_'.join(re.sub('[^A-Za-z0-9._]+', '-', x) for x in names)
  # No file system allows names of more than 255 bytes.
  shown = shown[: max(0, _LONGEST - len(file.name))]
  for number in itertools.count(1):
    more = f'_{number}' if number > 1 else ''
    path = file.with_name(f'{file.stem}_{shown}{more}{file.suffix}')
    if not path.exists() or _identify(_read(path)) == _identify(scores):
      break
  return path


def _read(path):
  try:
    return json.loads(path.read_text())
  except (OSError, ValueError):
    return {}


def _identify(scores):
  """Returns all of an evaluation except its outcome, in JSON types."""
  try:
    figure = scores['figures'][scores['main']]
    kept = {k: v for k, v in figure.items() if k != 'value'}
    return workdir_lib.jsonable({'data': scores['data'], **kept})
  except (KeyError, TypeError):
    return None
