"""Reproduces a table of a paper, or lists what that would take."""

from collections.abc import Callable, Mapping, Sequence
import pathlib
import shlex
import subprocess
import sys
from typing import Any

from jaxuda import errors
from jaxuda import methods
from jaxuda.reproduce import folder as folder_lib
from jaxuda.reproduce import overview as overview_lib
from jaxuda.reproduce import plan as plan_lib
from jaxuda.reproduce import presenting
from jaxuda.reproduce import progress as progress_lib
from jaxuda.reproduce import results as results_lib
from jaxuda.reproduce import running
from jaxuda.run import signals
from jaxuda.weights import initial


def reproduce(
  plan: plan_lib.Plan,
  workdir: str | pathlib.Path,
  *,
  jobs: int = 1,
  checkpoint: str = 'last',
  launch: Callable[..., Any] = running.launch,
  call: Callable[[Sequence[str]], int] = subprocess.call,
) -> int:
  """Runs whatever is not done yet, prints and writes the table, and draws.

  Args:
    plan: the runs.
    workdir: folder of the reproduction.
    jobs: number of runs at a time, at least 1.
    checkpoint: checkpoint whose scores count, 'last' or 'best'.
    launch: starts a run, see `running.Runner`.
    call: runs one of the plan's commands and returns its exit status.

  Returns:
    1 if a run is missing from the table or a command failed, else 0.

  Raises:
    UserError: weights are missing, or the folder belongs to something else.
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
    presenting.write(results, folder.path)
  presenting.print_results(results)
  print(f'wrote {folder.path}/table.txt, table.md, table.csv')
  done = sum(x.status == progress_lib.DONE for x in states.values())
  if done == len(states):
    return _draw(plan, folder.path, call)
  text = (
    f'stopped by {stop.requested}, {done} of {len(states)} runs done; run the'
    ' same command again to continue'
    if stop.requested
    else f'{len(states) - done} of {len(states)} runs failed; the same command'
    ' tries them again'
  )
  print(text, file=sys.stderr)
  return 1


def _draw(plan, folder, call):
  """Runs all of the plan's commands; returns 1 if any of them failed."""
  failed = 0
  for words in plan.commands:
    (folder / plan_lib.DRAWN).mkdir(exist_ok=True)
    print(f'jaxuda {shlex.join(words)}', flush=True)
    failed |= call([sys.executable, '-m', 'jaxuda', *words]) != 0
  return int(failed)


def print_list(
  tables: Mapping[str, Any],
  folder: pathlib.Path,
  *,
  pair: str = '',
  seeds: Sequence[int] = (1,),
  baselines: bool = True,
) -> None:
  """Prints the tables, name -> table, and what each needs.

  `folder` is that of the configs; `pair` is '' for each paper's own. Runs and
  steps are counted for these seeds, with or without the pair's baselines.
  """
  options = {'folder': folder, 'pair': pair, 'baselines': baselines}
  for name, table in tables.items():
    print(f'{", ".join((name, *table.other_names))}\n  {table.paper}')
    print(f'  {table.what}')
    try:
      plan = plan_lib.expand(name, table, workdir='DIR', seeds=seeds, **options)
    except errors.UserError as e:
      print(f'  {e}\n')
      continue
    trained = [row.label for row in plan.rows if row.runs]
    number = f'{len(trained)} row{"s" if len(trained) > 1 else ""}'
    print(f'  {number}: {", ".join(trained)}')
    if quoted := [row.label for row in plan.rows if row.quoted]:
      print(f'  {len(quoted)} quoted and not run: {", ".join(quoted)}')
    print(f'  {len(plan.runs)} runs, {plan.steps:,} steps in all')
    configs = [run.config for run in plan.runs.values()]
    domains = [c.data[d] for c in configs for d in ('source', 'target')]
    datasets = dict.fromkeys(domain.dataset for domain in domains)
    print(f'  pair {plan.pair}: {", ".join(datasets)}')
    files = (r.config.get('initial') for r in plan.runs.values() if _own(r))
    for file in filter(initial.is_given, dict.fromkeys(files)):
      print(f'  file {file}')
    for what, rows in _list_preparations(plan).items():
      print(f'  {what} ({", ".join(rows)})')
    for words in plan.commands:
      print(f'  then jaxuda {shlex.join(words)}')
    print(f'  published for {", ".join(table.pairs)}\n')
  print(
    f'Runs and steps are counted for the seeds {", ".join(map(str, seeds))}.'
  )


def _list_preparations(plan):
  """Returns what must be trained or made first -> the rows that need it."""
  needs = {}
  for run in plan.runs.values():
    found = []
    if run.before:
      found.append(f'{run.before.partition("/")[0]} is trained first')
    if len(run.parts) > 1:
      found.append(f'{len(run.parts)} successive trainings')
    for domain in ('source', 'target'):
      if path := run.config.data[domain].get('depth_dir'):
        found.append(f'depth in {path}')
    for what in found:
      needs.setdefault(what, {})[run.name.partition('/')[0]] = True
  return needs


def _check_weights(plan):
  """Checks initial weights before training, so that runs do not fail later."""
  for run in plan.runs.values():
    try:
      if _own(run):
        initial.check(run.config.get('initial'), methods.create(run.config))
    except errors.UserError as e:
      raise errors.UserError(f'{run.name}: {e} (flags of runs after --)') from e


def _own(run):
  """Returns whether a run's initial weights are not made by an earlier run."""
  path = run.config.get('initial') or ''
  return not (run.before and path.endswith(run.before))
