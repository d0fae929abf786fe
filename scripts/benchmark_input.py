r"""Times the input pipeline against the originals' reader, as JSON.

  python scripts/benchmark_input.py [--fields=image,label,depth] [--workers=2]

Makes pictures of 2048x1024 with labels and 16-bit depth, in Cityscapes' layout,
and reads them at 512x1024 in four ways:

* reader: like the originals, from the files each time: Pillow decodes and
  resizes (BICUBIC, NEAREST), OpenCV reads depth, everything becomes float32,
  BGR, minus the mean; in worker processes that write to shared memory;
* raw: `pipeline.train_stream` on the dataset prepared from unchanged files;
* png: prepared at the training size, losslessly (`store=png`);
* jpeg: the same with images as JPEG of quality 95 (`store=jpeg`).

The pipeline's images are uint8 and are normalised in the jitted step. An image
counts together with its label and depth. A core second is a second of CPU time,
so that other programs on the machine do not count.
"""

import argparse
from collections.abc import Callable, Iterator, Sequence
import json
import multiprocessing
from multiprocessing import shared_memory
import os
import pathlib
import shutil
import statistics
import sys
import tempfile
import time
from typing import Any

import cv2
import numpy as np
from PIL import Image

SIZE, NETWORK = (1024, 2048), (512, 1024)
FIELDS = ('image', 'label', 'depth')
_CITY = 'train/aachen'
# Label ids of the 19 classes.
_RAW = (7, 8, 11, 12, 13, 17, *range(19, 29), 31, 32, 33)
_MEAN = np.array((104.00698793, 116.66876762, 122.67891434), np.float32)
# Floats that a worker returns for each image: image, label and depth.
_FLOATS = NETWORK[0] * NETWORK[1] * 5


