"""Devices: how a step is spread over them, known to this file alone.

The state is one ordinary tree, replicated by its sharding over the devices of
all processes; batches carry a leading device axis. One process maps with
`jax.pmap`. The arrays of pmap belong to its process alone, so that several
processes could not write a checkpoint of them; they map with `jax.shard_map`,
on which pmap is built: the same program on every device.
"""

import collections
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh, NamedSharding, PartitionSpec
import numpy as np

from jaxuda import errors

AXIS = 'batch'


def replicated(devices: Sequence[Any] | None = None) -> NamedSharding:
  """Returns the sharding that keeps a full copy on every device.

  Args:
    devices: any devices, such as a topology's; None for those of all processes.
  """
  return NamedSharding(_mesh(devices), PartitionSpec())


def local(tree: Any) -> Any:
  """Returns a replicated tree as arrays of this process's devices alone.

  Nothing is copied or sent, and what is computed from it involves no other
  process. With one process it is the tree itself.
  """
  if jax.process_count() == 1:
    return tree
  sharding = NamedSharding(_mesh(jax.local_devices()), PartitionSpec())

  def keep(x):
    if not isinstance(x, jax.Array) or x.is_fully_addressable:
      return x
    shards = [shard.data for shard in x.addressable_shards]
    return jax.make_array_from_single_device_arrays(x.shape, sharding, shards)

  return jax.tree.map(keep, tree)


def everywhere(tree: Any) -> Any:
  """Returns a tree that lies whole on each of this process's devices.

  What already does is not copied; the rest is copied once, and not with every
  batch that `spread` laid over the devices.
  """
  devices = jax.local_devices()
  whole = NamedSharding(_mesh(devices), PartitionSpec())

  def put(x):
    there = isinstance(x, jax.Array) and x.is_fully_replicated
    return (
      x if there and x.devices() == {*devices} else jax.device_put(x, whole)
    )

  return jax.tree.map(put, local(tree))


def largest(value: int) -> jax.Array:
  """Returns the largest value of all processes, all of which must call this.

  It is a scalar int32 whose computation may not have finished.
  """
  mine = np.full(jax.local_device_count(), value, np.int32)
  everyone = jax.make_array_from_process_local_data(_split(), mine)
  return jax.jit(jnp.max, out_shardings=replicated())(everyone)


def init(fn: Callable[..., Any], *args: Any) -> Any:
  """Runs `fn(*args)` under jit and leaves the result on every device.

  Made this way rather than with `device_put`, the arrays have no other owner
  and can be donated to the first step, which then compiles once.
  """
  return jax.jit(fn, out_shardings=replicated())(*args)


def pmap_step(fn: Callable[..., Any]) -> Callable[..., Any]:
  """Maps `fn(state, batch, key) -> (state, metrics)` over all devices.

  State and key are whole on every device, the batch has a leading device axis,
  and the results must be equal on every device: device 0's copy is kept. The
  state is donated.
  """
  if jax.process_count() == 1:
    return jax.pmap(
      fn,
      axis_name=AXIS,
      in_axes=(None, 0, None),
      out_axes=None,
      devices=list(_mesh().devices.flat),
      donate_argnums=(0,),
    )
  return shard_step(fn)


def shard_step(
  fn: Callable[..., Any], devices: Sequence[Any] | None = None
) -> Callable[..., Any]:
  """Maps like `pmap_step`, for several processes or for compilation only.

  Args:
    fn: see `pmap_step`.
    devices: see `replicated`. For a topology's the step can be compiled without
      having them.
  """
  whole, split = PartitionSpec(), PartitionSpec(AXIS)

  def per_device(state, batch, key):
    return fn(state, jax.tree.map(lambda x: jnp.squeeze(x, 0), batch), key)

  mapped = jax.shard_map(
    per_device,
    mesh=_mesh(devices),
    in_specs=(whole, split, whole),
    out_specs=whole,
    # Methods take gradients of their own device's loss and average them; with
    # the check, shard_map would also sum them.
    check_vma=False,
  )
  copies = replicated(devices)
  return jax.jit(
    mapped,
    in_shardings=(copies, NamedSharding(copies.mesh, split), copies),
    out_shardings=copies,
    donate_argnums=(0,),
  )


