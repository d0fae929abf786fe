"""Preparation that is interrupted, and records that are damaged later."""

import errno
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import time

import ml_collections
import numpy as np
import pytest
import tensorflow_datasets as tfds

from jaxuda import errors
from jaxuda.data import pipeline
from jaxuda.data.datasets import registry
from jaxuda.data.store import examples
from jaxuda.data.store import record_order
from jaxuda.data.store import shards
from tests.data import releases


@pytest.fixture
def raw(tmp_path):
  releases.synthia(tmp_path / 'raw', n=7)
  return tmp_path / 'raw'


def load(tmp_path, raw):
  return registry.load(
    'synthia', data_dir=str(tmp_path / 'tfds'), manual_dir=str(raw)
  )


def names(builder):
  return [x['name'].decode() for x in builder.as_data_source(split='train')]


def size_of(folder):
  return sum(x.stat().st_size for x in folder.rglob('*') if x.is_file())


def test_order_is_random_and_a_function_of_the_names():
  keys = [record_order.hash_name(f'{i:07d}', 'train') for i in range(100)]
  assert len(set(keys)) == 100
  assert keys != sorted(keys)
  assert keys[7] == record_order.hash_name('0000007', 'val')


def test_prepared_is_not_larger_than_raw(tmp_path, raw):
  # Noise, which no PNG can shrink.
  noise = np.random.default_rng(0).integers(0, 256, (300, 400, 3), np.uint8)
  for path in (raw / 'RAND_CITYSCAPES').rglob('*.png'):
    kind = path.parts[-2]
    if kind == 'RGB':
      releases.write(path, noise)
    elif kind == 'LABELS':
      ids = np.random.default_rng(1).integers(0, 23, (300, 400))
      picture = np.stack([ids] * 3, -1).astype(np.uint16)
      releases.write(path, picture)
    else:
      releases.write(path, np.stack([noise[..., 0]] * 3, -1) * np.uint16(200))
  builder = load(tmp_path, raw)
  assert size_of(pathlib.Path(builder.data_dir)) < size_of(raw)


def test_goes_on_where_it_was_killed(tmp_path, raw, monkeypatch):
  monkeypatch.setattr(shards, 'PER_SHARD', 2)
  real = shards._write
  seen = []

  def killed(path, records, count):
    if len(seen) == 2:
      # Half a shard is there, under its other name.
      (path.parent / f'.{path.stem}.1.part{path.suffix}').write_bytes(b'half')
      raise KeyboardInterrupt
    seen.append(path.name)
    real(path, records, count)

  monkeypatch.setattr(shards, '_write', killed)
  with pytest.raises(KeyboardInterrupt):
    load(tmp_path, raw)
  family = tmp_path / 'tfds' / 'synthia'
  assert not list(family.glob('*/1.1.0'))

  def count(path, records, size):
    seen.append(path.name)
    real(path, records, size)

  monkeypatch.setattr(shards, '_write', count)
  builder = load(tmp_path, raw)
  # Four shards, each written once.
  assert len(seen) == len(set(seen)) == 4
  assert sorted(names(builder)) == [f'{i:07d}' for i in range(7)]
  assert not list(family.glob('*/*.unfinished'))
  assert not list(family.rglob('*.part*'))

  whole = load(tmp_path / 'again', raw)
  assert names(whole) == names(builder)


KILLED = """
import sys, time
from jaxuda.data.datasets import registry
from jaxuda.data.store import examples
real = examples.Maker.make
def slow(self, split, item):
  time.sleep(0.2)
  return real(self, split, item)
examples.Maker.make = slow
registry.load('synthia', data_dir=sys.argv[1], manual_dir=sys.argv[2])
"""


def test_a_killed_process_leaves_nothing_that_looks_whole(tmp_path, raw):
  process = subprocess.Popen(
    [sys.executable, '-c', KILLED, str(tmp_path / 'tfds'), str(raw)],
    cwd=pathlib.Path(__file__).parents[3],
    stderr=subprocess.DEVNULL,
  )
  family = tmp_path / 'tfds' / 'synthia'
  until = time.time() + 120
  while not list(family.glob('*/*.unfinished/.*.part*')):
    assert process.poll() is None
    assert time.time() < until
    time.sleep(0.05)
  process.send_signal(signal.SIGKILL)
  assert process.wait() == -signal.SIGKILL
  assert list(family.glob('*/*.unfinished'))
  assert not list(family.glob('*/1.1.0'))
  with pytest.raises(errors.UserError, match='nothing is prepared'):
    registry.load('synthia', data_dir=str(tmp_path / 'tfds'))
  assert len(names(load(tmp_path, raw))) == 7