def make_files(
  root: pathlib.Path, count: int, *, size: tuple[int, int] = SIZE
) -> None:
  """Writes pictures that compress like photographs (2 MB each at 2048x1024)."""
  for name in ('leftImg8bit', 'gtFine', 'disparity'):
    (root / name / _CITY).mkdir(parents=True)
  for number in range(count):
    rng = np.random.default_rng(number)
    image = _clouds(rng, size, 3, finest=2)
    image += rng.normal(scale=2.0, size=image.shape)
    label = (_clouds(rng, size, 1, finest=size[0] // 16)[..., 0] / 26).astype(
      np.uint8
    )
    ids = np.array([7, 8, 11, 13, 17, 21, 22, 23, 24, 26], np.uint8)
    depth = _scene(rng, size)
    stem = f'aachen_{number:06d}_000019'
    for folder, ending, picture in (
      ('leftImg8bit', 'leftImg8bit', image.clip(0, 255).astype(np.uint8)),
      ('gtFine', 'gtFine_labelIds', ids[np.minimum(label, 9)]),
      ('disparity', 'leftImg8bit', depth),
    ):
      path = root / folder / _CITY / f'{stem}_{ending}.png'
      cv2.imwrite(str(path), picture)


def _scene(rng, size):
  """Returns depth like a renderer's: ground, slanted walls, sky."""
  y, x = np.mgrid[: size[0], : size[1]].astype(np.float32)
  below = y > 0.45 * size[0]
  ground = 150 * size[1] / np.maximum(y - 0.45 * size[0], 1)
  depth = np.where(below, ground, 65535)
  for _ in range(60):
    left, top = rng.integers(0, size[1]), rng.integers(0, size[0])
    width, height = rng.integers(size[0] // 50, size[0] // 3, 2)
    slant, lean = rng.uniform(-2, 2), rng.uniform(-0.5, 0.5)
    wall = rng.uniform(500, 8000) + slant * (x - left) + lean * (y - top)
    inside = (x >= left) & (x < left + width)
    inside &= (y >= top) & (y < top + height)
    depth = np.where(inside, wall, depth)
  return depth.clip(1, 65535).astype(np.uint16)


def _clouds(rng, size, channels, *, finest):
  """Returns noise at every scale down to `finest` pixels, in 0..255."""
  total, scale = np.zeros((*size, channels), np.float32), size[0] // 2
  while scale >= finest:
    shape = (-(-size[0] // scale), -(-size[1] // scale), channels)
    noise = rng.uniform(-1, 1, shape).astype(np.float32)
    big = cv2.resize(noise, size[::-1], interpolation=cv2.INTER_CUBIC)
    total += big.reshape(total.shape) * scale**0.5
    scale //= 2
  low, high = total.min(), total.max()
  return 255 * (total - low) / (high - low)


def read_example(
  root: pathlib.Path, number: int, fields: Sequence[str] = FIELDS
) -> list[np.ndarray]:
  """Reads one image, label and depth like the originals' loaders.

  Returns:
    The requested fields: image float32 [3, H, W] BGR minus the mean, label
    float32 [H, W], inverse depth float32 [H, W].
  """
  stem = f'{_CITY}/aachen_{number:06d}_000019'
  size = NETWORK[::-1]
  out = []
  if 'image' in fields:
    image = Image.open(root / 'leftImg8bit' / f'{stem}_leftImg8bit.png')
    image = image.convert('RGB').resize(size, Image.BICUBIC)
    image = np.asarray(image, np.float32)[:, :, ::-1] - _MEAN
    out.append(np.ascontiguousarray(image.transpose(2, 0, 1)))
  if 'label' in fields:
    label = Image.open(root / 'gtFine' / f'{stem}_gtFine_labelIds.png')
    label = np.asarray(label.resize(size, Image.NEAREST), np.float32)
    mapped = np.full(label.shape, 255, np.float32)
    for train, raw in enumerate(_RAW):
      mapped[label == raw] = train
    out.append(mapped)
  if 'depth' in fields:
    path = root / 'disparity' / f'{stem}_leftImg8bit.png'
    depth = cv2.imread(str(path), cv2.IMREAD_ANYDEPTH).astype(np.float32)
    depth = cv2.resize(depth / 256 + 1, size, interpolation=cv2.INTER_NEAREST)
    out.append(depth)
  return out


def _work(root, numbers, fields, memory, ready, start, spent):
  """Runs one worker: reads its images and copies them to shared memory."""
  cv2.setNumThreads(0)
  shared = shared_memory.SharedMemory(name=memory)
  slot = np.ndarray((_FLOATS,), np.float32, buffer=shared.buf)
  ready.release()
  start.wait()
  before = time.process_time()
  for number in numbers:
    parts = [x.ravel() for x in read_example(root, number, fields)]
    used = sum(x.size for x in parts)
    np.concatenate(parts, out=slot[:used])
  spent.put(time.process_time() - before)
  del slot
  shared.close()


def time_reader(
  root: pathlib.Path,
  count: int,
  *,
  available: int,
  workers: int,
  fields: Sequence[str] = FIELDS,
) -> tuple[float, float]:
  """Returns (seconds, CPU seconds) for `count` images in worker processes.

  Starting the processes is not counted.

  Args:
    root: folder of the files.
    count: number of images to read.
    available: number of images in the folder.
    workers: number of processes.
    fields: fields to read of each image.
  """
  # A fork would not survive TensorFlow's threads.
  context = multiprocessing.get_context('spawn')
  ready, start = context.Semaphore(0), context.Event()
  spent = context.Queue()
  memories = [
    shared_memory.SharedMemory(create=True, size=4 * _FLOATS)
    for _ in range(workers)
  ]
  try:
    for k, memory in enumerate(memories):
      numbers = [i % available for i in range(k, count, workers)]
      arguments = (root, numbers, fields, memory.name, ready, start, spent)
      context.Process(target=_work, args=arguments, daemon=True).start()
    for _ in memories:
      if not ready.acquire(timeout=120):
        raise SystemExit('error: a worker of the reader did not start')
    began = time.perf_counter()
    start.set()
    cpu = sum(spent.get(timeout=600) for _ in memories)
    return time.perf_counter() - began, cpu
  finally:
    for memory in memories:
      memory.close()
      memory.unlink()


def make_config(root: pathlib.Path, store: str) -> Any:
  """Returns the data config of one way of storing."""
  from ml_collections import config_dict

  return config_dict.create(
    data_dir=str(root / 'prepared' / store),
    resize='reference',
    zero_depth='keep',
    far_depth='keep',
    source={
      'dataset': 'cityscapes/mono',
      'split': 'train',
      'manual_dir': str(root / 'raw'),
      'size': NETWORK,
      'crop': (0, 0),
      'flip': False,
      'fraction': 1.0,
      'image_resize': 'bicubic',
      'store': store,
    },
  )


def open_stream(
  root: pathlib.Path, store: str, fields: Sequence[str]
) -> Iterator[Any]:
  """Prepares the dataset if necessary and opens the training stream."""
  from jaxuda.data import pipeline

  return pipeline.train_stream(
    make_config(root, store),
    classes='cityscapes19',
    needs={'source': fields},
    batch_size=1,
    seed=0,
  )


def time_stream(
  batches: Iterator[Any], count: int, *, warm: int = 8
) -> tuple[float, float]:
  """Returns (seconds, CPU seconds) for `count` batches after `warm` ones."""
  for _ in range(warm):
    next(batches)
  began, cpu = time.perf_counter(), time.process_time()
  for _ in range(count):
    next(batches)
  return time.perf_counter() - began, time.process_time() - cpu


def summarize(times: dict[str, list[tuple[float, float]]], count: int):
  """Returns the median rates over the rounds, and ratios to the reader."""
  rates = {
    name: {
      'images_per_second': statistics.median(count / wall for wall, _ in runs),
      'images_per_core_second': statistics.median(
        count / cpu for _, cpu in runs
      ),
      'rounds': [count / cpu for _, cpu in runs],
    }
    for name, runs in times.items()
  }
  base = rates['reader']
  for rate in rates.values():
    for unit in ('second', 'core_second'):
      key = f'images_per_{unit}'
      rate[f'ratio_per_{unit}'] = rate[key] / base[key]
  return rates


def run(
  root: pathlib.Path,
  *,
  images: int,
  rounds: int,
  count: int,
  workers: int,
  fields: Sequence[str] = FIELDS,
) -> dict[str, Any]:
  """Measures everything, in interleaved rounds.

  Args:
    root: an empty folder.
    images: number of images to make.
    rounds: number of times that each way is timed.
    count: number of images to read each time.
    workers: number of processes of the reader.
    fields: fields to read of each image.
  """
  make_files(root / 'raw', images)
  ways = {x: open_stream(root, x, fields) for x in ('raw', 'png', 'jpeg')}
  options = {'available': images, 'workers': workers, 'fields': fields}
  times: dict[str, list] = {x: [] for x in ('reader', *ways)}
  for _ in range(rounds):
    times['reader'].append(time_reader(root / 'raw', count, **options))
    for store, batches in ways.items():
      times[store].append(time_stream(batches, count))
  return {
    'size': list(SIZE),
    'network': list(NETWORK),
    'images': images,
    'count': count,
    'fields': list(fields),
    'workers': workers,
    'cores': os.cpu_count(),
    'bytes_per_image': {
      'raw_files': count_bytes(root / 'raw') / images,
      **{x: count_bytes(root / 'prepared' / x) / images for x in ways},
    },
    'ways': summarize(times, count),
  }


def count_bytes(folder: pathlib.Path) -> int:
  """Returns the size in bytes of all files below a folder."""
  return sum(x.stat().st_size for x in folder.rglob('*') if x.is_file())


def parse_args(arguments: list[str] | None = None) -> argparse.Namespace:
  """Parses the command line."""
  parser = argparse.ArgumentParser(
    description=__doc__.split('\n')[0],
    formatter_class=argparse.ArgumentDefaultsHelpFormatter,
  )
  parser.add_argument('--images', type=int, default=24)
  parser.add_argument(
    '--count', type=int, default=64, help='images read each time'
  )
  parser.add_argument('--rounds', type=int, default=3)
  parser.add_argument('--workers', type=int, default=os.cpu_count() or 1)
  parser.add_argument('--fields', default=','.join(FIELDS))
  parser.add_argument('--folder', help='default: a temporary one')
  args = parser.parse_args(arguments)
  check_counts(parser, args, ('images', 'count', 'rounds', 'workers'))
  check_folder(parser, args)
  args.fields = tuple(args.fields.split(','))
  if not set(args.fields) <= set(FIELDS):
    parser.error(f'--fields={args.fields}; expected some of {FIELDS}')
  return args


def check_counts(
  parser: argparse.ArgumentParser,
  args: argparse.Namespace,
  names: Sequence[str],
) -> None:
  """Exits with an error if one of these numbers is less than 1."""
  for name in names:
    if getattr(args, name) < 1:
      parser.error(f'--{name}={getattr(args, name)}; expected at least 1')


def check_folder(
  parser: argparse.ArgumentParser, args: argparse.Namespace
) -> None:
  """Exits with an error if --folder, where files are made, is none."""
  if args.folder and not os.path.isdir(args.folder):
    parser.error(f'--folder={args.folder}; expected a folder that exists')


def report(
  measure: Callable[..., dict[str, Any]], args: argparse.Namespace
) -> dict[str, Any]:
  """Prints and returns the measurements made in a temporary folder.

  Args:
    measure: function of the folder, and of all other arguments by name.
    args: the command line; its `folder` is where the temporary one is created.
  """
  os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')
  options = {**vars(args)}
  root = pathlib.Path(tempfile.mkdtemp(dir=options.pop('folder')))
  try:
    measured = measure(root, **options)
  finally:
    shutil.rmtree(root)
  print(json.dumps(measured, indent=2))
  return measured


def main() -> int:
  """Runs the command line; returns the exit status."""
  report(run, parse_args())
  return 0


if __name__ == '__main__':
  sys.exit(main())
