"""Measures time, memory and operations of a training step, as JSON.

  python scripts/benchmark.py --method=dada --source=256x512 --target=256x512
  python scripts/benchmark.py --rewrites=all --rewrites=none --rounds=5
  python scripts/benchmark.py --method=corda --count
  python scripts/benchmark.py --config=hrda:pair=gta2cityscapes --count

Needs no TensorFlow and no data. Every variant (one per `--rewrites`) runs in
interleaved rounds in one process, next to a matrix product that measures the
machine's peak, so that shares and ratios are meaningful on a noisy machine.

`necessary_flops` and `necessary_bytes` are the least that a step can do with,
see `necessary`.
"""

import argparse
from collections.abc import Callable
import dataclasses
import json
import math
import re
import resource
import statistics
import sys
import time
from typing import Any

import benchmark_input
import jax
import jax.numpy as jnp
import necessary
import numpy as np

from jaxuda import errors
from jaxuda import methods
from jaxuda.models import rewrites
from jaxuda.run import own_classes
from jaxuda.step import parallel
from jaxuda.step import rng
from jaxuda.ui import command

_REWRITES = tuple(field.name for field in dataclasses.fields(rewrites.Rewrites))


@dataclasses.dataclass
class _Config:
  """The fields of a config that `methods.create` reads."""

  name: str
  num_classes: int
  total_steps: int
  network: dict[str, Any]
  method: dict[str, Any]

  def get(self, name, default):
    return getattr(self, name, default)


def parse_size(text: str) -> tuple[int, int]:
  """Parses '256x512' into (height, width).

  Raises:
    ArgumentTypeError: the text has another form.
  """
  match = re.fullmatch(r'([1-9]\d*)x([1-9]\d*)', text)
  if not match:
    raise argparse.ArgumentTypeError(
      f'{text!r}; expected HEIGHTxWIDTH, such as 256x512'
    )
  return int(match[1]), int(match[2])


def run(main: Callable[[], int]) -> int:
  """Returns a script's exit status; reports user errors in one line."""
  try:
    return main()
  except errors.UserError as e:
    command.report(str(e))
    return 1


def parse_rewrites(text: str) -> dict[str, str]:
  """Parses 'auto', 'all', 'none' or names joined by '+' into switches."""
  if text == 'auto':
    return dict.fromkeys(_REWRITES, text)
  names = {'all': _REWRITES, 'none': ()}.get(text, text.split('+'))
  unknown = set(names) - set(_REWRITES)
  if unknown:
    raise SystemExit(
      f'unknown rewrite {sorted(unknown)[0]!r}; expected auto, all, none or'
      f' names of {", ".join(_REWRITES)} joined by +'
    )
  return {name: 'on' if name in names else 'off' for name in _REWRITES}


def parse_fields(pairs: list[str]) -> dict[str, Any]:
  """Parses 'name=value' with values in JSON, or plain strings."""
  fields = {}
  for pair in pairs:
    name, _, value = pair.partition('=')
    try:
      fields[name] = json.loads(value)
    except ValueError:
      fields[name] = value
  return fields


def make_batch(needs, sizes, *, batch_size: int, classes: int):
  """Returns a random batch with the arrays that a method needs."""
  generator, batch = np.random.default_rng(0), {}
  for domain, fields in needs.items():
    shape = (batch_size, *sizes[domain])
    arrays = {
      'image': generator.integers(0, 256, (*shape, 3), np.uint8),
      'label': generator.integers(0, classes, shape, np.int32),
      'depth': generator.uniform(2, 100, shape).astype(np.float32),
      'place': np.tile(np.int32([0, 0, 0, *shape[1:]]), (batch_size, 1)),
    }
    batch[domain] = {field: arrays[field] for field in fields}
    if 'depth' in fields:
      batch[domain]['depth_valid'] = np.ones(shape, bool)
  return batch


