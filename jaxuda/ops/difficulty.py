"""How hard a pixel is to adapt, seen from depth (CorDA, section 3.3, eq. 9).

Where the depth decoders of both domains agree, the pixel looks the same to
either, and its pseudo-label is believed.
"""

import jax
from jax import lax
import jax.numpy as jnp

MODES = ('per_image', 'batch_mean', 'paper', 'none')


def depth_agreement(
  source: jax.Array,
  target: jax.Array,
  depth: jax.Array,
  *,
  valid: jax.Array,
  floor: float = 1e-3,
) -> jax.Array:
  """Returns relu(1 - |source - target| / depth) + floor, at most 1.

  No gradient passes: it is a weight.

  Args:
    source: [B, H, W], the source's depth decoder, inverse depth.
    target: [B, H, W], the target's depth decoder on the same image.
    depth: [B, H, W] > 0, what both should say: the (pseudo) inverse depth.
    valid: bool [B, H, W]; where there is no depth, the result is 1.
    floor: 1e-3 in the official code, 0 in the paper.
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
  """Weighs the pixels of mixed images by the agreement of the depth decoders.

  Args:
    weight: [B, H, W], 1 where the source was pasted, the pseudo-labels' weight
      elsewhere.
    agreement: [B, H, W], see `depth_agreement`. For 'paper' that of the target
      image, 1 where the source was pasted.
    mode: 'batch_mean': weight times the mean of the agreement over the images
      of the batch, pixel by pixel, over its mean. The official code does that:
      shapes (B, H, W) and (B, 1, H, W) are broadcast against each other. The
      published numbers come from it. 'per_image': weight times agreement over
      its mean, what the code seems to mean. 'paper': weight times agreement.
      'none': weight.
    axis: name of the mapped axis over which the batch extends, or None.

  Returns:
    [B, H, W].
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
