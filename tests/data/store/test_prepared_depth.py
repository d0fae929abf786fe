"""Depth from a folder next to a dataset, prepared at the training size."""

import json
import os
import pathlib
import re

import cv2
import ml_collections
import numpy as np
import pytest

from jaxuda import errors
from jaxuda.data import pipeline
from jaxuda.data.store import examples
from jaxuda.data.store import prepared as prepared_lib
from jaxuda.data.store import shards
from tests.data import releases

COUNT = 4
SIZE = (8, 12)
CENTIMETRES = {'depth_code': 'metres', 'depth_missing': [65535]}


def depth_of(i):
  """Returns a map of a size other than the images', all numbers different."""
  rows, columns = np.mgrid[:20, :40]
  raw = (1000 * (i + 1) + 40 * rows + columns).astype(np.uint16)
  raw[:8] = 65535
  return raw


def write_folder(folder, change=lambda raw: raw):
  """Writes files without compression, which have the same size."""
  for i in range(COUNT):
    path = folder / 'train' / f'{i:07d}_depth.png'
    path.parent.mkdir(parents=True, exist_ok=True)
    raw = np.ascontiguousarray(change(depth_of(i)))
    cv2.imwrite(str(path), raw, [cv2.IMWRITE_PNG_COMPRESSION, 0])
    os.utime(path, (1e9, 1e9))
  (folder / 'depth.json').write_text(json.dumps(CENTIMETRES))


@pytest.fixture(name='folder')
def _folder(tmp_path):
  write_folder(tmp_path / 'depth')
  return tmp_path / 'depth'


@pytest.fixture(name='config')
def _config(tmp_path, folder):
  releases.synthia(tmp_path / 'raw', n=COUNT, depth=None)
  side = dict(
    dataset='synthia',
    split='train',
    manual_dir=str(tmp_path / 'raw'),
    size=SIZE,
    crop=(0, 0),
    flip=False,
    fraction=1.0,
    first=0,
    image_resize='bicubic',
    depth_resize='default',
    fit='stretch',
    store='png',
    depth_dir=str(folder),
  )
  shared = dict(resize='reference', zero_depth='keep', far_depth='keep')
  return ml_collections.ConfigDict(
    {'data_dir': str(tmp_path / 'tfds'), **shared, 'source': side}
  )


def read(config, count=COUNT):
  return next(
    pipeline.train_stream(
      config,
      classes='synthia16',
      needs={'source': ('image', 'depth')},
      batch_size=count,
      seed=0,
    )
  )['source']


def prepared(config):
  return sorted(pathlib.Path(config.data_dir, 'depths').glob('*/1.0.0'))


