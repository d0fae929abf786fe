r"""One page over runs: scores, curves, pictures, what they confuse.

    python -m jaxuda.report RUN [RUN ...] [--out=report.html] \
        [--checkpoint=last|best] [--images=6] [--limit=N] [--nopredict] \
        [--notsne] [--data_dir=DIR] [--manual_dir=DIR]

The page is one file that needs no network. The first run is what the others are
held against. Scores are those of scores.json; the named checkpoint of every run
is restored and predicts the target's evaluation split once (--limit: its first
N images), which gives pictures, confusion matrices and negative transfer. A run
whose checkpoint is gone gets what its files give, and the page says so. Runs
that were scored in different ways come in different tables.
"""

from collections.abc import Mapping, Sequence
import datetime
import pathlib
import sys
from typing import Any

from absl import flags

from jaxuda import errors
from jaxuda.data.classes import labels
from jaxuda.depdis.tsne import embedding as tsne_lib
from jaxuda.report import images as images_lib
from jaxuda.report import page
from jaxuda.report import predictions
from jaxuda.report import runs as runs_lib
from jaxuda.report import sections
from jaxuda.report import tables
from jaxuda.run import provenance
from jaxuda.run import workdir as workdir_lib
from jaxuda.ui import command

# As many as `jaxuda.depdis.tsne` takes.
_TSNE_IMAGES, _TSNE_PIXELS = 30, 100


def collect(
  workdirs: Sequence[str],
  *,
  checkpoint: str = 'last',
  images: int = 6,
  limit: int | None = None,
  predict: bool = True,
  tsne: bool = True,
  data_dir: str | None = None,
  manual_dir: str | None = None,
) -> dict[str, Any]:
  """Returns what the page shows.

  Args:
    workdirs: folders of the runs; the others are held against the first.
    checkpoint: which one predicts: 'last' or 'best'.
    images: pictures shown of each group of runs.
    limit: images that are predicted; None for all.
    predict: False to read files only.
    tsne: also draw the features.
    data_dir: where TFDS keeps its data; the configs' if None.
    manual_dir: where the target dataset was downloaded to; the configs' if
      None.

  Raises:
    UserError: a folder is no run's, or the data cannot be read.
  """
  runs = runs_lib.read(workdirs)
  shown = [sections.describe_run(i, run) for i, run in enumerate(runs)]
  groups, notes = [], []
  for group in runs_lib.make_groups(runs):
    view = {
      'title': sections.describe_protocol(group.protocol),
      'scores': sections.describe_scores(group),
      'look': None,
      'tsne': [],
    }
    notes += [
      f'{run.name} was never evaluated: it has no scores.'
      for run in group.runs
      if not run.scores
    ]
    groups.append(view)
    if not predict:
      continue
    loaded, missing = load(
      group.runs, which=checkpoint, data_dir=data_dir, manual_dir=manual_dir
    )
    notes += missing
    if not loaded:
      continue
    classes = next(iter(loaded.values())).config.classes
    view['look'] = sections.describe_look(
      group,
      predictions.look(loaded, count=images, limit=limit),
      classes=classes,
      numbers={run.name: i for i, run in enumerate(runs)},
    )
    if tsne:
      view['tsne'], missing = draw_features(loaded, limit=limit)
      notes += missing
  if not predict:
    notes.append('No checkpoint was read (--nopredict): there are no pictures.')
  return {
    'runs': shown,
    'by_name': {run['name']: run for run in shown},
    'groups': groups,
    'notes': notes,
    'curves': sections.describe_curves(runs),
    'fields': _list_fields(runs),
    'software': describe_software(),
    'made': f'{datetime.datetime.now().astimezone():%Y-%m-%d %H:%M %Z}',
    'checkpoint_text': f'Pictures are of the {checkpoint} checkpoint.'
    if predict
    else '',
    'picture_text': f'Pictures are at most {images_lib.WIDEST} pixels wide.',
  }


def load(
  runs: Sequence[runs_lib.RunFiles],
  *,
  which: str,
  data_dir: str | None = None,
  manual_dir: str | None = None,
) -> tuple[dict[str, workdir_lib.Run], list[str]]:
  """Restores what predicts; a run that cannot be is no error.

  Args:
    runs: whose checkpoints are read.
    which: 'last' or 'best'.
    data_dir: see `collect`.
    manual_dir: see `collect`.

  Returns:
    (name -> run, one sentence for every run that is missing).
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
    if data_dir:
      one.config.data.data_dir = data_dir
    if manual_dir:
      one.config.data.target.manual_dir = manual_dir
    loaded[run.name] = one
  return loaded, notes


def draw_features(
  runs: Mapping[str, workdir_lib.Run], *, limit: int | None
) -> tuple[list[dict[str, Any]], list[str]]:
  """Draws the features of every run, see `depdis.tsne`.

  Args:
    runs: name -> run.
    limit: images that are read at most.

  Returns:
    (one entry a run, one sentence for every run without).
  """
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


def describe_software() -> str:
  """Returns the versions, and the commit if known, that made the page."""
  python = '.'.join(map(str, sys.version_info[:3]))
  return f'{provenance.describe_code()}, Python {python}'


def _list_fields(runs):
  """Fields that differ; of a single run all."""
  configs = [run.config for run in runs]
  if len(runs) > 1:
    return tables.differing_fields(configs)
  return [(x, [workdir_lib.show(configs[0], x)]) for x in sorted(configs[0])]


def main(*workdirs: str) -> None:
  """Runs the command line."""
  command.hide_accelerators()
  given = flags.FLAGS
  out = pathlib.Path(given.out)
  if out.is_dir():
    raise errors.UserError(f'{out} is a folder; expected a file to write')
  content = collect(
    workdirs,
    checkpoint=given.checkpoint,
    images=given.images,
    limit=given.limit,
    predict=given.predict,
    tsne=given.tsne,
    data_dir=given.data_dir,
    manual_dir=given.manual_dir,
  )
  size = page.write(out, page.render(content))
  for note in content['notes']:
    print(f'note: {note}')
  print(f'wrote {out}, {size / 2**20:.1f} MiB, {len(workdirs)} runs')


def define_flags():
  """Only when run as a program: `main` has flags of its own."""
  flags.DEFINE_string('out', 'report.html', 'HTML to write.')
  flags.DEFINE_enum(
    'checkpoint', 'last', ['last', 'best'], 'Whose predictions are shown.'
  )
  flags.DEFINE_integer('images', 6, 'Pictures shown.', lower_bound=0)
  flags.DEFINE_integer(
    'limit', None, 'Predict only the first N images.', lower_bound=1
  )
  flags.DEFINE_bool('predict', True, 'Restore the runs and predict.')
  flags.DEFINE_bool('tsne', True, 'Draw the features, too.')
  flags.DEFINE_string('data_dir', None, 'Where TFDS keeps its data.')
  flags.DEFINE_string(
    'manual_dir', None, 'Where the target dataset was downloaded to.'
  )
