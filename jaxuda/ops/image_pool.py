"""A history of generated images, which discriminators are shown (CycleGAN).

Shrivastava et al., CVPR 2017, keep discriminators from forgetting with it.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp


class Pool(NamedTuple):
  """Images [N, H, W, C] and how many of them are filled, scalar int32."""

  images: jax.Array
  count: jax.Array


def empty(size: int, like: jax.Array) -> Pool:
  """Returns a pool of `size` images like one, [H, W, C]."""
  return Pool(
    jnp.zeros((size, *like.shape), like.dtype), jnp.zeros((), jnp.int32)
  )


def exchange(
  key: jax.Array, pool: Pool, images: jax.Array
) -> tuple[Pool, jax.Array]:
  """Puts images into a pool and takes as many out.

  One after the other: as long as there is room, an image is stored and comes
  out itself; then with probability 1/2 it does too, else a random stored one
  comes out, whose place it takes.

  Args:
    key: typed key.
    pool: before.
    images: [B, H, W, C].

  Returns:
    (the pool after, [B, H, W, C]).
  """
  size = pool.images.shape[0]

  def step(pool, inputs):
    image, key = inputs
    swap_key, place_key = jax.random.split(key)
    room = pool.count < size
    swap = jax.random.bernoulli(swap_key) & ~room
    place = jax.random.randint(place_key, (), 0, size)
    place = jnp.where(room, pool.count, place)
    old = pool.images[place]
    stored = jnp.where(room | swap, image, old)
    new = Pool(pool.images.at[place].set(stored), pool.count + room)
    return new, jnp.where(swap, old, image)

  return jax.lax.scan(step, pool, (images, jax.random.split(key, len(images))))


def exchange_over_devices(
  key: jax.Array, pool: Pool, images: jax.Array, *, axis: str
) -> tuple[Pool, jax.Array]:
  """`exchange` under a mapped axis: one pool for all devices' images.

  Args:
    key: the same on every device.
    pool: the same on every device, before and after.
    images: this device's, [B, H, W, C].
    axis: name of the mapped axis.

  Returns:
    (the pool after, this device's share of what came out).
  """
  every = jax.lax.all_gather(images, axis)
  pool, out = exchange(key, pool, every.reshape(-1, *images.shape[1:]))
  return pool, out.reshape(every.shape)[jax.lax.axis_index(axis)]
