"""Feature distance: keeps what pretraining has learned about things.

Hoyer, Dai and Van Gool, CVPR 2022, "DAFormer"
(https://arxiv.org/abs/2111.14887), section 3.3: on the source's pixels of thing
classes, the student's features stay close to those of the network that it
started from.
"""

from collections.abc import Sequence
import dataclasses

import jax
import jax.numpy as jnp

from jaxuda import errors
from jaxuda.ops import batch


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
  """Options of the feature distance (`config.features`).

  Attributes:
    weight: weight of the loss; 0, as in the papers of DACS and CorDA, leaves it
      out; 0.005 in DAFormer.
    share: smallest share of a cell's pixels that its class must have, 0.5..1.
    classes: numbers of the classes that are things; in DAFormer those of
      traffic lights and signs, people and vehicles.
  """

  weight: float = 0.0
  share: float = 0.75
  classes: Sequence[int] = ()

  def __post_init__(self):
    object.__setattr__(self, 'classes', tuple(self.classes))
    ranges = {'weight': (0, None), 'share': (0.5, 1)}
    errors.check_ranges(self, ranges, group='features')
    if self.weight and not self.classes:
      raise errors.UserError(
        f'features.weight={self.weight} needs classes that are things; expected'
        ' features.classes=(number, ...)'
      )


def feature_distance(
  features: jax.Array,
  anchor: jax.Array,
  label: jax.Array,
  *,
  classes: Sequence[int],
  share: float = 0.75,
  axis: str | None = None,
) -> jax.Array:
  """Returns the mean Euclidean distance of features in the cells of things.

  A cell has the class, or no class, that most of its pixels have, if these are
  enough. Without a cell of a thing the loss and its gradient are 0, where the
  official code gives NaN.

  Args:
    features: [B, h, w, C], the student's.
    anchor: [B, h, w, C], those of the network that it started from; has no
      gradient.
    label: int [B, H, W]; cells average their H / h x W / w pixels or, if these
      are not whole numbers, all pixels that they touch.
    classes: numbers of the classes that are things.
    share: smallest share of a cell's pixels, 0.5..1.
    axis: name of the mapped axis over which the batch extends, or None: see
      `ops.batch.count`.

  Returns:
    A scalar, float32 or better.

  Example:
    The first of two cells is a thing; (3, 4) has length 5:

    >>> features = jnp.array([[[[3.0, 4.0], [1.0, 1.0]]]])
    >>> label = jnp.array([[[2, 2, 0, 0]]])
    >>> print(feature_distance(features, 0 * features, label, classes=(2,)))
    5.0
  """
  cells = [
    _average(n, m)
    for n, m in zip(label.shape[1:], features.shape[1:3], strict=True)
  ]
  shares = jnp.stack(
    [
      jnp.einsum('bHW,hH,wW->bhw', (label == c).astype(jnp.float32), *cells)
      for c in classes
    ]
  )
  # More than half of a cell is more than any other class, or none, can have.
  kept = jnp.max(shares, 0) >= share
  wide = jnp.promote_types(features.dtype, jnp.float32)
  difference = features.astype(wide) - jax.lax.stop_gradient(anchor).astype(
    wide
  )
  square = jnp.sum(jnp.square(difference), -1)
  # The root has no gradient at 0, and a cell that is left out must have none.
  counts = kept & (square > 0)
  distance = jnp.where(counts, jnp.sqrt(jnp.where(counts, square, 1)), 0)
  count = batch.count(kept, axis=axis)
  return jnp.sum(distance) / jnp.where(count > 0, count, 1)


def _average(pixels: int, cells: int) -> jax.Array:
  """Returns [cells, pixels]: rows that average the pixels of each cell."""
  number = jnp.arange(cells)[:, None]
  first, last = number * pixels // cells, -(-(number + 1) * pixels // cells)
  pixel = jnp.arange(pixels)[None, :]
  inside = (pixel >= first) & (pixel < last)
  inside = inside.astype(jnp.float32)
  return inside / inside.sum(-1, keepdims=True)
