"""Bad inputs of the depth tools: skipped, named and counted, or one line."""

import json
import os

import numpy as np
from PIL import Image
import pytest

from jaxuda import errors
from jaxuda.data import sequences
from jaxuda.data.files import frames
from jaxuda.depth import formats
from jaxuda.depth import maps
from jaxuda.depth.stereo import __main__ as stereo
from jaxuda.depth.stereo import estimation
from jaxuda.depth.stereo import matching
from jaxuda.depth.stereo import pairs
from jaxuda.depth.transfer import transferring
from tests.data import test_sequences

SIZE = (20, 40)
RESOURCE_FORK = b'\0\5\x16\7' + bytes(50)
ROW = '50 0 1 0 0 50 1 0 0 0 1 0'


def write(path, *, size=SIZE, dtype=np.uint8):
  path.parent.mkdir(parents=True, exist_ok=True)
  shape = size if dtype == np.uint16 else (*size, 3)
  pixels = np.random.default_rng(0).integers(0, 256, shape, dtype)
  Image.fromarray(pixels).save(path)


def kitti(root, count=2):
  for i in range(count):
    for name in ('image_2', 'image_3'):
      write(root / f'training/{name}/00000{i}_10.png')
    write(root / f'training/disp_occ_0/00000{i}_10.png', dtype=np.uint16)
    calib = root / f'training/calib_cam_to_cam/00000{i}.txt'
    calib.parent.mkdir(exist_ok=True)
    other = ROW.replace('1 0 0', '1 -25 0', 1)
    calib.write_text(f'P_rect_02: {ROW}\nP_rect_03: {other}\n')
  return root


def camera(root, *, baseline=0.2, text=''):
  """Writes a pair of Cityscapes with its camera."""
  for side in ('left', 'right'):
    write(root / f'{side}Img8bit/train/a/a_0_{root.name}_{side}Img8bit.png')
  file = root / f'camera/train/a/a_0_{root.name}_camera.json'
  file.parent.mkdir(parents=True)
  tree = {
    'intrinsic': {'fx': 50, 'u0': 1, 'v0': 1},
    'extrinsic': {'baseline': baseline},
  }
  file.write_text(text or json.dumps(tree))
  return pairs.find_cityscapes(root)


@pytest.mark.parametrize(
  ('text', 'message'),
  [
    (b'\xff\xfe\0', 'is not a calibration file of KITTI'),
    (f'P2: {ROW}\nP3: {ROW.replace("50", "x")}', 'is not a calibration file'),
    (f'P2: {ROW}\nP3: 1 2', 'has no P3 or P_rect_03 with 12 numbers'),
    (f'P2: {ROW}\nP3: {ROW.replace("50", "nan")}', 'with 12 numbers'),
    (f'P2: {ROW}\nP3: {ROW}', r'focal length is 0\.0 m pixels; expected more'),
  ],
)
def test_a_bad_calibration_costs_one_pair(tmp_path, text, message):
  root = kitti(tmp_path / 'in')
  file = root / 'training/calib_cam_to_cam/000001.txt'
  file.write_bytes(text if isinstance(text, bytes) else text.encode())
  with pytest.raises(errors.UserError, match=f'1 of 2: .*0001_10: .*{message}'):
    estimation.run(
      pairs.find_kitti(root), tmp_path / 'out', options=matching.Options()
    )
  assert len(list((tmp_path / 'out').rglob('*.png'))) == 1


@pytest.mark.parametrize('baseline', [0, -0.2, float('nan'), float('inf')])
def test_a_camera_without_a_baseline(tmp_path, baseline):
  found = [
    *camera(tmp_path / '0'),
    *camera(tmp_path / '1', baseline=baseline),
    *camera(tmp_path / '2', text='{'),
  ]
  with pytest.raises(
    errors.UserError, match=r'2 of 3: .*_1: baseline times .*; .*_2: .* camera'
  ):
    estimation.run(found, tmp_path / 'out', options=matching.Options())
  assert len(list((tmp_path / 'out').rglob('*.png'))) == 1


def test_a_bad_truth_costs_one_pair(tmp_path):
  root = kitti(tmp_path, count=3)
  (root / 'training/disp_occ_0/000000_10.png').write_bytes(b'x')
  write(
    root / 'training/disp_occ_0/000001_10.png', size=(9, 8), dtype=np.uint16
  )
  message = r'2 of 3: .*0_10: .*16-bit.*; .*1_10: the true .* is 8x9 and the im'
  with pytest.raises(errors.UserError, match=message):
    estimation.run(
      pairs.find_kitti(root), None, options=matching.Options(), evaluate=True
    )


def test_hidden_pairs_are_none(tmp_path):
  root = kitti(tmp_path / 'kitti')
  (root / 'training/image_2/._000000_10.png').write_bytes(RESOURCE_FORK)
  assert len(pairs.find_kitti(root)) == 2
  city = tmp_path / 'city'
  hidden = city / 'leftImg8bit/train/a/._a_0_city_leftImg8bit.png'
  hidden.parent.mkdir(parents=True)
  hidden.write_bytes(RESOURCE_FORK)
  assert len(camera(city)) == 1


