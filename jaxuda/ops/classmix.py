"""ClassMix: half of one image's classes, pasted onto another image.

Olsson, Tranheden, Pinto and Svensson, WACV 2021; across domains in DACS
(Tranheden et al., WACV 2021).
"""

import jax
import jax.numpy as jnp


def draw_classes(
  key: jax.Array, label: jax.Array, *, classes: int, with_void: bool = True
) -> jax.Array:
  """Draws half of the classes that an image has, n / 2 rounded up.

  Args:
    key: typed key.
    label: int [H, W]; whatever is not in 0..C-1 is void.
    classes: C.
    with_void: void is one of the n classes, if the image has any. So in the
      official DACS and CorDA: unlabelled pixels are pasted, too.

  Returns:
    bool [C + 1], which ones are pasted; the last entry is void.
  """
  present = _one_hot(label, classes).any((0, 1))
  if not with_void:
    present = present.at[classes].set(False)
  score = jnp.where(present, jax.random.uniform(key, (classes + 1,)), -1)
  # Rank 0 has the highest score; classes that are absent come last.
  rank = jnp.argsort(jnp.argsort(-score))
  return rank < (jnp.sum(present) + 1) // 2


def paste_mask(chosen: jax.Array, label: jax.Array) -> jax.Array:
  """Says which pixels are pasted.

  Args:
    chosen: bool [C + 1], see `draw_classes`.
    label: int [H, W].

  Returns:
    bool [H, W].
  """
  one_hot = _one_hot(label, len(chosen) - 1)
  return (one_hot & chosen.reshape(1, 1, -1)).any(-1)


def _one_hot(label, classes):
  """[H, W, C + 1]; the last channel is void."""
  inside = (label >= 0) & (label < classes)
  label = jnp.where(inside, label, classes)
  return label[..., None] == jnp.arange(classes + 1).reshape(1, 1, -1)
