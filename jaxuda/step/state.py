"""The training state: arrays only.

Optimizers and modules live on the method. If they were in the state, two states
built alike would retrace a step and could not be mapped over together.
"""

from collections.abc import Callable
from typing import Any

import flax
import jax
import jax.numpy as jnp
import optax

from jaxuda.step import parallel


class Net(flax.struct.PyTreeNode):
  """One network.

  Attributes:
    params: parameters.
    batch_stats: running statistics of the norms; {} without norms.
    opt_state: state of the optimizer; () if it is not trained.
  """

  params: Any
  batch_stats: Any
  opt_state: Any


class TrainState(flax.struct.PyTreeNode):
  """Everything that a step changes.

  Attributes:
    step: scalar int32, the number of steps taken.
    nets: the trained networks by name: 'task', 'disc', 'gen'.
    teacher: the averaged copy of the task network, or None.
  """

  step: jax.Array
  nets: dict[str, Net]
  teacher: Net | None = None

  def find(self, which: str) -> Net:
    """Returns the task network, 'student', or its average, 'teacher'."""
    return self.teacher if which == 'teacher' else self.nets['task']

  def advance(
    self, nets: dict[str, Net], *, teacher: Net | None = None
  ) -> 'TrainState':
    """Returns the state after a step, with the networks that it changed."""
    teacher = self.teacher if teacher is None else teacher
    return self.replace(step=self.step + 1, nets=nets, teacher=teacher)


def create_net(variables: Any, tx: optax.GradientTransformation | None) -> Net:
  """Returns the result of `module.init` as a network with a new optimizer.

  `tx` is None for a network that is never updated.
  """
  params = variables['params']
  return Net(
    params=params,
    batch_stats=variables.get('batch_stats', {}),
    opt_state=tx.init(params) if tx is not None else (),
  )


def create(nets: dict[str, Net], *, teacher: Net | None = None) -> TrainState:
  """Returns the state before the first step."""
  return TrainState(step=jnp.zeros((), jnp.int32), nets=nets, teacher=teacher)


def update(
  net: Net,
  grads: Any,
  tx: optax.GradientTransformation,
  *,
  batch_stats: Any = None,
) -> Net:
  """Takes one optimizer step, the only place where gradients are averaged.

  Args:
    net: the network before the step.
    grads: this device's gradients; their mean over the devices is applied.
    tx: the optimizer.
    batch_stats: this device's running statistics after the forward passes, or
      None to keep the old ones. Their mean over the devices is kept.
  """
  grads = parallel.mean(grads)
  updates, opt_state = tx.update(grads, net.opt_state, net.params)
  if batch_stats is not None:
    net = net.replace(batch_stats=parallel.mean(batch_stats))
  params = optax.apply_updates(net.params, updates)
  return net.replace(params=params, opt_state=opt_state)


def minimize(
  net: Net,
  loss: Callable[[Any], tuple[jax.Array, Any]],
  tx: optax.GradientTransformation,
) -> tuple[Net, Any]:
  """Takes one optimizer step on a loss, parameters -> (scalar, auxiliary).

  Returns the network after the step, and the auxiliary output.
  """
  grads, aux = jax.grad(loss, has_aux=True)(net.params)
  return update(net, grads, tx), aux


def ema_decay(step: jax.Array, *, limit: float, before: int = 0) -> jax.Array:
  """Returns min(1 - 1 / (step + before + 1), limit), the decay after a step.

  In the first step it is 0: the teacher becomes a copy of the student, and in
  the next ones it is the plain mean of all students so far (Tarvainen and
  Valpola, 2017, as DACS runs it). `step`, a scalar int, counts the steps before
  this one; `limit` is the decay in the long run; `before` is how many times the
  first teacher, a copy of the student before all steps, counts in the mean.
  """
  step = jnp.asarray(step, jnp.result_type(float)) + before
  return jnp.minimum(1 - 1 / (step + 1), limit)


def update_teacher(
  teacher: Net, student: Net, *, decay: jax.Array, batch_stats: Any
) -> Net:
  """Moves a teacher to decay * teacher + (1 - decay) * student.

  Args:
    teacher: the teacher before the step. Only its parameters are averaged.
    student: the student after the step.
    decay: see `ema_decay`.
    batch_stats: this device's running statistics after the teacher's own
      forward pass. Their mean over the devices is kept.
  """
  params = jax.tree.map(
    lambda t, s: (decay * t + (1 - decay) * s).astype(jnp.result_type(t)),
    *(teacher.params, student.params),
  )
  return teacher.replace(params=params, batch_stats=parallel.mean(batch_stats))
