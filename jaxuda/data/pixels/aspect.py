"""Fits pictures into frames of another aspect ratio. Needs no TensorFlow.

'stretch' does not keep the aspect ratio; the reference code does this for all
datasets but Mapillary. There it does 'pad', which shrinks a picture until it
fits and pads it at the bottom and on the right.
"""

from collections.abc import Callable, Sequence
from typing import Any

FITS = ('stretch', 'pad')


def fit_size(
  shape: Any, size: tuple[int, int], *, smaller: Callable[..., Any] = min
) -> tuple[Any, Any]:
  """Returns the largest size within `size` that has the aspect of `shape`.

  It is rounded down, like the size of Mapillary's images in DADA.

  Args:
    shape: (height, width) in pixels; tensors need `smaller=tf.minimum`.
    size: (height, width) to fit into.
    smaller: function that returns the smaller of two numbers.
  """
  height, width = shape
  return (
    smaller(size[0], height * size[1] // width),
    smaller(size[1], width * size[0] // height),
  )


def pad_shape(
  shape: Any, size: tuple[int, int], *, larger: Callable[..., Any] = max
) -> tuple[Any, Any]:
  """Returns the smallest shape around another that has the aspect of `size`.

  Args:
    shape: (height, width) in pixels; tensors need `larger=tf.maximum`.
    size: (height, width) with the wanted aspect ratio.
    larger: function that returns the larger of two numbers.
  """
  height, width = shape
  return (
    larger(height, width * size[0] // size[1]),
    larger(width, height * size[1] // size[0]),
  )


def is_turned(one: Sequence[int], other: Sequence[int]) -> bool:
  """Returns whether one of two shapes is portrait and the other landscape.

  Args:
    one: (height, width).
    other: (height, width).
  """
  ratios = sorted(x[0] / x[1] for x in (one, other))
  # Nearly square shapes count as both.
  return ratios[0] < 0.95 and ratios[1] > 1.05


def frame(
  shape: tuple[int, int], size: tuple[int, int], *, fit: str
) -> tuple[int, int]:
  """Returns the size of a picture in the frame, before padding.

  Args:
    shape: (height, width) of the picture in pixels.
    size: (height, width) of the frame.
    fit: 'stretch' or 'pad'.
  """
  return size if fit == 'stretch' else fit_size(shape, size)
