import json
import re

import cv2
import numpy as np
import pytest

from jaxuda import errors
from jaxuda.data.files import depth_folder
from tests.data import miniature

METRES = {'depth_code': 'metres', 'depth_unit': 0.01, 'depth_missing': [65535]}
NEEDS = {'target': ('image', 'depth')}


def write(folder, name, raw):
  path = folder / name
  path.parent.mkdir(parents=True, exist_ok=True)
  cv2.imwrite(str(path), raw)


@pytest.fixture(name='folder')
def _folder(tmp_path):
  """Writes a map per example of the miniature: its number, with a hole."""
  folder = tmp_path / 'depth'
  for i in range(miniature.SPLITS['train']):
    raw = np.full((12, 16), 500 + i, np.uint16)
    raw[0] = 65535
    write(folder, f'image {i}.png', raw)
  (folder / 'depth.json').write_text(json.dumps(METRES))
  return folder


@pytest.fixture(name='joined')
def _joined(config, add_dataset, folder):
  """Returns a target without depth, joined with the folder."""
  add_dataset('bare', fields=('image', 'label'))
  config.target.dataset = 'bare'
  config.target.depth_dir = str(folder)
  return config


def test_depth_of_the_folder_joins_by_name(joined):
  for batch in miniature.take(miniature.stream(joined, needs=NEEDS), 4):
    numbers = batch['target']['image'][:, 3, 3, 0] / 10.0
    depth, valid = (batch['target'][x] for x in ('depth', 'depth_valid'))
    assert depth.shape == (2, *miniature.SIZE)
    assert not valid[:, 0].any()
    assert valid[:, 1:].all()
    for i, one in zip(numbers, depth, strict=True):
      np.testing.assert_allclose(one[1:], 5 + i / 100, rtol=1e-6)


def test_inverse_depth_becomes_the_number_of_the_papers(joined, folder):
  (folder / 'depth.json').write_text('{"depth_code": "inverse"}')
  (batch,) = miniature.take(miniature.stream(joined, needs=NEEDS), 1)
  i = batch['target']['image'][:, 3, 3, 0] / 10.0
  inverse = 655.36 / (batch['target']['depth'][:, 3, 3] + 0.01)
  np.testing.assert_allclose(inverse, (500 + i) / 256 + 1, rtol=1e-5)


def test_disparity_with_a_factor(joined, folder):
  tree = {'depth_code': 'disparity', 'depth_factor': 20.0}
  (folder / 'depth.json').write_text(json.dumps(tree))
  (batch,) = miniature.take(miniature.stream(joined, needs=NEEDS), 1)
  i = batch['target']['image'][:, 3, 3, 0] / 10.0
  np.testing.assert_allclose(
    batch['target']['depth'][:, 3, 3], 20 / ((499 + i) / 256), rtol=1e-5
  )


def test_scores_keep_the_dataset_s_own_depth(config, folder):
  config.target.depth_dir = str(folder)
  for batch in miniature.evaluate(config, with_depth=True):
    numbers = [int(x.split()[-1]) for x in batch['name']]
    for i, depth in zip(numbers, batch['depth'], strict=False):
      np.testing.assert_allclose(depth[3], i + np.arange(8) / 100, atol=1e-6)


def test_a_missing_map_is_named_by_the_pipeline(joined, folder):
  (folder / 'image 3.png').unlink()
  with pytest.raises(errors.UserError, match=r"no depth of 'image 3'"):
    miniature.take(miniature.stream(joined, needs=NEEDS), 7)


def test_an_8_bit_map_is_named_by_the_pipeline(joined, folder):
  write(folder, 'image 5.png', np.full((12, 16), 9, np.uint8))
  message = r'image 5\.png is 8-bit .* expected 16 bits'
  with pytest.raises(errors.UserError, match=message):
    miniature.take(miniature.stream(joined, needs=NEEDS), 7)


