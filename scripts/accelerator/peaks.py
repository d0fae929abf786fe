"""Measures a device's peaks: matrix products and copies of random data."""

import argparse
from collections.abc import Callable
import statistics
import time
from typing import Any

import jax
import jax.numpy as jnp

from accelerator import precisions
from accelerator import report

_ROUNDS, _CALLS = 7, 10


def _seconds(fn: Callable, *args) -> float:
  """Returns the median seconds of a call, in series without waiting."""
  found = []
  for _ in range(2 + _ROUNDS):
    begin = time.perf_counter()
    # Only the last result is kept, so that they do not pile up.
    for _ in range(_CALLS):
      last = fn(*args)
    jax.block_until_ready(last)
    found.append((time.perf_counter() - begin) / _CALLS)
  return statistics.median(found[2:])


def matmul(precision: str, *, side: int) -> float:
  """Returns operations per second of a square matrix product."""
  keys = jax.random.split(jax.random.key(0))
  dtype = precisions.dtype(precision)
  a, b = (jax.random.normal(key, (side, side), dtype) for key in keys)
  with precisions.use(precision):
    product = jax.jit(jnp.matmul).lower(a, b).compile()
  return 2 * side**3 / _seconds(product, a, b)


def copy(*, gib: float) -> float:
  """Returns bytes per second, read and written, of adding 1 to an array."""
  x = jax.random.normal(jax.random.key(0), (int(gib * 2**28),))
  return 2 * x.nbytes / _seconds(jax.jit(lambda x: x + 1), x)


def describe() -> dict[str, Any]:
  """Describes the device and the versions."""
  device = jax.local_devices()[0]
  stats = device.memory_stats() or {}
  return {
    'device': device.device_kind,
    'platform': device.platform,
    'device_count': jax.device_count(),
    'device_gib': stats.get('bytes_limit', 0) / 2**30,
    'compute_capability': getattr(device, 'compute_capability', ''),
    'runtime': getattr(device.client, 'platform_version', ''),
    'jax': jax.__version__,
  }


def main() -> None:
  """Runs the stage."""
  parser = argparse.ArgumentParser(description=__doc__)
  report.add_flags(parser)
  args = parser.parse_args()
  side, gib = (256, 2**-6) if args.small else (8192, 2)
  found = describe()
  report.write(args.part, found)
  found['side'] = side
  found['copy_bytes_per_second'] = copy(gib=gib)
  found['matmul_flops'] = {}
  for name in precisions.NAMES:
    found['matmul_flops'][name] = matmul(name, side=side)
    report.write(args.part, found)


if __name__ == '__main__':
  main()
