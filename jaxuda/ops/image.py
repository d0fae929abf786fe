"""Images as networks read them: normalised, and in pieces."""

from collections.abc import Sequence
from typing import Any

import jax
from jax import lax
import jax.numpy as jnp
import numpy as np

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
  """Maps an image from 0..255 to -1..1, the range of generators.

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
  """Maps an image [...] from -1..1 to 0..255, without rounding.

  Example:
    >>> print(from_symmetric(jnp.array([-1.0, 0.0, 1.0])))
    [  0.  127.5 255. ]
  """
  return (image + 1) * 127.5


def draw_box(
  key: jax.Array, size: Sequence[int], crop: Sequence[int], *, step: int = 1
) -> jax.Array:
  """Draws the position of a crop, uniformly among multiples of a step.

  As in HRDA, the offsets within a margin of m pixels are 0, step, ...,
  ((m + 1) // step - 1) * step, which leaves out the last one.

  Args:
    key: typed key.
    size: (H, W) of the image in pixels.
    crop: (h, w) of the crop in pixels, at most the image's.
    step: pixels between offsets.

  Returns:
    int32 [2], the crop's (top, left) in pixels.

  Example:
    Within 1024 - 512 pixels the only multiples that are drawn are 0 and 256:

    >>> boxes = [
    ...   draw_box(jax.random.key(i), (1024, 512), (512, 512), step=256)
    ...   for i in range(8)
    ... ]
    >>> sorted({(int(top), int(left)) for top, left in boxes})
    [(0, 0), (256, 0)]
  """
  counts = [
    max((side - part + 1) // step, 1)
    for side, part in zip(size, crop, strict=True)
  ]
  places = jax.random.randint(key, (2,), 0, jnp.array(counts, jnp.int32))
  return places * step


def cut_box(x: jax.Array, box: jax.Array, size: Sequence[int]) -> jax.Array:
  """Cuts a crop out of maps.

  Args:
    x: [B, H, W, ...].
    box: int [2], (top, left) of the crop.
    size: its (h, w).

  Returns:
    [B, h, w, ...].

  Example:
    >>> x = jnp.arange(6).reshape(1, 2, 3)
    >>> print(cut_box(x, jnp.array([0, 1]), (2, 2)))
    [[[1 2]
      [4 5]]]
  """
  for axis, (start, side) in enumerate(zip(box, size, strict=True), 1):
    x = lax.dynamic_slice_in_dim(x, start, side, axis)
  return x


def insert_box(x: jax.Array, box: jax.Array, size: Sequence[int]) -> jax.Array:
  """Puts a crop back where it was cut, with zeros around it; see `cut_box`.

  Args:
    x: [B, h, w, C].
    box: int [2], (top, left) of the crop.
    size: (H, W) of the result.

  Returns:
    [B, H, W, C].

  Example:
    >>> x = jnp.ones((1, 1, 2, 1))
    >>> print(insert_box(x, jnp.array([1, 0]), (2, 3))[0, ..., 0])
    [[0. 0. 0.]
     [1. 1. 0.]]
  """
  empty = jnp.zeros((len(x), *size, x.shape[-1]), x.dtype)
  top, left = box
  zero = jnp.zeros_like(top)
  return lax.dynamic_update_slice(empty, x, (zero, top, left, zero))


def window_starts(side: int, window: int, stride: int) -> list[int]:
  """Returns where windows that cover a side begin; the last ends with it.

  Args:
    side: pixels to cover, at least `window`.
    window: pixels of a window.
    stride: pixels between two windows.

  Example:
    >>> window_starts(1024, 512, 256), window_starts(10, 4, 4)
    ([0, 256, 512], [0, 4, 6])
  """
  count = -(-(side - window) // stride) + 1
  return [min(i * stride, side - window) for i in range(count)]


def cut_windows(
  x: jax.Array, places: Sequence[tuple[int, int]], size: Sequence[int]
) -> jax.Array:
  """Cuts windows out of maps and stacks them as images of one batch.

  Args:
    x: [B, H, W, ...].
    places: (top, left) of each of n windows.
    size: (h, w) of every window.

  Returns:
    [n * B, h, w, ...]; window i of all images, then window i + 1.

  Example:
    >>> x = jnp.arange(4).reshape(1, 1, 4)
    >>> print(cut_windows(x, [(0, 0), (0, 2)], (1, 2)))
    [[[0 1]]
    <BLANKLINE>
     [[2 3]]]
  """
  height, width = size
  return jnp.concatenate(
    [x[:, top : top + height, left : left + width] for top, left in places]
  )


def average_windows(
  x: jax.Array, places: Sequence[tuple[int, int]], size: Sequence[int]
) -> jax.Array:
  """Puts windows back where they were cut, averaged where they overlap.

  Args:
    x: [n * B, h, w, ...], see `cut_windows`.
    places: (top, left) of each of n windows, which cover everything.
    size: (H, W) of the result.

  Returns:
    [B, H, W, ...].

  Example:
    >>> x = jnp.array([[[2.0, 2.0]], [[4.0, 4.0]]])
    >>> print(average_windows(x, [(0, 0), (0, 1)], (1, 3)))
    [[[2. 3. 4.]]]
  """
  parts = x.reshape(len(places), -1, *x.shape[1:])
  height, width = x.shape[1:3]
  total = jnp.zeros((parts.shape[1], *size, *x.shape[3:]), x.dtype)
  count = np.zeros(size, int)
  for part, (top, left) in zip(parts, places, strict=True):
    place = np.s_[top : top + height, left : left + width]
    total = total.at[:, *place].add(part)
    count[place] += 1
  count = count.reshape(1, *size, *(1,) * (x.ndim - 3))
  return total / jnp.asarray(count, x.dtype)
