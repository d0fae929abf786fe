"""Normalisation of images, as networks read them."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

# The BGR mean of the Caffe models, which all four papers' code subtracts.
CAFFE_MEAN = (104.00698793, 116.66876762, 122.67891434)


def normalize_image(
  image: jax.Array,
  *,
  order: str = 'bgr',
  mean: Sequence[float] = CAFFE_MEAN,
  scale: Sequence[float] = (1.0, 1.0, 1.0),
  dtype: Any = jnp.float32,
) -> jax.Array:
  """Returns `(image - mean) * scale` in the network's channel order.

  Args:
    image: [B, H, W, 3] RGB, uint8 or float in 0..255.
    order: 'bgr' (reverses the channels) or 'rgb'.
    mean: mean of each channel in 0..255, in the order of `order`.
    scale: factor of each channel; 1 in the Caffe convention.
    dtype: type of the result; the arithmetic is in float32 or better.

  Returns:
    [B, H, W, 3] of `dtype`.

  Example:
    >>> image = jnp.array([[[[10, 20, 30]]]], jnp.uint8)
    >>> print(normalize_image(image, mean=(5, 5, 5)))
    [[[[25. 15.  5.]]]]
  """
  wide = jnp.promote_types(image.dtype, jnp.float32)
  image = image.astype(wide)
  if order == 'bgr':
    image = image[..., ::-1]
  mean = jnp.asarray(mean, wide).reshape(1, 1, 1, 3)
  scale = jnp.asarray(scale, wide).reshape(1, 1, 1, 3)
  return ((image - mean) * scale).astype(dtype)


def to_symmetric(image: jax.Array) -> jax.Array:
  """Brings an image from 0..255 to -1..1, the range of generators.

  Args:
    image: [...] uint8 or float.

  Returns:
    [...], float32 or better.

  Example:
    >>> print(to_symmetric(jnp.array([0.0, 127.5, 255.0])))
    [-1.  0.  1.]
  """
  return image.astype(jnp.promote_types(image.dtype, jnp.float32)) / 127.5 - 1


def from_symmetric(image: jax.Array) -> jax.Array:
  """Brings an image [...] from -1..1 to 0..255, without rounding.

  Example:
    >>> print(from_symmetric(jnp.array([-1.0, 0.0, 1.0])))
    [  0.  127.5 255. ]
  """
  return (image + 1) * 127.5
