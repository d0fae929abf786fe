"""The network of another run to begin a training with."""

from typing import Any

import jax
import jax.numpy as jnp

from jaxuda import checkpoint
from jaxuda import errors
from jaxuda import workdir as workdir_lib


def load_network(state: Any, workdir: str, *, which: str = 'last') -> Any:
  """Puts the task network of another run into a fresh state.

  Its parameters and running statistics, which a teacher gets a copy of; step,
  optimizers and everything else stay as they are.

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
  state = state.replace(nets={**state.nets, 'task': task})
  if state.teacher is None:
    return state
  # A copy: the step gives its memory away, which no two leaves may share.
  params, stats = jax.tree.map(jnp.copy, (theirs.params, theirs.batch_stats))
  return state.replace(
    teacher=state.teacher.replace(params=params, batch_stats=stats)
  )
