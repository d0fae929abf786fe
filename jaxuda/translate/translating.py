"""Training sets made from the source's images by an image transform network."""

from collections.abc import Iterator
import contextlib
import os
from typing import Any

import jax
import numpy as np

from jaxuda import errors
from jaxuda.data.classes import labels
from jaxuda.depth import formats
from jaxuda.run import workdir as workdir_lib
from jaxuda.ui import display
from jaxuda.ui import files
from jaxuda.ui import panels

_DESCRIPTION = 'translation.json'
# Most sources' labels tell these classes apart, whichever classes the run has.
_FINEST = 'cityscapes19'
_CENTIMETRES = {'code': 'metres', 'unit': 0.01, 'missing': [0]}


def write_set(run: workdir_lib.Run, out: str | os.PathLike[str]) -> int:
  """Writes the transformed source of a run.

  Args:
    run: a run whose method has an image transform network.
    out: a new folder, or one that the same run has begun.

  Returns:
    The number of examples.

  Raises:
    UserError: the run has no transform network, or `out` holds something else.
  """
  if run.method.translate is None or 'gen' not in run.state.nets:
    raise errors.UserError(
      f'the run of {run.config.name} has no image transform network; expected'
      ' one of --config=cyclegan, or of --config=gio_ada in a row with one'
    )
  out = files.check_folder(out)
  classes, count, examples = _read_source(run.config)
  _claim(out, _describe(run), classes)
  table = labels.merge_map(classes, run.config.classes)
  with display.Progress('translate', total=count, unit='images') as progress:
    for done, example in enumerate(examples, 1):
      name = example.pop('name').decode()
      path = out / 'images' / 'train' / f'{name}.png'
      if not path.is_file():
        _write(out, name, example)
        # The image comes last: if it exists, the others do.
        panels.write_png(path, _translate(run, example, table))
      progress.update(done)
  return count


def _read_source(config: Any) -> tuple[str, int, Iterator[Any]]:
  """Returns (the labels' class set, number of examples, examples)."""
  from jaxuda.data import pipeline

  def read(classes):
    labels.merge_map(classes, config.classes)
    examples, count = pipeline.image_stream(
      config.data,
      domain='source',
      fields=('image', 'label', 'depth'),
      optional=('depth',),
      classes=classes,
    )
    return classes, count, examples

  with contextlib.suppress(errors.UserError):
    return read(_FINEST)
  return read(config.classes)


def _describe(run):
  """Returns what identifies the transform network, in JSON types."""
  return {
    'made_by': 'jaxuda.translate',
    'method': run.config.name,
    'source': run.config.data.source.dataset,
    'config': workdir_lib.digest(workdir_lib.config_to_dict(run.config)),
    'checkpoint_step': run.step,
  }


def _claim(out, description, classes):
  """Begins the folder, or checks that the same run began it."""
  file = out / _DESCRIPTION
  if workdir_lib.read_json(file) != description:
    if not files.is_empty(out):
      raise errors.UserError(
        f'{out} holds something else; expected a new folder, or one that the'
        ' same checkpoint of the same run began'
      )
    # First: by this file the folder is known again if it is killed here.
    workdir_lib.write_json(file, description)
  names = labels.get_class_set(classes).names
  table = {
    'classes': {name: [i] for i, name in enumerate(names)},
    'ignore': [labels.IGNORE],
    'depth': _CENTIMETRES,
  }
  workdir_lib.write_json(out / 'classes.json', table)


def _write(out, name, example):
  """Writes the label and the depth of an example."""
  label = np.asarray(example['label']).astype(np.uint8)
  panels.write_png(out / 'labels' / 'train' / f'{name}.png', label)
  if 'depth' in example:
    # What is beyond 655.34 m, such as the sky, has the farthest depth, not an
    # unknown one.
    raw = formats.encode_metres(example['depth'])
    raw[~example['depth_valid']] = 0
    formats.write_png16(out / 'depth' / 'train' / f'{name}.png', raw)


def _translate(run, example, table):
  """Returns the image uint8 [H, W, 3] of an example; maps its label first."""
  label = table[np.asarray(example['label'])].astype(np.int32)
  source = {k: v[None] for k, v in {**example, 'label': label}.items()}
  image = np.asarray(_run(run.state, source, method=run.method))[0]
  return np.clip(np.round(image), 0, 255).astype(np.uint8)


_run = jax.jit(
  lambda state, source, method: method.translate(state, source),
  static_argnames='method',
)
