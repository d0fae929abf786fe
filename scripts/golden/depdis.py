"""Depth Distribution against the official network, densities and losses."""

from collections.abc import Mapping
import json
import pathlib
import tempfile
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from golden import recipe
from golden import states
from jaxuda.losses import segmentation
from jaxuda.methods import depdis
from jaxuda.methods.parts import learner
from jaxuda.methods.parts import mixtures
from jaxuda.models import deeplab
from jaxuda.ops import density
from jaxuda.ops import depth as depth_ops
from jaxuda.ops import resize

# The official weights of SYNTHIA's 16 classes.
_CLASS_WEIGHTS = (
  *(0.327, 0.313, 0.206, 22.427, 22.558, 5.811, 155.643, 59.528),
  *(0.586, 0.882, 1.423, 12.871, 1.488, 3.955, 29.164, 27.563),
)
# Saved in the official checkpoints but not used.
_UNUSED = ('enc4_4.', 'dec4.')


def recognises(golden: Mapping[str, Any]) -> bool:
  """Returns True if a file's entries are Depth Distribution's."""
  return 'loss_balance_target' in golden


def _method(classes: int, dtype: str, path: pathlib.Path) -> depdis.Method:
  """Returns the official settings; images are already normalised."""
  network = deeplab.Options(
    dtype=dtype, image_order='rgb', image_mean=(0.0, 0.0, 0.0)
  )
  return depdis.Method(
    num_classes=classes,
    total_steps=90000,
    network=network,
    mixtures=str(path),
    class_weights=_CLASS_WEIGHTS,
    sums='device',  # There is only one.
  )


def _write_mixtures(golden, path):
  """Writes the file's mixtures to where the method reads them."""
  weights = golden['gmm_weights']
  mixtures.write(
    path,
    mixtures.Mixtures(
      weights=weights,
      means=golden['gmm_means'],
      covariances=golden['gmm_variances'],
      counts=np.ones(len(weights), np.int64),
      grid=golden['source_density'].shape,
      info={},
    ),
  )


def _batch(sizes, dtype):
  hs, ws, ht, wt, classes, _, salt = (int(n) for n in sizes)

  def image(name, height, width):
    x = recipe.image(name, (1, 3, height, width), salt=salt)
    return jnp.asarray(x.transpose(0, 2, 3, 1), dtype)

  inverse = recipe.positive('depth', (1, hs, ws), 1, 30, salt=salt)
  label = recipe.labels('labels', (1, hs, ws), classes=classes, salt=salt)
  return {
    'source': {
      'image': image('source', hs, ws),
      'label': jnp.asarray(label, jnp.int32),
      'depth': jnp.asarray(655.36 / inverse - 0.01, dtype),
      'depth_valid': jnp.ones((1, hs, ws), bool),
    },
    'target': {'image': image('target', ht, wt)},
  }


def _state(method, batch, shapes, salt):
  """Returns the state with the recipe's weights."""
  weights = {
    k: recipe.tensor(k, s, salt=salt)
    for k, s in shapes.items()
    if not k.startswith(_UNUSED)
  }
  return states.fill(method, batch, weights)


def _step(method, state, batch):
  """Computes everything in a step except the optimizers.

  Returns:
    (outputs of both passes with batch statistics, losses, gradients of both
    networks).
  """
  task, disc = state.nets['task'], state.nets['disc']
  outs, stats = {}, task.batch_stats
  for domain in ('source', 'target'):
    outs[domain], stats = deeplab.run(
      method.task, task.params, stats, batch[domain]['image'], train=True
    )
  passes = (
    (method.source_loss, batch['source']),
    (method.target_loss, disc.params, batch['target']),
  )
  grads, _, losses, maps = learner.run_passes(
    task.params, task.batch_stats, passes
  )
  disc_grads, terms = jax.grad(
    lambda params: method.adversary.loss(params, *maps), has_aux=True
  )(disc.params)
  return outs, losses | terms, (grads, disc_grads)


def _maps(method, outs, source):
  """Returns the density targets of both domains, and their classes."""
  table = method.balance_options((1, 1, 1))['table']
  low = outs['source']['density'].shape[1:3]
  inverse = resize.resize_nearest(depth_ops.invert_depth(source['depth']), low)
  label = resize.resize_nearest(source['label'], low)
  logits = outs['source']['logits']
  options = {'mapping': 'plain'}
  maps = {
    'source_pdf': density.source_density(
      table, logits, inverse, label, **options
    ),
    'source_density': density.source_density(table, logits, inverse, label),
    'source_class': jnp.argmax(logits, -1),
    'target_density': density.target_density(
      table, outs['target']['logits'], outs['target']['depth']
    ),
    'target_class': jnp.argmax(outs['target']['logits'], -1),
  }
  full = resize.resize_align_corners(logits, source['image'].shape[1:3])
  plain = segmentation.cross_entropy(full, source['label'])
  return {k: np.asarray(v[0]) for k, v in maps.items()}, plain


def measure(
  golden: Mapping[str, np.ndarray], *, dtype: str
) -> dict[str, np.ndarray]:
  """Returns our value of every entry of the file that is a result.

  Args:
    golden: the file's entries.
    dtype: 'float64' or 'float32'.
  """
  *_, classes, _, salt = (int(n) for n in golden['sizes'])
  with tempfile.TemporaryDirectory() as folder:
    path = pathlib.Path(folder) / 'mixtures.npz'
    _write_mixtures(golden, path)
    method = _method(classes, dtype, path)
    batch = _batch(golden['sizes'], dtype)
    state = _state(method, batch, json.loads(str(golden['shapes'])), salt)
    outs, losses, (grads, disc_grads) = jax.jit(_step, static_argnums=0)(
      method, state, batch
    )
    maps, plain = _maps(method, outs, batch['source'])
  task = state.nets['task']
  out, _ = jax.jit(
    lambda net, image: deeplab.run(
      method.task, net.params, net.batch_stats, image, train=False
    )
  )(task, batch['source']['image'])
  return {
    'eval_logits': np.moveaxis(np.asarray(out['logits']), -1, 1),
    'eval_density': np.asarray(out['density'])[:, None],
    'eval_depth': np.asarray(out['depth'])[:, None],
    **{k: np.asarray(v) for k, v in losses.items()},
    **maps,
    'loss_seg_unweighted': np.asarray(plain),
    'grad_norms': states.norms(grads, disc_grads),
  }
