"""Rare class sampling: images with rare classes are drawn more often.

Hoyer, Dai and Van Gool, CVPR 2022, "DAFormer"
(https://arxiv.org/abs/2111.14887), section 3.2: first a class is drawn, rare
ones more often, then an image with enough of it, then a crop that has some.

Every draw is a function of (seed, sample), so that a stream can start at any
sample immediately and is the same for any number of processes.
"""

from collections.abc import Callable
import functools
from typing import Any

import numpy as np
import tensorflow as tf

from jaxuda import errors
from jaxuda.data.classes import labels
from jaxuda.data.pixels import transforms

# Maximum number of crops to try; the last is accepted in any case: DAFormer's
# code checks ten and draws another one after each that it rejects.
TRIES = 11
# Separates this stream from that of the pipeline's crops, which has the same
# seed and small counters.
_STREAM = 0x52435300000000


class Sampler:
  """Draws a class and then an image that contains it.

  Attributes:
    frequencies: float64 [C], share of each class in all labelled pixels.
    probabilities: float64 [C], probability of drawing each class: softmax((1 -
      f) / T) over the classes that some image has enough of; 0 for the others.
  """

  def __init__(
    self, counts: np.ndarray, *, temperature: float, least: int, seed: int
  ):
    """Finds out which images contain which classes.

    Args:
      counts: int [n, C], number of pixels of each class in each image.
      temperature: T > 0; the lower, the more often rare classes are drawn. 0.01
        in DAFormer.
      least: an image contains a class if it has more pixels of it than this.
        3,000 in DAFormer, for GTA's 1914x1052 images.
      seed: seed of the stream, 0..2^64-1.

    Raises:
      UserError: no image has that many pixels of any class.
    """
    total = counts.sum(0)
    self.frequencies = total / max(1, total.sum())
    self._images = [np.flatnonzero(x > least) for x in counts.T]
    usable = np.array([len(x) > 0 for x in self._images])
    if not usable.any():
      raise errors.UserError(
        f'config.data.source.rare_pixels={least}: no image has more pixels of'
        f' any class; expected less than {counts.max(initial=0)}'
      )
    logits = np.where(usable, (1 - self.frequencies) / temperature, -np.inf)
    weights = np.exp(logits - logits.max())
    self.probabilities = weights / weights.sum()
    self._edges = np.cumsum(self.probabilities)
    self._seed = seed

  def draw(self, sample: int) -> tuple[int, int]:
    """Returns (class, image number) for a sample of the stream."""
    key = np.array([self._seed, _STREAM + sample], np.uint64)
    first, second = np.random.Philox(key=key).random_raw(2) / 2.0**64
    chosen = np.searchsorted(self._edges, first * self._edges[-1], 'right')
    # Rounding may lead past the last class with a non-zero probability.
    chosen = min(int(chosen), int(np.flatnonzero(self.probabilities)[-1]))
    images = self._images[chosen]
    return chosen, int(images[min(int(second * len(images)), len(images) - 1)])


def count_classes(raw: np.ndarray, table: np.ndarray) -> np.ndarray:
  """Returns the pixel counts per class, given those per raw id.

  Args:
    raw: int [n, 256], number of pixels of each raw id in each image.
    table: int [256], the class of each raw id, or 255 = ignored.

  Returns:
    int64 [n, C], where C is the highest class of the table plus 1.
  """
  known = np.flatnonzero(table != labels.IGNORE)
  counts = np.zeros((len(raw), int(table[known].max(initial=-1)) + 1), np.int64)
  np.add.at(counts, (slice(None), table[known]), raw[:, known])
  return counts


def place_crop(
  seed: tf.Tensor,
  label: tf.Tensor | None,
  chosen: tf.Tensor | None,
  *,
  draw: Callable[[tf.Tensor], transforms.Window],
  domain: Any,
) -> transforms.Window:
  """Draws a crop according to the settings of a domain.

  Args:
    seed: int64 [2], (seed, sample).
    label: int32 [H, W], label map of the image; None if it is not read.
    chosen: int32 scalar, the class that the image was drawn for, or None.
    draw: pure function from a seed, int64 [2], to a window.
    domain: its `crop`, `crop_most`, `rare_pixels` and `rare_crop` are used.
  """
  if tuple(domain.crop) == (0, 0) or label is None:
    return draw(seed)
  if domain.crop_most < 1:
    draw = functools.partial(
      draw_varied, label=label, draw=draw, most=domain.crop_most
    )
  if chosen is None:
    return draw(seed)
  least = domain.rare_pixels * domain.rare_crop
  return draw_window(seed, label, chosen, draw=draw, least=least)


def draw_varied(
  seed: tf.Tensor,
  label: tf.Tensor,
  *,
  draw: Callable[[tf.Tensor], transforms.Window],
  most: float,
) -> transforms.Window:
  """Draws crops until no class has too large a share of the labelled pixels.

  If a crop has only one class, the share of this class is 1.

  Args:
    seed: int64 [2], (seed, sample); the first crop is that of this seed.
    label: int32 [H, W], label map of the image.
    draw: pure function from a seed, int64 [2], to a window.
    most: share that the largest class must stay below.
  """

  # Seeds distinct from those of `draw_window`, which may call this function.
  def attempt(t):
    return draw(seed + tf.stack([tf.constant(0, tf.int64), t * 2**44]))

  def dull(t):
    cut = tf.reshape(transforms.cut_window(label, attempt(t)), [-1])
    counts = tf.math.bincount(cut, minlength=256, maxlength=256)[:255]
    total = tf.reduce_sum(counts)
    largest = tf.cast(tf.reduce_max(counts), tf.float32)
    return largest >= most * tf.cast(total, tf.float32)

  (number,) = tf.while_loop(
    lambda t: (t < TRIES - 1) & dull(t),
    lambda t: (t + 1,),
    (tf.constant(0, tf.int64),),
  )
  return attempt(number)


def draw_window(
  seed: tf.Tensor,
  label: tf.Tensor,
  chosen: tf.Tensor,
  *,
  draw: Callable[[tf.Tensor], transforms.Window],
  least: float,
) -> transforms.Window:
  """Draws crops until one has more than `least` pixels of the chosen class.

  Args:
    seed: int64 [2], (seed, sample); the first crop is that of this seed.
    label: int32 [H, W], label map of the image.
    chosen: int32 scalar, the class.
    draw: pure function from a seed, int64 [2], to a window.
    least: number of pixels of the crop that the class must exceed.
  """
  tries = [
    draw(seed + tf.constant([0, t << 40], tf.int64)) for t in range(TRIES)
  ]
  found = tf.stack(
    [
      tf.math.count_nonzero(transforms.cut_window(label, window) == chosen)
      for window in tries
    ]
  )
  enough = tf.cast(found, tf.float32) > least
  number = tf.where(
    tf.reduce_any(enough), tf.argmax(enough, output_type=tf.int32), TRIES - 1
  )
  return transforms.Window(
    top=tf.stack([x.top for x in tries])[number],
    left=tf.stack([x.left for x in tries])[number],
    size=tries[0].size,
    mirrored=tf.stack([x.mirrored for x in tries])[number],
  )
