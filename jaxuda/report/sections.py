"""The sections of the page, as plain lists and dicts for the template."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from jaxuda.data.classes import labels
from jaxuda.evaluate import scores as scores_lib
from jaxuda.evaluate import tables
from jaxuda.report import charts
from jaxuda.report import images
from jaxuda.report import predictions
from jaxuda.report import runs as runs_lib

_HEADINGS = {
  'IoU': 'IoU per class, %',
  'mIoU': 'Mean IoU over sets of classes, %',
  'depth': 'Depth errors',
}
_DEPTH = {
  'depth_abs_rel': '|Rel|',
  'depth_sq_rel': 'Rel², m',
  'depth_rms': 'RMS, m',
  'depth_log_rms': 'log RMS',
  'depth_delta1': 'δ < 1.25',
  'depth_delta2': 'δ < 1.25²',
  'depth_delta3': 'δ < 1.25³',
}


def describe_run(number: int, run: runs_lib.RunFiles) -> dict[str, Any]:
  """Returns the name, colour, origin, cost and protocols of a run."""
  config = run.config
  return {
    'name': run.name,
    'color': charts.pick_color(number),
    'workdir': run.workdir,
    'method': config.get('name', '–'),
    'pair': config.get('pair', '–'),
    'seed': config.get('seed', '–'),
    'cost': runs_lib.describe_cost(run),
    'protocols': _describe_protocols(run),
  }


def describe_protocol(protocol: Mapping[str, Any]) -> str:
  """Returns 'streets/target val, 150 images at 160x320, classes ...'."""
  text = f'{protocol["dataset"]} {protocol["split"]}'
  if 'images' in protocol:
    text = tables.describe_protocol(protocol, times='×')
  return f'{text}, classes {protocol["classes"]}'


def describe_scores(group: runs_lib.Group) -> list[dict[str, Any]]:
  """Returns the score tables of the last and of the best checkpoints.

  Runs that were never evaluated or have no labels are left out. If every best
  checkpoint is the last one, the tables are not repeated.
  """
  result = []
  for kind in ('last', 'best'):
    runs = [run for run in group.runs if kind in run.scores and run.score]
    if not runs:
      continue
    steps = [run.scores[kind]['checkpoint_step'] for run in runs]
    if kind == 'best' and result and result[0]['steps'] == steps:
      result[0]['both'] = True
      continue
    main = runs[0].scores[kind]['main']
    made = make_tables({run.name: run.scores[kind]['figures'] for run in runs})
    means = next(table for table in made if table['kind'] == 'mIoU')
    result.append(
      {
        'kind': kind,
        'both': False,
        'names': [run.name for run in runs],
        'steps': steps,
        'main': main,
        'main_row': next(r for r in means['rows'] if r['name'] == main),
        'tables': made,
      }
    )
  return result


def describe_look(
  group: runs_lib.Group,
  look: predictions.Look,
  *,
  classes: str,
  numbers: Mapping[str, int],
) -> dict[str, Any]:
  """Returns the samples, confusion matrices and negative transfer of a group.

  Some of the group's runs may be missing from `look`. `classes` is their class
  set; `numbers` maps the name of a run to its number, for its colour.
  """
  class_set = labels.get_class_set(classes)
  names = list(look.scores)
  return {
    'images': look.images,
    'total': look.total,
    'names': names,
    'classes': [
      {'name': name, 'color': 'rgb({}, {}, {})'.format(*map(int, color))}
      for name, color in zip(class_set.names, class_set.colors, strict=True)
    ],
    'checks': [_check(run, look) for run in group.runs if run.name in names],
    'samples': [_describe_sample(s, class_set.colors) for s in look.samples],
    'confusions': {
      name: _describe_confusion(matrix, class_set.names)
      for name, matrix in look.confusions.items()
    },
    'transfer': [
      _describe_transfer(look, names[0], name, numbers[name])
      for name in names[1:]
    ],
  }


def _describe_confusion(matrix, names):
  """Returns rows in percent of the true pixels, None for classes without."""
  rows = []
  for name, row in zip(names, matrix, strict=True):
    pixels = int(row.sum())
    shares = [100 * float(x) / pixels if pixels else None for x in row]
    rows.append({'name': name, 'pixels': pixels, 'shares': shares})
  return rows


def describe_curves(runs: Sequence[runs_lib.RunFiles]) -> list[dict[str, Any]]:
  """Returns a chart for every quantity in metrics.jsonl."""
  charted = []
  for name, curves in runs_lib.list_curves(runs).items():
    ends = [
      f'{runs[number].name} ends at {values[-1]:.4g} (step {steps[-1]})'
      for number, steps, values in curves
    ]
    charted.append(
      {
        'name': name,
        'runs': [number for number, _, _ in curves],
        'source': charts.draw_curves(curves),
        'alt': f'{name} over the steps. {"; ".join(ends)}',
      }
    )
  return charted


def make_tables(runs: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
  """Returns the tables of classes, of means and of depth errors.

  The table of depth errors has only the runs that predict depth.

  Args:
    runs: name of a run -> its figures, see `tables.read_figures`.

  Returns:
    Tables of at least one row: 'kind', 'heading', 'names' of the runs, and
    'rows', each with 'name', 'note' (the classes of a mean, or which direction
    is better) and 'cells', one for each run: 'value' (None if the run does not
    have it), 'text', 'difference' from the first run (None for that one, or if
    either is missing), 'change' (the difference as text), 'better' (whether the
    difference is for the better, None if there is none) and 'best' (no run has
    a better value, and some run has a worse one).

  Raises:
    UserError: the figures are not comparable.
  """
  tables.check_protocols(runs)
  deep = {
    name: figures
    for name, figures in runs.items()
    if any(key.startswith('depth_') for key in figures)
  }
  made = []
  for kind, heading in _HEADINGS.items():
    shown = deep if kind == 'depth' else runs
    rows = tables.make_table({name: {0: f} for name, f in shown.items()})
    rows = [_make_row(row) for row in rows if row.kind == kind]
    if rows:
      names = list(shown)
      made.append(dict(kind=kind, heading=heading, names=names, rows=rows))
  return made


def _make_row(row):
  lower = row.kind == 'depth' and 'delta' not in row.name
  digits = 3 if row.kind == 'depth' else 2
  values = {run: x.value for run, x in row.means.items() if x.count}
  best = (min if lower else max)(values.values(), default=None)
  cells = []
  for run in row.means:
    value, difference = values.get(run), None
    if run in row.differences and row.differences[run].count:
      difference = row.differences[run].value
    cells.append(
      {
        'value': value,
        'text': '–' if value is None else f'{value:.{digits}f}',
        'difference': difference,
        'change': '' if difference is None else _sign(difference, digits),
        'best': value == best and len(set(values.values())) > 1,
        'better': (difference < 0) == lower if difference else None,
      }
    )
  name, note = row.name, ''
  if row.kind == 'depth':
    name = _DEPTH.get(name, name.removeprefix('depth_'))
    note = 'lower is better' if lower else 'higher is better'
  elif row.kind == 'mIoU':
    note = ', '.join(row.subset)
  return {'name': name, 'note': note, 'cells': cells}


def _sign(x, digits):
  """Returns '+1.20', with a minus as wide as the plus; 0 has no sign."""
  text = f'{abs(x):.{digits}f}'
  if not float(text):
    return text
  return ('+' if x > 0 else '−') + text


def _describe_protocols(run):
  """Returns network, input size and step of each checkpoint that was scored."""
  rows = []
  for kind, scored in run.scores.items():
    figure = scored['figures'][scored['main']]
    rows.append(
      {
        'kind': kind,
        'step': scored['checkpoint_step'],
        'network': figure.get('network', '–'),
        'input': '×'.join(map(str, figure.get('network_input', '–'))),
        'scored': describe_protocol(tables.read_protocol(scored['figures'])),
      }
    )
  return rows


def _check(run, look):
  """Compares the mean IoU of these predictions with that in scores.json."""
  seen = look.scores[run.name]
  main, step = seen['main'], seen['checkpoint_step']
  here, there = seen['figures'][main]['value'], None
  for scored in run.scores.values():
    if scored['checkpoint_step'] == step and main in scored['figures']:
      there = scored['figures'][main]['value']
  # Only over all images: the score over some of them may well differ.
  comparable = None not in (here, there) and look.images == look.total
  return {
    'name': run.name,
    'step': step,
    'main': main,
    'here': here,
    'there': there,
    'differs': comparable and abs(here - there) > 0.05,
  }


def _describe_transfer(look, first, name, number):
  ours, theirs = look.scores[name], look.scores[first]
  differences = [
    x - theirs['images'][key]
    for key, x in ours['images'].items()
    if None not in (x, theirs['images'][key])
  ]
  figure = scores_lib.negative_transfer(ours, theirs, against=first)
  return {
    'name': name,
    'rate': figure['value'],
    'worse': sum(x < 0 for x in differences),
    'count': len(differences),
    'median': float(np.median(differences)) if differences else None,
    'source': charts.draw_histogram(differences, number=number),
  }


def _describe_sample(sample, colors):
  truth = [
    ('image', images.encode_photo(sample.image)),
    ('truth', images.encode_labels(sample.label, colors)),
  ]
  if sample.depth is not None:
    truth.append(('true depth', images.encode_depth(sample.depth)))
  columns = [{'name': None, 'iou': None, 'pictures': truth}]
  for name, prediction in sample.predictions.items():
    shown = [
      ('prediction', images.encode_labels(prediction, colors)),
      ('errors', images.encode_errors(prediction, sample.label)),
    ]
    if name in sample.depths:
      shown.append(('depth', images.encode_depth(sample.depths[name])))
    if name in sample.densities:
      density = sample.densities[name]
      shown.append(('density', images.encode_density(density)))
    columns.append({'name': name, 'iou': sample.iou[name], 'pictures': shown})
  return {
    'name': sample.name,
    'disagreement': 100 * sample.disagreement,
    'columns': columns,
  }
