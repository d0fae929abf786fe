"""Metric depth and the inverse depth that the references regress."""

import jax
import jax.numpy as jnp


def invert_depth(metres: jax.Array) -> jax.Array:
  """Inverse depth 655.36 / (m + 0.01).

  The same number as DADA's 65536 / (cm + 1): 0 m -> 65536, 1 m -> 648.87,
  10 m -> 65.47, 100 m -> 6.553, 655.35 m (the largest 16-bit value, sky) -> 1.

  Args:
    metres: [...], >= 0.
  """
  return 655.36 / (metres + 0.01)


def restore_depth(inverse: jax.Array) -> jax.Array:
  """Metres from inverse depth: 655.36 / z - 0.01.

  Predictions are linear and can be anything; they are clipped to what a 16-bit
  centimetre can mean, 1 <= z <= 65536, so the result is in [0, 655.35] metres.
  """
  return 655.36 / jnp.clip(inverse, 1.0, 65536.0) - 0.01
