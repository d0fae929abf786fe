"""The methods at the sizes of their papers, with states that are cheap to make.

A state's parameters are drawn by NumPy from its shapes: compiling `init` on an
accelerator takes as long as compiling a step.
"""

import functools
import importlib
import pathlib
import tempfile
from typing import Any

import benchmark
import jax
import numpy as np

from jaxuda import methods
from jaxuda.methods.parts import mixtures
from jaxuda.step import parallel
from jaxuda.step import rng

# The config arguments of the papers' settings.
PAPERS = {
  'dada': 'pair=synthia2cityscapes',
  'source_only': 'pair=synthia2cityscapes',
  'advent': 'pair=gta2cityscapes,multi_level=1',
  'depdis': 'pair=synthia2cityscapes',
  'self_training': 'pair=synthia2cityscapes',
  'dacs': 'pair=gta2cityscapes',
  'corda': 'pair=synthia2cityscapes',
  'gio_ada': 'pair=synthia2cityscapes',
  'cyclegan': 'pair=synthia2cityscapes',
}
_SMALL = (64, 96)


def make_config(name: str, *, small: bool) -> Any:
  """Returns a method's config: its paper's, or the smallest for CPUs."""
  module = importlib.import_module(f'configs.{name}')
  config = module.get_config('pair=streets' if small else PAPERS[name])
  if small:
    config.network.backbone = 'resnet_tiny'
    config.batch_size = 1
    for domain in (config.data.source, config.data.target):
      domain.size, domain.crop = _SMALL, (0, 0)
  return config


@functools.cache
def _mixtures(classes: int, grid: tuple[int, int]) -> str:
  """Writes random mixtures over a grid; returns the path of the file."""
  generator = np.random.default_rng(0)
  shape = (classes, 5, 3)
  path = pathlib.Path(tempfile.mkdtemp()) / 'mixtures.npz'
  mixtures.write(
    path,
    mixtures.Mixtures(
      weights=np.full(shape[:2], 0.2),
      means=generator.uniform(0, 100, shape),
      covariances=generator.uniform(100, 1000, shape),
      counts=np.ones(classes, np.int64),
      grid=grid,
      info={},
    ),
  )
  return str(path)


def make_method(config: Any) -> Any:
  """Builds the method that a config names, with the files that it reads."""
  method = methods.create(config)
  if config.name == 'depdis' and method.needs_mixtures:
    # Output stride 8: 760x1280 -> 96x161.
    grid = tuple(-(-(side + 1) // 8) for side in config.data.source.size)
    config.method.mixtures = _mixtures(config.num_classes, grid)
    method = methods.create(config)
  return method


def make_batch(config: Any, method: Any, *, seed: int = 0) -> Any:
  """Returns random host arrays for a step on all devices."""
  batch = benchmark.make_batch(
    method.needs,
    benchmark.sizes_of(config),
    batch_size=config.batch_size * jax.device_count(),
    classes=config.num_classes,
  )
  for fields in batch.values():
    fields['image'] = np.roll(fields['image'], seed, axis=2)
  return batch


def make_state(method: Any, batch: Any) -> Any:
  """Returns a state on all devices, always the same, drawn from its shapes."""
  shapes = jax.eval_shape(method.init, rng.for_init(0), batch)
  generator = np.random.default_rng(0)

  def fill(path, x):
    keys = jax.tree_util.keystr(path, simple=True, separator='/').split('/')
    if 'opt_state' in keys or not np.issubdtype(x.dtype, np.floating):
      return np.zeros(x.shape, x.dtype)
    if 'kernel' in keys[-1]:
      values = generator.standard_normal(x.shape, np.float32)
      return (0.01 * values).astype(x.dtype)
    return np.full(x.shape, keys[-1] in ('scale', 'var'), x.dtype)

  filled = jax.tree_util.tree_map_with_path(fill, shapes)
  return jax.device_put(filled, parallel.replicated())
