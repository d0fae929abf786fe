"""Cross entropy over the labelled pixels."""

from collections.abc import Callable, Mapping, Sequence

import jax
import jax.numpy as jnp

from jaxuda.ops import batch
from jaxuda.ops import image as image_ops

IGNORE = 255


def cross_entropy(
  logits: jax.Array,
  label: jax.Array,
  *,
  class_weights: Sequence[float] | None = None,
  average_all: bool = False,
  axis: str | None = None,
) -> jax.Array:
  """Returns the mean negative log likelihood over the pixels that have a class.

  With class weights it is the weighted mean, sum(w nll) / sum(w). Without any
  labelled pixel it is 0, where the references fail.

  Args:
    logits: [B, H, W, C].
    label: int [B, H, W]; every value outside 0..C-1 (255) is ignored.
    class_weights: C weights >= 0, or None for all 1.
    average_all: divide by the number of all pixels, as DAFormer does, and not
      by the number (or weight) of those that have a class.
    axis: name of the mapped axis over which the batch extends, or None: see
      `ops.batch.count`.

  Returns:
    A scalar, float32 or better.

  Example:
    -log 1/4, from the first pixel alone:

    >>> logits = jnp.log(jnp.array([[[[0.75, 0.25], [0.5, 0.5]]]]))
    >>> print(f'{cross_entropy(logits, jnp.array([[[1, 255]]])):.3f}')
    1.386
  """
  nll, one_hot, labelled = _log_likelihood(logits, label)
  weight = labelled.astype(nll.dtype)
  if class_weights is not None:
    per_class = jnp.asarray(class_weights, nll.dtype).reshape(1, 1, 1, -1)
    weight = jnp.sum(jnp.where(one_hot, per_class, 0), -1)
  if average_all:
    return jnp.mean(nll * weight)
  total = batch.count(weight, axis=axis)
  return jnp.sum(nll * weight) / jnp.where(total > 0, total, 1)


def weighted_cross_entropy(
  logits: jax.Array, label: jax.Array, weight: jax.Array
) -> jax.Array:
  """Returns the mean of negative log likelihood times weight over all pixels.

  Ignored pixels and small weights make the loss smaller, as in the official
  DACS and CorDA.

  Args:
    logits: [B, H, W, C].
    label: int [B, H, W]; pixels outside 0..C-1 (255) contribute 0.
    weight: [B, H, W] >= 0.

  Returns:
    A scalar, float32 or better.

  Example:
    (0.5 log 4 + 0) / 2:

    >>> logits = jnp.log(jnp.array([[[[0.75, 0.25], [0.5, 0.5]]]]))
    >>> label, weight = jnp.array([[[1, 255]]]), jnp.array([[[0.5, 1.0]]])
    >>> print(f'{weighted_cross_entropy(logits, label, weight):.3f}')
    0.347
  """
  nll, _, labelled = _log_likelihood(logits, label)
  return jnp.mean(nll * jnp.where(labelled, weight, 0))


def with_detail(
  loss: Callable[..., jax.Array],
  logits: jax.Array,
  maps: Sequence[jax.Array],
  *,
  detail: Mapping[str, jax.Array] | None = None,
  weight: float = 0.1,
) -> jax.Array:
  """Returns the loss of a network, with that of its detail crop if it has one.

  HRDA (Hoyer et al., ECCV 2022, section 3.3): (1 - weight) * loss of the fused
  logits + weight * loss of the crop's own logits against the same part of the
  maps.

  Args:
    loss: (logits, *maps) -> scalar.
    logits: [B, H, W, C], the fused ones.
    maps: each [B, H, W]: labels, weights.
    detail: 'logits' [B, h, w, C] of a crop and 'box' int [2], its (top, left);
      None for a network with one resolution, whose loss alone is returned.
    weight: weight of the crop's loss, 0..1.

  Returns:
    A scalar.

  Example:
    0.75 * (1 + 2 + 3) + 0.25 * (10 + 3), as the crop is the last pixel:

    >>> loss = lambda logits, label: jnp.sum(logits[..., 0] + label)
    >>> label, box = jnp.array([[[1, 2, 3]]]), jnp.array([0, 2])
    >>> detail = {'logits': jnp.full((1, 1, 1, 1), 10.0), 'box': box}
    >>> fused = jnp.zeros((1, 1, 3, 1))
    >>> print(with_detail(loss, fused, [label], detail=detail, weight=0.25))
    7.75
  """
  whole = loss(logits, *maps)
  if detail is None:
    return whole
  size = detail['logits'].shape[1:3]
  parts = [image_ops.cut_box(x, detail['box'], size) for x in maps]
  return (1 - weight) * whole + weight * loss(detail['logits'], *parts)


def _log_likelihood(logits, label):
  """Returns (-log p [B, H, W], one-hot labels, whether there is a label)."""
  logits = logits.astype(jnp.promote_types(logits.dtype, jnp.float32))
  classes = logits.shape[-1]
  # A comparison with an iota, not a gather, whose transpose is a scatter.
  ids = jnp.arange(classes).reshape(1, 1, 1, -1)
  one_hot = label[..., None] == ids
  chosen = jnp.sum(jnp.where(one_hot, logits, 0), -1)
  nll = jax.nn.logsumexp(logits, -1) - chosen
  return nll, one_hot, (label >= 0) & (label < classes)
