"""Means and deviations over seeds, beside the paper's figures."""

from collections.abc import Mapping, Sequence
import dataclasses
import math
import statistics
from typing import Any

from jaxuda import errors
from jaxuda.evaluate import comparison
from jaxuda.reproduce import plan as plan_lib
from jaxuda.reproduce import progress as progress_lib
from jaxuda.run import provenance


@dataclasses.dataclass(frozen=True)
class Mean:
  """A mean over seeds.

  Attributes:
    value: NaN over none.
    deviation: standard deviation with n - 1, NaN over fewer than two.
    count: of seeds.
  """

  value: float
  deviation: float
  count: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class Row:
  """A row of results.

  Attributes:
    label: its name.
    figures: name -> mean.
    differences: name -> mean of the differences to the first row, over the
      seeds that both have; {} for the first row.
    paper: figure -> percent, on the paper's pair.
    missing: why a seed is not in the means.
    same_as: label of the row whose runs these are, or ''.
    protocol: of its training and its network.
    scored: how its runs were scored, which is the same for all; {} if none was.
  """

  label: str
  figures: dict[str, Mean]
  differences: dict[str, Mean]
  paper: dict[str, float]
  missing: dict[int, str]
  same_as: str
  protocol: dict[str, Any]
  scored: dict[str, Any]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Results:
  """A table of results.

  Attributes:
    plan: whose.
    checkpoint: 'last' or 'best'.
    names: of the figures; the first is the main one.
    rows: as in the plan.
    codes: what the runs were trained with.
  """

  plan: plan_lib.Plan
  checkpoint: str
  names: tuple[str, ...]
  rows: tuple[Row, ...]
  codes: tuple[str, ...]


def average(values: list[float]) -> Mean:
  """Returns the mean of some figures."""
  count = len(values)
  return Mean(
    statistics.fmean(values) if count else math.nan,
    statistics.stdev(values) if count > 1 else math.nan,
    count,
  )


def collect(
  plan: plan_lib.Plan,
  *,
  checkpoint: str = 'last',
  reasons: Mapping[str, str] | None = None,
) -> Results:
  """Reads the scores of all runs that are done.

  Args:
    plan: the runs.
    checkpoint: 'last' or 'best'.
    reasons: name of a run -> why it is not done.

  Raises:
    UserError: runs were scored in different ways.
  """
  scored = {
    name: _read(run, checkpoint)
    for name, run in plan.runs.items()
    if run.parts[-1].scored and progress_lib.is_done(run)
  }
  used = {n for row in plan.rows for n in row.runs.values() if n in scored}
  _check_protocols({name: x for name, x in scored.items() if name in used})
  by_row = [
    {s: scored[name] for s, name in row.runs.items() if name in scored}
    for row in plan.rows
  ]
  names = _names(by_row)
  rows = [
    _make_row(plan, row, runs, by_row[0], names, reasons or {})
    for row, runs in zip(plan.rows, by_row, strict=True)
  ]
  folders = (part.workdir for run in plan.runs.values() for part in run.parts)
  codes = [code for folder in folders for code in provenance.read(folder)]
  return Results(
    plan=plan,
    checkpoint=checkpoint,
    names=names,
    rows=tuple(rows),
    codes=tuple(dict.fromkeys(codes)),
  )


def _read(run, checkpoint):
  workdir = run.parts[-1].workdir
  figures = comparison.read_figures(str(workdir), checkpoint=checkpoint)
  images = plan_lib.same_images(figures['IoU']['dataset'])
  return {k: {**figure, 'dataset': images} for k, figure in figures.items()}


def _check_protocols(scored):
  if not scored:
    return
  comparison.check_protocols(list(scored), list(scored.values()))


def _names(by_row):
  """All mean IoUs, the main one, over the most classes, first."""
  runs = [figures for row in by_row for figures in row.values()]
  names = dict.fromkeys(name for run in runs for name in run)
  return tuple(name for name in names if name.startswith('mIoU'))


def _make_row(plan, row, runs, first, names, reasons):
  figures, differences = {}, {}
  for name in names:
    values, reference = _by_seed(runs, name), _by_seed(first, name)
    figures[name] = average(list(values.values()))
    if runs is not first:
      differences[name] = average(
        [x - reference[s] for s, x in values.items() if s in reference]
      )
  return Row(
    label=row.label,
    figures=figures,
    differences=differences,
    paper=row.paper.get(plan.paper_pair, {}),
    missing={
      seed: reasons.get(name) or 'not done'
      for seed, name in row.runs.items()
      if seed not in runs
    },
    same_as=row.same_as,
    protocol=_describe(plan, row, runs),
    scored=next(map(comparison.read_protocol, runs.values()), {}),
  )


def _by_seed(runs, name):
  """The runs' values of a figure, of those that have one."""
  figures = {seed: run.get(name, {}) for seed, run in runs.items()}
  return {
    seed: figure['value']
    for seed, figure in figures.items()
    if figure.get('value') is not None
  }


def _describe(plan, row, runs):
  """What of a row's runs goes beside their figures.

  Raises UserError if its seeds were not scored by the same rules.
  """
  planned = [plan.runs[name] for name in row.runs.values()]
  config = planned[0].config
  found = {
    'steps': '+'.join(str(part.steps) for part in planned[0].parts),
    'batch': config.batch_size,
    'backbone': config.network.backbone,
    'begins with': config.get('initial') or 'scratch',
  }
  for seed, run in runs.items():
    ours = {
      'network': run['IoU']['network'],
      'network input': 'x'.join(map(str, run['IoU']['network_input'])),
    }
    for field, value in ours.items():
      if found.setdefault(field, value) != value:
        raise errors.UserError(
          f'{row.runs[seed]} was scored with {field} {value}, the seeds before'
          f' with {found[field]}; expected the same'
        )
  return found


def format_size(size: Sequence[Any]) -> str:
  """Returns '160x320', or the first of several sizes and how many there are.

  Args:
    size: [h, w], or a list of them.
  """
  if isinstance(size[0], int):
    return 'x'.join(map(str, size))
  return f'{format_size(size[0])} and {len(size) - 1} other sizes'


def read_reasons(states: Mapping[str, Any]) -> dict[str, str]:
  """Returns name of a run -> why it is not done.

  Args:
    states: of `running.Runner`.
  """
  return {
    name: state.reason or state.status
    for name, state in states.items()
    if state.status != 'done'
  }