def test_whole_but_not_renamed_is_not_taken(tmp_path, raw, monkeypatch):
  real = os.replace

  def killed(source, target):
    if str(source).endswith('.unfinished'):
      raise KeyboardInterrupt
    real(source, target)

  with monkeypatch.context() as patch:
    patch.setattr(os, 'replace', killed)
    with pytest.raises(KeyboardInterrupt):
      load(tmp_path, raw)
  with pytest.raises(errors.UserError, match='nothing is prepared'):
    registry.load('synthia', data_dir=str(tmp_path / 'tfds'))
  assert len(names(load(tmp_path, raw))) == 7


def test_too_small_a_disk_is_told_before(tmp_path, raw, monkeypatch):
  usage = shutil.disk_usage(tmp_path)
  monkeypatch.setattr(
    shutil, 'disk_usage', lambda path: usage._replace(free=100)
  )
  with pytest.raises(errors.UserError, match='are free on this disk'):
    load(tmp_path, raw)


def test_a_disk_that_fills_up(tmp_path, raw, monkeypatch):
  def full(path, iterator):
    pathlib.Path(path).write_bytes(b'some')
    next(iter(iterator))
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

  with monkeypatch.context() as patch:
    patch.setattr(shards._ADAPTER, 'write_examples', full)
    with pytest.raises(errors.UserError, match=r'the disk is full.*resumes'):
      load(tmp_path, raw)
  assert len(names(load(tmp_path, raw))) == 7


def config(tmp_path, raw):
  side = dict(
    dataset='synthia',
    split='train',
    manual_dir=str(raw),
    size=(16, 24),
    crop=(0, 0),
    flip=False,
    fraction=1.0,
    image_resize='bicubic',
  )
  return ml_collections.ConfigDict(
    dict(
      data_dir=str(tmp_path / 'tfds'),
      resize='reference',
      zero_depth='keep',
      far_depth='keep',
      source=side,
    )
  )


def read_all(tmp_path, raw):
  stream = pipeline.train_stream(
    config(tmp_path, raw),
    classes='synthia16',
    needs={'source': ('image', 'label', 'depth')},
    batch_size=7,
    seed=0,
  )
  return next(stream)


# metadata.json, by its content.
CHANGES = {
  '"depth_unit": 0.01': (
    '"depth_unit": 0.02',
    '=0.02; expected 0.01, as',
  ),
  '"depth_unit": 0.01,': ('', 'depth_unit=None; expected 0.01'),
  '"depth_missing": []': ('"depth_missing": [1]', r'=\[1\]; expected \[\]'),
  '"metres"': ('"inverse"', 'depth_code=inverse; expected metres'),
}


def find_shard(builder):
  (path,) = pathlib.Path(builder.data_dir).glob('*.array_record*')
  return path


@pytest.mark.parametrize('place', [0.3, 0.6])
def test_a_damaged_record_is_named(tmp_path, raw, place):
  path = find_shard(load(tmp_path, raw))
  data = bytearray(path.read_bytes())
  # Most of a small file is padding.
  used = np.flatnonzero(np.frombuffer(bytes(data), np.uint8))
  start = used[int(len(used) * place)]
  data[start : start + 40] = bytes(x ^ 255 for x in data[start : start + 40])
  path.write_bytes(bytes(data))
  with pytest.raises(
    errors.UserError, match=r'damaged|cannot be read'
  ) as caught:
    read_all(tmp_path, raw)
  assert str(path) in str(caught.value)
  assert '\n' not in str(caught.value)


def test_a_truncated_shard_is_named(tmp_path, raw):
  path = find_shard(load(tmp_path, raw))
  path.write_bytes(path.read_bytes()[:500])
  with pytest.raises(errors.UserError, match='cannot be read') as caught:
    read_all(tmp_path, raw)
  assert str(path) in str(caught.value)


def test_a_lost_shard_is_named(tmp_path, raw):
  path = find_shard(load(tmp_path, raw))
  path.unlink()
  with pytest.raises(errors.UserError, match='cannot be read'):
    read_all(tmp_path, raw)


