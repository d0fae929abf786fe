"""The runs that a table needs, and how its rows are compared."""

from collections.abc import Mapping, Sequence
import contextlib
import dataclasses
import os
import pathlib
import re
import shlex
from typing import Any

from jaxuda import errors
from jaxuda.reproduce import runs as runs_lib

# Subfolder of a reproduction into which the plan's commands write.
DRAWN = 'drawn'


@dataclasses.dataclass(frozen=True, kw_only=True)
class Row:
  """A row of the table with its runs.

  Attributes:
    label: the row's name.
    paper: figure -> what the paper reports on `Plan.paper_pair`: means in
      percent, and 'IoU', a mapping class -> percent.
    runs: seed -> name of a run; empty for a quoted row.
    same_as: label of an earlier row with the same runs, or ''.
    quoted: source from which the figures of a row that is not run are quoted,
      or ''.
    without_depth: label of the row with the same method without depth, or '' if
      it is not in the plan.
  """

  label: str
  paper: Mapping[str, Any]
  runs: dict[int, str]
  same_as: str = ''
  quoted: str = ''
  without_depth: str = ''


@dataclasses.dataclass(frozen=True, kw_only=True)
class Plan:
  """A table with its runs.

  Attributes:
    table: the table's name.
    title: the paper, and what the table shows.
    pair: domain pair of the runs.
    paper_pair: domain pair of the paper's figures.
    seeds: seeds of every row.
    rows: the baselines, and the rows in the paper's order.
    runs: name -> run, in the order in which they are started: seed by seed, so
      that the finished runs always make up a table.
    references: labels of the rows with which all others are compared.
    against: label of the row with which images are compared for the rate of
      negative transfer, or ''.
    shows: figures shown besides mean IoUs: 'IoU' of each class, 'depth' errors.
    commands: arguments of the `jaxuda` commands that draw figures from the runs
      once all are done.
  """

  table: str
  title: str
  pair: str
  paper_pair: str
  seeds: tuple[int, ...]
  rows: tuple[Row, ...]
  runs: dict[str, runs_lib.Run]
  references: tuple[str, ...] = ()
  against: str = ''
  shows: tuple[str, ...] = ()
  commands: tuple[tuple[str, ...], ...] = ()

  @property
  def steps(self) -> int:
    """Number of steps of all runs."""
    return sum(run.steps for run in self.runs.values())


def expand(
  name: str,
  table: Any,
  *,
  folder: str | os.PathLike,
  workdir: str | os.PathLike,
  pair: str = '',
  classes: str = '',
  seeds: Sequence[int] = (1,),
  rows: Sequence[str] = (),
  overrides: Sequence[str] = (),
  baselines: bool = True,
) -> Plan:
  """Returns the runs of a table.

  Args:
    name: the table's name.
    table: a table of configs/tables/.
    folder: folder of the configs.
    workdir: folder of the reproduction.
    pair: domain pair; '' for the paper's own.
    classes: class set; '' for the table's.
    seeds: the seeds; every row has a run for each.
    rows: labels of the rows; empty for all.
    overrides: flags for every run, of the form '--config.field=value', without
      the seed. Baselines, and runs that a row needs before its own, ignore
      fields that their config lacks; the field that a row sets from such an
      earlier run cannot be overridden.
    baselines: whether the pair's baselines precede the rows.

  Raises:
    UserError: a row or the pair is unknown, a flag is wrong, a config is
      impossible, or the rows would not be scored in the same way.
  """
  pair = pair or table.pairs[0]
  paper_pair = pair if pair in table.pairs else table.pairs[0]
  front = table.baselines.get(pair, ()) if baselines else ()
  own = [
    row
    for row in table.rows
    if (not row.pairs or pair in row.pairs)
    # A quoted row consists of figures alone.
    and (not row.quoted or paper_pair in row.paper)
  ]
  if not own:
    known = {x: None for row in table.rows for x in row.pairs}
    raise errors.UserError(
      f'--pair={pair}: {name} has no row on it; expected one of'
      f' {", ".join(known)}'
    )
  front, chosen = _choose_rows(name, own, rows, front=front)
  runs_lib.check_overrides(overrides)
  expander = runs_lib.Expander(
    folder=pathlib.Path(folder),
    workdir=pathlib.Path(workdir),
    pair=pair,
    classes=classes or table.classes,
    overrides=overrides,
  )
  names = {row.label: {} for row in (*front, *chosen)}
  for seed in seeds:
    for row in front:
      names[row.label][seed] = expander.add(row, seed, lenient=True)
    for row in chosen:
      if not row.quoted:
        names[row.label][seed] = expander.add(row, seed)
  planned = _plan_rows((*front, *chosen), names, paper_pair)
  trained = [row for row in planned if row.runs]
  _check_alike(name, pair, trained, expander.runs, baselines=len(front))
  first = tuple(row.label for row in front) or (trained[0].label,)
  return Plan(
    table=name,
    title=f'{table.paper}: {table.what}',
    pair=pair,
    paper_pair=paper_pair,
    seeds=tuple(seeds),
    rows=planned,
    runs=expander.runs,
    references=first,
    against=table.against if table.against in names else '',
    shows=table.shows,
    commands=_list_commands(table, workdir, expander.runs, seeds[0]),
  )


