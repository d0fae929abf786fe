"""Photometric augmentation of mixed images: colour jitter and blur.

Images are float [B, H, W, 3] RGB in 0..255. The official code works on BGR,
which mirrors the hue circle and changes no distribution here.
"""

from collections.abc import Sequence
import math

import jax
from jax import lax
import jax.numpy as jnp

_GREY = (0.299, 0.587, 0.114)


def draw_jitter(
  key: jax.Array, *, strength: float = 0.25
) -> dict[str, jax.Array]:
  """Draws the four colour factors of one image, uniformly.

  Args:
    key: typed key.
    strength: how far a factor may be from its neutral value, 0..1; 0.25 in DACS
      and CorDA.

  Returns:
    Scalars 'brightness', 'contrast' and 'saturation' in 1 - strength .. 1 +
    strength, and 'hue' in -strength .. strength turns.

  Example:
    >>> factors = draw_jitter(jax.random.key(0), strength=0.0)
    >>> {name: float(x) for name, x in factors.items()}
    {'brightness': 1.0, 'contrast': 1.0, 'saturation': 1.0, 'hue': 0.0}
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
  """Applies brightness, contrast, saturation and hue one after another.

  Args:
    image: float [B, H, W, 3] RGB in 0..255.
    factors: four arrays [B], see `draw_jitter`.
    order: int [B, 4], the order of the operations for each image, a permutation
      of 0 brightness, 1 contrast, 2 saturation and 3 hue.
    mode: 'kornia0.4', with which the published numbers were made: brightness
      adds f - 1 (in units of 255), contrast multiplies by f, saturation
      multiplies the S of HSV. 'standard', as in torchvision and later versions
      of kornia: brightness multiplies by f, contrast scales the distance from
      the image's mean grey, saturation the distance from the pixel's grey. Both
      rotate the H of HSV.

  Returns:
    float [B, H, W, 3] in 0..255; every operation clips.

  Example:
    (0.5 + 0.25) * 0.5 * 255:

    >>> factors = dict(brightness=1.25, contrast=0.5, saturation=1.0, hue=0.0)
    >>> factors = {k: jnp.array([v]) for k, v in factors.items()}
    >>> image = jnp.full((1, 1, 1, 3), 127.5)
    >>> print(apply_jitter(image, factors, order=jnp.arange(4)[None]))
    [[[[95.625 95.625 95.625]]]]
  """

  def jitter(one):
    x, f, places = one
    operations = _operations(f, mode)
    for place in range(4):
      x = lax.switch(places[place], operations, x)
    return x

  # One image after another: for several at once every operation would be
  # computed at every place in the order, which takes twice the time on a CPU.
  return 255 * lax.map(jitter, (image / 255, factors, order))


def _operations(f, mode):
  """The four operations on [H, W, 3] in 0..1 with the factors of an image."""

  def grey(x):
    weights = jnp.asarray(_GREY, x.dtype).reshape(1, 1, 3)
    return jnp.sum(x * weights, -1, keepdims=True)

  def blend(x, other, factor):
    return jnp.clip(other + factor * (x - other), 0, 1)

  if mode == 'standard':
    return (
      lambda x: jnp.clip(x * f['brightness'], 0, 1),
      lambda x: blend(x, jnp.mean(grey(x)), f['contrast']),
      lambda x: blend(x, grey(x), f['saturation']),
      lambda x: rotate_hue(x, f['hue']),
    )
  return (
    lambda x: jnp.clip(x + (f['brightness'] - 1), 0, 1),
    lambda x: jnp.clip(x * f['contrast'], 0, 1),
    lambda x: scale_saturation(x, f['saturation']),
    lambda x: rotate_hue(x, f['hue']),
  )


def scale_saturation(x: jax.Array, factor: jax.Array) -> jax.Array:
  """Multiplies the saturation S of HSV by a factor, up to 1 at most.

  Args:
    x: [..., 3] RGB in 0..1.
    factor: the factor, >= 0, of a shape that broadcasts against [..., 1].

  Returns:
    [..., 3] RGB in 0..1.

  Example:
    >>> print(scale_saturation(jnp.array([0.8, 0.4, 0.4]), jnp.array([0.5])))
    [0.8 0.6 0.6]
  """
  value = jnp.max(x, -1, keepdims=True)
  spread = value - jnp.min(x, -1, keepdims=True)
  # Saturation is spread / value: it reaches 1 at the factor value / spread.
  most = value / jnp.where(spread > 0, spread, 1)
  return value - (value - x) * jnp.minimum(factor, most)


def rotate_hue(x: jax.Array, turns: jax.Array) -> jax.Array:
  """Rotates the hue H of HSV; saturation and value stay as they are.

  Args:
    x: [..., 3] RGB in 0..1.
    turns: the angle, 1 for the whole circle, of a shape that broadcasts against
      [..., 1].

  Returns:
    [..., 3] RGB in 0..1.

  Example:
    Opposite red is cyan:

    >>> print(rotate_hue(jnp.array([1.0, 0.0, 0.0]), jnp.array([0.5])))
    [0. 1. 1.]
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


def blur_radius(size: int) -> int:
  """Returns the radius in pixels of DACS's blur kernel for an image side.

  The kernel has the largest odd number of pixels that is at most a tenth of the
  side, rounded up.

  Args:
    size: the image's side in pixels.

  Example:
    Kernels of 51 and 9 pixels:

    >>> blur_radius(512), blur_radius(96)
    (25, 4)
  """
  pixels = math.ceil(0.1 * size)
  return (pixels - 1 + pixels % 2) // 2


def gaussian_blur(
  image: jax.Array, sigma: jax.Array, *, radii: Sequence[int]
) -> jax.Array:
  """Blurs with a normalised Gaussian; borders are mirrored.

  Args:
    image: float [B, H, W, C].
    sigma: [B] standard deviations in pixels, > 0, the same in both directions.
    radii: the kernel's radius in pixels in y and in x, at most H - 1 and W - 1.

  Returns:
    float [B, H, W, C].

  Example:
    A Gaussian this wide is a plain mean, here of 3 0 3, 0 3 0 and 3 0 3:

    >>> row = jnp.array([0.0, 3.0, 0.0]).reshape(1, 1, 3, 1)
    >>> print(gaussian_blur(row, jnp.array([1e4]), radii=(0, 1)).ravel())
    [2. 1. 2.]
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
