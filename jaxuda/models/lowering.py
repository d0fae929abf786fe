"""The platform that a program is traced for, and values that it must hold.

XLA recomputes an elementwise value wherever it is used if it considers that
cheaper than reading it. In a chain of residual additions it is not: each block
then repeats all additions before it. `hold` marks where to stop.
"""

from typing import Any

import jax
from jax import lax
from jax.experimental import xla_metadata

_target = ''


def platform() -> str:
  """Returns the platform that a program is traced for: 'cpu', 'gpu', 'tpu'."""
  return _target or jax.default_backend()


def trace_for(name: str) -> None:
  """Sets the platform that later tracing is for; '' for JAX's own."""
  global _target
  _target = name


_held = jax.jit(lax.optimization_barrier)


def hold(x: Any) -> Any:
  """Returns x, with its value and its cotangent each written only once.

  On CPUs it is a function that XLA does not inline, because XLA drops
  optimisation barriers there before it decides what to compute twice (jax 0.10
  to 0.12). It copies nothing.

  Args:
    x: an array, or a tree of them.

  Example:
    >>> print(hold(jax.numpy.arange(3.0)))
    [0. 1. 2.]
  """
  if platform() != 'cpu':
    return lax.optimization_barrier(x)
  with xla_metadata.set_xla_metadata(inlineable='false'):
    return _held(x)


@jax.custom_vjp
def hold_cotangent(x: jax.Array) -> jax.Array:
  """Returns x, with its cotangent written once, before it is used."""
  return x


hold_cotangent.defvjp(lambda x: (x, None), lambda _, g: (hold(g),))
