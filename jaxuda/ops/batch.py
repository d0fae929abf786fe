"""Quantities over a whole batch, of which each device has a share."""

import jax
from jax import lax
import jax.numpy as jnp


def count(mask: jax.Array, *, axis: str | None = None) -> jax.Array:
  """Counts the True entries of a device's share, or their mean over devices.

  A sum over a device's entries, divided by the mean count, is what the device
  contributes to the mean over the whole batch: averaged over the devices, these
  quotients and their gradients are those of the batch.

  Args:
    mask: bool of any shape, or weights >= 0, which are summed.
    axis: name of the mapped axis over which the batch extends, or None to take
      the share for the batch.

  Returns:
    A scalar without gradient, of the mask's type or float32 for bool.

  Example:
    >>> shares = jnp.array([[True, True], [True, False]])
    >>> print(count(shares[0]), count(shares))
    2.0 3.0
    >>> print(jax.vmap(lambda x: count(x, axis='i'), axis_name='i')(shares))
    [1.5 1.5]
  """
  total = jnp.sum(lax.stop_gradient(mask))
  if mask.dtype == bool:
    total = total.astype(jnp.float32)
  return mean(total, axis=axis)


def mean(share: jax.Array, *, axis: str | None = None) -> jax.Array:
  """Averages an array over the devices; returns it as is if `axis` is None.

  Example:
    >>> values = jnp.array([1.0, 2.0])
    >>> print(jax.vmap(lambda x: mean(x, axis='i'), axis_name='i')(values))
    [1.5 1.5]
  """
  return share if axis is None else lax.pmean(share, axis)


def largest(values: jax.Array, *, axis: str | None = None) -> jax.Array:
  """Returns the largest entry of a share, or of all devices' shares.

  Args:
    values: of any shape.
    axis: see `count`.

  Returns:
    A scalar without gradient.

  Example:
    >>> shares = jnp.array([[1.0, 2.0], [3.0, 0.0]])
    >>> print(jax.vmap(lambda x: largest(x, axis='i'), axis_name='i')(shares))
    [3. 3.]
  """
  greatest = jnp.max(lax.stop_gradient(values))
  return greatest if axis is None else lax.pmax(greatest, axis)
