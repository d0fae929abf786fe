"""The doctor on whole miniatures, and on broken copies of each."""

import os
import pathlib
import shutil
import subprocess
import sys
import types

import numpy as np
from PIL import Image
import pytest

from jaxuda import errors
from jaxuda.data.datasets import registry
from jaxuda.data.doctor import __main__ as doctor
from jaxuda.data.doctor import checkup
from jaxuda.data.doctor import diagnosis
from tests.data import releases
from tests.data.doctor import builders

SIZE = releases.SIZE
DATASETS = builders.DATASETS
WITH_DEPTH = [x for x in DATASETS if DATASETS[x][3]]
write = builders.write


def fatal(name, root):
  report = diagnosis.diagnose(name, manual_dir=str(root))
  return report, {x.kind: x.text for x in report.problems if x.fatal}


@pytest.mark.parametrize('name', DATASETS)
def test_whole_miniatures_have_no_fatal_problem(tmp_path, name):
  root, _ = write(tmp_path, name)
  report, problems = fatal(name, root)
  assert problems == {}
  assert not report.fatal
  for split, found in report.examined.items():
    images, labelled, deep = report.counts[split]
    assert (found.images, found.labelled, found.deep) == (
      images,
      labelled,
      deep,
    )


@pytest.mark.parametrize('name', DATASETS)
def test_truncated_picture(tmp_path, name):
  root, (image, label, _) = write(tmp_path, name)
  for path in (image, label):
    path.write_bytes(path.read_bytes()[:-30])
  _, problems = fatal(name, root)
  assert str(image) in problems['bad image']
  assert str(label) in problems['bad label']
  with pytest.raises(errors.UserError):
    registry.load(name, data_dir=str(tmp_path), manual_dir=str(root))


@pytest.mark.parametrize('name', DATASETS)
def test_missing_label(tmp_path, name):
  root, (image, label, _) = write(tmp_path, name)
  label.unlink()
  _, problems = fatal(name, root)
  assert str(image) in problems['images without label']


@pytest.mark.parametrize('name', DATASETS)
def test_missing_image_folder(tmp_path, name):
  root, _ = write(tmp_path, name)
  folders = ('RGB', 'images', 'leftImg8bit', 'image_2', 'vkitti_1.3.1_rgb')
  for folder in folders:
    for found in sorted(root.rglob(folder)):
      shutil.rmtree(found)
  with pytest.raises(errors.UserError, match='has no images; expected'):
    diagnosis.diagnose(name, manual_dir=str(root))


@pytest.mark.parametrize('name', DATASETS)
def test_size_mismatch(tmp_path, name):
  root, (image, _, depth) = write(tmp_path, name)
  other = releases.image_of(1, (10, 12))
  Image.fromarray(other).save(image)
  report, problems = fatal(name, root)
  where = [x.text for x in report.problems if x.kind == 'size of label']
  assert len(where) == 1
  assert '24x16' in where[0]
  # GTA5 itself has some; resizing hides them.
  assert ('size of label' in problems) == (name != 'gta5/mono')
  if depth:
    assert ('size of depth' in problems) == (name != 'gta5/mono')


@pytest.mark.parametrize('name', WITH_DEPTH)
def test_depth_of_eight_bits(tmp_path, name):
  root, (_, _, depth) = write(tmp_path, name)
  releases.write(depth, np.ones(SIZE, np.uint8))
  _, problems = fatal(name, root)
  assert str(depth) in problems['bad depth']
  assert '8-bit' in problems['bad depth']


@pytest.mark.parametrize('name', WITH_DEPTH)
@pytest.mark.parametrize('factor', [1, 256, 257])
def test_eight_bits_in_sixteen(tmp_path, name, factor):
  root, (_, _, depth) = write(tmp_path, name)
  small = np.arange(16 * 24, dtype=np.uint16).reshape(SIZE) % 255
  for path in depth.parent.glob('*.png'):
    releases.write(path, small * np.uint16(factor))
  if name == 'cityscapes/disparity':
    where = 'val'
  elif name == 'vkitti':
    # The other videos are as they were.
    for path in root.glob('vkitti_1.3.1_depthgt/*/*/*.png'):
      releases.write(path, small * np.uint16(factor))
    where = 'train'
  else:
    where = 'train'
  _, problems = fatal(name, root)
  assert f'depth of {where}' in problems['8-bit depth saved as 16 bits']
  with pytest.raises(errors.UserError, match='8 bits at some point'):
    registry.load(name, data_dir=str(tmp_path), manual_dir=str(root))


