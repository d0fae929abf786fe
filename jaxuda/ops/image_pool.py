"""A pool of past generated images that discriminators are shown (CycleGAN).

It keeps discriminators from forgetting (Shrivastava et al., CVPR 2017).
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

# The value of 1.0 in a pool of integers.
_ONE = 32767


class Pool(NamedTuple):
  """Images [N, H, W, C] and how many of them are filled, scalar int32.

  Images of type int16 stand for values in [-1, 1], in steps of 1 / 32767: they
  take half the memory of float32, and a step is a 250th of that of an 8-bit
  picture.
  """

  images: jax.Array
  count: jax.Array


def empty(size: int, like: jax.Array) -> Pool:
  """Returns an empty pool.

  Args:
    size: the number of images N that it can hold.
    like: [H, W, C], an image with the shape and the type of those to be held: a
      floating-point type, or int16 for values in [-1, 1].

  Example:
    >>> pool = empty(2, jnp.zeros((1, 1, 3)))
    >>> pool.images.shape, int(pool.count)
    ((2, 1, 1, 3), 0)
  """
  return Pool(
    jnp.zeros((size, *like.shape), like.dtype), jnp.zeros((), jnp.int32)
  )


def exchange(
  key: jax.Array, pool: Pool, images: jax.Array
) -> tuple[Pool, jax.Array]:
  """Puts images into a pool and takes as many out.

  Images go in one after another: as long as there is room, an image is stored
  and also returned. If the pool is full, it is returned with probability 1/2;
  otherwise it replaces a random stored image, which is returned instead,
  rounded to the pool's type.

  Args:
    key: typed key.
    pool: the pool before.
    images: floats [B, H, W, C].

  Returns:
    (the pool after, [B, H, W, C]).

  Example:
    >>> images = jnp.arange(2.0).reshape(2, 1, 1, 1)
    >>> pool = empty(3, images[0])
    >>> pool, out = exchange(jax.random.key(0), pool, images)
    >>> print(int(pool.count), out.ravel())
    2 [0. 1.]
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
    stored = jnp.where(room | swap, _pack(image, old.dtype), old)
    new = Pool(pool.images.at[place].set(stored), pool.count + room)
    return new, jnp.where(swap, _unpack(old, image.dtype), image)

  return jax.lax.scan(step, pool, (images, jax.random.split(key, len(images))))


def _pack(image, dtype):
  if jnp.issubdtype(dtype, jnp.integer):
    image = jnp.round(jnp.clip(image.astype(jnp.float32), -1, 1) * _ONE)
  return image.astype(dtype)


def _unpack(image, dtype):
  if jnp.issubdtype(image.dtype, jnp.integer):
    image = image.astype(jnp.float32) / _ONE
  return image.astype(dtype)


def exchange_over_devices(
  key: jax.Array, pool: Pool, images: jax.Array, *, axis: str
) -> tuple[Pool, jax.Array]:
  """Exchanges images under a mapped axis, with one pool for all devices.

  Args:
    key: typed key, the same on every device.
    pool: the pool before, the same on every device.
    images: [B, H, W, C], those of this device.
    axis: name of the mapped axis.

  Returns:
    (the pool after, the same on every device; [B, H, W, C] for this device).

  Example:
    >>> images = jnp.arange(2.0).reshape(2, 1, 1, 1, 1)  # two devices, B = 1
    >>> key, pool = jax.random.key(0), empty(3, images[0, 0])
    >>> pools, out = jax.vmap(
    ...   lambda x: exchange_over_devices(key, pool, x, axis='device'),
    ...   axis_name='device',
    ... )(images)
    >>> print(pools.count, out.ravel())
    [2 2] [0. 1.]
  """
  every = jax.lax.all_gather(images, axis)
  pool, out = exchange(key, pool, every.reshape(-1, *images.shape[1:]))
  return pool, out.reshape(every.shape)[jax.lax.axis_index(axis)]