def test_files_of_subfolders_and_endings(tmp_path):
  (tmp_path / 'depth.json').write_text('{"depth_code": "inverse"}')
  raw = np.ones((2, 2), np.uint16)
  for split in ('train', 'val'):
    write(tmp_path, f'{split}/000000_10.png', raw)
  write(tmp_path, 'train/aachen/aachen_000001_leftImg8bit.png', raw)
  for split in ('train', 'val'):
    found = depth_folder.DepthFolder(tmp_path, split=split).find('000000_10')
    assert found == tmp_path / split / '000000_10.png'
  found = depth_folder.DepthFolder(tmp_path, split='train')
  assert found.find('aachen_000001').parent.name == 'aachen'
  message = r"has no depth of '000000_10' \(.*/train/000000_10\.png is in ano"
  test = depth_folder.DepthFolder(tmp_path, split='test')
  assert '000000_10' not in test
  with pytest.raises(errors.UserError, match=message):
    test.find('000000_10')
  write(tmp_path, 'other/000000_10.png', raw)
  write(tmp_path, 'more/000000_10.png', raw)
  with pytest.raises(errors.UserError, match='both named'):
    depth_folder.DepthFolder(tmp_path, split='test').find('000000_10')


def test_names_of_the_images_of_other_datasets(tmp_path):
  """As `depth foundation --images` of the downloaded images writes them."""
  (tmp_path / 'depth.json').write_text('{"depth_code": "inverse"}')
  raw = np.ones((2, 2), np.uint16)
  places = {
    'idd_lite': ('472/frame0992', '{}/472/frame0992_image.png'),
    'vkitti': (
      'Scene01/clone/00000',
      'Scene01/clone/frames/rgb/Camera_0/rgb_00000.png',
    ),
  }
  for split in ('train', 'val'):
    write(tmp_path, places['idd_lite'][1].format(split), raw)
  for camera in ('Camera_0', 'Camera_1'):
    place = places['vkitti'][1].replace('Camera_0', camera)
    write(tmp_path, place, raw)
  found = depth_folder.DepthFolder(tmp_path, split='train')
  for name, place in places.values():
    assert found.find(name) == tmp_path / place.format('train')
  write(tmp_path, 'train/472/frame0992_depth.png', raw)
  found = depth_folder.DepthFolder(tmp_path, split='train')
  with pytest.raises(errors.UserError, match=r'_image\.png are both named'):
    found.find('472/frame0992')


def test_folders_of_scenes_below_those_of_splits(tmp_path):
  (tmp_path / 'depth.json').write_text('{"depth_code": "inverse"}')
  raw = np.ones((2, 2), np.uint16)
  for split in ('Train', 'valid'):
    for scene in ('a', 'b/c'):
      write(tmp_path, f'{split}/{scene}/0.png', raw)
  write(tmp_path, 'Train/b/c/0_depth.png', raw)
  for split, folder in (('train', 'Train'), ('val', 'valid')):
    found = depth_folder.DepthFolder(tmp_path, split=split)
    for name in ('a/0', 'b/c/0'):
      assert found.find(name) == tmp_path / folder / f'{name}.png'


def test_what_cannot_be_read_is_named(folder):
  (folder / 'gone.png').symlink_to('nowhere')
  (folder / 'depth.json').write_text('\ufeff{"depth_code": "metres"}')
  found = depth_folder.DepthFolder(folder, split='train')
  with pytest.raises(
    errors.UserError, match=r'gone\.png cannot be read \(No s'
  ):
    found.read('gone')
  (folder / 'depth.json').write_text('[' * 100_000)
  with pytest.raises(errors.UserError, match='is missing or not JSON'):
    depth_folder.DepthFolder(folder, split='train')


def test_what_is_wrong_with_a_folder_is_said_at_once(joined, folder, tmp_path):
  def start():
    return miniature.stream(joined, needs=NEEDS)

  (folder / 'depth.json').write_text('{"depth_code": "feet"}')
  with pytest.raises(errors.UserError, match='feet'):
    start()
  (folder / 'depth.json').write_text('{"depth_code": "disparity"}')
  with pytest.raises(errors.UserError, match='has depth_factor=None'):
    start()
  (folder / 'depth.json').unlink()
  with pytest.raises(errors.UserError, match=r'depth\.json is missing'):
    start()
  joined.target.depth_dir = str(tmp_path / 'nowhere')
  with pytest.raises(errors.UserError, match='no folder'):
    start()
  (tmp_path / 'empty').mkdir()
  (tmp_path / 'empty' / 'depth.json').write_text('{"depth_code": "inverse"}')
  joined.target.depth_dir = str(tmp_path / 'empty')
  with pytest.raises(errors.UserError, match='no PNG'):
    start()