@pytest.mark.parametrize('fit', ['stretch', 'pad'])
@pytest.mark.parametrize('rule', ['reference', 'consistent', 'linear'])
def test_prepared_is_what_is_read_from_the_folder(config, rule, fit):
  config.source.depth_resize, config.source.fit = rule, fit
  config.source.crop, config.source.flip = (6, 7), True
  small = read(config)
  config.source.store = 'raw'
  raw = read(config)
  for field in ('depth', 'depth_valid'):
    np.testing.assert_array_equal(small[field], raw[field])
  assert len(np.unique(raw['depth'][:, -3, 0] // 10)) == COUNT
  assert not raw['depth_valid'].all()
  (found,) = prepared(config)
  # Maps that are interpolated or padded keep their size.
  small = fit == 'stretch' and rule != 'linear'
  form = f'8x12_{rule}_' if small else 'whole_'
  assert found.parent.name.startswith(form)


@pytest.mark.parametrize('store', ['raw', 'png', 'jpeg'])
@pytest.mark.parametrize('rule', ['reference', 'consistent', 'linear'])
def test_padded_depth_lies_over_its_image(config, rule, store):
  # The maps are 20x40, their images 16x24.
  config.source.depth_resize, config.source.store = rule, store
  over = read(config)
  config.source.fit, config.source.size = 'pad', (8, 15)
  padded = read(config)
  for field in ('depth', 'depth_valid'):
    np.testing.assert_array_equal(padded[field][..., :12], over[field])
  assert not padded['depth_valid'][..., 12:].any()
  assert (padded['image'][..., 13:, :] < 40).all()
  assert padded['image'][..., :12, :].any((1, 2, 3)).all()


def test_images_whose_sizes_were_not_stored(config, monkeypatch, capsys):
  config.source.fit = 'pad'
  create, make = prepared_lib._create_features, examples.Maker.make

  def make_without(*arguments):
    example = make(*arguments)
    del example['image_size']
    return example

  with monkeypatch.context() as patch:
    patch.setattr(
      prepared_lib,
      '_create_features',
      lambda form, **options: create(form, **{**options, 'sized': False}),
    )
    patch.setattr(examples.Maker, 'make', make_without)
    read(config)
  assert capsys.readouterr().err.count('not hold the sizes of its images') == 1
  # They are read as before, and so are those of other folders.
  config.source.fit = 'stretch'
  read(config)
  assert 'sizes of its images' not in capsys.readouterr().err


@pytest.mark.parametrize('fit', ['stretch', 'pad'])
def test_a_rotated_map_is_named_when_it_is_prepared(config, folder, fit):
  config.source.fit = fit
  turned = folder / 'train' / '0000002_depth.png'
  releases.write(turned, depth_of(2).T)
  message = r'0000002_depth\.png is 20x40 and its image 24x16; .*not rotated'
  for store in ('png', 'raw'):
    config.source.store = store
    with pytest.raises(errors.UserError, match=message):
      read(config)
  assert not prepared(config)


def test_is_prepared_once(config, capsys):
  read(config)
  assert capsys.readouterr().err.count('/depths/') == 1
  read(config)
  # Neither the images' form nor a share of them affects the depth.
  config.source.fraction = 0.5
  read(config, count=2)
  config.source.store = 'jpeg'
  read(config, count=2)
  assert capsys.readouterr().err.count('/depths/') == 0
  assert len(prepared(config)) == 1


def test_a_changed_map_is_prepared_again(config, folder):
  before = read(config)
  changed = folder / 'train' / '0000002_depth.png'
  releases.write(changed, depth_of(2)[:, ::-1])
  after = read(config)
  assert (before['depth'] != after['depth']).any((1, 2)).sum() == 1
  assert len(prepared(config)) == 2
  config.source.store = 'raw'
  np.testing.assert_array_equal(read(config)['depth'], after['depth'])


def test_a_folder_with_the_same_names_sizes_and_times(config, tmp_path):
  before = read(config)
  write_folder(tmp_path / 'other', change=lambda raw: raw[:, ::-1])
  config.source.depth_dir = str(tmp_path / 'other')
  after = read(config)
  assert (before['depth'] != after['depth']).any((1, 2)).all()
  config.source.store = 'raw'
  np.testing.assert_array_equal(read(config)['depth'], after['depth'])


def test_a_map_that_is_missing(config, folder):
  lost = folder / 'train' / '0000003_depth.png'
  lost.unlink()
  with pytest.raises(errors.UserError, match="no depth of '0000003'"):
    read(config)
  # The first images by name do not need it.
  config.source.first = 3
  assert read(config, count=3)['depth'].shape == (3, *SIZE)


def test_a_broken_map_is_named_at_once(config, folder):
  broken = folder / 'train' / '0000001_depth.png'
  broken.write_bytes(broken.read_bytes()[:-20])
  with pytest.raises(errors.UserError, match=r'0000001_depth\.png cannot be'):
    read(config)
  assert not prepared(config)


def test_a_damaged_record_is_named(config):
  read(config)
  (path,) = prepared(config)[0].glob('*.array_record*')
  data = bytearray(path.read_bytes())
  # Most of a small file is padding.
  used = np.flatnonzero(np.frombuffer(bytes(data), np.uint8))
  start = used[len(used) // 2]
  data[start : start + 40] = bytes(x ^ 255 for x in data[start : start + 40])
  path.write_bytes(bytes(data))
  with pytest.raises(errors.UserError, match=r'depth_dir: .*damaged') as caught:
    read(config)
  assert str(prepared(config)[0]) in str(caught.value)
  assert '\n' not in str(caught.value)


def test_changed_lengths_of_shards_are_named(config, monkeypatch):
  # Otherwise images would have the depth of others.
  monkeypatch.setattr(shards, 'PER_SHARD', 2)
  read(config)
  path = prepared(config)[0] / 'dataset_info.json'
  text = path.read_text()
  lengths = re.findall(r'"shardLengths": \[\s*"2",\s*"2"\s*\]', text)
  path.write_text(text.replace(*lengths, '"shardLengths": ["1", "3"]'))
  with pytest.raises(errors.UserError, match='it has 2 records, but 1 accor'):
    read(config)
