r"""Counts images per second that accelerators need, and cores to read them.

  python scripts/input_needs.py [--config=dada:pair=synthia2cityscapes ...] \
      [--devices=8] [--peak=989] [--share=0.4] [--rates=input.json]

For each config: the operations of a step, counted by tracing as in
`benchmark.py --count`; the images that a step reads; and the images per second
that `--devices` of `--peak` TFLOP/s need if they compute at a `--share` of
that, each with the config's batch. 989 is the peak of an H100 in bfloat16.

With --rates, the output of `benchmark_input.py` on a host: the cores of that
host that read as many images. There every image has a label and depth, which a
target's images in training do not have: the cores are an upper bound.

Prints a Markdown table. Needs no data.
"""

import argparse
from collections.abc import Mapping
import json
import math
import pathlib
import sys
from typing import Any

import jax

from jaxuda import errors
from jaxuda.step import rng
from jaxuda.ui import command

import benchmark  # isort: skip
import benchmark_input  # isort: skip
import necessary  # isort: skip

CONFIGS = (
  'source_only:pair=synthia2cityscapes',
  'advent:pair=gta2cityscapes,multi_level=1',
  'dada:pair=synthia2cityscapes',
  'depdis:pair=synthia2cityscapes',
  'dacs:pair=gta2cityscapes',
  'corda:pair=synthia2cityscapes',
  'gio_ada:pair=synthia2cityscapes',
)
# Ways of reading, as `benchmark_input.py` names them.
WAYS = ('raw', 'png', 'jpeg')


def count(config: Any) -> tuple[float, int]:
  """Returns the operations and the images of a config's step on one device."""
  method, batch, sizes = benchmark.create_from(config)
  state = jax.eval_shape(method.init, rng.for_init(0), batch)
  flops = necessary.count(method, state, batch, sizes).flops
  return flops, config.batch_size * sum(bool(x) for x in method.needs.values())


def needed(
  flops: float, images: int, *, devices: int, peak: float, share: float
) -> float:
  """Returns the images per second that all devices need.

  Args:
    flops: operations of a step on one device.
    images: images that a step reads.
    devices: number of devices.
    peak: peak operations per second of a device.
    share: share of the peak at which they compute.
  """
  return devices * images * share * peak / flops


def make_row(
  name: str,
  flops: float,
  images: int,
  *,
  rates: Mapping[str, float],
  **machine: Any,
) -> list[str]:
  """Returns the table cells of a config.

  Args:
    name: the config.
    flops: see `needed`.
    images: see `needed`.
    rates: way of reading -> images per second and core.
    **machine: 'devices', 'peak' and 'share' of `needed`.
  """
  rate = needed(flops, images, **machine)
  cores = [f'{rate / x:.0f}' for x in rates.values()]
  return [
    f'`{name}`',
    f'{flops / 1e12:.2f}',
    str(images),
    f'{rate:.0f}',
    *cores,
  ]


def read_rates(path: str | None) -> dict[str, float]:
  """Reads images per second and core, by way, from `benchmark_input.py`.

  Raises:
    UserError: the file is not what that script prints.
  """
  if not path:
    return {}
  try:
    ways = json.loads(pathlib.Path(path).read_text())['ways']
    return {way: float(ways[way]['images_per_core_second']) for way in WAYS}
  except (OSError, ValueError, KeyError, TypeError) as e:
    raise errors.UserError(
      f'--rates={path} cannot be read ({e!r}); expected a file with the output'
      ' of benchmark_input.py'
    ) from e


def parse_args(arguments: list[str] | None = None) -> argparse.Namespace:
  """Parses the command line."""
  parser = argparse.ArgumentParser(
    description=__doc__.split('\n')[0],
    formatter_class=argparse.ArgumentDefaultsHelpFormatter,
  )
  add = parser.add_argument
  add('--config', action='append', help="default: the papers' main rows")
  add('--devices', type=int, default=8)
  add('--peak', type=float, default=989.0, help='peak TFLOP/s of a device')
  add('--share', type=float, default=0.4, help='share of the peak reached')
  add('--rates', help='JSON file of benchmark_input.py')
  args = parser.parse_args(arguments)
  benchmark_input.check_counts(parser, args, ('devices',))
  if not 0 < args.peak < math.inf:
    parser.error(f'--peak={args.peak}; expected TFLOP/s above 0')
  if not 0 < args.share <= 1:
    parser.error(f'--share={args.share}; expected above 0 and at most 1')
  return args


def main(arguments: list[str] | None = None) -> int:
  """Runs the command line; returns the exit status."""
  args = parse_args(arguments)
  rates = read_rates(args.rates)
  machine = {'devices': args.devices, 'share': args.share}
  header = ['config', 'TFLOP a step', 'images a step', 'images a second']
  header += [f'cores, {way}' for way in rates]
  print(f'| {" | ".join(header)} |')
  print(f'|{" --- |" * len(header)}')
  for name in args.config or CONFIGS:
    step = count(command.read_config(name))
    row = make_row(name, *step, rates=rates, peak=args.peak * 1e12, **machine)
    print(f'| {" | ".join(row)} |', flush=True)
  return 0


if __name__ == '__main__':
  sys.exit(benchmark.run(main))
