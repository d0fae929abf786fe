"""Resizing of maps: bilinear by corners or half pixels, nearest, bicubic."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np


def interpolation_matrix(
  source: int, target: int, *, align_corners: bool = True
) -> np.ndarray:
  """Returns the [target, source] matrix of a 1-D linear resize.

  Row i holds the weights of output i, which lies at position i (source - 1) /
  (target - 1) of the input; a single output is the first input (PyTorch's
  rule).

  Args:
    source: number of inputs, >= 1.
    target: number of outputs, >= 1.
    align_corners: False for half-pixel centres: output i lies at position
      (i + 1/2) source / target - 1/2, and positions beyond the first or the
      last input take its value (PyTorch's align_corners=False).

  Example:
    >>> print(interpolation_matrix(2, 3))
    [[1.  0. ]
     [0.5 0.5]
     [0.  1. ]]
  """
  if not align_corners:
    position = (np.arange(target) + 0.5) * (source / target) - 0.5
    position = np.clip(position, 0, source - 1)
  elif target == 1:
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
  """Resizes maps bilinearly with aligned corners, as every reference upsamples.

  `jax.image.resize` has half-pixel centres instead: a ramp from 4 to 7 pixels
  becomes 0, 0.36, 0.93, ... there. It uses two small matrix products, the
  narrow one first: on a CPU their transposes are far faster than the scatter of
  a gathered interpolation.

  Args:
    x: float [B, h, w, C] or [B, h, w].
    size: (H, W) of the result.

  Returns:
    [B, H, W, C] or [B, H, W], in x's dtype.

  Example:
    >>> print(resize_align_corners(jnp.array([[[0.0, 1, 2, 3]]]), (1, 7)))
    [[[0.  0.5 1.  1.5 2.  2.5 3. ]]]
  """
  return _resize(x, size, align_corners=True)


def resize_half_pixel(x: jax.Array, size: Sequence[int]) -> jax.Array:
  """Enlarges maps bilinearly with half-pixel centres, as DAFormer does.

  Like `resize_align_corners`, but with PyTorch's other rule. A map that shrinks
  is not smoothed.

  Example:
    >>> print(resize_half_pixel(jnp.array([[[0.0, 4]]]), (1, 4)))
    [[[0. 1. 3. 4.]]]
  """
  return _resize(x, size, align_corners=False)


def resize_maps(
  x: jax.Array, size: Sequence[int], *, align_corners: bool
) -> jax.Array:
  """Resizes maps bilinearly by one rule or the other.

  Args:
    x: see `resize_align_corners`.
    size: see there.
    align_corners: False for `resize_half_pixel`.

  Example:
    >>> print(resize_maps(jnp.zeros((1, 1, 2)), (1, 4), align_corners=True))
    [[[0. 0. 0. 0.]]]
  """
  return _resize(x, size, align_corners=align_corners)


def _resize(x, size, align_corners):
  height, width = size
  shape = x.shape
  if x.ndim == 3:
    x = x[..., None]
  batch, h, w, channels = x.shape
  if w != width:
    across = jnp.asarray(
      interpolation_matrix(w, width, align_corners=align_corners), x.dtype
    )
    x = jnp.einsum('Ww,bhwc->bhWc', across, x, precision='highest')
  if h != height:
    down = jnp.asarray(
      interpolation_matrix(h, height, align_corners=align_corners), x.dtype
    )
    x = x.reshape(batch, h, width * channels)
    x = jnp.einsum('Hh,bhx->bHx', down, x, precision='highest')
  x = x.reshape(batch, height, width, channels)
  return x if len(shape) == 4 else x[..., 0]


def resize_nearest(x: jax.Array, size: Sequence[int]) -> jax.Array:
  """Takes the pixels under the new pixels' centres: Pillow's NEAREST.

  This is the rule by which the data pipeline resizes labels. OpenCV's
  INTER_NEAREST, by which it resizes depth, takes those under the corners.

  Args:
    x: [B, H, W, ...] of any type.
    size: (h, w) of the result.

  Returns:
    [B, h, w, ...]; row i is row floor((i + 1/2) H / h), and likewise for
    columns.

  Example:
    The centres lie at 1.25 and 3.75 of 5:

    >>> print(resize_nearest(jnp.array([[[0, 1, 2, 3, 4]]]), (1, 2)))
    [[[1 3]]]
  """
  for axis, new in zip((1, 2), size, strict=True):
    old = x.shape[axis]
    if new != old:
      # In integers, hence exact.
      x = jnp.take(x, (2 * np.arange(new) + 1) * old // (2 * new), axis)
  return x


def cubic_matrix(
  source: int,
  target: int,
  *,
  scale: float | None = None,
  antialias: bool = False,
) -> np.ndarray:
  """Returns the [target, source] matrix of a 1-D bicubic resize.

  Pixels have half-pixel centres: output i lies at (i + 1/2) / scale - 1/2. As
  in PyTorch, Keys' kernel has a = -0.75 and borders are repeated; with
  `antialias` a = -0.5, the kernel is widened where the result is smaller, and
  the weights inside the input are normalised to the sum 1, as in Pillow.

  Args:
    source: number of inputs, >= 1.
    target: number of outputs, >= 1.
    scale: outputs per input; None for target / source. DINOv2 resizes by a
      scale other than that of its sizes.
    antialias: see above.

  Example:
    >>> print(cubic_matrix(2, 4)[1])
    [0.7734375 0.2265625]
    >>> print(cubic_matrix(4, 2, antialias=True).sum(1))
    [1. 1.]
  """
  scale = target / source if scale is None else scale
  center = (np.arange(target) + 0.5)[:, None] / scale - 0.5
  wide = max(1 / scale, 1.0) if antialias else 1.0
  # Beyond the borders as far as the kernel reaches.
  reach = int(np.ceil(2 * wide)) + int(np.ceil(max(center[-1, 0], 0)))
  place = np.arange(-reach, source + reach)
  weights = _keys((place - center) / wide, -0.5 if antialias else -0.75)
  inside = np.clip(place, 0, source - 1)
  if antialias:
    weights = weights * (inside == place)
    weights = weights / weights.sum(1, keepdims=True)
  matrix = np.zeros((target, source))
  np.add.at(matrix.T, inside, weights.T)
  return matrix


def _keys(x, a):
  """Keys' cubic kernel (1981), 1 at 0 and 0 from 2 on."""
  x = np.abs(x)
  near = ((a + 2) * x - (a + 3)) * x * x + 1
  far = a * (((x - 5) * x + 8) * x - 4)
  return np.where(x < 1, near, np.where(x < 2, far, 0.0))
