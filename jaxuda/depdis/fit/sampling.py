"""Draws a fair sample of the source's pixels per class, in one pass."""

from collections.abc import Iterable, Mapping
import dataclasses
from typing import Any

import numpy as np

from jaxuda.data.pixels import resizing
from jaxuda.ops import depth

_MAPS = ('label', 'depth', 'depth_valid')


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sample:
  """Pixels of the network's output grid.

  Attributes:
    points: for each class, float64 [n, 3]: columns, rows, inverse depths.
    counts: int64 [C], number of labelled pixels of each class, with or without
      depth.
    images: number of images that were read.
  """

  points: tuple[np.ndarray, ...]
  counts: np.ndarray
  images: int


def sample_pixels(
  batches: Iterable[Mapping[str, Any]],
  *,
  classes: int,
  size: int,
  grid: tuple[int, int],
  seed: int,
) -> Sample:
  """Draws up to `size` pixels of each class, all equally likely.

  Every pixel gets a random number, a function of (seed, image, pixel), and the
  pixels with the smallest numbers are kept. Thus memory does not grow with the
  dataset, and the sample does not depend on how the images are batched.

  Args:
    batches: 'label' int [B, H, W], 'depth' float32 [B, H, W] metres and
      'depth_valid' bool [B, H, W] of images in a fixed order.
    classes: number of classes C.
    size: maximum number of pixels per class.
    grid: (h, w) to which labels and depth are resized, by the nearest pixel.
    seed: seed of the random numbers, 0..2^64-1.
  """
  kept = [_Smallest(size) for _ in range(classes)]
  counts = np.zeros(classes, np.int64)
  rows, columns = np.indices(grid)
  number = 0
  for batch in batches:
    for maps in zip(*(batch[name] for name in _MAPS), strict=True):
      label, metres, valid = (resizing.resize_label(x, grid) for x in maps)
      # In float32, as in the training of the network.
      inverse = depth.invert_depth(metres.astype(np.float32))
      points = np.stack([columns, rows, inverse], -1)
      bits = np.random.Philox(key=np.array([seed, number], np.uint64))
      keys = bits.random_raw(label.size).reshape(grid)
      inside = (label >= 0) & (label < classes)
      counts += np.bincount(label[inside], minlength=classes)
      inside &= valid
      for c in np.unique(label[inside]):
        chosen = inside & (label == c)
        kept[c].add(keys[chosen], points[chosen])
      number += 1
  return Sample(
    points=tuple(x.take() for x in kept), counts=counts, images=number
  )


class _Smallest:
  """Keeps the points with the smallest keys."""

  def __init__(self, size):
    self._size, self._held = size, 0
    self._parts = [(np.empty(0, np.uint64), np.empty((0, 3)))]

  def add(self, keys, points):
    self._parts.append((keys, points))
    self._held += len(keys)
    if self._held > 4 * self._size:
      self.take()

  def take(self):
    """Returns the points with the smallest keys, and drops all others."""
    keys, points = map(np.concatenate, zip(*self._parts, strict=True))
    order = np.argsort(keys, kind='stable')[: self._size]
    self._parts, self._held = [(keys[order], points[order])], len(order)
    return points[order]
