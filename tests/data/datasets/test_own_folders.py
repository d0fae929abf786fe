"""Folders with the user's own classes: from files to batches and reports."""

import shutil

import numpy as np
import pytest

from configs import common
from jaxuda import errors
from jaxuda.data import pipeline
from jaxuda.data.datasets import folder
from jaxuda.data.datasets import registry
from jaxuda.data.doctor import checkup
from jaxuda.data.doctor import diagnosis
from jaxuda.data.records import access
from jaxuda.data.records import domain
from tests.data import releases

SIZE = releases.SIZE
# Rows of the miniatures' labels, from above: two of each class.
ROWS = ('floor', 'cup', 'lamp', 'shelf')
IDS = {'floor': 200, 'cup': 0, 'lamp': 7, 'shelf': 255}
COLORS = {'floor': (255, 0, 0), 'cup': (0, 0, 1), 'shelf': (9, 9, 9)}


def paint(codes, missing):
  """Returns a label of SIZE: stripes of two rows in the order of `ROWS`."""
  rows = [codes.get(name, missing) for name in ROWS for _ in range(2)]
  values = np.array(rows * (SIZE[0] // len(rows)), np.uint8)
  return np.repeat(values[:, None], SIZE[1], 1)


def write_source(root):
  """Writes ids, depth, and a class that is not in the class set."""
  for first, split in ((0, 'train'), (2, 'val')):
    for i in range(2):
      image = releases.image_of(first + i)
      releases.write(root / 'images' / split / f'{i}.png', image)
      releases.write(root / 'labels' / split / f'{i}.png', paint(IDS, 0))
      releases.write(root / 'depth' / split / f'{i}.png', releases.depth_of(i))
  (root / 'classes.yaml').write_text(
    'classes: {lamp: 7, cup: [0, 1], floor: 200, shelf: 255}\n'
    'depth: {unit: 0.001}\n'
  )


def write_target(root):
  """Writes colours, in another order, and without a lamp."""
  for first, split in ((0, 'train'), (2, 'val')):
    for i in range(2):
      image = releases.image_of(first + i)
      releases.write(root / 'images' / split / f'{i}.png', image)
      label = paint(COLORS, (1, 1, 1))
      releases.write(root / 'labels' / split / f'{i}.png', label)
  (root / 'classes.json').write_text(
    '{"classes": {"shelf": "#090909", "floor": ["#ff0000", "#ff0001"],'
    ' "cup": "#000001"}, "ignore": "#010101"}'
  )


@pytest.fixture
def data(tmp_path):
  """Returns the data config of the pair, and the file of the class set."""
  write_source(tmp_path / 'source')
  write_target(tmp_path / 'target')
  path = tmp_path / 'own.yaml'
  path.write_text('classes: [floor, shelf, cup, table]')
  config = common.base('dada', 'folder', str(path))
  assert (config.classes, config.num_classes) == (str(path), 0)
  config.data.data_dir = str(tmp_path / 'tfds')
  for side in ('source', 'target'):
    config.data[side].manual_dir = str(tmp_path / side)
    config.data[side].size = SIZE
  return config.data, str(path)


def first_batch(data, classes):
  fields = ('image', 'label')
  return next(
    pipeline.train_stream(
      data,
      classes=classes,
      needs={'source': (*fields, 'depth'), 'target': fields},
      batch_size=2,
      seed=0,
    )
  )


def test_folders_in_the_home_folder(data, tmp_path, monkeypatch):
  data, classes = data
  monkeypatch.setenv('HOME', str(tmp_path))
  for side in ('source', 'target'):
    data[side].manual_dir = f'~/{side}'
  batch = first_batch(data, classes)
  assert {*np.unique(batch['source']['label'])} == {0, 1, 2, 255}


def test_two_folders_one_class_set(data):
  data, classes = data
  batch = first_batch(data, classes)
  ids = dict(floor=0, shelf=1, cup=2)
  for side in ('source', 'target'):
    for label in batch[side]['label']:
      np.testing.assert_array_equal(label, paint(ids, 255))
  (val,) = pipeline.eval_stream(data, classes=classes, batch_size=2)
  np.testing.assert_array_equal(val['label'][0], paint(ids, 255))


def test_a_target_of_images_alone_is_looked_at_and_not_scored(
  data, tmp_path, capsys
):
  data, classes = data
  shutil.rmtree(tmp_path / 'target' / 'labels')
  (tmp_path / 'target' / 'classes.json').unlink()
  optional = {'classes': classes, 'optional': ('label',)}
  for options in ({}, {'with_depth': True}, {'whole_images': True}):
    (batch,) = pipeline.eval_stream(data, batch_size=2, **optional, **options)
    assert set(batch) == {'image', 'name'}
    np.testing.assert_array_equal(batch['image'][0], releases.image_of(2))
  assert pipeline.eval_size(data, **optional) == 2
  said = "note: folder/target has no label in split 'val': it is not scored"
  assert capsys.readouterr().err.splitlines().count(said) == 1
  with pytest.raises(errors.UserError, match="no label in split 'val', which"):
    pipeline.eval_size(data, classes=classes)
  # A split with labels is scored, though they are optional.
  (batch,) = pipeline.eval_stream(
    data, batch_size=2, domain='source', **optional
  )
  assert (batch['label'][0] == paint(dict(floor=0, shelf=1, cup=2), 255)).all()


def test_prepared_folders_need_no_files(data, tmp_path):
  data, classes = data
  before = first_batch(data, classes)
  for side in ('source', 'target'):
    (tmp_path / side).rename(tmp_path / f'{side}_gone')
    data[side].manual_dir = None
  after = first_batch(data, classes)
  for field, value in before['source'].items():
    np.testing.assert_array_equal(after['source'][field], value)
  np.testing.assert_array_equal(
    after['target']['label'], before['target']['label']
  )


@pytest.mark.parametrize('store', ['raw', 'png'])
def test_what_is_stored(data, store):
  data, _ = data
  data.source.store = store
  opened = access.Records(
    domain.read_domain(data, 'source'), classes=None, fields=('label',)
  )
  label = opened.decode(opened.read(0))['label'].numpy()
  # Indices into the table, from 1.
  np.testing.assert_array_equal(
    label, paint(dict(lamp=1, cup=2, floor=3, shelf=4), 0)
  )
  builder = registry.find_prepared('folder/source', data_dir=data.data_dir)
  metadata = registry.metadata(builder.info)
  assert metadata['classes'] == {
    'classes': ['lamp', 'cup', 'floor', 'shelf'],
    'colors': ['#800000', '#008000', '#808000', '#000080'],
  }


def test_no_class_in_common(data, tmp_path):
  data, _ = data
  path = tmp_path / 'other.yaml'
  path.write_text('classes: [cow, pig]')
  with pytest.raises(errors.UserError, match=r'lamp, cup, floor, shelf, and n'):
    first_batch(data, str(path))
  # Nothing was prepared for it.
  assert not (tmp_path / 'tfds').exists()
  with pytest.raises(errors.UserError, match='to be a class table'):
    first_batch(data, 'cityscapes19')


def test_ignored_classes_are_said_once(data, capfd):
  data, classes = data
  first_batch(data, classes)
  first_batch(data, classes)
  notes = [x for x in capfd.readouterr().err.splitlines() if 'note:' in x]
  assert notes == [
    f'note: folder/source: {classes} does not have the classes lamp; they are'
    ' ignored'
  ]


def test_names_of_folders():
  assert folder.describe('folder/my-2nd').dataset == 'folder/my-2nd'
  for name in ('folder/', 'folder/a_b', 'folder/a/b', 'folders'):
    with pytest.raises(errors.UserError, match='expected folder, or folder/N'):
      folder.describe(name)


def test_doctor_shows_own_classes(data, tmp_path, capsys):
  data, classes = data
  manual_dir = data.source.manual_dir
  report = diagnosis.diagnose('folder', manual_dir=manual_dir)
  assert not report.problems
  assert report.own.names == ('lamp', 'cup', 'floor', 'shelf')
  assert report.examined['train'].ids[:6].tolist() == [0, *[192] * 4, 0]
  checkup.print_report(report)
  shown = capsys.readouterr().out
  assert 'labels of train as its own classes' in shown
  assert 'note:' not in shown
  (path,) = [
    x
    for x in checkup.write_pictures(report, tmp_path / 'a')
    if 'train' in x.name
  ]
  assert path.is_file()
  checkup.print_report(report, classes=classes)
  shown = capsys.readouterr().out
  assert f'labels of train as {classes}' in shown
  assert 'are ignored: lamp (25.00% of the pixels)' in shown
  assert f'does not have these classes of {classes}: table' in shown


def test_doctor_of_what_was_prepared(data, capsys):
  data, classes = data
  first_batch(data, classes)
  report = diagnosis.diagnose('folder/target', data_dir=data.data_dir)
  assert not report.problems
  assert report.own.names == ('shelf', 'floor', 'cup')
  assert report.own.colors[0].tolist() == [9, 9, 9]
  checkup.print_report(report, classes=classes)
  assert 'does not have these classes of' in capsys.readouterr().out