@pytest.mark.parametrize('count', [6, 8])
def test_a_changed_number_of_records_is_named(tmp_path, raw, count):
  path = find_shard(load(tmp_path, raw))
  described = path.with_name('dataset_info.json')
  text = described.read_text()
  assert text.count('"7"') == 1
  described.write_text(text.replace('"7"', f'"{count}"'))
  message = f'{path} cannot be read .it has 7 records, but {count} according'
  with pytest.raises(errors.UserError, match=message):
    read_all(tmp_path, raw)


@pytest.mark.parametrize('form', ['raw', 'png'])
def test_a_changed_description_is_named(tmp_path, raw, form):
  store = examples.Store(form=form, size=(8, 12))
  places = {'data_dir': str(tmp_path / 'tfds'), 'store': store}
  builder = registry.load('synthia', manual_dir=str(raw), **places)
  folder = pathlib.Path(builder.data_dir)
  # The meaning of the numbers, and their dtype and size.
  for file, old, new, message in (
    *(('metadata', old, *x) for old, x in CHANGES.items()),
    ('features', '"uint16"', '"uint8"', r'depth=.*uint8.*; expected .*uint16'),
  ):
    path = folder / f'{file}.json'
    text = path.read_text()
    assert text.count(old) == 1
    path.write_text(text.replace(old, new))
    for manual_dir in (str(raw), None):
      with pytest.raises(errors.UserError, match=message) as caught:
        registry.load('synthia', manual_dir=manual_dir, **places)
      assert str(caught.value).startswith(f'{folder}: {path.name} has ')
      assert '\n' not in str(caught.value)
    path.write_text(text)
  # Sizes in bytes are only for display.
  path = folder / 'dataset_info.json'
  text = path.read_text()
  (size,) = re.findall('"numBytes": "(.*)"', text)
  path.write_text(text.replace(size, '1'))
  assert names(registry.load('synthia', **places)) == names(builder)


def test_a_changed_file_is_prepared_again(tmp_path, raw):
  first = load(tmp_path, raw)
  path = raw / 'RAND_CITYSCAPES/RGB/0000000.png'
  releases.write(path, np.zeros((16, 24, 3), np.uint8))
  second = load(tmp_path, raw)
  assert first.data_dir != second.data_dir
  with pytest.raises(errors.UserError, match='are both prepared'):
    registry.load('synthia', data_dir=str(tmp_path / 'tfds'))


BREAKS = {
  'truncated picture': (
    'RGB',
    lambda path: path.write_bytes(path.read_bytes()[:-20]),
    'cannot be read as a picture',
  ),
  'no picture': ('RGB', lambda path: path.write_text('x'), 'as a picture'),
  '8-bit depth': (
    'Depth',
    lambda path: releases.write(path, np.ones((16, 24), np.uint8)),
    '8-bit with 1 channel; expected 16 bits',
  ),
  'size of depth': (
    'Depth',
    lambda path: releases.write(path, np.ones((8, 24), np.uint16)),
    '24x8 and its image .* 24x16',
  ),
  'unequal channels': (
    'Depth',
    lambda path: releases.write(
      path, np.arange(16 * 24 * 3, dtype=np.uint16).reshape(16, 24, 3)
    ),
    'channels that differ',
  ),
  'label saved again': (
    'LABELS',
    lambda path: releases.write(path, np.ones((16, 24, 3), np.uint8)),
    'saved again',
  ),
  'unknown ids': (
    'LABELS',
    lambda path: releases.write(path, np.full((16, 24, 3), 99, np.uint16)),
    'label ids 99 are not in the table of synthia',
  ),
  'no label': ('LABELS', lambda path: path.unlink(), 'has no label'),
  'no depth': ('Depth', lambda path: path.unlink(), 'has no depth'),
}


@pytest.mark.parametrize('kind', BREAKS)
def test_a_broken_file_is_named(tmp_path, raw, kind):
  folder, spoil, message = BREAKS[kind]
  (path,) = (x for x in raw.rglob('0000003.png') if x.parent.name == folder)
  spoil(path)
  with pytest.raises(errors.UserError, match=message) as caught:
    load(tmp_path, raw)
  assert '0000003.png' in str(caught.value)
  assert '\n' not in str(caught.value)


def test_the_default_folder_is_that_of_tfds(tmp_path, raw, monkeypatch):
  monkeypatch.setattr(tfds.core.constants, 'DATA_DIR', str(tmp_path / 'own'))
  builder = registry.load('synthia', manual_dir=str(raw))
  assert pathlib.Path(builder.data_dir).is_relative_to(tmp_path / 'own')
  assert registry.load('synthia').data_dir == builder.data_dir
