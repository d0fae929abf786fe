"""Fixtures of the pipeline's tests: miniature datasets and a config."""

import ml_collections
import pytest
import tensorflow_datasets as tfds

from jaxuda.data.datasets import registry
from tests.data import miniature


@pytest.fixture(scope='module')
def data_dir(tmp_path_factory):
  """Returns a folder for all tests: a name always has the same examples."""
  return str(tmp_path_factory.mktemp('tfds'))


@pytest.fixture
def add_dataset(monkeypatch):
  """Returns a function that registers a miniature dataset."""

  def add(
    name,
    *,
    examples=miniature.create_example,
    fields=('image', 'label', 'depth'),
    **metadata,
  ):
    def build(dataset, *, data_dir):
      del dataset
      return miniature.Tiny(
        examples=examples,
        fields=fields,
        metadata=metadata,
        data_dir=data_dir,
        config=tfds.core.BuilderConfig(name=name),
        file_format='array_record',
      )

    entry = registry.Dataset(build=build, ids='streets')
    monkeypatch.setitem(registry.DATASETS, name, entry)

  return add


@pytest.fixture
def config(data_dir, add_dataset):
  add_dataset('near')
  add_dataset('far')

  def side(dataset, **more):
    return dict(
      dataset=dataset,
      split='train',
      manual_dir=ml_collections.config_dict.placeholder(str),
      size=miniature.SIZE,
      crop=(0, 0),
      flip=False,
      fraction=1.0,
      image_resize='bicubic',
      **more,
    )

  return ml_collections.ConfigDict(
    dict(
      data_dir=data_dir,
      resize='reference',
      zero_depth='keep',
      far_depth='keep',
      source=side('near'),
      target=side('far', eval_split='val'),
    )
  )
