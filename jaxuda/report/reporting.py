"""The report on runs: scores, curves, pictures, confusions."""

from collections.abc import Mapping, Sequence
import datetime
import os
import pathlib
import platform
from typing import Any

import jinja2

from jaxuda import errors
from jaxuda.data.classes import labels
from jaxuda.depdis.tsne import embedding as tsne_lib
from jaxuda.evaluate import evaluation
from jaxuda.report import choices
from jaxuda.report import images as images_lib
from jaxuda.report import predictions
from jaxuda.report import pseudo_labels
from jaxuda.report import runs as runs_lib
from jaxuda.report import sections
from jaxuda.run import provenance
from jaxuda.run import workdir as workdir_lib
from jaxuda.ui import files

# Numbers of images and of pixels of each class, as in `jaxuda.depdis.tsne`.
_TSNE_IMAGES, _TSNE_PIXELS = 30, 100


def collect(
  workdirs: Sequence[str],
  *,
  checkpoint: str = 'last',
  images: int = 6,
  limit: int | None = None,
  predict: bool = True,
  tsne: bool = True,
  **folders: str | None,
) -> dict[str, Any]:
  """Returns the content of the page.

  Args:
    workdirs: folders of the runs; the others are compared with the first.
    checkpoint: checkpoint that predicts, 'last' or 'best'.
    images: number of pictures shown for each group of runs.
    limit: number of images that are predicted; None for all.
    predict: whether checkpoints are restored to predict; otherwise only files
      are read.
    tsne: whether the features are drawn, too.
    **folders: see `evaluation.set_folders`.

  Raises:
    UserError: a folder is not that of a run, or the data cannot be read.
  """
  runs = runs_lib.read(workdirs)
  shown = [sections.describe_run(i, run) for i, run in enumerate(runs)]
  groups, notes = [], []
  for group in runs_lib.make_groups(runs):
    view = {
      'title': sections.describe_protocol(group.protocol),
      'scores': sections.describe_scores(group),
      'choices': choices.describe_choices(group),
      'look': None,
      'tsne': [],
    }
    for run in group.runs:
      if not run.scores:
        notes.append(f'{run.name} was never evaluated: it has no scores.')
      elif not run.score:
        notes.append(
          f'{run.name} has no scores: {group.protocol["split"]} of its target'
          ' has no labels.'
        )
    groups.append(view)
    bare = any(run.scores and not run.score for run in group.runs)
    if not predict or bare:
      continue
    loaded, missing = load(group.runs, which=checkpoint, **folders)
    notes += missing
    if not loaded:
      continue
    view['look'] = sections.describe_look(
      group,
      predictions.look(loaded, count=images, limit=limit),
      classes=next(iter(loaded.values())).config.classes,
      numbers={run.name: i for i, run in enumerate(runs)},
    )
    if tsne:
      view['tsne'], missing = _draw_features(loaded, limit)
      notes += missing
  if not predict:
    notes.append('No checkpoint was read (--nopredict): there are no pictures.')
  python = platform.python_version()
  return {
    'runs': shown,
    'by_name': {run['name']: run for run in shown},
    'groups': groups,
    'notes': notes,
    'pseudo_labels': pseudo_labels.describe(runs),
    'curves': sections.describe_curves(runs),
    'fields': runs_lib.differing_fields([run.config for run in runs]),
    'software': f'{provenance.describe_code()}, Python {python}',
    'made': f'{datetime.datetime.now().astimezone():%Y-%m-%d %H:%M %Z}',
    'checkpoint_text': f'Pictures are of the {checkpoint} checkpoint.'
    * predict,
    'picture_text': f'Pictures are at most {images_lib.WIDEST} pixels wide.',
  }


def load(
  runs: Sequence[runs_lib.RunFiles],
  *,
  which: str,
  **folders: str | None,
) -> tuple[dict[str, workdir_lib.Run], list[str]]:
  """Restores networks; a missing checkpoint is not an error.

  `which` is 'last' or 'best', `folders` are those of `evaluation.set_folders`.
  Returns (name -> run, one sentence for every run that is missing).
  """
  loaded, notes = {}, []
  for run in runs:
    try:
      one = workdir_lib.load(
        run.workdir, which=which, only=workdir_lib.predicts
      )
    except errors.UserError as e:
      notes.append(f'{run.name} has no pictures and no confusion matrix: {e}.')
      continue
    evaluation.set_folders(one.config, **folders)
    loaded[run.name] = one
  return loaded, notes


def _draw_features(runs, limit):
  """Returns (the t-SNE of each run, a sentence for every run without one)."""
  entries, notes = [], []
  count = min(_TSNE_IMAGES, limit or _TSNE_IMAGES)
  for name, run in runs.items():
    try:
      if run.method.task is None:
        raise errors.UserError('its method has no task network')
      vectors, classes = tsne_lib.collect(
        run, space='features', images=count, pixels=_TSNE_PIXELS
      )
      flat = tsne_lib.embed(vectors)
    except errors.UserError as e:
      notes.append(f'{name} has no t-SNE: {e}.')
      continue
    colors = labels.get_class_set(run.config.classes).colors
    score = tsne_lib.separation(vectors, classes)
    drawn = tsne_lib.draw(flat, classes, colors)
    entries.append(
      {
        'name': name,
        'images': count,
        'pixels': len(vectors),
        'silhouette': f'{score:.3f}',
        'source': images_lib.encode_drawing(drawn),
      }
    )
  return entries, notes


def render(content: Mapping[str, Any]) -> str:
  """Returns the page as HTML that needs no other file and no connection.

  `content` is what `collect` returned. Every text in it is escaped.
  """
  environment = jinja2.Environment(
    loader=jinja2.PackageLoader('jaxuda.report'),
    # Whatever the template's name: names of runs come from paths and configs.
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
  )
  return environment.get_template('report.html').render(content)


def write(path: str | os.PathLike, text: str) -> int:
  """Writes the page atomically; returns its size in bytes."""
  with files.atomic(path) as part:
    part.write_text(text, encoding='utf-8')
  return pathlib.Path(path).stat().st_size
