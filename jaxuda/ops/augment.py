"""Photometric augmentation of mixed images: colour jitter and blur.

Images are float [B, H, W, 3] RGB in 0..255. The official code works on BGR,
which mirrors the hue's circle and changes no distribution here.
"""

from collections.abc import Sequence
import math

import jax
from jax import lax
import jax.numpy as jnp

JITTERS = ('kornia0.4', 'standard', 'none')
_GREY = (0.299, 0.587, 0.114)


def draw_jitter(
  key: jax.Array, *, strength: float = 0.25
) -> dict[str, jax.Array]:
  """Draws the four factors of one image, uniformly.

  Args:
    key: typed key.
    strength: 0.25 in DACS and CorDA.

  Returns:
    'brightness', 'contrast', 'saturation' in 1 - strength .. 1 + strength, and
    'hue' in -strength .. strength turns.
  """
  draws = jax.random.uniform(key, (4,), minval=-strength, maxval=strength)
  return {
    'brightness': 1 + draws[0],
    'contrast': 1 + draws[1],
    'saturation': 1 + draws[2],
    'hue': draws[3],
  }


def apply_jitter(
  image: jax.Array,
  factors: dict[str, jax.Array],
  *,
  order: jax.Array,
  mode: str = 'kornia0.4',
) -> jax.Array:
  """Applies brightness, contrast, saturation and hue one after the other.

  Args:
    image: float [B, H, W, 3] RGB in 0..255.
    factors: [B] each, see `draw_jitter`.
    order: int [4], a permutation: 0 brightness, 1 contrast, 2 saturation, 3
      hue; one for the whole batch.
    mode: 'kornia0.4': of kornia 0.4.1, which the published numbers were made
      with: brightness adds f - 1 (of 1), contrast multiplies by f, saturation
      multiplies that of HSV. 'standard': of torchvision and later kornias:
      brightness multiplies by f, contrast moves away from the image's mean
      grey, saturation from the pixel's grey. Hue turns that of HSV in both.

  Returns:
    The same, in 0..255: clipped after every operation.
  """
  f = {k: v.reshape(-1, 1, 1, 1) for k, v in factors.items()}
  grey = jnp.asarray(_GREY, image.dtype).reshape(1, 1, 1, 3)

  def blend(x, other, factor):
    return jnp.clip(other + factor * (x - other), 0, 1)

  def contrast(x):
    means = jnp.sum(x * grey, -1, keepdims=True).mean((1, 2), keepdims=True)
    return blend(x, means, f['contrast'])

  if mode == 'standard':
    operations = (
      lambda x: jnp.clip(x * f['brightness'], 0, 1),
      contrast,
      lambda x: blend(x, jnp.sum(x * grey, -1, keepdims=True), f['saturation']),
      lambda x: rotate_hue(x, f['hue']),
    )
  else:
    operations = (
      lambda x: jnp.clip(x + (f['brightness'] - 1), 0, 1),
      lambda x: jnp.clip(x * f['contrast'], 0, 1),
      lambda x: scale_saturation(x, f['saturation']),
      lambda x: rotate_hue(x, f['hue']),
    )
  x = image / 255
  for place in range(4):
    x = lax.switch(order[place], operations, x)
  return x * 255


def scale_saturation(x: jax.Array, factor: jax.Array) -> jax.Array:
  """Multiplies the saturation of HSV, at most to 1.

  Args:
    x: [..., 3] in 0..1.
    factor: >= 0, broadcast against [..., 1].
  """
  value = jnp.max(x, -1, keepdims=True)
  spread = value - jnp.min(x, -1, keepdims=True)
  # Saturation is spread / value: it reaches 1 at the factor value / spread.
  most = value / jnp.where(spread > 0, spread, 1)
  return value - (value - x) * jnp.minimum(factor, most)


def rotate_hue(x: jax.Array, turns: jax.Array) -> jax.Array:
  """Turns the hue of HSV; saturation and value stay.

  Args:
    x: [..., 3] RGB in 0..1.
    turns: 1 is the whole circle; broadcast against [..., 1].
  """
  value = jnp.max(x, -1, keepdims=True)
  spread = value - jnp.min(x, -1, keepdims=True)
  red, green, blue = (x[..., i : i + 1] for i in range(3))
  sixth = jnp.where(
    red == value,
    green - blue,
    jnp.where(
      green == value, blue - red + 2 * spread, red - green + 4 * spread
    ),
  ) / jnp.where(spread > 0, spread, 1)
  sixth = sixth + 6 * turns
  # A channel is value - spread * clip(min(k, 4 - k), 0, 1), k its distance.
  place = jnp.mod(
    jnp.asarray([5, 3, 1], x.dtype).reshape((1,) * (x.ndim - 1) + (3,)) + sixth,
    6,
  )
  return value - spread * jnp.clip(jnp.minimum(place, 4 - place), 0, 1)


def blur_radius(size: int, *, share: float = 0.1) -> int:
  """Returns the kernel's radius for an image side, as DACS chooses it.

  The kernel is the largest odd number of pixels up to a tenth of the side,
  rounded up: 51 (radius 25) for 512, and 9 (radius 4) for 96.
  """
  pixels = math.ceil(share * size)
  return (pixels - 1 + pixels % 2) // 2


def gaussian_blur(
  image: jax.Array, sigma: jax.Array, *, radii: Sequence[int]
) -> jax.Array:
  """Blurs with a normalised Gaussian; borders are mirrored.

  Args:
    image: float [B, H, W, C].
    sigma: [B] pixels, > 0, the same in both directions.
    radii: of the kernel in y and x; at most H - 1 and W - 1.
  """
  for axis, radius in zip((1, 2), radii, strict=True):
    offsets = jnp.arange(-radius, radius + 1, dtype=image.dtype)
    kernel = jnp.exp(
      -lax.square(offsets[None, :]) / (2 * lax.square(sigma[:, None]))
    )
    kernel = kernel / jnp.sum(kernel, -1, keepdims=True)
    padding = [(0, 0)] * 4
    padding[axis] = (radius, radius)
    padded = jnp.pad(image, padding, mode='reflect')
    size = image.shape[axis]
    image = sum(
      lax.slice_in_dim(padded, i, i + size, axis=axis)
      * kernel[:, i].reshape(-1, 1, 1, 1)
      for i in range(2 * radius + 1)
    )
  return image
