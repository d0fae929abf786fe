r"""Runs a table of a paper: all rows, several seeds, and prints it.

    python -m jaxuda.reproduce --list
    python -m jaxuda.reproduce --table=dada/3 --pair=streets --seeds=3 \
        --workdir=DIR [--rows=S1,S7] [--jobs=2] [--checkpoint=best] \
        [--dry_run] [-- --config.field=value ...]

What follows `--` is passed on to every run. Killed at any moment, the same
command goes on where it was: runs that are done are not repeated, others
continue. More seeds or rows can be asked for later. A run that fails leaves a
gap in the table; the others go on, and the exit status is 1.

The tables, with the papers' figures, are in configs/tables.py.
"""

import collections
from collections.abc import Callable, Mapping, Sequence
import pathlib
import sys
from typing import Any

from absl import flags

from jaxuda import errors
from jaxuda.reproduce import choices
from jaxuda.reproduce import folder as folder_lib
from jaxuda.reproduce import overview as overview_lib
from jaxuda.reproduce import plan as plan_lib
from jaxuda.reproduce import results as results_lib
from jaxuda.reproduce import running
from jaxuda.reproduce import writing
from jaxuda.run import signals
from jaxuda.ui import config_files


def reproduce(
  plan: plan_lib.Plan,
  workdir: str | pathlib.Path,
  *,
  jobs: int = 1,
  checkpoint: str = 'last',
  launch: Callable[..., Any] = running.launch,
) -> int:
  """Runs what is not done yet, and prints and writes the table.

  Args:
    plan: the runs.
    workdir: see `folder`.
    jobs: how many runs at a time.
    checkpoint: 'last' or 'best'.
    launch: see `running.Runner`.

  Returns:
    1 if a run is missing in the table, else 0.

  Raises:
    UserError: weights are missing, or the folder is another's.
  """
  _check_weights(plan)
  with folder_lib.Folder(workdir, plan) as folder:
    with signals.StopSignals() as stop, overview_lib.Overview() as overview:
      runner = running.Runner(
        plan,
        folder,
        overview=overview,
        jobs=jobs,
        launch=launch,
      )
      runner.run(stop.poll)
    states = runner.states
    results = results_lib.collect(
      plan,
      checkpoint=checkpoint,
      reasons=results_lib.read_reasons(states),
    )
    writing.write(results, folder.path)
  writing.print_results(results)
  print(f'wrote {folder.path}/table.txt, table.md, table.csv')
  counts = collections.Counter(state.status for state in states.values())
  done = counts[running.DONE]
  if stop.requested:
    print(
      f'stopped by {stop.requested}, {done} of {len(states)} runs done; run the'
      ' same command again to continue',
      file=sys.stderr,
    )
  elif done < len(states):
    print(
      f'{len(states) - done} of {len(states)} runs failed; the same command'
      ' tries them again',
      file=sys.stderr,
    )
  return 0 if done == len(states) else 1


def print_list(
  tables: Mapping[str, Any],
  folder: pathlib.Path,
  *,
  pair: str = '',
  seeds: Sequence[int] = (1,),
) -> None:
  """Prints the tables and what each needs.

  Args:
    tables: by name.
    folder: where the configs are.
    pair: '' for each paper's own.
    seeds: that are counted.
  """
  for name, table in tables.items():
    print(f'{", ".join((name, *table.other_names))}\n  {table.paper}')
    print(f'  {table.what}')
    try:
      plan = plan_lib.expand(
        name, table, folder=folder, workdir='DIR', pair=pair, seeds=seeds
      )
    except errors.UserError as e:
      print(f'  {e}\n')
      continue
    print(f'  rows {", ".join(row.label for row in plan.rows)}')
    print(f'  {len(plan.runs)} runs, {plan.steps:,} steps in all')
    print(f'  pair {plan.pair}: {", ".join(_datasets(plan))}')
    for need in (*(f'file {x}' for x in _weights(plan)), *_preparations(plan)):
      print(f'  {need}')
    print(f'  published for {", ".join(table.pairs)}\n')
  print(f'Runs and steps are for the seeds {", ".join(map(str, seeds))}.')


def _datasets(plan):
  data = [run.config.data for run in plan.runs.values()]
  return dict.fromkeys(x[d].dataset for x in data for d in ('source', 'target'))


def _weights(plan):
  files = (run.config.get('initial', '') for run in plan.runs.values())
  return list(dict.fromkeys(filter(None, files)))


def _preparations(plan):
  """What is trained, fitted or made before the rows' own trainings."""
  needs = {}
  for run in plan.runs.values():
    row = run.name.partition('/')[0]
    if run.before:
      before = run.before.partition('/')[0]
      needs.setdefault(f'{before} is trained before', []).append(row)
    if len(run.parts) > 1:
      what = f'{len(run.parts)} trainings, one after another'
      needs.setdefault(what, []).append(row)
    for domain in ('source', 'target'):
      path = run.config.data[domain].get('depth_dir')
      if path:
        needs.setdefault(f'depth in {path}', []).append(row)
  return [
    f'{what} ({", ".join(dict.fromkeys(rows))})' for what, rows in needs.items()
  ]


def _check_weights(plan):
  """Else every run would find out for itself."""
  for run in plan.runs.values():
    path = run.config.get('initial', '')
    if path and not pathlib.Path(path).exists():
      raise errors.UserError(
        f'{path} is missing, with which {run.name} begins; expected the file,'
        ' or -- --config.initial=FILE (nothing after = to begin from scratch)'
      )


def main(*overrides: str) -> int:
  """Runs the command line."""
  given = flags.FLAGS
  path = config_files.find(given.tables)
  tables, folder = choices.read_tables(path), path.parent
  seeds = choices.parse_seeds(given.seeds)
  if given.list:
    print_list(tables, folder, pair=given.pair, seeds=seeds)
    return 0
  if not given.table or not given.workdir:
    raise errors.UserError('expected --table and --workdir, or --list')
  name = choices.find_table(tables, given.table)
  plan = plan_lib.expand(
    name,
    tables[name],
    folder=folder,
    workdir=given.workdir,
    pair=given.pair,
    classes=given.classes,
    seeds=seeds,
    rows=given.rows,
    overrides=overrides,
  )
  if given.dry_run:
    folder_lib.Folder(given.workdir, plan).check()
    for run in plan.runs.values():
      print(run)
    return 0
  return reproduce(
    plan, given.workdir, jobs=given.jobs, checkpoint=given.checkpoint
  )


def define_flags():
  """Only when run as a program."""
  flags.DEFINE_bool('list', False, 'Print the tables and what each needs.')
  flags.DEFINE_string('table', None, 'Which one, e.g. dada/3.')
  flags.DEFINE_string('tables', 'configs/tables.py', 'File of the tables.')
  flags.DEFINE_string('pair', '', "Domain pair; the paper's own if unset.")
  flags.DEFINE_string('classes', '', "Class set; the table's if unset.")
  flags.DEFINE_string('seeds', '3', 'How many (1, 2, ...), or a list of them.')
  flags.DEFINE_list('rows', [], 'Only these.')
  flags.DEFINE_integer('jobs', 1, 'Runs at a time.', lower_bound=1)
  flags.DEFINE_enum('checkpoint', 'last', ['last', 'best'], 'What is scored.')
  flags.DEFINE_bool('dry_run', False, 'Print the commands of all runs.')
  flags.DEFINE_string('workdir', None, 'Folder of the runs and the table.')
