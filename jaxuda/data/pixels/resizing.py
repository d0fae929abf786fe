"""Resizes NumPy pictures by the rules of `transforms`. Needs no TensorFlow.

Both modules have the same rules: Pillow's filters or OpenCV's INTER_LINEAR for
images, Pillow's NEAREST for labels, OpenCV's INTER_NEAREST for depth. They are
tested against the same table of golden pixels.
"""

from collections.abc import Callable, Sequence
from typing import Any

import cv2
import numpy as np
from PIL import Image

from jaxuda.data.pixels import aspect

FILTERS = {
  'bicubic': Image.Resampling.BICUBIC,
  'bilinear': Image.Resampling.BILINEAR,
  'lanczos': Image.Resampling.LANCZOS,
}


def resize_image(
  image: np.ndarray, size: Sequence[int], *, method: str = 'bicubic'
) -> np.ndarray:
  """Resizes an image with Pillow, which averages when shrinking, or OpenCV.

  Args:
    image: uint8 [H, W, 3].
    size: (height, width).
    method: a key of `FILTERS`, or 'linear' for OpenCV's INTER_LINEAR.

  Returns:
    uint8 [height, width, 3]; the image itself if it has that size.
  """
  if image.shape[:2] == tuple(size):
    return image
  if method == 'linear':
    return cv2.resize(image, tuple(size)[::-1], interpolation=cv2.INTER_LINEAR)
  resized = Image.fromarray(image).resize(tuple(size)[::-1], FILTERS[method])
  return np.asarray(resized)


def centres(
  old: Any, new: Any, *, arange: Callable[[Any], Any] = np.arange
) -> Any:
  """Returns the indices of the pixels that NEAREST keeps along an axis.

  Args:
    old: number of pixels before resizing.
    new: number of pixels after resizing.
    arange: function that counts up from 0; `tf.range` for tensors.

  Returns:
    Integers [new]: floor((i + 1/2) old / new), the pixel under each new centre.
  """
  # In integers, hence exact.
  return (2 * arange(new) + 1) * old // (2 * new)


def resize_label(values: np.ndarray, size: Sequence[int]) -> np.ndarray:
  """Takes the pixels under the centres of the new pixels: Pillow's NEAREST.

  Args:
    values: [H, W] of any type.
    size: (height, width) in pixels.

  Returns:
    [height, width] of the same type.
  """
  rows, columns = map(centres, values.shape, size)
  return values[rows[:, None], columns]


def resize_depth(
  values: np.ndarray, size: Sequence[int], *, method: str = 'reference'
) -> np.ndarray:
  """Takes the pixels under the new pixels' corners: OpenCV's INTER_NEAREST.

  Args:
    values: uint16 [H, W], raw depth.
    size: (height, width) in pixels.
    method: 'reference', or 'consistent' for the rule of `resize_label`.

  Returns:
    uint16 [height, width].
  """
  if method == 'consistent':
    return resize_label(values, size)
  return cv2.resize(values, tuple(size)[::-1], interpolation=cv2.INTER_NEAREST)


def pad_to(
  values: np.ndarray, size: Sequence[int], *, fill: Any = 0
) -> np.ndarray:
  """Pads [h, w, ...] at the bottom and right up to (height, width)."""
  more = [(0, n - old) for n, old in zip(size, values.shape, strict=False)]
  more += [(0, 0)] * (values.ndim - 2)
  return np.pad(values, more, constant_values=fill)


def frame_image(
  image: np.ndarray, size: Sequence[int], *, method: str, fit: str
) -> np.ndarray:
  """Resizes and pads an image to the network's size, as in training.

  Args:
    image: uint8 [H, W, 3].
    size: (height, width).
    method: see `resize_image`.
    fit: 'stretch' or 'pad', see `aspect`; padding is black.

  Returns:
    uint8 [height, width, 3].
  """
  inner = aspect.frame(image.shape[:2], tuple(size), fit=fit)
  return pad_to(resize_image(image, inner, method=method), size)
