r"""Estimates hours and GB of preparing the papers' images, from 200 of them.

  python scripts/benchmark_prepare.py [--images=200] [--stores=raw,png,jpeg]

Makes pictures of 2048x1024 with labels and depth, like `benchmark_input.py`, in
Cityscapes' layout; prepares them in each form like `jaxuda.data.prepare`; and
extrapolates to whole datasets. Time scales with the pixels of the files, as
nearly all of it is decoding; so does the size of `raw`, while that of the
others scales with the number of images.

Prints JSON with the measured seconds (wall-clock and CPU time) and bytes for
each form, and a Markdown table of the datasets.
"""

import argparse
import os
import pathlib
import resource
import sys
import time
from typing import Any

import benchmark_input

# Dataset -> (images in the training split, pixels per image).
DATASETS = {
  'gta5': (24966, 1914 * 1052),
  'cityscapes': (2975, 2048 * 1024),
  # Of various sizes.
  'mapillary': (18000, 9_000_000),
}
STORES = ('raw', 'png', 'jpeg')


def make_files(root: pathlib.Path, count: int, *, distinct: int, **options):
  """Makes files, beyond `distinct` of them as links to the earlier ones."""
  benchmark_input.make_files(root, min(count, distinct), **options)
  files = sorted(x for x in root.rglob('*.png'))
  for number in range(distinct, count):
    # With the city: the number of the frame, the same in all, looks alike.
    old, new = (f'aachen_{x:06d}_' for x in (number % distinct, number))
    for path in files:
      if path.name.startswith(old):
        os.link(path, path.with_name(path.name.replace(old, new)))


def _cpu_seconds():
  used = [
    resource.getrusage(x)
    for x in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
  ]
  return sum(x.ru_utime + x.ru_stime for x in used)


def prepare(root: pathlib.Path, store: str) -> dict[str, float]:
  """Prepares the files in a form; returns the seconds and bytes it took."""
  from jaxuda.data.datasets import registry
  from jaxuda.data.store import examples

  form = examples.Store()
  if store != 'raw':
    form = examples.Store(form=store, size=benchmark_input.NETWORK)
  data_dir = root / 'prepared' / store
  began, cpu = time.perf_counter(), _cpu_seconds()
  registry.load(
    'cityscapes/mono',
    data_dir=str(data_dir),
    manual_dir=str(root / 'raw'),
    store=form,
  )
  return {
    'seconds': time.perf_counter() - began,
    'core_seconds': _cpu_seconds() - cpu,
    'bytes': benchmark_input.count_bytes(data_dir),
  }


def extrapolate(
  measured: dict[str, dict[str, float]], *, images: int, pixels: int
) -> dict[str, dict[str, dict[str, float]]]:
  """Returns hours, core hours and GB: dataset -> form -> figure.

  Args:
    measured: form -> what `prepare` returned.
    images: number of images that were prepared.
    pixels: pixels per image.
  """
  result: dict[str, Any] = {}
  for dataset, (count, size) in DATASETS.items():
    work = count * size / (images * pixels)
    result[dataset] = {
      form: {
        'hours': x['seconds'] * work / 3600,
        'core_hours': x['core_seconds'] * work / 3600,
        'GB': x['bytes'] * (work if form == 'raw' else count / images) / 1e9,
      }
      for form, x in measured.items()
    }
  return result


def make_table(extrapolated: dict[str, dict[str, dict[str, float]]]) -> str:
  """Returns a Markdown table of what `extrapolate` returned."""
  lines = [
    '| dataset | images | form | hours | hours of one core | GB |',
    f'|{" --- |" * 6}',
  ]
  for dataset, forms in extrapolated.items():
    for form, x in forms.items():
      figures = f'{x["hours"]:.1f} | {x["core_hours"]:.1f} | {x["GB"]:.0f}'
      count = f'{DATASETS[dataset][0]:,}'
      lines.append(f'| `{dataset}` | {count} | `{form}` | {figures} |')
  return '\n'.join(lines)


def run(
  root: pathlib.Path, *, images: int, distinct: int, stores: list[str]
) -> dict[str, Any]:
  """Makes files in an empty folder, prepares them and extrapolates."""
  size = benchmark_input.SIZE
  make_files(root / 'raw', images, distinct=distinct, size=size)
  measured = {store: prepare(root, store) for store in stores}
  pixels = size[0] * size[1]
  return {
    'images': images,
    'size': list(size),
    'network': list(benchmark_input.NETWORK),
    'cores': os.cpu_count(),
    'measured': measured,
    'extrapolated': extrapolate(measured, images=images, pixels=pixels),
  }


def parse_args(arguments: list[str] | None = None) -> argparse.Namespace:
  """Parses the command line."""
  parser = argparse.ArgumentParser(
    description=__doc__.split('\n')[0],
    formatter_class=argparse.ArgumentDefaultsHelpFormatter,
  )
  parser.add_argument('--images', type=int, default=200)
  parser.add_argument(
    '--distinct', type=int, default=20, help='real files; the rest are links'
  )
  parser.add_argument('--stores', default=','.join(STORES))
  parser.add_argument('--folder', help='default: a temporary one')
  args = parser.parse_args(arguments)
  benchmark_input.check_counts(parser, args, ('images', 'distinct'))
  benchmark_input.check_folder(parser, args)
  args.stores = args.stores.split(',')
  if not set(args.stores) <= set(STORES):
    parser.error(f'--stores={",".join(args.stores)}; expected some of {STORES}')
  return args


def main() -> int:
  """Runs the command line; returns the exit status."""
  measured = benchmark_input.report(run, parse_args())
  print(make_table(measured['extrapolated']))
  return 0


if __name__ == '__main__':
  sys.exit(main())
