r"""Measures images per second of a network with random weights, as a table.

  python scripts/benchmark_predict.py \
      --config=configs/dada.py:pair=synthia2cityscapes [--batch_size=1] \
      [--ways=float32,bfloat16,stablehlo,savedmodel] [--image=1024x2048]

Every way labels the same pictures: `float32` and `bfloat16` like
`jaxuda.predict`, without reading and writing files; `stablehlo` and
`savedmodel` as the scripts that come with an export do, one picture at a time.
They take turns, so that the ratios are meaningful on a noisy machine;
compilation is not counted.
"""

from collections.abc import Callable, Iterator
import contextlib
import importlib.util
import json
import pathlib
import statistics
import sys
import tempfile
import time

from absl import flags
import jax
import numpy as np
from PIL import Image

from jaxuda import errors
from jaxuda import methods
from jaxuda.export import exporting
from jaxuda.predict import prediction
from jaxuda.run import own_classes
from jaxuda.run import workdir as workdir_lib
from jaxuda.ui import command
from jaxuda.ui import display

WAYS = ('float32', 'bfloat16', 'stablehlo', 'savedmodel')


def make_run(config) -> workdir_lib.Run:
  """Returns a run of a config with random weights, before its first step."""
  config = own_classes.count(config)
  method = methods.create(config)
  state = jax.jit(method.init)(*workdir_lib.init_args(config, method))
  return workdir_lib.Run(config=config, method=method, state=state, step=0)


def as_predict(
  run: workdir_lib.Run, *, dtype: str, batch_size: int
) -> Callable[[list[np.ndarray]], list[np.ndarray]]:
  """Returns a function that labels pictures like `jaxuda.predict`."""
  run = prediction.computing_in(run, dtype)
  return lambda images: [
    label
    for _, label in prediction.label_images(
      iter(images), run, batch_size=batch_size
    )
  ]


def as_exported(
  run: workdir_lib.Run, folder: pathlib.Path, *, name: str
) -> Callable[[list[np.ndarray]], list[np.ndarray]]:
  """Returns a function that labels pictures like an export's own script."""
  exporting.export(run, folder, formats=[name])
  path = folder / f'run_{name}.py'
  spec = importlib.util.spec_from_file_location(f'run_{name}', path)
  module = importlib.util.module_from_spec(spec)
  sys.path.insert(0, str(folder))  # The script imports from there.
  spec.loader.exec_module(module)
  network, labelled = module.load(folder), module.picture.labelled
  info = json.loads((folder / 'export.json').read_text())
  return lambda images: [
    np.asarray(labelled(Image.fromarray(image), network, info))
    for image in images
  ]


@contextlib.contextmanager
def _made(run, names, batch_size) -> Iterator[dict[str, Callable]]:
  with tempfile.TemporaryDirectory() as folder:
    yield {
      name: as_predict(run, dtype=name, batch_size=batch_size)
      if name in WAYS[:2]
      else as_exported(run, pathlib.Path(folder) / name, name=name)
      for name in names
    }


def measure(
  run: workdir_lib.Run,
  names: list[str],
  *,
  image: tuple[int, int],
  batch_size: int,
  count: int,
  rounds: int,
) -> dict[str, tuple[float, float]]:
  """Times every way, taking turns.

  Args:
    run: run whose network is used.
    names: some of `WAYS`.
    image: (height, width) of the pictures.
    batch_size: number of pictures at once, except for exports.
    count: number of pictures per round.
    rounds: number of turns of each way.

  Returns:
    name -> (images per second, the median of the rounds; share of the pixels
    that get the same label as from the first way).
  """
  generator = np.random.default_rng(0)
  images = list(generator.integers(0, 256, (count, *image, 3)).astype(np.uint8))
  labels, seconds = {}, {name: [] for name in names}
  with (
    _made(run, names, batch_size) as ways,
    display.Progress(
      'predict', total=(1 + rounds) * len(ways), unit='rounds'
    ) as progress,
  ):
    for turn in range(1 + rounds):
      for name, way in ways.items():
        begin = time.perf_counter()
        # The first turn compiles.
        labels[name] = way(images if turn else images[:batch_size])
        seconds[name].append(time.perf_counter() - begin)
        progress.update(progress.done + 1)
  first = np.stack(labels[names[0]])
  return {
    name: (
      count / statistics.median(seconds[name][1:]),
      float(np.mean(np.stack(labels[name]) == first)),
    )
    for name in names
  }


def check_ways(names: list[str]) -> None:
  """Raises a UserError unless there are ways, and all are known."""
  if not names or not set(names) <= set(WAYS):
    raise errors.UserError(
      f'--ways={",".join(names)}; expected some of {", ".join(WAYS)}'
    )


def main() -> None:
  """Runs the command line."""
  f = flags.FLAGS
  check_ways(f.ways)  # Before anything is compiled.
  command.hide_accelerators()
  image = exporting.read_size(f.image)
  found = measure(
    make_run(f.config),
    f.ways,
    image=image,
    batch_size=f.batch_size,
    count=f.count,
    rounds=f.rounds,
  )
  size = 'x'.join(map(str, f.config.data.target.size))
  print(f'{f.config.name}, {f.config.network.backbone}, {size}, {f.image}')
  first = next(iter(found.values()))[0]
  for name, (rate, same) in found.items():
    print(
      f'{name:12s} {rate:7.3f} images/s  {rate / first:5.2f}x'
      f'  {100 * same:6.2f} % of the labels are equal'
    )


def _define_flags():
  command.define_config(default='dada:pair=synthia2cityscapes')
  flags.DEFINE_list('ways', list(WAYS), 'Ways to time, relative to the first.')
  flags.DEFINE_string('image', '1024x2048', 'Height and width of a picture.')
  flags.DEFINE_integer('batch_size', 1, 'Pictures per batch.', 1)
  flags.DEFINE_integer('count', 4, 'Pictures per round.', 1)
  flags.DEFINE_integer('rounds', 3, 'Rounds per way.', 1)


if __name__ == '__main__':
  _define_flags()
  sys.exit(command.run(main))
