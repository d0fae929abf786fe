"""The figures of a reproduction: means over seeds, and differences of rows.

Differences are taken seed by seed: from the baselines, or the first row without
them, and from the same method without depth (the gain from depth). Images are
compared one by one with the network without adaptation (negative transfer).
"""

from collections.abc import Mapping
import dataclasses
from typing import Any

from jaxuda import errors
from jaxuda.evaluate import scores as scores_lib
from jaxuda.evaluate import tables
from jaxuda.reproduce import plan as plan_lib
from jaxuda.reproduce import progress as progress_lib
from jaxuda.run import provenance
from jaxuda.run import workdir as workdir_lib

# Name of the figure, as in `jaxuda evaluate`.
NEGATIVE_TRANSFER = 'negative_transfer_rate'


@dataclasses.dataclass(frozen=True, kw_only=True)
class Results:
  """The figures of a plan's rows.

  Attributes:
    plan: the runs that were scored.
    checkpoint: 'last' or 'best'.
    figures: rows of `tables.make_table` for the figures that the plan shows,
      mean IoUs first, the main one before the others; their columns are the
      plan's rows.
    classes: the same for the IoU of each class, if the plan shows it.
    differences: label of a reference -> figure -> label of a row -> mean of the
      differences from the reference.
    gains: label of a row -> figure -> mean of the differences from the same
      method without depth.
    missing: label of a row -> seed -> why it is not in the means.
    protocols: label of a row -> how its runs were trained and, if any is done,
      scored; {} for a quoted row.
    codes: versions of the code that the runs were trained with.
  """

  plan: plan_lib.Plan
  checkpoint: str
  figures: list[tables.Row]
  classes: list[tables.Row]
  differences: dict[str, dict[str, dict[str, tables.Mean]]]
  gains: dict[str, dict[str, tables.Mean]]
  missing: dict[str, dict[int, str]]
  protocols: dict[str, dict[str, Any]]
  codes: tuple[str, ...]

  @property
  def paper_names(self) -> list[str]:
    """Names of the paper's figures, except the IoU of each class."""
    names = dict.fromkeys(n for row in self.plan.rows for n in row.paper)
    return [name for name in names if name != 'IoU']


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
  used = {name for row in plan.rows for name in row.runs.values()}
  scored = {
    name: _read(run, checkpoint)
    for name, run in plan.runs.items()
    if name in used and run.parts[-1].scored and progress_lib.is_done(run)
  }
  tables.check_protocols(scored)
  done = {
    row.label: {s: dict(scored[n]) for s, n in row.runs.items() if n in scored}
    for row in plan.rows
  }
  if plan.against:
    _add_negative_transfer(plan, done, checkpoint)
  folders = (part.workdir for run in plan.runs.values() for part in run.parts)
  codes = [code for folder in folders for code in provenance.read(folder)]
  shown = tables.make_table(done)
  kinds = {'mIoU', 'negative', *plan.shows} - {'IoU'}
  return Results(
    plan=plan,
    checkpoint=checkpoint,
    figures=[row for row in shown if row.kind in kinds],
    classes=[row for row in shown if row.kind == 'IoU' and 'IoU' in plan.shows],
    differences={x: _compare(done, x) for x in plan.references},
    gains={
      row.label: {
        figure: means[row.label]
        for figure, means in _compare(done, row.without_depth).items()
      }
      for row in plan.rows
      if row.without_depth
    },
    missing={
      row.label: {
        seed: (reasons or {}).get(name) or 'not done'
        for seed, name in row.runs.items()
        if name not in scored
      }
      for row in plan.rows
    },
    protocols={
      row.label: _read_protocol(plan, row, done[row.label]) for row in plan.rows
    },
    codes=tuple(dict.fromkeys(codes)),
  )


def _read(run, checkpoint):
  workdir = run.parts[-1].workdir
  figures = tables.read_figures(str(workdir), checkpoint=checkpoint)
  images = plan_lib.same_images(figures['IoU']['dataset'])
  return {k: {**figure, 'dataset': images} for k, figure in figures.items()}


def _compare(done, reference):
  """Returns figure -> label of each other row -> mean of its differences."""
  columns = {reference: done[reference], **done}
  return {row.name: row.differences for row in tables.make_table(columns)}


def _add_negative_transfer(plan, done, checkpoint):
  """Adds the rate to the figures of all runs except those compared against.

  Runs of earlier versions, without scores of single images, get none.
  """
  rows = {row.label: row for row in plan.rows}

  def read(label, seed):
    run = plan.runs[rows[label].runs[seed]]
    return workdir_lib.read_scores(run.parts[-1].workdir)[checkpoint]

  for label, runs in done.items():
    if label == plan.against:
      continue
    for seed in runs.keys() & done[plan.against].keys():
      ours, theirs = read(label, seed), read(plan.against, seed)
      if 'images' in ours and 'images' in theirs:
        runs[seed][NEGATIVE_TRANSFER] = scores_lib.negative_transfer(
          ours, theirs, against=plan.against
        )


def _read_protocol(plan, row, done):
  """Returns how the runs of a row were trained and scored.

  Raises UserError if its seeds were not scored in the same way.
  """
  if row.quoted:
    return {}
  run = plan.runs[next(iter(row.runs.values()))]
  found = {
    **next(map(tables.read_protocol, done.values()), {}),
    'steps': '+'.join(str(part.steps) for part in run.parts),
    'batch': run.config.batch_size,
    'backbone': run.config.network.backbone,
    'initial weights': run.config.get('initial') or 'scratch',
  }
  if statistics := run.config.method.get('statistics'):
    found['running statistics'] = statistics
  for seed, figures in done.items():
    ours = {
      'network': figures['IoU']['network'],
      'network input': 'x'.join(map(str, figures['IoU']['network_input'])),
    }
    for field, value in ours.items():
      if found.setdefault(field, value) != value:
        raise errors.UserError(
          f'{row.runs[seed]} was scored with {field} {value}, earlier seeds'
          f' with {found[field]}; expected the same'
        )
  return found
