"""Measures images per second of `jaxuda.predict`, and of its network alone."""

import argparse
import statistics
import time
from typing import Any

import benchmark_predict
import jax
import jax.numpy as jnp
import numpy as np

from accelerator import report
from accelerator import settings
from jaxuda.predict import prediction
from jaxuda.run import workdir

_PICTURE = (1024, 2048)


def make_run(*, small: bool) -> workdir.Run:
  """Returns a run of DADA's network with random weights."""
  config = settings.make_config('dada', small=small)
  method = settings.make_method(config)
  batch = settings.make_batch(config, method)
  state = settings.make_state(method, batch)
  return workdir.Run(config=config, method=method, state=state, step=0)


def network_alone(run: Any, *, batch_size: int, count: int = 20) -> float:
  """Returns images per second at the network's size, with images on device."""
  size = tuple(run.config.data.target.size)
  generator = np.random.default_rng(0)
  shape = (batch_size, *size, 3)
  images = jax.device_put(generator.integers(0, 256, shape).astype(np.uint8))

  @jax.jit
  def label(state, images):
    logits = run.method.predict(state, images)['logits']
    return jnp.argmax(logits, -1).astype(jnp.uint8)

  seconds = []
  for _ in range(3 + count):
    begin = time.perf_counter()
    jax.block_until_ready(label(run.state, images))
    seconds.append(time.perf_counter() - begin)
  return batch_size / statistics.median(seconds[3:])


def main() -> None:
  """Runs the stage."""
  parser = argparse.ArgumentParser(description=__doc__)
  report.add_flags(parser)
  add = parser.add_argument
  add('--dtype', action='append', choices=benchmark_predict.WAYS[:2])
  add('--batch_size', action='append', type=int)
  args = parser.parse_args()
  run = make_run(small=args.small)
  size = tuple(run.config.data.target.size)
  found = {'size': size, 'rates': []}
  for dtype in args.dtype or ('bfloat16', 'float32'):
    for batch_size in args.batch_size or (8, 1):
      entry = {'dtype': dtype, 'batch_size': batch_size}
      entry['network_alone'] = network_alone(
        prediction.computing_in(run, dtype), batch_size=batch_size
      )
      found['rates'].append(entry)
      report.write(args.part, found)
      rates = benchmark_predict.measure(
        run,
        [dtype],
        image=size if args.small else _PICTURE,
        batch_size=batch_size,
        count=batch_size if args.small else 32,
        rounds=1 if args.small else 3,
      )
      entry['predict'] = rates[dtype][0]
      report.write(args.part, found)


if __name__ == '__main__':
  main()
