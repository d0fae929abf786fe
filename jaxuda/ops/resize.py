"""Bilinear resizing with aligned corners, as every reference upsamples."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np


def interpolation_matrix(source: int, target: int) -> np.ndarray:
  """Returns the [target, source] matrix of a 1-D resize, aligned corners.

  Row i has the weights of output i, at position i (source - 1) / (target - 1)
  of the input; a single output is the first input (PyTorch's rule).
  """
  if target == 1:
    position = np.zeros(1)
  else:
    position = np.arange(target) * ((source - 1) / (target - 1))
  low = np.clip(np.floor(position).astype(int), 0, max(source - 2, 0))
  weight = np.clip(position - low, 0.0, 1.0)
  matrix = np.zeros((target, source))
  rows = np.arange(target)
  matrix[rows, low] += 1 - weight
  matrix[rows, np.minimum(low + 1, source - 1)] += weight
  return matrix


def resize_align_corners(x: jax.Array, size: Sequence[int]) -> jax.Array:
  """Resizes maps bilinearly with aligned corners.

  `jax.image.resize` has half-pixel centres instead: 4 -> 7 of a ramp gives
  [0, .36, .93, ...] there and [0, .5, 1, ...] here. Two small matrix products,
  the narrow one first: on a CPU their transposes are far faster than the
  scatter of a gathered interpolation.

  Args:
    x: [B, h, w, C] or [B, h, w], float.
    size: (H, W).

  Returns:
    [B, H, W, C] or [B, H, W], in x's dtype.
  """
  height, width = size
  shape = x.shape
  if x.ndim == 3:
    x = x[..., None]
  batch, h, w, channels = x.shape
  if w != width:
    across = jnp.asarray(interpolation_matrix(w, width), x.dtype)
    x = jnp.einsum('Ww,bhwc->bhWc', across, x, precision='highest')
  if h != height:
    down = jnp.asarray(interpolation_matrix(h, height), x.dtype)
    x = x.reshape(batch, h, width * channels)
    x = jnp.einsum('Hh,bhx->bHx', down, x, precision='highest')
  x = x.reshape(batch, height, width, channels)
  return x if len(shape) == 4 else x[..., 0]


def resize_nearest(x: jax.Array, size: Sequence[int]) -> jax.Array:
  """Takes the pixels under the new pixels' centres, as Pillow's NEAREST.

  Args:
    x: [B, H, W, ...] of any type.
    size: (h, w).

  Returns:
    [B, h, w, ...]: pixel floor((i + 1/2) H / h) of the rows, and so on.
  """
  for axis, new in zip((1, 2), size, strict=True):
    old = x.shape[axis]
    if new != old:
      # In integers, so exact.
      x = jnp.take(x, (2 * np.arange(new) + 1) * old // (2 * new), axis)
  return x