def test_a_folder_is_not_its_own_pair(tmp_path):
  write(tmp_path / 'a/0.png')
  (tmp_path / 'b').symlink_to(tmp_path / 'a')
  for baseline, message in ((1.0, 'are the same'), (np.inf, 'baseline=inf')):
    with pytest.raises(errors.UserError, match=message):
      pairs.find_folders(
        tmp_path / 'a', tmp_path / 'b', baseline=baseline, focal=1.0
      )


def test_a_folder_that_is_not_there(tmp_path):
  write(tmp_path / 'a/0.png')
  names = ('cityscapes', 'kitti', 'dataset', 'split', 'data_dir')
  given = dict.fromkeys((*names, 'baseline', 'focal'))
  given |= {'left': str(tmp_path / 'no'), 'right': str(tmp_path / 'a')}
  with pytest.raises(errors.UserError, match=r'no folder .*/no'):
    stereo.find_pairs({**given, 'out': str(tmp_path / 'out')})
  with pytest.raises(errors.UserError, match='--split does not apply to --lef'):
    stereo.find_pairs({**given, 'split': 'val', 'out': None})


@pytest.mark.parametrize(
  'change',
  [
    {'block': 19},  # OpenCV would end the process at 1001.
    {'uniqueness': -1},
    {'uniqueness': 101},
    {'speckle_range': -1.0},
    {'check': float('nan')},
    {'max_disparity': -1},
  ],
  ids=str,
)
def test_options_that_mean_nothing(change):
  ((name, value),) = change.items()
  with pytest.raises(errors.UserError, match=f'^{name}={value}; expected'):
    matching.Options(**change)


def test_no_disparity_is_larger_than_the_picture(monkeypatch):
  asked, real = [], matching._match

  def match(left, right, count, options):
    asked.append(count)
    return real(left, right, count, options)

  monkeypatch.setattr(matching, '_match', match)
  one = np.random.default_rng(0).integers(0, 256, (*SIZE, 3), np.uint8)
  matching.match_pair(one, one, options=matching.Options(max_disparity=1000))
  assert asked == [48, 48]


def test_maps_of_others_are_not_removed(tmp_path):
  write(tmp_path / 'a.png', dtype=np.uint16)
  formats.write_description(tmp_path, formats.METRES, made_by='somebody')
  message = 'no depth.json of jaxuda.depth.transfer'
  with pytest.raises(errors.UserError, match=message):
    transferring.write_depths(None, [], tmp_path, description={})
  assert (tmp_path / 'a.png').is_file()
  (tmp_path / 'depth.json').write_text('{')
  with pytest.raises(errors.UserError, match=r'depth\.json cannot be read'):
    maps.check_out(tmp_path, made_by=transferring.MADE_BY)


def test_frames_that_are_hidden_or_linked(tmp_path):
  for number in range(3):
    write(tmp_path / f'real/{number:04d}.tif')
    (tmp_path / f'real/._{number:04d}.tif').write_bytes(RESOURCE_FORK)
  (tmp_path / 'frames').mkdir()
  (tmp_path / 'frames/clip').symlink_to(tmp_path / 'real')
  (found,) = frames.find_triplets(tmp_path / 'frames')
  assert found.name == os.path.join('clip', '0001')


@pytest.mark.parametrize(
  ('changes', 'message'),
  [
    ({'step': 0}, r'config\.data\.step=0; expected more than 0'),
    ({'focal': -4.0}, r'config\.data\.focal=-4\.0; expected more than 0'),
    ({'focal': float('nan')}, r'config\.data\.focal=nan'),
  ],
)
def test_cameras_that_mean_nothing(tmp_path, changes, message):
  config = test_sequences.make_config(tmp_path, **changes)
  with pytest.raises(errors.UserError, match=message):
    sequences.Sequences(config, '', needs=test_sequences.ALL)


def test_frames_of_16_bits_and_of_two_sizes(tmp_path):
  pixels = np.array([[0x1234, 0xFFFF]], np.uint16).repeat(6, 0).repeat(4, 1)
  for number in range(3):
    Image.fromarray(pixels).save(tmp_path / f'{number}.png')
  config = test_sequences.make_config(tmp_path)
  found = sequences.Sequences(config, '', needs=test_sequences.ALL)
  np.testing.assert_array_equal(found.read(0)['image'][..., 0], pixels >> 8)
  write(tmp_path / '2.png', size=(12, 16))
  with pytest.raises(errors.UserError, match=r'1\.png and the .* differ in si'):
    found.read(0)


def test_names_that_are_not_those_of_the_images_are_noted(tmp_path):
  for name in ('a.png', 'a.jpg'):
    write(tmp_path / name)
  (tmp_path / 'notes.txt').touch()
  notes = []
  maps.Folder(tmp_path, note=notes.append)
  assert len(notes) == 2
  assert 'notes.txt' in notes[0]
  assert 'a.png gives a.png.png' in notes[1]