def named(needs: necessary.Needs) -> dict[str, float]:
  """Returns the needs of a step under the names of the report."""
  return {f'necessary_{k}': v for k, v in needs._asdict().items()}


def matmul_peak(dtype: str, *, side: int) -> float:
  """Returns the best rate of a square matrix product, in operations/s."""
  a = jnp.ones((side, side), dtype) * 0.5
  product = jax.jit(lambda x: x @ x)
  product(a).block_until_ready()
  best = float('inf')
  for _ in range(5):
    start = time.perf_counter()
    product(a).block_until_ready()
    best = min(best, time.perf_counter() - start)
  return 2 * side**3 / best


def peak_memory() -> dict[str, float]:
  """Returns peak memory in GiB: of the process, and of a device if known."""
  rss = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
  result = {'peak_rss_gib': rss / 2**20}
  stats = jax.local_devices()[0].memory_stats()
  if stats:
    result['peak_device_gib'] = stats['peak_bytes_in_use'] / 2**30
  return result


def create(args: argparse.Namespace, names: str) -> tuple[Any, Any, Any]:
  """Returns the method with the named rewrites, a batch, and the sizes."""
  network = {
    'backbone': args.backbone,
    'norm': args.norm,
    'dtype': args.dtype,
    'remat': args.remat,
    **parse_rewrites(names),
  }
  fields, classes = parse_fields(args.field), args.classes
  config = _Config(args.method, classes, 90000, network, fields)
  method = methods.create(config)
  sizes = {'source': args.source, 'target': args.target}
  rows = args.batch * jax.device_count()
  batch = make_batch(method.needs, sizes, batch_size=rows, classes=classes)
  return method, batch, sizes


def create_from(config: Any) -> tuple[Any, Any, Any]:
  """Returns the same as `create`, from a config and for one device."""
  config = own_classes.count(config)
  method, sizes = methods.create(config), sizes_of(config)
  batch = make_batch(
    *(method.needs, sizes),
    batch_size=config.batch_size,
    classes=config.num_classes,
  )
  return method, batch, sizes


def sizes_of(config: Any) -> dict[str, tuple[int, int]]:
  """Returns (height, width) of a step's images, by domain."""
  found = {}
  for name in ('source', 'target'):
    domain = config.data[name]
    crop = tuple(domain.get('crop', (0, 0)))
    found[name] = crop if any(crop) else tuple(domain.size)
  return found


def count(args: argparse.Namespace) -> dict[str, Any]:
  """Counts the operations and parameters of a step by tracing alone."""
  if args.config:
    method, batch, sizes = create_from(command.read_config(args.config))
  else:
    method, batch, sizes = create(args, 'none')
  state = jax.eval_shape(method.init, rng.for_init(0), batch)
  return {
    **named(necessary.count(method, state, batch, sizes)),
    'parameters': {
      name: sum(math.prod(x.shape) for x in jax.tree.leaves(net.params))
      for name, net in state.nets.items()
    },
  }


class Variant:
  """One compiled step with its state."""

  def __init__(self, args, names: str):
    self.rewrites = names
    self.method, batch, self.sizes = create(args, names)
    self.key = rng.root(0)
    self.state = parallel.init(self.method.init, rng.for_init(0), batch)
    self.needed = necessary.count(self.method, self.state, batch, self.sizes)
    self.batch = next(parallel.prefetch(iter([batch]), size=0))
    start = time.perf_counter()
    step = parallel.pmap_step(self.method.train_step)
    self.step = step.lower(self.state, self.batch, self.key).compile()
    self.compile_s = time.perf_counter() - start
    self.seconds = []

  def run(self, count: int) -> None:
    """Takes `count` steps and records the time of each."""
    for _ in range(count):
      start = time.perf_counter()
      self.state, losses = self.step(self.state, self.batch, self.key)
      jax.block_until_ready((self.state, losses))
      self.seconds.append(time.perf_counter() - start)

  def report(self, peak: float) -> dict[str, Any]:
    """Returns the measured figures."""
    cost = self.step.cost_analysis()
    cost = cost[0] if isinstance(cost, list) else cost
    memory = self.step.memory_analysis()
    best = min(self.seconds)
    flops = cost['flops'] * jax.device_count()
    moved = cost.get('bytes accessed', 0.0) * jax.device_count()
    return {
      'rewrites': self.rewrites,
      'seconds_best': best,
      'seconds_median': statistics.median(self.seconds),
      'compile_seconds': self.compile_s,
      'flops': flops,
      'bytes': moved,
      **named(self.needed),
      'flops_over_necessary': flops / self.needed.flops,
      'bytes_over_necessary': moved / self.needed.bytes,
      'necessary_flops_per_second': self.needed.flops / best,
      'share_of_matmul_peak': self.needed.flops / best / peak,
      'compiled_temp_gib': memory.temp_size_in_bytes / 2**30,
    }


