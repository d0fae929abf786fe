"""Named random streams: randomness is a function of (seed, step, device, name).

No random state is kept in a training state, so a resumed run draws the numbers
that the uninterrupted one would have drawn.
"""

import zlib

import jax

from jaxuda import errors

# JAX keeps 32 bits of a seed: seeds beyond these would be equal to others.
_LEAST, _MOST = -(2**31), 2**32 - 1


def check_seed(seed: int) -> None:
  """Raises a UserError unless a run's seed fits in 32 bits."""
  if not _LEAST <= seed <= _MOST:
    raise errors.UserError(f'seed={seed}; expected {_LEAST} to {_MOST}')


def root(seed: int) -> jax.Array:
  """Returns the typed root key of a run."""
  return jax.random.key(seed)


def stream(key: jax.Array, name: str) -> jax.Array:
  """Returns the key of the stream called `name`, derived from `key`."""
  return jax.random.fold_in(key, zlib.crc32(name.encode()))


def for_step(key: jax.Array, step: jax.Array, index: jax.Array) -> jax.Array:
  """Returns the key of a step on a device, from the root key of the run.

  `step` is the number of steps already taken, `index` that of the device on the
  mapped axis; both are scalar int32.
  """
  return jax.random.fold_in(jax.random.fold_in(key, step), index)


def for_init(seed: int) -> jax.Array:
  """Returns the key that networks are initialised from.

  It is of the 'unsafe_rbg' kind: XLA compiles an initialisation from it several
  times faster than from threefry keys (half a minute of a small run on a CPU).
  Its numbers may differ between kinds of accelerators, not between runs on one.
  """
  return jax.random.key(seed, impl='unsafe_rbg')
