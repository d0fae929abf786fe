"""Depth as users have it: what is implausible, turned or declared in vain."""

import numpy as np
from PIL import Image
import pytest

from jaxuda.data.datasets import registry
from tests.data.doctor import test_own_files as own


@pytest.mark.parametrize(
  ('unit', 'raw', 'named'),
  [
    ('1', (4000, 15000), 'unit: 0.001, that is millimetres'),
    ('0.0001', (400, 6000), 'unit: 0.001, that is millimetres'),
    ('1', (900, 2500), 'unit: 0.01, that is centimetres'),
    ('1', (1280, 12800), 'unit: 0.001, that is millimetres'),
  ],
)
def test_implausible_depth_names_the_unit(tmp_path, unit, raw, named):
  depth = (
    np.linspace(*raw[::-1], own.IDS.size)
    .reshape(own.IDS.shape)
    .astype(np.uint16)
  )
  table = 'classes: {sky: 1, wall: 2, box: 3}\nignore: [0]\n'
  own.make(tmp_path, depth=depth, table=f'{table}depth: {{unit: {unit}}}')
  report = own.diagnose(tmp_path)
  texts = [x.text for x in report.problems if x.kind == 'implausible depth']
  assert len(texts) == 2
  assert named in texts[0]
  assert 'that is 1/256 m, ' in texts[0]
  assert report.fatal
  good = named.partition(',')[0]
  (tmp_path / 'classes.yaml').write_text(f'{table}depth: {{{good}}}')
  assert not own.diagnose(tmp_path).problems


def test_declared_depth_without_maps(tmp_path):
  table = 'classes: {sky: 1, wall: 2, box: 3}\nignore: [0]\ndepth: {unit: 0.01}'
  report = own.diagnose(own.make(tmp_path, table=table))
  assert ('no depth', True) in own.kinds(report)


@pytest.mark.parametrize(
  ('entry', 'low', 'extra', 'kind', 'fatal'),
  [
    ('unit: 0.001', 2000, 0, 'zero depth', True),
    ('unit: 0.001, missing: [0]', 2000, 0, None, False),
    ('unit: 0.001', 2000, 65535, 'far depth', False),
    ('unit: 0.01', 2000, 65535, None, False),
    ('unit: 0.001, missing: [65535]', 2000, 65535, None, False),
    # The ground is at the bottom, and its disparity is large.
    ('unit: 0.01', 500, None, 'depth the wrong way round', False),
    ('code: disparity, factor: 900', 500, None, None, False),
  ],
)
def test_depth_that_nobody_means(tmp_path, entry, low, extra, kind, fatal):
  depth = np.geomspace(low, 6000, own.IDS.size).reshape(own.IDS.shape)
  depth = depth.astype(np.uint16)
  if extra is not None:
    depth[:3] = extra
  table = 'classes: {sky: 1, wall: 2, box: 3}\nignore: [0]\n'
  own.make(tmp_path, depth=depth, table=f'{table}depth: {{{entry}}}')
  report = own.diagnose(tmp_path)
  assert {x.kind for x in report.problems} == ({kind} if kind else set())
  assert report.fatal == fatal


def test_maps_with_an_orientation_are_refused(tmp_path):
  depth = (
    np.linspace(800, 900, own.IDS.size).reshape(own.IDS.shape).astype(np.uint16)
  )
  table = 'classes: {sky: 1, wall: 2, box: 3}\nignore: [0]\ndepth: {unit: 0.01}'
  own.make(tmp_path, splits=('train',), depth=depth, table=table)
  exif = Image.Exif()
  exif[0x0112] = 3
  for kind, array in (('labels', own.IDS), ('depth', depth)):
    own.write(tmp_path / kind / 'train/0.png', array, exif=exif)
  report = own.diagnose(tmp_path)
  assert own.kinds(report) == {('bad label', True), ('bad depth', True)}
  assert all('EXIF orientation 3' in x.text for x in report.problems)


