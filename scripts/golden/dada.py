"""DADA against the official network, losses, gradients and first step."""

from collections.abc import Mapping
import json
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from golden import recipe
from golden import states
from jaxuda.methods import dada
from jaxuda.methods.parts import learner
from jaxuda.models import deeplab
from jaxuda.models import pretrained
from jaxuda.step import parallel

_SOURCE, _TARGET = 'source', 'target'


def recognises(golden: Mapping[str, Any]) -> bool:
  """Returns True if a file's entries are DADA's."""
  return 'update_norms' in golden and 'eval_depth' in golden


def _method(classes: int, dtype: str) -> dada.Method:
  """Returns the official settings; images are already normalised."""
  network = deeplab.Options(
    dtype=dtype, image_order='rgb', image_mean=(0.0, 0.0, 0.0)
  )
  return dada.Method(
    num_classes=classes,
    total_steps=90000,
    network=network,
    sums='device',  # There is only one.
  )


def _batch(sizes, dtype):
  hs, ws, ht, wt, classes, salt = (int(n) for n in sizes)

  def image(name, height, width):
    x = recipe.image(name, (1, 3, height, width), salt=salt)
    return jnp.asarray(x.transpose(0, 2, 3, 1), dtype)

  inverse = recipe.positive('depth', (1, hs, ws), 1, 30, salt=salt)
  label = recipe.labels('labels', (1, hs, ws), classes=classes, salt=salt)
  return {
    _SOURCE: {
      'image': image('source', hs, ws),
      'label': jnp.asarray(label, jnp.int32),
      'depth': jnp.asarray(655.36 / inverse - 0.01, dtype),
      'depth_valid': jnp.ones((1, hs, ws), bool),
    },
    _TARGET: {'image': image('target', ht, wt)},
  }


def _state(method, batch, shapes, salt):
  """Returns the state with the recipe's weights."""
  weights = {k: recipe.tensor(k, s, salt=salt) for k, s in shapes.items()}
  return states.fill(method, batch, weights)


def _gradients(method, state, batch):
  """Returns gradients of a whole step, of task network and discriminator."""
  task, disc = state.nets['task'], state.nets['disc']
  passes = (
    (method.source_loss, batch[_SOURCE]),
    (method.target_loss, {'disc': disc.params}, batch[_TARGET]),
  )
  grads, _, _, maps = learner.run_passes(task.params, task.batch_stats, passes)

  def disc_loss(params):
    return method.adversary.loss(params, *(x['disc'] for x in maps))[0]

  return grads, jax.grad(disc_loss)(disc.params)


def measure(
  golden: Mapping[str, np.ndarray], *, dtype: str
) -> dict[str, np.ndarray]:
  """Returns our value of every entry of the file that is a number.

  Args:
    golden: the file's entries.
    dtype: 'float64' or 'float32'.
  """
  *_, classes, salt = (int(n) for n in golden['sizes'])
  method = _method(classes, dtype)
  batch = _batch(golden['sizes'], dtype)
  state = _state(method, batch, json.loads(str(golden['shapes'])), salt)
  task = state.nets['task']
  ours = {}
  for mode in ('eval', 'train'):
    out, _ = jax.jit(
      lambda net, image, train=mode == 'train': deeplab.run(
        method.task, net.params, net.batch_stats, image, train=train
      )
    )(task, batch[_SOURCE]['image'])
    ours[f'{mode}_logits'] = np.moveaxis(np.asarray(out['logits']), -1, 1)
    ours[f'{mode}_depth'] = np.asarray(out['depth'])[:, None]
  task_grads, disc_grads = jax.jit(_gradients, static_argnums=0)(
    method, state, batch
  )
  ours['grad_norms'] = states.norms(task_grads, disc_grads)
  before = jax.device_get({k: n.params for k, n in state.nets.items()})
  key = jax.random.key(0)
  step = parallel.pmap_step(method.train_step)
  after, losses = step(state, parallel.shard(batch), key)
  ours |= {k: np.asarray(v) for k, v in losses.items()}
  moved = jax.tree.map(
    lambda a, b: np.asarray(a) - b,
    {k: n.params for k, n in after.nets.items()},
    before,
  )
  ours['update_norms'] = states.norms(moved['task'], moved['disc'])
  stats = {'batch_stats': after.nets['task'].batch_stats}
  ours['running_stats_after'] = {
    k: np.array([v.mean(), np.linalg.norm(v)])
    for k, v in pretrained.to_torch(stats).items()
  }
  return ours
