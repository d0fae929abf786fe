"""The precisions in which a step is computed.

`float32` uses full precision; `tf32` is JAX's default for float32, which means
10 bits of fraction on NVIDIA's matrix units (and float32 on a CPU); with
`bfloat16` the layers compute in it, while parameters, statistics and losses are
float32.
"""

import contextlib

import jax

NAMES = ('float32', 'tf32', 'bfloat16')


def dtype(precision: str) -> str:
  """Returns the layers' dtype."""
  return 'bfloat16' if precision == 'bfloat16' else 'float32'


def use(precision: str) -> contextlib.AbstractContextManager:
  """Returns the context in which a program must be traced."""
  return jax.default_matmul_precision(
    'highest' if precision == 'float32' else 'default'
  )
