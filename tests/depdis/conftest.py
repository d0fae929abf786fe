"""A miniature pair of datasets and the config of the method on it."""

import importlib.util
import pathlib

import numpy as np
import pytest
import tensorflow_datasets as tfds

from jaxuda.data.datasets import registry
from jaxuda.ui import command

ROOT = pathlib.Path(__file__).resolve().parents[2]
SIZE = (33, 49)
GRID = (5, 7)


def _load(path):
  spec = importlib.util.spec_from_file_location(path.stem, path)
  module = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(module)
  return module


miniature = _load(ROOT / 'tests' / 'data' / 'miniature.py')


def create_example(i):
  """Creates road below, sky above and a car somewhere; raw ids of streets."""
  height = SIZE[0]
  label = np.full(SIZE, 10, np.uint8)
  label[height // 2 :] = 0
  label[20:26, 3 * i : 3 * i + 9] = 13
  rows = np.arange(height)[:, None]
  depth = np.where(rows > height // 2, 60000 // (rows + 1), 65535)
  depth = np.where(label == 13, 800 + 10 * i, depth).astype(np.uint16)
  # OpenCV expects blue first.
  image = np.stack([depth // 256, 255 - label * 19, label * 19], -1)
  example = {'image': image.astype(np.uint8), 'label': label, 'depth': depth}
  encoded = {k: miniature.encode(v) for k, v in example.items()}
  return {'name': f'city/{i}', **encoded}


@pytest.fixture(scope='session')
def data_dir(tmp_path_factory):
  return str(tmp_path_factory.mktemp('tfds'))


@pytest.fixture
def config(data_dir, monkeypatch):
  """Returns configs/depdis.py on two tiny datasets, with a toy network."""

  def add(name):
    def build(dataset, *, data_dir):
      del dataset
      return miniature.Tiny(
        examples=create_example,
        fields=('image', 'label', 'depth'),
        metadata={},
        data_dir=data_dir,
        config=tfds.core.BuilderConfig(name=name),
        file_format='array_record',
      )

    entry = registry.Dataset(build=build, ids='streets')
    monkeypatch.setitem(registry.DATASETS, name, entry)

  config = command.read_config('depdis')
  config.network.backbone = 'resnet_tiny'
  config.data.data_dir = data_dir
  for side, name in (('source', 'clean'), ('target', 'real')):
    add(name)
    config.data[side].dataset = name
    config.data[side].size = SIZE
  config.mixtures.update(components=2, samples=300, least=20)
  return config