def parse_args() -> argparse.Namespace:
  """Parses the command line."""
  parser = argparse.ArgumentParser(
    description=__doc__.split('\n')[0],
    formatter_class=argparse.ArgumentDefaultsHelpFormatter,
  )
  add = parser.add_argument
  add('--config', default='', help='config to count at its own sizes')
  add('--method', default='dada', choices=methods.names())
  add(
    '--field',
    action='append',
    default=[],
    help='field of the method: name=value',
  )
  add('--backbone', default='resnet101')
  add('--classes', type=int, default=16)
  add('--source', type=parse_size, default=(760, 1280), help='HxW')
  add('--target', type=parse_size, default=(512, 1024), help='HxW')
  add('--batch', type=int, default=1, help='images per domain and device')
  add('--dtype', default='float32', choices=('float32', 'bfloat16'))
  add('--norm', default='batch', choices=('batch', 'sync', 'frozen'))
  add('--remat', action='store_true')
  add('--devices', type=int, default=1, help='CPU devices to simulate')
  add(
    '--rewrites', action='append', help='auto, all, none, or names joined by +'
  )
  add('--rounds', type=int, default=3)
  add('--steps', type=int, default=2, help='per round and variant')
  add(
    '--peak_side',
    type=int,
    default=0,
    help='side of the matrices for the peak; 0: 3072 on CPU, else 8192',
  )
  add('--count', action='store_true', help='count by tracing; time nothing')
  args = parser.parse_args()
  counts = ('classes', 'batch', 'devices', 'rounds', 'steps')
  benchmark_input.check_counts(parser, args, counts)
  return args


def main() -> int:
  """Runs the command line; returns the exit status."""
  args = parse_args()
  if args.config and not args.count:
    raise SystemExit('--config is only counted; expected --count with it')
  jax.config.update('jax_num_cpu_devices', args.devices)
  if args.count:
    # A config has its own sizes.
    said = {'config': args.config} if args.config else vars(args)
    print(json.dumps({**said, **count(args)}, indent=2))
    return 0
  device = jax.local_devices()[0]
  side = args.peak_side or (3072 if device.platform == 'cpu' else 8192)
  peaks = [matmul_peak(args.dtype, side=side)]
  variants = [Variant(args, r) for r in args.rewrites or ['auto']]
  for variant in variants:
    variant.run(1)  # The first step warms up and does not count.
    variant.seconds.clear()
  for _ in range(args.rounds):
    for variant in variants:
      variant.run(args.steps)
    peaks.append(matmul_peak(args.dtype, side=side))
  peak = max(peaks) * (jax.device_count() if device.platform != 'cpu' else 1)
  settings = {k: v for k, v in vars(args).items() if k != 'rewrites'}
  report = {
    **settings,
    'device': device.device_kind,
    'device_count': jax.device_count(),
    'jax': jax.__version__,
    'matmul_peak_flops': peak,
    **peak_memory(),
    'variants': [variant.report(peak) for variant in variants],
  }
  print(json.dumps(report, indent=2))
  return 0


if __name__ == '__main__':
  sys.exit(run(main))
