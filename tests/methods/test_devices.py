"""A batch trains alike however many devices share it."""

import dataclasses

import jax
import numpy as np
import pytest

from jaxuda.methods import corda
from jaxuda.methods import dacs
from jaxuda.ops import mixing
from jaxuda.step import parallel
from jaxuda.step import rng
from tests import filling
from tests.methods import test_all_methods as all_methods

# Nothing is drawn that depends on the number of devices, see test_mixing.
_PLAIN = mixing.Options(jitter='none', blur_probability=0.0, threshold=0.3)
SPREAD = {
  name: all_methods.VARIANTS[name]
  for name in (
    *('source_only-depth', 'advent-output-multi', 'dada', 'depdis'),
    *('self_training', 'gio_ada'),
  )
}
SPREAD |= {
  'dacs': dacs.Method(mixing=_PLAIN, **all_methods.COMMON),
  'corda': corda.Method(width=8, mixing=_PLAIN, **all_methods.COMMON),
}
SIZE = 24, 32
FROZEN = dataclasses.replace(
  all_methods.NETWORK, norm='frozen', dtype='float64'
)


def train_once(method, state, batch, count):
  """A step on so many devices."""
  step = jax.pmap(
    method.train_step,
    axis_name=parallel.AXIS,
    in_axes=(None, 0, None),
    out_axes=None,
    devices=jax.devices()[:count],
  )
  split = jax.tree.map(
    lambda x: x.reshape(count, x.shape[0] // count, *x.shape[1:]), batch
  )
  return step(state, split, rng.root(1))


def train_apart(method, state, batch):
  """The same on one device, with shares of one image."""
  step = jax.vmap(
    method.train_step, in_axes=(None, 0, None), axis_name=parallel.AXIS
  )
  split = jax.tree.map(lambda x: x[:, None], batch)
  return jax.tree.map(lambda x: x[0], jax.jit(step)(state, split, rng.root(1)))


@pytest.mark.parametrize('name', SPREAD)
def test_a_batch_trains_alike_on_one_device_and_on_four(name):
  # Norms of the batch are those of a device; in float64 nothing but the order
  # of additions is left.
  method = dataclasses.replace(SPREAD[name], network=FROZEN)
  batch = all_methods.make_batch(method, rows=4, size=SIZE)
  # The first image has few labels and few depths.
  for domain in batch.values():
    if 'label' in domain:
      domain['label'][0, 3:] = 255
    if 'depth' in domain:
      domain['depth_valid'][0, :, 3:] = False
  with jax.enable_x64(True):
    state = filling.fill_state(method, batch)
    one = train_once(method, state, batch, 1)
    four = train_apart(method, state, batch)
    assert one[1].keys() == four[1].keys()
    for (path, a), b in zip(
      jax.tree_util.tree_leaves_with_path(one),
      jax.tree.leaves(four),
      strict=True,
    ):
      np.testing.assert_allclose(a, b, 1e-7, 1e-10, err_msg=str(path))
    if name == 'dada':
      apart = dataclasses.replace(method, sums='device')
      loss = [
        x[1]['loss_depth'] for x in (four, train_apart(apart, state, batch))
      ]
      assert abs(loss[1] / loss[0] - 1) > 1e-3


def test_two_devices_equal_one_with_synchronised_norms():
  network = dataclasses.replace(all_methods.NETWORK, norm='sync')
  method = dataclasses.replace(all_methods.VARIANTS['dada'], network=network)
  batch = all_methods.make_batch(method, rows=4)
  state = filling.fill_state(method, batch)
  results = [train_once(method, state, batch, count) for count in (1, 2)]
  for term, value in results[0][1].items():
    np.testing.assert_allclose(value, results[1][1][term], rtol=1e-4)
  for a, b in zip(
    jax.tree.leaves(results[0][0].nets['task'].batch_stats),
    jax.tree.leaves(results[1][0].nets['task'].batch_stats),
    strict=True,
  ):
    np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5)
