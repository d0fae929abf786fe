"""Adaptation difficulty of pixels, from depth (CorDA, section 3.3, eq. 9).

Where the depth decoders of the two domains agree, the pixel looks the same to
both, and its pseudo-label is trusted.
"""

import jax
from jax import lax
import jax.numpy as jnp


def depth_agreement(
  source: jax.Array,
  target: jax.Array,
  depth: jax.Array,
  *,
  valid: jax.Array,
  floor: float = 1e-3,
) -> jax.Array:
  """Returns relu(1 - |source - target| / depth) + floor, at most 1.

  It is a weight and passes no gradient.

  Args:
    source: [B, H, W], output of the source's depth decoder, inverse depth.
    target: [B, H, W], output of the target's depth decoder on the same image.
    depth: [B, H, W] > 0, the (pseudo) inverse depth that both should give.
    valid: bool [B, H, W]; the result is 1 where it is False.
    floor: smallest agreement; 1e-3 in the official code, 0 in the paper.

  Returns:
    [B, H, W] in floor..1.

  Example:
    >>> source, target = jnp.array([[[8.0, 30, 8]]]), jnp.full((1, 1, 3), 10.0)
    >>> valid = jnp.array([[[True, True, False]]])
    >>> print(depth_agreement(source, target, target, valid=valid, floor=0.0))
    [[[0.8 0.  1. ]]]
  """
  score = jax.nn.relu(1 - jnp.abs(source - target) / depth) + floor
  weight = jnp.where(valid, jnp.minimum(score, 1), 1)
  return lax.stop_gradient(weight)


def apply_difficulty(
  weight: jax.Array,
  agreement: jax.Array,
  *,
  mode: str = 'batch_mean',
  axis: str | None = None,
) -> jax.Array:
  """Weights the pixels of mixed images by the agreement of the depth decoders.

  Args:
    weight: [B, H, W], 1 where the source was pasted and the weight of the
      pseudo-labels elsewhere.
    agreement: [B, H, W], see `depth_agreement`. For 'paper' that of the target
      image, 1 where the source was pasted.
    mode: 'batch_mean': weight times the agreement's mean over the batch, pixel
      by pixel, divided by its overall mean. The official code does this, by
      broadcasting shapes (B, H, W) and (B, 1, H, W) against each other, and the
      published numbers come from it. 'per_image': weight times agreement
      divided by its mean, which the code seems to intend. 'paper': weight times
      agreement. 'none': weight.
    axis: name of the mapped axis over which the batch extends, or None.

  Returns:
    [B, H, W].

  Example:
    >>> weight, agreement = jnp.ones((1, 1, 2)), jnp.array([[[0.75, 0.25]]])
    >>> print(apply_difficulty(weight, agreement, mode='per_image'))
    [[[1.5 0.5]]]
  """
  if mode == 'none':
    return weight
  if mode == 'paper':
    return weight * agreement

  def mean(x):
    return x if axis is None else lax.pmean(x, axis)

  scale = mean(jnp.mean(agreement))
  if mode == 'batch_mean':
    agreement = mean(jnp.mean(agreement, 0, keepdims=True))
    agreement = jnp.broadcast_to(agreement, weight.shape)
  return weight * agreement / scale
