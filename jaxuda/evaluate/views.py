"""Test-time augmentation: several scales, mirroring, sliding windows.

The class probabilities of all views of a picture are averaged, as in Chen et
al. (DeepLab), TPAMI 2018, section 4.1. Needs no TF.
"""

from collections.abc import Sequence
import dataclasses
import itertools
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxuda import errors
from jaxuda.data.pixels import resizing
from jaxuda.ops import resize


@dataclasses.dataclass(frozen=True, kw_only=True)
class Views:
  """The views that the network gets of a picture.

  Attributes:
    scales: factors above 0 by which the size of the network's input is
      multiplied; each needs a compilation of its own.
    flip: whether the mirrored picture is seen at every scale, too.
    window: whether the network sees overlapping windows of its input size, cut
      from the picture at its own resolution times the scale, instead of the
      whole picture resized to the input size.
    overlap: share of a window that the next one covers, too, in [0, 1).

  Raises:
    UserError: a value is out of its range, or a scale is not a number.
  """

  scales: Sequence[float | str] = (1.0,)
  flip: bool = False
  window: bool = False
  overlap: float = 1 / 3

  def __post_init__(self):
    try:
      object.__setattr__(self, 'scales', tuple(map(float, self.scales)))
    except ValueError as e:
      raise errors.UserError(f'scales: {e}; expected numbers') from e
    if not self.scales or not all(0 < x < math.inf for x in self.scales):
      raise errors.UserError(f'scales={self.scales}; expected numbers above 0')
    if not 0 <= self.overlap < 1:
      raise errors.UserError(f'overlap={self.overlap}; expected [0, 1)')


# A single view of the whole picture.
ONCE = Views()


def mean_probabilities(
  image: np.ndarray,
  state: Any,
  *,
  method: Any,
  size: Sequence[int],
  views: Views,
  image_resize: str = 'bicubic',
  out: Sequence[int] | None = None,
) -> np.ndarray:
  """Averages the class probabilities of all views of a picture.

  Args:
    image: uint8 [H, W, 3] RGB.
    state: training state.
    method: method whose `predict` is called.
    size: (height, width) of the network's input.
    views: the views to average.
    image_resize: filter, see `resizing.resize_image`.
    out: (h, w) of the result; the picture's size if None.

  Returns:
    float32 [h, w, C], a distribution over the classes at each pixel.
  """
  full, corners = image.shape[:2], method.network.align_corners
  out = tuple(map(int, out or full))
  total = 0
  for scale in views.scales:
    base = full if views.window else size
    target = tuple(max(1, round(scale * side)) for side in base)
    seen = resizing.resize_image(image, target, method=image_resize)
    for mirrored in (False, True)[: 1 + views.flip]:
      one = seen[:, ::-1] if mirrored else seen
      if views.window:
        maps = _slide(one, state, method, size, views.overlap)
        maps = np.asarray(_resize(jnp.asarray(maps)[None], size=out)[0])
      else:
        logits = grid_logits(
          state, np.ascontiguousarray(one)[None], method=method
        )
        maps = _probabilities(logits, size=out, align_corners=corners)
        maps = np.asarray(maps[0])
      total = total + (maps[:, ::-1] if mirrored else maps)
  return total / (len(views.scales) * (1 + views.flip))


def starts(side: int, window: int, overlap: float) -> list[int]:
  """Returns where windows start, evenly spaced from one edge to the other.

  Args:
    side: length to cover in pixels, at least `window`.
    window: length of a window in pixels.
    overlap: minimum share of a window that the next one covers, too, in [0, 1).
  """
  stride = max(1, int(window * (1 - overlap)))
  count = -(-(side - window) // stride) + 1
  if count == 1:
    return [0]
  return [round(i * (side - window) / (count - 1)) for i in range(count)]


def _slide(image, state, method, size, overlap):
  """Returns probabilities [H, W, C]; small pictures are padded by mirroring."""
  height, width = image.shape[:2]
  more = [
    (0, max(0, s - n)) for s, n in zip(size, (height, width), strict=True)
  ]
  image = np.pad(image, (*more, (0, 0)), mode='symmetric')
  total, count = 0, np.zeros((*image.shape[:2], 1), np.float32)
  tops, lefts = (
    starts(side, piece, overlap)
    for side, piece in zip(image.shape, size, strict=False)
  )
  for top, left in itertools.product(tops, lefts):
    place = np.s_[top : top + size[0], left : left + size[1]]
    piece = np.ascontiguousarray(image[place])
    logits = grid_logits(state, piece[None], method=method)
    corners = method.network.align_corners
    maps = _probabilities(logits, size=tuple(size), align_corners=corners)
    maps = np.asarray(maps[0])
    if isinstance(total, int):
      total = np.zeros((*image.shape[:2], maps.shape[-1]), np.float32)
    total[place] += maps
    count[place] += 1
  return (total / count)[:height, :width]


@jax.jit(static_argnames='method')
def grid_logits(state: Any, image: jax.Array, *, method: Any) -> jax.Array:
  """Returns the logits [B, h, w, C] at the network's own low resolution.

  They are upsampled once, to the resolution at which they are needed, as in an
  evaluation. Images are uint8 [B, H, W, 3] RGB; the method, whose `predict` is
  called, is hashable.
  """
  return method.predict(state, image, size='grid')['logits']


@jax.jit(static_argnames=('size', 'align_corners'))
def _probabilities(
  logits: jax.Array, *, size: tuple[int, int], align_corners: bool
) -> jax.Array:
  full = resize.resize_maps(logits, size, align_corners=align_corners)
  return jax.nn.softmax(full)


@jax.jit(static_argnames='size')
def _resize(maps: jax.Array, *, size: tuple[int, int]) -> jax.Array:
  # By the centres of the pixels, like the picture, whatever the network's rule.
  return resize.resize_half_pixel(maps, size)
