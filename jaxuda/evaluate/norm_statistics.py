"""Re-estimates a network's running statistics on the target (AdaBN).

Li, Wang, Shi, Liu and Hou, "Revisiting Batch Normalization for Practical Domain
Adaptation", 2016. No weight is trained: the mean and variance with which each
layer normalises become those of the target's training images. A network trained
on the source alone and one whose running statistics were updated with target
images are then compared on equal terms.
"""

from collections.abc import Iterable, Iterator
import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np

from jaxuda import errors
from jaxuda.data import pipeline
from jaxuda.models import deeplab
from jaxuda.run import checkpoint
from jaxuda.run import cluster
from jaxuda.step import parallel

# The origin of the statistics: the checkpoint, or the target.
CHOICES = ('own', 'target')


def describe(method: Any, state: Any) -> str:
  """Returns 'own', or 'none' for a network without running statistics."""
  own = state.find(method.evaluate).batch_stats
  return 'own' if jax.tree.leaves(own) else 'none'


def reestimate(
  method: Any, state: Any, config: ml_collections.ConfigDict
) -> tuple[Any, str]:
  """Gives the evaluated network the statistics of the target.

  The target's training images are seen once each, whole and at the network's
  size, in batches of `config.batch_size` or `config.eval_batch_size`, whichever
  is larger. Every layer normalises with the batch statistics, as in training.
  The mean is over all images; the variance is the mean of the (unbiased)
  variances within batches plus the variance of the batch means. With two
  resolutions (`models.hrda`) the statistics are those of the detail, which the
  layers see last.

  Args:
    method: method whose `predict` is scored.
    state: training state.
    config: config of the run; labels and depth are not read.

  Returns:
    (the state with the new statistics, a description of them for the protocol).

  Raises:
    UserError: the network has no running statistics, or the target has no
      images.
  """
  own = state.find(method.evaluate)
  if not jax.tree.leaves(own.batch_stats):
    network = method.network
    raise errors.UserError(
      f'--statistics=target, but the network of {config.name} has no running'
      f' statistics (network.backbone={network.backbone},'
      f' network.norm={network.norm}); expected --statistics=own'
    )
  # With this momentum a training pass replaces the running statistics by those
  # of its batch, even in layers that keep theirs fixed in training.
  network = dataclasses.replace(method.network, norm='batch', norm_momentum=1.0)
  module = dataclasses.replace(method, network=network).task
  target = config.data.target
  with cluster.first_process_first():
    images, total = pipeline.image_stream(config.data)
  params, empty = parallel.local(
    (own.params, jax.tree.map(jnp.zeros_like, own.batch_stats))
  )
  pool = _Pool()
  with cluster.progress(
    f'statistics of {target.dataset} {target.split}',
    total=total,
    unit='images',
  ) as progress:
    for batch in _stack(images, max(config.batch_size, config.eval_batch_size)):
      measured = _measure(params, empty, parallel.spread(batch), module=module)
      pool.add(checkpoint.flatten(jax.device_get(measured)), len(batch))
      progress.update(pool.count)
  leaves = [
    jnp.asarray(pool.finish(path), old.dtype)
    for path, old in checkpoint.flatten(own.batch_stats).items()
  ]
  stats = jax.tree.unflatten(jax.tree.structure(own.batch_stats), leaves)
  what = f'target: {total} images of {target.dataset} {target.split}'
  return _replace(method, state, own.replace(batch_stats=stats)), what


def _replace(method, state, net):
  if method.evaluate == 'teacher':
    return state.replace(teacher=net)
  return state.replace(nets={**state.nets, 'task': net})


def _stack(images: Iterable[Any], size: int) -> Iterator[np.ndarray]:
  """Yields batches, uint8 [size, H, W, 3]; the last one may be smaller."""
  rows = []
  for example in images:
    rows.append(example['image'])
    if len(rows) == size:
      yield np.stack(rows)
      rows = []
  if rows:
    yield np.stack(rows)


@functools.partial(jax.jit, static_argnames='module')
def _measure(params, empty, image, *, module):
  """Returns the mean and unbiased variance of a batch, by layer."""
  # Without a key nothing is dropped.
  _, moved = deeplab.run(module, params, empty, image, train=True)
  return moved


class _Pool:
  """Sums the moments of batches in float64.

  Attributes:
    count: number of images so far.
  """

  def __init__(self):
    self.count = 0
    self._means, self._squares = {}, {}

  def add(self, batch, count):
    """Adds the statistics of `count` images: path of 'mean' or 'var' -> it."""
    self.count += count
    for path, mean in batch.items():
      norm, _, name = path.rpartition('/')
      if name == 'mean':
        mean = np.asarray(mean, np.float64)
        square = mean**2 + batch[f'{norm}/var']
        self._means[norm] = self._means.get(norm, 0) + count * mean
        self._squares[norm] = self._squares.get(norm, 0) + count * square

  def finish(self, path):
    """Returns the statistic at a path, over all images."""
    norm, _, name = path.rpartition('/')
    mean = self._means[norm] / self.count
    return (
      mean if name == 'mean' else self._squares[norm] / self.count - mean**2
    )
