"""Runs a table of a paper and prints it, or says what that would take."""

import collections
from collections.abc import Callable, Mapping, Sequence
import pathlib
import sys
from typing import Any

from jaxuda import errors
from jaxuda.reproduce import folder as folder_lib
from jaxuda.reproduce import overview as overview_lib
from jaxuda.reproduce import plan as plan_lib
from jaxuda.reproduce import progress as progress_lib
from jaxuda.reproduce import results as results_lib
from jaxuda.reproduce import running
from jaxuda.run import signals


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
    workdir: folder of the reproduction.
    jobs: number of runs at a time, at least 1.
    checkpoint: checkpoint whose scores count, 'last' or 'best'.
    launch: starts a run, see `running.Runner`.

  Returns:
    1 if a run is missing in the table, else 0.

  Raises:
    UserError: weights are missing, or the folder is another's.
  """
  _check_weights(plan)
  with folder_lib.Folder(workdir, plan) as folder:
    with signals.StopSignals() as stop, overview_lib.Overview() as overview:
      options = {'overview': overview, 'jobs': jobs, 'launch': launch}
      runner = running.Runner(plan, folder, **options)
      runner.run(stop.poll)
    states = runner.states
    results = results_lib.collect(
      plan,
      checkpoint=checkpoint,
      reasons={
        name: state.reason or state.status for name, state in states.items()
      },
    )
    results_lib.write(results, folder.path)
  results_lib.print_results(results)
  print(f'wrote {folder.path}/table.txt, table.md, table.csv')
  counts = collections.Counter(state.status for state in states.values())
  done = counts[progress_lib.DONE]
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
    tables: name -> table.
    folder: folder of the configs.
    pair: domain pair; '' for each paper's own.
    seeds: seeds for which runs and steps are counted.
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
  """Checks before anything is trained; else each run would find out itself."""
  for run in plan.runs.values():
    path = run.config.get('initial', '')
    if path and not pathlib.Path(path).exists():
      raise errors.UserError(
        f'{path} is missing, with which {run.name} begins; expected the file,'
        ' or -- --config.initial=FILE (nothing after = to begin from scratch)'
      )