def test_relative_depth_may_be_smaller_and_not_turned(tmp_path):
  depth = np.linspace(9000, 500, 16 * 6).reshape(6, 16).astype(np.uint16)
  table = (
    'classes: {sky: 1, wall: 2, box: 3}\nignore: [0]\ndepth: {code: inverse}'
  )
  own.make(tmp_path, splits=('train',), depth=depth[::-1], table=table)
  assert own.kinds(own.diagnose(tmp_path)) == {('size of depth', False)}
  own.write(tmp_path / 'depth/train/0.png', depth.T.copy())
  assert ('size of depth', True) in own.kinds(own.diagnose(tmp_path))


@pytest.mark.parametrize(
  ('entry', 'value', 'fatal'),
  [
    ('unit: 0.01', 900, True),
    ('unit: 0.01, missing: [0]', 0, False),
    ('code: disparity, factor: 900', 3000, True),
    ('code: disparity, factor: 900', 0, False),
    ('code: inverse', 0, False),
  ],
)
def test_one_map_without_any_depth(tmp_path, entry, value, fatal):
  ramp = np.linspace(900, 1600, own.IDS.size).reshape(own.IDS.shape)
  ramp = ramp.astype(np.uint16)
  table = 'classes: {sky: 1, wall: 2, box: 3}\nignore: [0]\n'
  table = f'{table}depth: {{{entry}}}'
  own.make(tmp_path, splits=('train',), depth=ramp, table=table)
  assert not own.diagnose(tmp_path).problems
  flat = np.full_like(ramp, value)
  own.write(tmp_path / 'depth/train/1.png', flat)
  (problem,) = own.diagnose(tmp_path).problems
  assert (problem.kind, problem.fatal) == ('depth map of one value', fatal)
  assert f'the depth of 1 in train is {value} in every pixel' in problem.text


@pytest.mark.parametrize('step', [0, 777])
def test_all_maps_of_one_value(tmp_path, step):
  table = 'classes: {sky: 1, wall: 2, box: 3}\nignore: [0]\n'
  table = f'{table}depth: {{unit: 0.001}}'
  flat = np.full(own.IDS.shape, 9000, np.uint16)
  own.make(tmp_path, splits=('train',), depth=flat, table=table)
  for i, path in enumerate(sorted(tmp_path.glob('depth/*/*.png'))):
    own.write(path, flat + np.uint16(i * step))
  (problem,) = own.diagnose(tmp_path).problems
  assert (problem.kind, problem.fatal) == ('depth map of one value', True)
  assert 'each of the 3 depth maps of train has one value' in problem.text
  assert '(that of 0 is 9000)' in problem.text


def test_depth_of_missing_values_alone(tmp_path):
  table = 'classes: {sky: 1, wall: 2, box: 3}\nignore: [0]\n'
  table = f'{table}depth: {{unit: 0.001, missing: [9000, 9500]}}'
  depth = np.full(own.IDS.shape, 9000, np.uint16)
  depth[3:] = 9500
  own.make(tmp_path, splits=('train',), depth=depth, table=table)
  (problem,) = own.diagnose(tmp_path).problems
  assert (problem.kind, problem.fatal) == ('depth without a value', True)


def test_depth_that_the_table_does_not_declare(tmp_path):
  depth = np.linspace(900, 1600, own.IDS.size).reshape(own.IDS.shape)
  root = own.make(tmp_path, splits=('train',), depth=depth.astype(np.uint16))
  (problem,) = own.diagnose(root).problems
  assert (problem.kind, problem.fatal) == ('depth is not declared', False)
  assert f'{root}/depth/train/0.png (and 2 more) exists but' in problem.text
  table = (root / 'classes.yaml').read_text()
  (root / 'classes.yaml').write_text(f'{table}\ndepth: {{unit: 0.01}}')
  assert not own.diagnose(root).problems


def test_training_notes_what_the_doctor_says(tmp_path, capsys):
  depth = np.linspace(900, 2500, own.IDS.size).reshape(own.IDS.shape)
  table = 'classes: {sky: 1, wall: 2, box: 3}\nignore: [0]\ndepth: {unit: 1}'
  own.make(
    tmp_path, splits=('train',), depth=depth.astype(np.uint16), table=table
  )
  registry.load(
    'folder', data_dir=str(tmp_path / 'tfds'), manual_dir=str(tmp_path)
  )
  said = capsys.readouterr().err
  middle = int(np.sort(depth, None)[(depth.size - 1) // 2])
  assert middle == 1698
  assert f'note: folder: depth of train has a median of {middle} m; wi' in said
