"""Pseudo-labels and their weights."""

import jax
from jax import lax
import jax.numpy as jnp


def pseudo_label(logits: jax.Array) -> tuple[jax.Array, jax.Array]:
  """Returns the best class of every pixel and its probability.

  Args:
    logits: [..., C].

  Returns:
    (int32 [...], [...] in 1/C..1, float32 or better).

  Example:
    >>> print(*pseudo_label(jnp.log(jnp.array([[0.25, 0.75], [0.5, 0.5]]))))
    [1 0] [0.75 0.5 ]
  """
  logits = logits.astype(jnp.promote_types(logits.dtype, jnp.float32))
  highest = jnp.max(logits, -1)
  confidence = jnp.exp(highest - jax.nn.logsumexp(logits, -1))
  return jnp.argmax(logits, -1).astype(jnp.int32), confidence


def pseudo_weight(
  confidence: jax.Array,
  *,
  mode: str = 'batch',
  threshold: float = 0.968,
  axis: str | None = None,
) -> jax.Array:
  """Weights pseudo-labels by the probability of their class.

  Args:
    confidence: [B, H, W] in 0..1.
    mode: 'batch': every pixel gets the share of the batch's pixels that reach
      the threshold (DACS and CorDA); 'pixel': those pixels get 1, the others 0
      (an option in DACS's code); 'none': all get 1.
    threshold: smallest probability of a confident pixel; 0.968 in DACS and
      CorDA.
    axis: name of the mapped axis over which the batch extends, or None.

  Returns:
    [B, H, W] in 0..1.

  Example:
    >>> confidence = jnp.array([[[0.97, 0.9]]])
    >>> print(pseudo_weight(confidence))
    [[[0.5 0.5]]]
  """
  if mode == 'none':
    return jnp.ones_like(confidence)
  sure = (confidence >= threshold).astype(confidence.dtype)
  if mode == 'pixel':
    return sure
  share = jnp.mean(sure)
  if axis is not None:
    share = lax.pmean(share, axis)
  return jnp.full_like(confidence, 1) * share
