"""Tables of the page: scores with differences and marks, and configs."""

from collections.abc import Mapping, Sequence
import dataclasses
import math
from typing import Any

from jaxuda.evaluate import comparison
from jaxuda.report import runs as runs_lib
from jaxuda.run import config_fields
from jaxuda.ui import display

_DEPTH = {
  'depth_abs_rel': '|Rel|',
  'depth_sq_rel': 'Rel², m',
  'depth_rms': 'RMS, m',
  'depth_log_rms': 'log RMS',
  'depth_delta1': 'δ < 1.25',
  'depth_delta2': 'δ < 1.25²',
  'depth_delta3': 'δ < 1.25³',
}
_KINDS = ('IoU', 'mIoU', 'depth')


@dataclasses.dataclass(frozen=True, kw_only=True)
class Cell:
  """A score.

  Attributes:
    value: None where the run does not have it.
    text: as it is shown.
    difference: to the first run; None for that one, or if either is missing.
    change: the difference as it is shown.
    best: no run has a better one, and some run has a worse one.
    better: whether the difference is for the better; None without one, or if
      it is 0.
  """

  value: float | None
  text: str
  difference: float | None
  change: str
  best: bool
  better: bool | None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Row:
  """Scores of all runs.

  Attributes:
    name: of a class, of a mean or of an error.
    note: what it is taken over.
    cells: one a run.
  """

  name: str
  note: str
  cells: Sequence[Cell]


def make_tables(
  names: Sequence[str], figures: Sequence[Mapping[str, Any]]
) -> dict[str, list[Row]]:
  """Returns the rows of the tables 'IoU', 'mIoU' and 'depth' that there are.

  Args:
    names: of the runs.
    figures: of each run, see `comparison.read_figures`.

  Raises:
    UserError: the figures may not stand side by side.
  """
  comparison.check_protocols(names, figures)
  tables: dict[str, list[Row]] = {}
  for name, values in comparison.make_rows(figures):
    if name:
      kind = next((k for k in _KINDS[1:] if name.startswith(k)), 'IoU')
      tables.setdefault(kind, []).append(_make_row(kind, name, values, figures))
  return tables


def _make_row(kind, name, values, figures):
  lower = kind == 'depth' and 'delta' not in name
  known = [x for x in values if x is not None]
  best = min(known) if lower and known else max(known, default=None)
  digits = 3 if kind == 'depth' else 2
  cells = []
  for number, value in enumerate(values):
    difference = better = None
    if number and value is not None and values[0] is not None:
      difference = value - values[0]
      better = (difference < 0) == lower if difference else None
    cells.append(
      Cell(
        value=value,
        text='–' if value is None else f'{value:.{digits}f}',
        difference=difference,
        change='' if difference is None else _sign(difference, digits),
        best=value is not None and value == best and len(set(known)) > 1,
        better=better,
      )
    )
  figure = next((f[name] for f in figures if name in f), {})
  note = ', '.join(figure.get('subset', ())) if kind == 'mIoU' else ''
  shown = _DEPTH.get(name, name.removeprefix('depth_'))
  if kind == 'depth':
    note = 'lower is better' if lower else 'higher is better'
  return Row(name=shown if kind == 'depth' else name, note=note, cells=cells)


def _sign(x, digits):
  """'+1.20', with a minus as wide as the plus; no sign before a 0."""
  text = f'{abs(x):.{digits}f}'
  if not float(text):
    return text
  return ('+' if x > 0 else '−') + text


def differing_fields(
  configs: Sequence[Mapping[str, Any]],
) -> list[tuple[str, list[str]]]:
  """Returns (field, its value in every config) of the fields that differ.

  Args:
    configs: dotted names -> values.
  """
  rows = []
  for field in sorted({name for config in configs for name in config}):
    shown = [config_fields.show(config, field) for config in configs]
    if len(set(shown)) > 1:
      rows.append((field, shown))
  return rows


def describe_cost(run: runs_lib.RunFiles) -> dict[str, str]:
  """Returns what a run's training took, and what it ran with."""
  rate, steps = run.rate, run.step
  return {
    'steps': f'{steps:,}' if steps else '–',
    'steps per second': '–' if not rate else f'{rate:.3g}',
    'time of these steps': '–'
    if not rate
    else display.format_time(steps / rate),
    'batch': str(run.config.get('batch_size', '–')),
    'parameters, all networks': '–'
    if run.parameters is None
    else f'{run.parameters:,}',
    'trained with': '; '.join(run.code) or 'not recorded',
  }


def list_curves(
  runs: Sequence[runs_lib.RunFiles],
) -> dict[str, list[tuple[int, list[float], list[float]]]]:
  """Returns name -> (number of the run, steps, values), as for `draw_curves`.

  Scores first, then the learning rate, then losses, then the rest; values that
  are missing or not finite are left out, and lines without any.
  """
  curves: dict[str, dict[int, tuple[list, list]]] = {}
  for number, run in enumerate(runs):
    for line in run.lines:
      for name, value in line.items():
        if name in ('kind', 'step', 'steps_per_second', 'depth_pixels'):
          continue
        if isinstance(value, int | float) and math.isfinite(value):
          steps, values = curves.setdefault(name, {}).setdefault(
            number, ([], [])
          )
          steps.append(line['step'])
          values.append(value)
  order = sorted(curves, key=lambda name: (_rank(name), name))
  return {
    name: [(number, *xy) for number, xy in curves[name].items()]
    for name in order
  }


def _rank(name):
  """Of means the one over the most classes first."""
  if name.startswith('mIoU'):
    count = name.removeprefix('mIoU')
    return (0, -int(count) if count.isdigit() else 0)
  groups = (('depth_',), ('learning_rate', 'lr'), ('loss',))
  for place, prefixes in enumerate(groups, 1):
    if name.startswith(prefixes):
      return (place, 0)
  return (len(groups) + 1, 0)
