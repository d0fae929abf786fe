"""Devices: the only file that knows how a step is spread over them.

The state is one ordinary tree, replicated by its sharding; batches carry a
leading device axis. `jax.pmap` is in maintenance; the way out is
`jax.jit(jax.shard_map(fn, ..., check_vma=False))`, which gives the same bits.
"""

import collections
from collections.abc import Callable, Iterator
from typing import Any

import jax
from jax.sharding import Mesh, NamedSharding, PartitionSpec
import numpy as np

from jaxuda import errors

AXIS = 'batch'


def replicated() -> NamedSharding:
  """Returns the sharding that keeps a full copy on every device."""
  return NamedSharding(Mesh(np.array(jax.devices()), (AXIS,)), PartitionSpec())


def init(fn: Callable[..., Any], *args: Any) -> Any:
  """Runs `fn(*args)` under jit and leaves the result on every device.

  Made this way, and not with `device_put`, the arrays belong to nobody else and
  can be donated to the first step, which then compiles once.
  """
  return jax.jit(fn, out_shardings=replicated())(*args)


def pmap_step(fn: Callable[..., Any]) -> Callable[..., Any]:
  """Maps `fn(state, batch, key) -> (state, metrics)` over all devices.

  State and key are whole on every device, the batch has a leading device axis,
  and what comes back must be equal on every device: device 0's copy is kept.
  The state is donated.
  """
  return jax.pmap(
    fn,
    axis_name=AXIS,
    in_axes=(None, 0, None),
    out_axes=None,
    donate_argnums=(0,),
  )


def first_share(batch: Any) -> Any:
  """Returns the first local device's share of a sharded batch.

  Args:
    batch: a tree of arrays [local devices, B, ...], as `prefetch` gives.

  Returns:
    The same tree with NumPy arrays [B, ...].
  """
  return jax.tree.map(lambda x: np.asarray(x.addressable_data(0))[0], batch)


def run_alone(
  fn: Callable[..., Any], state: Any, batch: Any, key: jax.Array
) -> Any:
  """Runs a function of a step's arguments as if there were one device.

  Args:
    fn: (state, batch, key) -> anything; it may use the mapped axis.
    state: the whole state.
    batch: one device's share, arrays [B, ...].
    key: the root key of the run.
  """
  batch = jax.tree.map(lambda x: x[None], batch)
  mapped = jax.vmap(fn, in_axes=(None, 0, None), axis_name=AXIS)
  return jax.tree.map(lambda x: x[0], mapped(state, batch, key))


def mean(tree: Any) -> Any:
  """Means every leaf over the devices. Inside a mapped step only."""
  return jax.lax.pmean(tree, AXIS)


def device_index() -> jax.Array:
  """Returns this device's index. Inside a mapped step only."""
  return jax.lax.axis_index(AXIS)


def check_batch_size(batch_size: int) -> None:
  """Checks that a global batch divides over all devices.

  Raises:
    UserError: it does not.
  """
  count = jax.device_count()
  if batch_size < 1 or batch_size % count:
    raise errors.UserError(
      f'batch_size={batch_size} does not divide over {count} devices; expected'
      f' a multiple of {count}'
    )


def shard(batch: Any) -> Any:
  """Splits the leading axis of every array over the local devices.

  Args:
    batch: a tree of arrays [B, ...].

  Returns:
    The same tree with arrays [local devices, B / local devices, ...].

  Raises:
    UserError: B does not divide.
  """
  count = jax.local_device_count()

  def split(x):
    if x.shape[0] % count:
      raise errors.UserError(
        f'a batch of {x.shape[0]} does not divide over {count} local devices;'
        f' expected a multiple of {count}'
      )
    return x.reshape(count, x.shape[0] // count, *x.shape[1:])

  return jax.tree.map(split, batch)


def prefetch(batches: Iterator[Any], *, size: int = 2) -> Iterator[Any]:
  """Shards batches and copies `size` of them to the devices ahead of use."""
  mesh = Mesh(np.array(jax.local_devices()), (AXIS,))
  sharding = NamedSharding(mesh, PartitionSpec(AXIS))
  queue = collections.deque()
  for batch in batches:
    queue.append(jax.device_put(shard(batch), sharding))
    if len(queue) > size:
      yield queue.popleft()
  while queue:
    yield queue.popleft()