def _plan_rows(rows, names, paper_pair):
  """Returns the plan's rows; `names` is label -> seed -> run."""
  planned, owners = [], {}
  for row in rows:
    runs = names[row.label]
    owner = owners.setdefault(tuple(runs.values()), row.label) if runs else ''
    planned.append(
      Row(
        label=row.label,
        paper=row.paper.get(paper_pair, {}),
        runs=runs,
        same_as='' if owner == row.label else owner,
        quoted=row.quoted,
        without_depth=row.without_depth if row.without_depth in names else '',
      )
    )
  return tuple(planned)


def _list_commands(table, workdir, runs, seed):
  """Returns the table's commands whose runs are in the plan, split in words."""
  end = f'/seed{seed}'
  places = {
    name.removesuffix(end): str(run.parts[-1].workdir)
    for name, run in runs.items()
    if name.endswith(end)
  }
  places['out'] = str(pathlib.Path(workdir) / DRAWN)
  commands = []
  for text in table.commands:
    _, *words = shlex.split(text)
    with contextlib.suppress(KeyError):
      commands.append(tuple(word.format_map(places) for word in words))
  return tuple(commands)


def _choose_rows(name, rows, labels, *, front):
  """Returns the baselines, and the other requested rows."""
  own = {row.label: row for row in rows}
  # With the paper's figures, if it is a row of the table.
  front = [own.pop(row.label, row) for row in front]
  known = [row.label for row in (*front, *own.values())]
  by_name = {runs_lib.slug(x): x for x in known} | {x: x for x in known}
  for label in labels:
    if label not in by_name:
      raise errors.UserError(
        f'unknown row {label!r} of {name}; expected one of {", ".join(known)}'
      )
  # In the table's order: the others are compared with its first row.
  wanted = [by_name[x] for x in labels] or known
  chosen = [row for row in own.values() if row.label in wanted]
  if all(row.quoted for row in (*front, *chosen)):
    raise errors.UserError(
      f'--rows={",".join(labels)}: these are quoted, so there is nothing to'
      ' run; expected one of'
      f' {", ".join(x.label for x in rows if not x.quoted)}'
    )
  return front, chosen


def _check_alike(name, pair, rows, runs, *, baselines):
  """Checks before training that the rows will be comparable.

  The first `baselines` rows are the baselines.
  """
  own = rows[baselines:]
  if len(own) > 1 and len({tuple(row.runs.values()) for row in own}) == 1:
    raise errors.UserError(
      f'all rows of {name} are the same run with pair={pair}; expected another'
      ' pair'
    )
  protocols = {
    row.label: _scoring(runs[row.runs[min(row.runs)]].config) for row in rows
  }
  first = rows[0].label
  for label, protocol in protocols.items():
    for field, value in protocol.items():
      if value != protocols[first][field]:
        raise errors.UserError(
          f'row {label} would be scored with {field}={value}, {first} with'
          f' {protocols[first][field]}; expected the same: choose --rows'
        )


def _scoring(config):
  """Returns the fields of a config that decide how its run is scored."""
  target = config.data.target
  labels = target.get('eval_labels', 'native')
  return {
    'classes': config.classes,
    'dataset': same_images(target.dataset),
    'split': target.eval_split,
    'labels': labels if labels == 'native' else f'{labels} {target.size}',
  }


def same_images(dataset: str) -> str:
  """Returns a dataset's name without the source of its depth."""
  return re.sub(r'/(stereo|mono)$', '', dataset)
