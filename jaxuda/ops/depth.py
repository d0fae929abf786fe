"""Metric depth and the inverse depth that the references regress."""

import dataclasses

import jax
import jax.numpy as jnp

from jaxuda import errors

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


@dataclasses.dataclass(frozen=True, kw_only=True)
class Scale:
  """Depth of a whole dataset brought to [0, 1], as GIO-Ada has it.

  Attributes:
    encoding: 'linear': near is 0 and far is 1; 'inverse': far is 0 and near is
      1, linear in `invert_depth`.
    near, far: metres, what is nearer or farther is clipped to.
  """

  encoding: str
  near: float
  far: float

  def check(self) -> None:
    """Checks the range.

    Raises:
      UserError: it is empty or negative.
    """
    if not 0 <= self.near < self.far:
      raise errors.UserError(
        f'method.depth_near={self.near} and depth_far={self.far}; expected'
        ' 0 <= depth_near < depth_far'
      )

  def encode(self, metres: jax.Array) -> jax.Array:
    """Returns values in 0..1 of metres [...]."""
    metres = jnp.clip(metres, self.near, self.far)
    if self.encoding == 'linear':
      return (metres - self.near) / (self.far - self.near)
    first, last = invert_depth(self.far), invert_depth(self.near)
    return (invert_depth(metres) - first) / (last - first)

  def decode(self, values: jax.Array) -> jax.Array:
    """Returns metres in near..far; values outside 0..1 are clipped."""
    values = jnp.clip(values, 0.0, 1.0)
    if self.encoding == 'linear':
      return self.near + values * (self.far - self.near)
    first, last = invert_depth(self.far), invert_depth(self.near)
    metres = 655.36 / (first + values * (last - first)) - 0.01
    return jnp.clip(metres, self.near, self.far)
