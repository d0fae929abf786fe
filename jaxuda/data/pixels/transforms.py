"""Decodes, resizes, crops and mirrors pictures in TensorFlow.

The rules for resizing are those of the reference code and differ by field:

* images: Pillow's BICUBIC or BILINEAR, which average when shrinking; within 3
  grey levels of Pillow, which rounds between its two passes. Or 'linear', for
  OpenCV's INTER_LINEAR, which does not average (DAFormer, HRDA, MIC); within 1.
* labels: Pillow's NEAREST, the pixel under the centre: half size keeps pixels
  1, 3, 5, ...
* depth: OpenCV's INTER_NEAREST, the pixel under the upper left corner: half
  size keeps 0, 2, 4, ... Labels and depth are then a pixel apart; the variant
  'consistent' samples depth like labels (CorDA's targets), and 'linear'
  interpolates raw values like OpenCV's INTER_LINEAR (CorDA on GTA5).

`resizing` has the same rules for NumPy; `aspect` handles the aspect ratio.
"""

import functools
from typing import Any, NamedTuple

import cv2
import numpy as np
import tensorflow as tf

from jaxuda.data.pixels import resizing

IMAGE_RESIZES = ('bicubic', 'bilinear', 'linear')
DEPTH_RESIZES = ('reference', 'consistent', 'linear')


class Window(NamedTuple):
  """A crop, and whether it is mirrored afterwards.

  Attributes:
    top, left: int32 scalars, the upper left corner in pixels.
    size: (height, width) of the crop in pixels.
    mirrored: bool scalar, whether left and right are swapped.
  """

  top: tf.Tensor
  left: tf.Tensor
  size: tuple[int, int]
  mirrored: tf.Tensor


def decode_image(encoded: tf.Tensor) -> tf.Tensor:
  """Decodes a PNG or JPEG: string scalar -> uint8 [H, W, 3] RGB."""
  # Pillow uses the accurate DCT; the fast one is one grey level off.
  image = tf.cond(
    tf.io.is_jpeg(encoded),
    lambda: tf.io.decode_jpeg(
      encoded, channels=3, dct_method='INTEGER_ACCURATE'
    ),
    lambda: tf.io.decode_png(encoded, channels=3),
  )
  return tf.ensure_shape(image, [None, None, 3])


def decode_label(stored: tf.Tensor) -> tf.Tensor:
  """Decodes ids from an 8-bit grey PNG or uint8 [H, W, 1]: uint8 [H, W]."""
  if stored.dtype == tf.string:
    stored = tf.io.decode_png(stored, channels=1)
  return stored[..., 0]


def decode_depth(stored: tf.Tensor) -> tf.Tensor:
  """Decodes raw depth from a 16-bit PNG or uint16 [H, W, 1]: uint16 [H, W].

  If there are several channels (equal in SYNTHIA), it takes the first.
  """
  if stored.dtype == tf.string:
    stored = tf.io.decode_png(stored, channels=0, dtype=tf.uint16)
  return stored[..., 0]


def resize_image(
  image: tf.Tensor, size: tuple[int, int], *, method: str = 'bicubic'
) -> tf.Tensor:
  """Resizes an image like Pillow, with antialiasing, or OpenCV, without.

  Args:
    image: uint8 [H, W, 3].
    size: (height, width), numbers or tensors.
    method: one of `IMAGE_RESIZES`.

  Returns:
    uint8 [height, width, 3], rounded and clipped.
  """
  if method not in IMAGE_RESIZES:
    raise ValueError(f'method={method!r}; expected one of {IMAGE_RESIZES}')

  def resize() -> tf.Tensor:
    smooth = method != 'linear'
    kernel = method if smooth else 'bilinear'
    resized = tf.image.resize(image, size, method=kernel, antialias=smooth)
    return tf.saturate_cast(tf.round(resized), tf.uint8)

  same = tf.reduce_all(tf.shape(image)[:2] == tf.stack(size))
  resized = tf.cond(same, lambda: image, resize)
  known = tf.get_static_value(tf.stack(size))
  return tf.ensure_shape(
    resized, [None, None, 3] if known is None else [*known, 3]
  )


def resize_label(label: tf.Tensor, size: tuple[int, int]) -> tf.Tensor:
  """Takes the pixels under the centres of the new pixels: Pillow's NEAREST.

  Args:
    label: [H, W] of any type.
    size: (height, width), numbers or a tensor.

  Returns:
    [height, width], see `resizing.centres`.
  """
  return _gather(
    label, size, functools.partial(resizing.centres, arange=tf.range)
  )


