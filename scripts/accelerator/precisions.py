"""In which arithmetic a step is computed.

`float32` is all of its bits; `tf32` what JAX does with float32 unless it is
told otherwise, which on NVIDIA's matrix units is 10 bits of fraction (on a CPU
it is float32); `bfloat16` are layers that compute in it, with parameters,
statistics and losses in float32.
"""

import contextlib

import jax

NAMES = ('float32', 'tf32', 'bfloat16')


def dtype(precision: str) -> str:
  """Returns the layers' dtype."""
  return 'bfloat16' if precision == 'bfloat16' else 'float32'


def use(precision: str) -> contextlib.AbstractContextManager:
  """Returns the context in which a program is to be traced."""
  return jax.default_matmul_precision(
    'highest' if precision == 'float32' else 'default'
  )
