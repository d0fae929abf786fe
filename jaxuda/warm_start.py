"""The network of another run to begin a training with."""

from typing import Any

from jaxuda import checkpoint
from jaxuda import errors
from jaxuda import workdir as workdir_lib


def load_network(state: Any, workdir: str, *, which: str = 'last') -> Any:
  """Puts the task network of another run into a fresh state.

  Its parameters and running statistics; step, optimizers and everything else
  stay as they are.

  Args:
    state: a training state before the first step.
    workdir: the other run's folder.
    which: its checkpoint: 'last', 'best' or a step.

  Raises:
    UserError: there is no such run or checkpoint, or it has another network.
  """
  run = workdir_lib.load(workdir, which=which)
  mine, theirs = state.nets['task'], run.state.nets['task']
  for field in ('params', 'batch_stats'):
    expected = checkpoint.flatten(getattr(mine, field))
    found = checkpoint.flatten(getattr(theirs, field))
    for path in sorted({*expected, *found}):
      here, there = (
        f'{x[path].dtype}{list(x[path].shape)}' if path in x else 'nothing'
        for x in (expected, found)
      )
      if here != there:
        raise errors.UserError(
          f'config.initial={workdir} has {there} for {path}; expected {here}:'
          ' the network must be the same'
        )
  task = mine.replace(params=theirs.params, batch_stats=theirs.batch_stats)
  return state.replace(nets={**state.nets, 'task': task})