@pytest.mark.parametrize(
  ('changes', 'named'),
  [
    ({'depth_code': None, 'code': 'inverse'}, 'depth_code'),
    ({'depth_unit': 'cm'}, 'depth_unit'),
    ({'depth_unit': 0}, 'depth_unit'),
    ({'depth_unit': True}, 'depth_unit'),
    ({'depth_missing': 0}, 'depth_missing'),
    ({'depth_missing': ['x']}, 'depth_missing'),
    ({'depth_missing': [65536]}, 'depth_missing'),
    ({'unit': 0.001}, 'unit'),
    ({'depth_units': 0.001}, 'depth_units'),
    ({'Depth-Unit': 0.001}, 'Depth-Unit'),
    ({'missing': [0]}, 'missing'),
    ({'depth_code': 'disparity', 'depth_factor': -1}, 'depth_factor'),
    ({'depth_code': 'meters'}, 'depth_code'),
    ({'depth_code': 'inverse'}, 'depth_unit'),
    ({'depth_code': 'disparity', 'depth_factor': 1}, 'depth_unit'),
    ({'depth_factor': 300}, 'depth_factor'),
    ({'depth_unit': None, 'scale': 256}, 'scale'),
    ({'depth_unit': None, 'depth_scale': 256.0}, 'depth_scale'),
  ],
)
def test_a_description_that_means_nothing(folder, changes, named):
  tree = {k: v for k, v in {**METRES, **changes}.items() if v is not None}
  (folder / 'depth.json').write_text(json.dumps(tree))
  with pytest.raises(errors.UserError, match=rf'has {named}=.*; expected'):
    depth_folder.DepthFolder(folder, split='train')


def test_names_and_suffixes_as_they_lie_on_disks(folder):
  raw = np.full((12, 16), 700, np.uint16)
  write(folder, 'Mu\u0308nchen.png', raw)
  (folder / 'a.PNG').write_bytes((folder / 'Mu\u0308nchen.png').read_bytes())
  (folder / '._b.png').write_bytes(b'resource fork')
  found = depth_folder.DepthFolder(folder, split='train')
  assert found.read('M\u00fcnchen')[0, 0] == found.read('a')[0, 0] == 700
  assert 'b' not in found
  assert '._b' not in found


def test_a_turned_map_is_named_by_the_pipeline(joined, folder):
  write(folder, 'image 5.png', np.full((16, 12), 700, np.uint16))
  message = r'image 5\.png is 12x16 and its image 8x6; expected a map that is'
  with pytest.raises(errors.UserError, match=message):
    miniature.take(miniature.stream(joined, needs=NEEDS), 7)


def test_implausible_depth_is_noted(joined, folder, capsys):
  tree = {**METRES, 'depth_unit': 1}
  (folder / 'depth.json').write_text(json.dumps(tree))
  miniature.stream(joined, needs=NEEDS)
  assert 'with unit: 0.01, that is centimetres' in capsys.readouterr().err


@pytest.mark.parametrize(
  ('first', 'step', 'said'),
  [
    (700, 0, r'one value in all pixels of each of the \d+ maps .* is 700\)'),
    (700, 9, 'one value in all pixels of each'),
    (65535, 0, 'nothing but values that stand for no depth'),
  ],
)
def test_maps_without_depth_are_noted(
  joined, folder, capsys, first, step, said
):
  for i, path in enumerate(sorted(folder.rglob('*.png'))):
    raw = np.full((6, 8), first + i * step, np.uint16)
    write(path.parent, path.name, raw)
  miniature.stream(joined, needs=NEEDS)
  assert re.search(f'note: depth of .* has {said}', capsys.readouterr().err)
