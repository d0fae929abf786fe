"""Metric depth and the inverse depth that the references regress."""

import jax
import jax.numpy as jnp

ENCODINGS = ('linear', 'inverse')


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


def normalize_depth(
  metres: jax.Array, *, encoding: str, near: float, far: float
) -> jax.Array:
  """Depth of a whole dataset brought to [0, 1], as GIO-Ada has it.

  Args:
    metres: [...], >= 0; clipped to near..far.
    encoding: 'linear': near is 0 and far is 1; 'inverse': far is 0 and near is
      1, linear in `invert_depth`.
    near: metres.
    far: metres, > near.
  """
  metres = jnp.clip(metres, near, far)
  if encoding == 'linear':
    return (metres - near) / (far - near)
  first, last = invert_depth(far), invert_depth(near)
  return (invert_depth(metres) - first) / (last - first)


def denormalize_depth(
  values: jax.Array, *, encoding: str, near: float, far: float
) -> jax.Array:
  """Metres in near..far of what `normalize_depth` gave; others are clipped."""
  values = jnp.clip(values, 0.0, 1.0)
  if encoding == 'linear':
    return near + values * (far - near)
  first, last = invert_depth(far), invert_depth(near)
  return jnp.clip(655.36 / (first + values * (last - first)) - 0.01, near, far)
