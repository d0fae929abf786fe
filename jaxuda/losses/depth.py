"""Losses for depth regression."""

import jax
from jax import lax
import jax.numpy as jnp

from jaxuda.ops import batch


def berhu(
  prediction: jax.Array,
  target: jax.Array,
  *,
  mask: jax.Array | None = None,
  axis: str | None = None,
) -> jax.Array:
  """Returns the mean reverse Huber loss (DADA eqs. 2-3, Laina et al. 2016).

  A pixel contributes |e| where |e| <= c and (e^2 + c^2) / (2 c) beyond, with
  c = max |e| / 5 over the whole batch and without gradient, as in the official
  code. The paper writes a sum over pixels. The loss is 0 if all residuals are
  zero (NaN in the references) or no pixel is valid (where they fail). It is
  always float32 or better: an inverse depth of 65536 overflows half precision.

  Args:
    prediction: [B, H, W], inverse depth.
    target: [B, H, W], inverse depth.
    mask: bool [B, H, W], the pixels that count, or None for all of them. The
      official DADA has none; CorDA's is `target != 1`.
    axis: name of the mapped axis over which the batch extends, or None: see
      `ops.batch.count`. Without it each device has a c of its own, as in the
      references on several devices.

  Returns:
    A scalar, float32 or better.

  Example:
    Here c is 2: (0.5 + 1 + 2 + (10^2 + 2^2) / 4) / 4.

    >>> prediction = jnp.array([[[0.5, 1, 2, 10]]])
    >>> print(berhu(prediction, jnp.zeros((1, 1, 4))))
    7.375
  """
  wide = jnp.promote_types(prediction.dtype, jnp.float32)
  error = prediction.astype(wide) - target.astype(wide)
  # Not jnp.abs, whose gradient at 0 is 1: PyTorch's is 0.
  residual = error * lax.stop_gradient(jnp.sign(error))
  count = residual.size
  if mask is not None:
    residual = jnp.where(mask, residual, 0)
    count = _count(mask, axis)
  c = batch.largest(residual, axis=axis) / 5
  safe = jnp.where(c > 0, c, 1)
  beyond = (lax.square(residual) + lax.square(c)) / (2 * safe)
  return jnp.sum(jnp.where(residual <= c, residual, beyond)) / count


def absolute(
  prediction: jax.Array,
  target: jax.Array,
  *,
  mask: jax.Array | None = None,
  axis: str | None = None,
) -> jax.Array:
  """Returns the mean absolute error over the pixels that count (GIO-Ada's L1).

  Args:
    prediction: [B, H, W].
    target: [B, H, W], in the same unit.
    mask: bool [B, H, W], the pixels that count, or None for all of them.
    axis: name of the mapped axis over which the batch extends, or None: see
      `ops.batch.count`.

  Returns:
    A scalar, float32 or better; 0 if no pixel counts.

  Example:
    >>> prediction, target = jnp.array([[[1.0, 9.0]]]), jnp.zeros((1, 1, 2))
    >>> print(absolute(prediction, target, mask=prediction < 5))
    1.0
  """
  wide = jnp.promote_types(prediction.dtype, jnp.float32)
  error = prediction.astype(wide) - target.astype(wide)
  # Not jnp.abs, whose gradient at 0 is 1: PyTorch's is 0.
  residual = error * lax.stop_gradient(jnp.sign(error))
  if mask is None:
    return jnp.mean(residual)
  return jnp.sum(jnp.where(mask, residual, 0)) / _count(mask, axis)


def _count(mask, axis):
  """The number of pixels that count; 1 if none does."""
  count = batch.count(mask, axis=axis)
  return jnp.where(count > 0, count, 1)