def first_share(batch: Any) -> Any:
  """Returns the first local device's share of a batch from `prefetch`.

  [local devices, B, ...] become NumPy arrays [B, ...].
  """
  return jax.tree.map(lambda x: np.asarray(x.addressable_data(0))[0], batch)


def run_alone(
  fn: Callable[..., Any], state: Any, batch: Any, key: jax.Array
) -> Any:
  """Runs fn(state, batch, key) as if there were one device.

  The function may use the mapped axis. The state is whole, the batch is one
  device's share, arrays [B, ...], and the key is the root key of the run.
  """
  batch = jax.tree.map(lambda x: x[None], batch)
  mapped = jax.vmap(fn, in_axes=(None, 0, None), axis_name=AXIS)
  return jax.tree.map(lambda x: x[0], mapped(state, batch, key))


def mean(tree: Any) -> Any:
  """Averages every leaf over the devices. Inside a mapped step only."""
  return jax.lax.pmean(tree, AXIS)


def device_index() -> jax.Array:
  """Returns this device's index among all. Inside a mapped step only."""
  return jax.lax.axis_index(AXIS)


def check_batch_size(batch_size: int) -> None:
  """Checks that a global batch divides evenly over all devices.

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
  """Splits arrays [B, ...] into [local devices, B / local devices, ...].

  Raises:
    UserError: B does not divide evenly.
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
  """Shards batches and copies `size` of them to the devices ahead of use.

  The batches hold this process's rows. The yielded ones are arrays
  [devices, B / devices, ...] over all processes, of which each process holds
  its own devices' shares.
  """
  sharding = _split()
  queue = collections.deque()
  for batch in batches:
    queue.append(
      jax.tree.map(
        lambda x: jax.make_array_from_process_local_data(sharding, x),
        shard(batch),
      )
    )
    if len(queue) > size:
      yield queue.popleft()
  while queue:
    yield queue.popleft()


def spread(arrays: Any) -> Any:
  """Lays the rows of arrays [B, ...] over this process's devices.

  Each device has its share of them; if B does not divide evenly over the
  devices, the tree is returned as it was.
  """
  leaves = jax.tree.leaves(arrays)
  if not leaves or len(leaves[0]) % jax.local_device_count():
    return arrays
  mesh = _mesh(jax.local_devices())
  return jax.device_put(arrays, NamedSharding(mesh, PartitionSpec(AXIS)))


def pad_rows(rows: list[Any], *, count: int) -> list[Any]:
  """Pads a list with its last entry.

  Args:
    rows: at least one entry.
    count: entries on each of this process's devices, at least 1.

  Returns:
    The rows, and the last one repeated until every device has `count` of them;
    those that were added are to be ignored.
  """
  return rows + rows[-1:] * (count * jax.local_device_count() - len(rows))


def split_rows(array: jax.Array) -> list[jax.Array]:
  """Returns the rows [1, ...] of an array, each on the device that has it.

  What is computed from one then runs where it lies, in parallel to the others.
  """
  rows = {}
  for shard in spread(array).addressable_shards:
    first = shard.index[0].start or 0
    for i in range(len(shard.data)):
      rows[first + i] = shard.data[i : i + 1]
  return [rows[i] for i in range(len(array))]


def _mesh(devices=None):
  # Sorted by process, so that the rows of a batch lie on the devices in order,
  # however many processes share them.
  devices = devices or jax.devices()
  ordered = sorted(devices, key=lambda d: (d.process_index, d.id))
  return Mesh(np.array(ordered), (AXIS,))


def _split():
  return NamedSharding(_mesh(), PartitionSpec(AXIS))
