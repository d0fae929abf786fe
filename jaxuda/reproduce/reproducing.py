"""Runs a table of a paper and prints it, or says what that would take."""

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
from jaxuda.weights import packaged


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
  done = sum(x.status == progress_lib.DONE for x in states.values())
  if done == len(states):
    return 0
  text = (
    f'stopped by {stop.requested}, {done} of {len(states)} runs done; run the'
    ' same command again to continue'
    if stop.requested
    else f'{len(states) - done} of {len(states)} runs failed; the same command'
    ' tries them again'
  )
  print(text, file=sys.stderr)
  return 1


def print_list(
  tables: Mapping[str, Any],
  folder: pathlib.Path,
  *,
  pair: str = '',
  seeds: Sequence[int] = (1,),
) -> None:
  """Prints the tables, name -> table, and what each needs.

  The folder is that of the configs, the pair '' for each paper's own; runs and
  steps are counted for these seeds.
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
    configs = [run.config for run in plan.runs.values()]
    domains = [c.data[d] for c in configs for d in ('source', 'target')]
    datasets = dict.fromkeys(domain.dataset for domain in domains)
    print(f'  pair {plan.pair}: {", ".join(datasets)}')
    for file in dict.fromkeys(c.get('initial', '') for c in configs):
      if file:
        print(f'  file {file}')
    for what, rows in _list_preparations(plan).items():
      print(f'  {what} ({", ".join(rows)})')
    print(f'  published for {", ".join(table.pairs)}\n')
  print(f'Runs and steps are for the seeds {", ".join(map(str, seeds))}.')


def _list_preparations(plan):
  """What is trained or made before the rows' own trainings -> these rows."""
  needs = {}
  for run in plan.runs.values():
    found = []
    if run.before:
      found.append(f'{run.before.partition("/")[0]} is trained before')
    if len(run.parts) > 1:
      found.append(f'{len(run.parts)} trainings, one after another')
    for domain in ('source', 'target'):
      if path := run.config.data[domain].get('depth_dir'):
        found.append(f'depth in {path}')
    for what in found:
      needs.setdefault(what, {})[run.name.partition('/')[0]] = True
  return needs


def _check_weights(plan):
  """Checks before anything is trained; else each run would find out itself."""
  for run in plan.runs.values():
    path = run.config.get('initial', '')
    if path == packaged.IMAGENET:
      path = packaged.find(run.config.network.backbone)
    if path and not pathlib.Path(path).exists():
      raise errors.UserError(
        f'{path} is missing, with which {run.name} begins; expected the file,'
        ' or -- --config.initial=FILE (nothing after = to begin from scratch)'
      )