def resize_depth(
  depth: tf.Tensor, size: tuple[int, int], *, method: str = 'reference'
) -> tf.Tensor:
  """Takes the pixels under the new pixels' corners: OpenCV's INTER_NEAREST.

  Args:
    depth: [H, W] of any type.
    size: (height, width), numbers or a tensor.
    method: 'reference'; 'consistent' for the rule of `resize_label`; 'linear'
      for OpenCV's INTER_LINEAR, which does not average when shrinking.

  Returns:
    [height, width], where row i is taken from row floor(i H / height), and
    likewise for columns; float32 with 'linear'.
  """
  if method not in DEPTH_RESIZES:
    raise ValueError(f'method={method!r}; expected one of {DEPTH_RESIZES}')
  if method == 'consistent':
    return resize_label(depth, size)
  if method == 'linear':
    values = tf.cast(depth, tf.float32)[..., None]
    return tf.image.resize(values, size, method='bilinear')[..., 0]
  return _gather(depth, size, _corners)


def _corners(old: tf.Tensor, new: tf.Tensor) -> tf.Tensor:
  # OpenCV multiplies by a rounded reciprocal; its last bit decides ties.
  step = 1.0 / (tf.cast(new, tf.float64) / tf.cast(old, tf.float64))
  i = tf.floor(tf.cast(tf.range(new), tf.float64) * step)
  return tf.minimum(tf.cast(i, tf.int64), old - 1)


def _gather(values, size, sample):
  size = tf.cast(tf.convert_to_tensor(size), tf.int64)
  shape = tf.shape(values, tf.int64)

  def take():
    rows = tf.gather(values, sample(shape[0], size[0]), axis=0)
    return tf.gather(rows, sample(shape[1], size[1]), axis=1)

  # Avoids two more copies of pictures that were prepared at this size.
  same = tf.reduce_all(shape[:2] == size)
  taken = tf.cond(same, lambda: values, take)
  known = tf.get_static_value(size)
  return taken if known is None else tf.ensure_shape(taken, known)


def pad_to(values: tf.Tensor, size: Any, *, fill: Any = 0) -> tf.Tensor:
  """Pads [h, w, ...] at the bottom and right up to (height, width)."""
  shape = tf.shape(values)
  more = [[0, size[0] - shape[0]], [0, size[1] - shape[1]]]
  rest = [[0, 0]] * (len(values.shape) - 2)
  return tf.pad(
    values, [*more, *rest], constant_values=tf.cast(fill, values.dtype)
  )


def look_up(raw: tf.Tensor, table: np.ndarray) -> tf.Tensor:
  """Returns table[raw] for every pixel.

  TensorFlow's own gather takes five times as long as NumPy's or OpenCV's
  lookup, neither of which holds the interpreter lock.

  Args:
    raw: uint8 or uint16 [H, W].
    table: [256] or [65536].
  """
  if raw.dtype.max + 1 != len(table):
    raise ValueError(f'{len(table)} entries for {raw.dtype.name}')

  def take(values: np.ndarray) -> np.ndarray:
    if len(table) == 256 and table.dtype == np.int32 and values.size:
      return cv2.LUT(values, table)
    return np.take(table, values, mode='clip')

  taken = tf.numpy_function(take, [raw], table.dtype, stateful=False)
  return tf.ensure_shape(taken, raw.shape)


def draw_window(
  seed: tf.Tensor,
  size: tuple[int, int],
  *,
  crop: tuple[int, int] = (0, 0),
  flip: bool = False,
) -> Window:
  """Draws a crop and a mirroring as a function of the seed alone.

  Args:
    seed: int64 [2].
    size: (height, width) of the picture in pixels, numbers or tensors.
    crop: (height, width) of the crop in pixels; (0, 0) takes everything.
    flip: whether left and right are swapped half of the time.
  """
  crop = size if tuple(crop) == (0, 0) else tuple(crop)
  # Named explicitly, since the default algorithm depends on the device.
  top, left, side = tf.unstack(
    tf.random.stateless_uniform(
      [3], seed, minval=None, maxval=None, dtype=tf.uint32, alg='philox'
    )
  )
  return Window(
    top=_place(top, size[0] - crop[0] + 1),
    left=_place(left, size[1] - crop[1] + 1),
    size=crop,
    mirrored=tf.constant(flip) & (_place(side, 2) == 1),
  )


def _place(bits: tf.Tensor, count: int) -> tf.Tensor:
  # Multiply and shift: uniform over 0..count-1, to within count / 2^32.
  scaled = tf.cast(bits, tf.int64) * tf.cast(count, tf.int64)
  return tf.cast(tf.bitwise.right_shift(scaled, 32), tf.int32)


def cut_window(values: tf.Tensor, window: Window) -> tf.Tensor:
  """Cuts a window out of [H, W, ...]."""
  height, width = window.size
  cut = values[
    window.top : window.top + height, window.left : window.left + width
  ]
  cut = tf.cond(window.mirrored, lambda: tf.reverse(cut, axis=[1]), lambda: cut)
  return tf.ensure_shape(cut, [height, width, *values.shape[2:]])
