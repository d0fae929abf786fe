"""Times a method's training step with the given rewrites.

Steps are compiled one after another and timed in turns, so that any other load
on the device affects all of them alike.
"""

import argparse
import statistics
import time
from typing import Any

import benchmark
import jax
import necessary

from accelerator import kernels
from accelerator import precisions
from accelerator import report
from accelerator import settings
from jaxuda.step import parallel
from jaxuda.step import rng

_GIB = 2**30


class Case(benchmark.Variant):
  """A method's compiled step in its paper's setting, with its state."""

  def __init__(
    self,
    name: str,
    *,
    precision: str,
    rewrites: str,
    small: bool = False,
    network: dict[str, Any] | None = None,
  ):
    """Compiles the step without running it.

    Args:
      name: name of the method.
      precision: see `precisions`.
      rewrites: rewrites in the format of `benchmark.py --rewrites`.
      small: whether to use small sizes, for CPUs.
      network: further fields of `config.network`.
    """
    config = settings.make_config(name, small=small)
    config.network.update(benchmark.parse_rewrites(rewrites))
    config.network.update(network or {})
    config.network.dtype = precisions.dtype(precision)
    self.rewrites = rewrites
    self.method = settings.make_method(config)
    self.sizes = benchmark.sizes_of(config)
    batch = settings.make_batch(config, self.method)
    self.key = rng.root(0)
    self.state = settings.make_state(self.method, batch)
    self.needed = necessary.count(self.method, self.state, batch, self.sizes)
    self.batch = next(parallel.prefetch(iter([batch]), size=0))
    step = parallel.pmap_step(self.method.train_step)
    with precisions.use(precision):
      lowered = step.lower(self.state, self.batch, self.key)
    begin = time.perf_counter()
    self.step = lowered.compile()
    self.compile_s = time.perf_counter() - begin
    self.seconds = []
    self.unwaited = []

  def first(self) -> dict[str, float]:
    """Takes the first step and returns its losses."""
    self.state, losses = self.step(self.state, self.batch, self.key)
    return {k: float(v) for k, v in losses.items()}

  def run_unwaited(self, count: int) -> None:
    """Takes `count` steps as in training: the host does not wait."""
    begin = time.perf_counter()
    for _ in range(count):
      self.state, _ = self.step(self.state, self.batch, self.key)
    jax.block_until_ready(self.state)
    self.unwaited.append((time.perf_counter() - begin) / count)

  def costs(self) -> dict[str, Any]:
    """Returns the costs of the compiled step according to the compiler."""
    cost = self.step.cost_analysis()
    cost = cost[0] if isinstance(cost, list) else cost
    memory = self.step.memory_analysis()
    whole = (
      memory.temp_size_in_bytes
      + memory.argument_size_in_bytes
      + memory.output_size_in_bytes
      - memory.alias_size_in_bytes
    )
    return {
      'compile_seconds': self.compile_s,
      **benchmark.named(self.needed),
      'flops': cost.get('flops', 0.0) * jax.device_count(),
      'bytes_accessed': cost.get('bytes accessed', 0.0) * jax.device_count(),
      'compiled_gib': whole / _GIB,
      'compiled_temp_gib': memory.temp_size_in_bytes / _GIB,
    }

  def times(self) -> dict[str, float]:
    """Returns the measured times."""
    return {
      'seconds_median': statistics.median(self.seconds),
      'seconds_best': min(self.seconds),
      'seconds_unwaited': statistics.median(self.unwaited),
      'seconds_spread': max(self.seconds) - min(self.seconds),
    }


def _time(cases, *, rounds, steps):
  """Times cases in turns and records the results."""
  for case, _ in cases:
    case.run(2)
    case.seconds.clear()
    case.unwaited.clear()
  for _ in range(rounds):
    for case, _ in cases:
      case.run(steps)
      case.run_unwaited(steps)
  for case, entry in cases:
    entry |= case.times()


def measure(args: argparse.Namespace) -> None:
  """Compiles and times every method with every choice of rewrites."""
  begin = time.perf_counter()
  found = {'precision': args.precision, 'cases': []}
  found['device_count'] = jax.device_count()
  network = {'norm': args.norm} if args.norm else {}
  for name in args.method:
    # The next case takes at most as long as the last one: kernels that were
    # tuned for one are known to the next.
    last, cases = 0.0, []
    for rewrites in args.rewrites or ['auto']:
      entry = {'method': name, 'rewrites': rewrites, **network}
      found['cases'].append(entry)
      start = time.perf_counter()
      if start - begin + last > args.seconds:
        entry['skipped'] = 'no time left'
        continue
      case = Case(
        name,
        precision=args.precision,
        rewrites=rewrites,
        small=args.small,
        network=network,
      )
      entry |= {'first_losses': case.first(), **case.costs()}
      cases.append((case, entry))
      _time(cases[-1:], rounds=1, steps=args.steps)
      report.write(args.part, found)
      last = time.perf_counter() - start
    _time(cases, rounds=args.rounds, steps=args.steps)
    found |= benchmark.peak_memory()
    report.write(args.part, found)
    for case, entry in cases[: args.kernels]:
      entry['kernels'] = kernels.measure(case)
      report.write(args.part, found)
    del cases


def main() -> None:
  """Runs the stage."""
  parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
  report.add_flags(parser)
  add = parser.add_argument
  add('--method', action='append', required=True)
  add('--precision', default='float32', choices=precisions.NAMES)
  add('--rewrites', action='append', help='may be repeated')
  add('--norm', default='', help="norm of the network; empty: the paper's")
  add('--devices', type=int, default=0, help='CPU devices to simulate')
  add('--rounds', type=int, default=5)
  add('--steps', type=int, default=4)
  add('--kernels', type=int, default=0, help='number of cases timed by kernel')
  args = parser.parse_args()
  if args.devices:
    jax.config.update('jax_num_cpu_devices', args.devices)
  measure(args)


if __name__ == '__main__':
  main()