@pytest.mark.parametrize(('levels', 'found'), [(3, False), (12, True)])
def test_round_numbers_are_of_eight_bits_if_there_are_many(
  tmp_path, levels, found
):
  root, (_, _, depth) = write(tmp_path, 'synthia')
  drawn = 1500 + 500 * (np.arange(16 * 24).reshape(SIZE) % levels)
  for path in depth.parent.glob('*.png'):
    releases.write(path, drawn.astype(np.uint16))
  _, problems = fatal('synthia', root)
  assert ('8-bit depth saved as 16 bits' in problems) == found


@pytest.mark.parametrize('name', DATASETS)
def test_wrong_ids(tmp_path, name):
  root, (_, label, _) = write(tmp_path, name)
  wrong = np.full(SIZE, 200, np.uint8)
  if name == 'synthia':
    wrong = np.stack([wrong.astype(np.uint16)] * 3, -1)
  if name == 'vkitti':
    wrong = np.stack([wrong] * 3, -1)
  releases.write(label, wrong)
  _, problems = fatal(name, root)
  assert str(label) in problems['bad label']
  assert '200' in problems['bad label']


@pytest.mark.parametrize(
  'name',
  ['cityscapes/disparity', 'gta5/mono', 'kitti', 'mapillary', 'mapillary_v2'],
)
def test_train_ids_under_the_name_of_raw_ids(tmp_path, name):
  root, (_, label, _) = write(tmp_path, name)
  train_ids = np.resize(np.arange(19, dtype=np.uint8), SIZE)
  for path in label.parent.glob('*.png'):
    size = np.asarray(Image.open(path)).shape
    releases.write(path, np.resize(train_ids, size))
  _, problems = fatal(name, root)
  assert 'not train ids' in problems['label folder holds something else']
  with pytest.raises(errors.UserError, match='not train ids'):
    registry.load(name, data_dir=str(tmp_path), manual_dir=str(root))


def test_labels_as_colours(tmp_path):
  root, (_, label, _) = write(tmp_path, 'mapillary')
  releases.write(label, releases.image_of())
  _, problems = fatal('mapillary', root)
  assert 'not colours' in problems['bad label']


def test_missing_depth_of_a_dataset_that_is_named_for_it(tmp_path):
  root = tmp_path / 'raw'
  releases.cityscapes(root)
  _, problems = fatal('cityscapes/stereo', root)
  assert '_depth_stereoscopic.mat' in problems['no depth']


def test_missing_cameras(tmp_path):
  root, _ = write(tmp_path, 'cityscapes/disparity')
  for path in (root / 'camera').rglob('*.json'):
    path.unlink()
  _, problems = fatal('cityscapes/disparity', root)
  assert '_camera.json' in problems['images without camera or colour file']


def test_figures(tmp_path):
  root = tmp_path / 'raw'
  releases.synthia(root, n=2)
  report, _ = fatal('synthia', root)
  found = report.examined['train']
  assert found.sizes['image'] == {SIZE: 2}
  assert found.depths[[0, 65535]].tolist() == [2, 2]
  assert found.depths.sum() == 2 * 16 * 24
  assert found.measured.tolist() == [1, 500, 501, 1000, 65534]
  count = np.bincount(releases.ids_of('synthia').ravel(), minlength=256)
  np.testing.assert_array_equal(found.ids, 2 * count)
  assert report.counts == {'train': (2, 2, 2)}
  (note,) = report.problems
  assert (note.fatal, note.kind) == (False, 'unexpected number of images')


def test_limit_is_spread(tmp_path):
  root = tmp_path / 'raw'
  releases.synthia(root, n=9)
  report = diagnosis.diagnose('synthia', manual_dir=str(root), limit=3)
  assert report.counts['train'][0] == 9
  assert report.examined['train'].images == 3


