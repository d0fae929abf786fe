"""Metric depth and the inverse depth that networks regress."""

import dataclasses

import jax
import jax.numpy as jnp

from jaxuda import errors


def invert_depth(metres: jax.Array) -> jax.Array:
  """Returns inverse depth 655.36 / (m + 0.01).

  It is the same number as DADA's 65536 / (cm + 1).

  Args:
    metres: [...], in 0..655.35; the upper end, the largest 16-bit value, means
      sky.

  Returns:
    [...], in 65536..1.

  Example:
    >>> [round(invert_depth(metres), 3) for metres in (0.0, 9.99, 655.35)]
    [65536.0, 65.536, 1.0]
  """
  return 655.36 / (metres + 0.01)


def restore_depth(inverse: jax.Array) -> jax.Array:
  """Returns the depth in metres of an inverse depth z, 655.36 / z - 0.01.

  Predictions are linear and can have any value; they are clipped to the range
  of 16-bit centimetres, 1 <= z <= 65536.

  Args:
    inverse: [...], inverse depth.

  Returns:
    [...], metres in 0..655.35.

  Example:
    >>> print([f'{restore_depth(inverse):.2f}' for inverse in (65.536, -3.0)])
    ['9.99', '655.35']
  """
  return 655.36 / jnp.clip(inverse, 1.0, 65536.0) - 0.01


@dataclasses.dataclass(frozen=True, kw_only=True)
class Scale:
  """Maps the depth of a whole dataset to 0..1, as in GIO-Ada.

  Attributes:
    encoding: 'linear': near is 0 and far is 1; 'inverse': far is 0 and near is
      1, linear in `invert_depth`.
    near, far: limits in metres, to which depths outside are clipped.

  Example:
    >>> scale = Scale(encoding='linear', near=0.0, far=100.0)
    >>> print(scale.encode(jnp.array([25.0, 200.0])), scale.decode(0.5))
    [0.25 1.  ] 50.0
  """

  encoding: str
  near: float
  far: float

  def check(self) -> None:
    """Checks the range.

    Raises:
      UserError: the range is empty or negative.
    """
    if not 0 <= self.near < self.far:
      raise errors.UserError(
        f'method.depth_near={self.near} and depth_far={self.far}; expected'
        ' 0 <= depth_near < depth_far'
      )

  def encode(self, metres: jax.Array) -> jax.Array:
    """Returns values in 0..1 for metres, both [...]."""
    metres = jnp.clip(metres, self.near, self.far)
    if self.encoding == 'linear':
      return (metres - self.near) / (self.far - self.near)
    first, last = invert_depth(self.far), invert_depth(self.near)
    return (invert_depth(metres) - first) / (last - first)

  def decode(self, values: jax.Array) -> jax.Array:
    """Returns metres in near..far for values [...], clipped to 0..1."""
    values = jnp.clip(values, 0.0, 1.0)
    if self.encoding == 'linear':
      return self.near + values * (self.far - self.near)
    first, last = invert_depth(self.far), invert_depth(self.near)
    metres = 655.36 / (first + values * (last - first)) - 0.01
    return jnp.clip(metres, self.near, self.far)
