"""Training states with the weights of a reference, for the golden checks."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxuda.models import pretrained
from jaxuda.step import state as state_lib


def fill(
  method: Any, batch: Any, weights: Mapping[str, np.ndarray]
) -> state_lib.TrainState:
  """Returns a state of a method with a task network and a discriminator.

  Args:
    method: a `base.Method`.
    batch: a training batch; only its shapes matter.
    weights: both networks' entries under their PyTorch names; those of the
      discriminator start with 'D.'.
  """
  empty = jax.eval_shape(method.init, jax.random.key(0), batch)
  learners = {'task': method.learner, 'disc': method.adversary.learner}
  nets = {}
  for name, net in empty.nets.items():
    disc = name == 'disc'
    variables = {'params': net.params, 'batch_stats': net.batch_stats}
    chosen = {
      k.removeprefix('D.'): v
      for k, v in weights.items()
      if k.startswith('D.') == disc
    }
    filled = pretrained.from_torch(chosen, variables)
    filled = jax.tree.map(jnp.asarray, filled)
    nets[name] = state_lib.create_net(filled, learners[name].tx)
  return state_lib.create(nets)


def norms(task: Any, disc: Any) -> dict[str, Any]:
  """Returns the norm of every entry of both networks, named as in `fill`."""
  return {
    f'{prefix}{k}': np.linalg.norm(v)
    for prefix, params in (('', task), ('D.', disc))
    for k, v in pretrained.to_torch({'params': params}).items()
  }