def test_prepared(tmp_path):
  root, _ = write(tmp_path, 'synthia')
  data_dir = str(tmp_path / 'tfds')
  with pytest.raises(errors.UserError, match='nothing is prepared'):
    diagnosis.diagnose('synthia', data_dir=data_dir)
  made = registry.load('synthia', data_dir=data_dir, manual_dir=str(root))
  report = diagnosis.diagnose('synthia', data_dir=data_dir)
  assert not report.fatal
  raw = diagnosis.diagnose('synthia', manual_dir=str(root))
  np.testing.assert_array_equal(
    report.examined['train'].ids, raw.examined['train'].ids
  )
  np.testing.assert_array_equal(
    report.examined['train'].depths, raw.examined['train'].depths
  )
  (shard,) = pathlib.Path(made.data_dir).glob('*.array_record*')
  shard.write_bytes(shard.read_bytes()[:500])
  report = diagnosis.diagnose('synthia', data_dir=data_dir)
  assert report.fatal
  assert str(made.data_dir) in report.problems[0].text


def test_camvid(tmp_path):
  for folder in ('train', 'trainannot'):
    for i in range(2):
      path = tmp_path / 'raw' / folder / f'{i}.png'
      releases.write(path, np.full((6, 8), i, np.uint8))
  report, problems = fatal('camvid', tmp_path / 'raw')
  assert problems == {}
  assert report.counts == {'train': (2, 2, 0)}


def test_streets_have_no_files():
  with pytest.raises(errors.UserError, match='is not read from files'):
    diagnosis.diagnose('streets/source', manual_dir='.')


def test_contact_sheet(tmp_path):
  root, _ = write(tmp_path, 'synthia')
  report, _ = fatal('synthia', root)
  (path,) = checkup.write_pictures(report, str(tmp_path / 'out'))
  assert path.name == 'synthia_train.png'
  picture = np.asarray(Image.open(path))
  # Image, labels, depth side by side, three of them.
  height = 320 * 16 // 24
  assert picture.shape[1] == 3 * 320
  assert picture.shape[0] > 3 * height
  sky = (70, 130, 180)
  assert (picture[:height, 320:640] == sky).all(-1).any()


def run(*arguments):
  return subprocess.run(
    [sys.executable, '-m', 'jaxuda.data.doctor', *arguments],
    cwd=pathlib.Path(__file__).parents[3],
    capture_output=True,
    text=True,
    check=False,
    env={**os.environ, 'TF_CPP_MIN_LOG_LEVEL': '3'},
  )


def test_command(tmp_path):
  root, (image, _, _) = write(tmp_path, 'synthia')
  image.write_bytes(image.read_bytes()[:-30])
  done = run(
    '--dataset=synthia', f'--manual_dir={root}', f'--pictures={tmp_path}/out'
  )
  assert done.returncode == 1
  assert f'error: {image} cannot be read as a picture' in done.stdout
  assert (tmp_path / 'out' / 'synthia_train.png').is_file()
  assert 'Traceback' not in done.stderr


def test_printed(tmp_path, capsys):
  root, _ = write(tmp_path, 'cityscapes/disparity')
  report, _ = fatal('cityscapes/disparity', root)
  checkup.print_report(report)
  printed = capsys.readouterr().out
  assert 'leftImg8bit/<split>/<city>/<stem>_leftImg8bit.png' in printed
  for text in (
    '2975',
    'raw ids',
    'traffic light',
    '1..65534',
    '0.26%',
    'note: ',
  ):
    assert text in printed
  with pytest.raises(errors.UserError, match='unknown class set'):
    checkup.print_report(report, classes='x')


@pytest.mark.parametrize(
  ('given', 'message'),
  [
    (
      {'classes': 'synthia61'},
      "unknown class set 'synthia61'; expected one of",
    ),
    ({'classes': 'none.yaml'}, 'none.yaml'),
    ({'pictures': __file__}, 'test_checkup.py is a file; expected a folder'),
  ],
)
def test_mistakes_are_named_before_files_are_read(monkeypatch, given, message):
  options = {'classes': None, 'pictures': None, **given}
  fake = types.SimpleNamespace(FLAGS=types.SimpleNamespace(**options))
  monkeypatch.setattr(doctor, 'flags', fake)
  monkeypatch.setattr(
    diagnosis, 'diagnose', lambda *_, **__: pytest.fail('read')
  )
  with pytest.raises(errors.UserError, match=message):
    doctor.main()
