"""ClassMix: half of one image's classes, pasted onto another image.

Olsson, Tranheden, Pinto and Svensson, WACV 2021; across domains in DACS
(Tranheden et al., WACV 2021).
"""

import jax
from jax import lax
import jax.numpy as jnp


def draw_classes(
  key: jax.Array,
  label: jax.Array,
  *,
  classes: int,
  with_void: bool = True,
  axis: str | None = None,
) -> jax.Array:
  """Draws half of the n classes that an image has, n / 2 rounded up.

  Args:
    key: typed key.
    label: int [..., H, W], of an image or of several, which then count as one;
      every value outside 0..C-1 is void.
    classes: the number of classes C.
    with_void: count void among the n classes where the image has any, as the
      official DACS and CorDA do: unlabelled pixels are pasted, too.
    axis: name of the mapped axis over which these images extend, or None.

  Returns:
    bool [C + 1], True for the classes to paste; the last entry is void.

  Example:
    The image has classes 0 and 2 and void:

    >>> label = jnp.array([[0, 0, 2, 255]])
    >>> chosen = draw_classes(jax.random.key(0), label, classes=3)
    >>> chosen.shape, int(chosen.sum())
    ((4,), 2)
  """
  present = _one_hot(label, classes).any(tuple(range(label.ndim)))
  if axis is not None:
    present = lax.pmax(present.astype(jnp.int32), axis) > 0
  if not with_void:
    present = present.at[classes].set(False)
  score = jnp.where(present, jax.random.uniform(key, (classes + 1,)), -1)
  # Rank 0 has the highest score; classes that are absent come last.
  rank = jnp.argsort(jnp.argsort(-score))
  return rank < (jnp.sum(present) + 1) // 2


def paste_mask(chosen: jax.Array, label: jax.Array) -> jax.Array:
  """Marks the pixels of the chosen classes.

  Args:
    chosen: bool [C + 1], see `draw_classes`.
    label: int [H, W].

  Returns:
    bool [H, W], True where a pixel is to be pasted.

  Example:
    >>> chosen = jnp.array([False, True, False])
    >>> print(paste_mask(chosen, jnp.array([[0, 1, 255, 1]])))
    [[False  True False  True]]
  """
  one_hot = _one_hot(label, len(chosen) - 1)
  return (one_hot & chosen.reshape(1, 1, -1)).any(-1)


def _one_hot(label, classes):
  """[..., C + 1]; the last channel is void."""
  inside = (label >= 0) & (label < classes)
  label = jnp.where(inside, label, classes)
  return label[..., None] == jnp.arange(classes + 1).reshape(
    *(1,) * label.ndim, -1
  )
