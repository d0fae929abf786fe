"""Matches pairs of known disparity, and checks the resulting files."""

import json
import pathlib

import cv2
import numpy as np
import pytest
import scipy.io

from jaxuda import errors
from jaxuda.data.files import depth_folder
from jaxuda.depth import formats
from jaxuda.depth.stereo import __main__
from jaxuda.depth.stereo import estimation
from jaxuda.depth.stereo import inpainting
from jaxuda.depth.stereo import matching
from jaxuda.depth.stereo import pairs

SAMPLES = pathlib.Path(__file__).parents[4] / 'shared' / 'data' / 'samples'
NEAR, FAR = 12, 4
OPTIONS = matching.Options(max_disparity=32, speckle_size=20)


def make_pair(height=60, width=120):
  """Draws a wall and a square in front of it, with known disparity.

  Returns:
    left, right uint8 [H, W, 3], and the disparity [H, W] of the left image.
  """
  rng = np.random.default_rng(0)
  wall = rng.integers(0, 256, (height, width + FAR, 3), np.uint8)
  wall = cv2.GaussianBlur(wall, (0, 0), 0.7)
  left, right = wall[:, :width].copy(), wall[:, FAR:].copy()
  disparity = np.full((height, width), float(FAR))
  square = cv2.GaussianBlur(
    rng.integers(0, 256, (30, 40, 3), np.uint8), (0, 0), 0.7
  )
  left[15:45, 60:100] = square
  right[15:45, 60 - NEAR : 100 - NEAR] = square
  disparity[15:45, 60:100] = NEAR
  return left, right, disparity


def test_a_pair_of_known_disparity():
  left, right, true = make_pair()
  found = matching.match_pair(left, right, options=OPTIONS)
  known = ~np.isnan(found)
  assert known.mean() > 0.8
  wrong = np.abs(found - true)[known] > 1
  assert wrong.mean() < 0.02
  # Next to the square is a region that only the left camera sees.
  assert np.isnan(found[18:42, 60 - NEAR + FAR + 2 : 58]).mean() > 0.8


@pytest.mark.parametrize('fill', ['background', 'planes'])
def test_holes_are_filled(fill):
  left, right, true = make_pair()
  options = matching.Options(max_disparity=32, speckle_size=20, fill=fill)
  filled = matching.match_pair(left, right, options=options)
  assert not np.isnan(filled).any()
  assert (np.abs(filled - true) > 1).mean() < 0.06
  bare = matching.match_pair(left, right, options=OPTIONS)
  known = ~np.isnan(bare)
  np.testing.assert_array_equal(filled[known], bare[known])


def test_grey_pairs_and_the_other_paths():
  left, right, true = make_pair()
  for paths in ('5way', '8way'):
    options = matching.Options(max_disparity=32, paths=paths)
    found = matching.match_pair(left[..., 1], right[..., 1], options=options)
    known = ~np.isnan(found)
    assert (np.abs(found - true)[known] > 1).mean() < 0.03


def test_the_left_right_check_by_hand():
  nan = np.nan
  left = np.array([[0, 1, 2, 2, 1, nan]], np.float32)
  # Column 3 points to 1, where the right image says 2; 4 to 3, where it says 5.
  right = np.array([[0, 2, nan, 5, 0, 0]], np.float32)
  kept = matching.check_matches(left, right, largest=1)
  np.testing.assert_array_equal(kept, [[0, 1, nan, 2, nan, nan]])


def test_speckles_are_thrown_away():
  disparity = np.full((20, 20), 5, np.float32)
  disparity[4:7, 4:7] = 9
  disparity[10:18, 10:18] = 12
  kept = matching.remove_speckles(disparity, size=20, difference=1)
  assert np.isnan(kept[4:7, 4:7]).all()
  assert np.isnan(kept).sum() == 9


def test_background_is_the_farther_side():
  nan = np.nan
  disparity = np.array(
    [[nan, 4, nan, nan, 9, nan], [nan] * 6, [nan, nan, 2, nan, nan, nan]]
  )
  filled = inpainting.fill_background(disparity)
  np.testing.assert_array_equal(
    filled, [[4, 4, 4, 4, 9, 9], [4, 4, 4, 4, 9, 9], [2] * 6]
  )
  assert np.isnan(inpainting.fill_background(np.full((2, 2), nan))).all()


def test_a_plane_goes_on_in_its_hole():
  y, x = np.mgrid[:48, :72]
  true = 3 + 0.1 * x + 0.05 * y
  holed = true.astype(np.float32)
  holed[20:30, 30:45] = np.nan
  image = np.full((48, 72, 3), 90, np.uint8)
  filled = inpainting.fill_planes(holed, image)
  np.testing.assert_allclose(filled, true, atol=0.05)


def test_a_hole_follows_the_colours():
  image = np.zeros((48, 96, 3), np.uint8)
  image[:, 53:] = 255
  true = np.where(image[..., 0] > 0, 12, 4).astype(np.float32)
  holed = true.copy()
  holed[16:30, 44:62] = np.nan
  filled = inpainting.fill_planes(holed, image)
  np.testing.assert_allclose(filled, true, atol=0.1)


def test_superpixels_do_not_cross_an_edge():
  image = np.zeros((48, 96, 3), np.uint8)
  image[:, 53:] = 255
  segments = inpainting.find_superpixels(image)
  left, right = set(segments[:, :53].ravel()), set(segments[:, 53:].ravel())
  assert not left & right


@pytest.mark.parametrize(
  'change',
  [{'paths': '2way'}, {'fill': 'x'}, {'block': 4}, {'max_disparity': -1}],
)
def test_options_are_checked(change):
  with pytest.raises(errors.UserError, match=next(iter(change))):
    matching.Options(**change)


def test_sizes_must_agree():
  left, right, _ = make_pair()
  with pytest.raises(errors.UserError, match='120x60 and the right one 119x60'):
    matching.match_pair(left, right[:, 1:])


def test_codes_by_hand():
  nan = np.nan
  disparity = np.array([[nan, 0, 0.5, 10, 128]])
  # Baseline times focal length 50: 100 m, 5 m, 0.390625 m.
  np.testing.assert_array_equal(
    formats.encode_metres(formats.measure_disparity(disparity, factor=50.0)),
    [[65535, 65535, 10000, 500, 39]],
  )
  np.testing.assert_array_equal(
    formats.encode_cityscapes(disparity), [[0, 1, 129, 2561, 32769]]
  )
  np.testing.assert_array_equal(
    formats.encode_kitti(disparity), [[0, 1, 128, 2560, 32768]]
  )
  np.testing.assert_array_equal(
    formats.encode_inverse(np.array([[nan, 1e-9, 0.5, 2]]), greatest=1.0),
    [[0, 1, 32768, 65535]],
  )
  assert formats.encode_metres(disparity).dtype == np.uint16


@pytest.fixture(name='folders')
def _folders(tmp_path):
  left, right, true = make_pair()
  for name, picture in (('left', left), ('right', right)):
    (tmp_path / name).mkdir()
    cv2.imwrite(str(tmp_path / name / 'a.png'), picture[..., ::-1])
  return tmp_path, true


def test_two_folders_to_depth_that_the_pipeline_reads(folders):
  root, true = folders
  found = pairs.find_folders(
    root / 'left', root / 'right', baseline=0.5, focal=100.0
  )
  estimation.run(found, root / 'out', options=OPTIONS)
  folder = depth_folder.DepthFolder(root / 'out', split='train')
  raw = folder.read('a')
  known = raw != 65535
  assert folder.code.missing == (65535,)
  assert known.mean() > 0.8
  expected = 50 / true
  assert np.median(np.abs(raw * 0.01 - expected)[known]) < 0.2
  # Existing files are not made again.
  (root / 'out' / 'a.png').write_bytes(b'kept')
  estimation.run(found, root / 'out', options=OPTIONS)
  assert (root / 'out' / 'a.png').read_bytes() == b'kept'
  # Nor are they mistaken for something else.
  given = {'baseline': 0.5, 'focal': 100.0}
  with pytest.raises(errors.UserError, match='made with baseline=unknown; exp'):
    estimation.run(found, root / 'out', options=OPTIONS, camera=given)
  with pytest.raises(errors.UserError, match='made with format=depth; exp'):
    estimation.run(found, root / 'out', options=OPTIONS, form='kitti')


def test_mistakes_of_the_cameras(folders, capsys):
  root, _ = folders
  options = {'baseline': 500.0, 'focal': 100.0}
  found = pairs.find_folders(root / 'right', root / 'left', **options)
  with pytest.raises(errors.UserError, match='if left and right are exchanged'):
    estimation.run(found, root / 'out', options=OPTIONS)
  assert not (root / 'out').exists()
  found = pairs.find_folders(root / 'left', root / 'right', **options)
  estimation.run(found, root / 'out', options=OPTIONS)
  assert 'is the baseline in metres' in capsys.readouterr().err


def test_bad_pairs_do_not_end_a_run(folders):
  root, _ = folders
  for side, size in (('left', (60, 120)), ('right', (50, 120))):
    cv2.imwrite(str(root / side / 'c.png'), np.zeros(size, np.uint8))
    (root / side / '0.png').write_bytes(b'nothing')
    (root / side / '._a.png').write_bytes(b'resource fork')
  found = pairs.find_folders(
    root / 'left', root / 'right', baseline=0.5, focal=100.0
  )
  with pytest.raises(
    errors.UserError, match=r'pairs .*read: 2 of 3: 0: .*; c:'
  ):
    estimation.run(found, root / 'out', options=OPTIONS)
  assert [x.name for x in (root / 'out').glob('*.png')] == ['a.png']


def test_names_of_pairs(folders):
  root, _ = folders
  read = (root / 'left/a.png').read_bytes()
  (root / 'left' / 'Mu\u0308.png').write_bytes(read)
  (root / 'right' / 'M\u00fc.png').write_bytes(read)
  options = {'baseline': None, 'focal': None}
  found = pairs.find_folders(root / 'left', root / 'right', **options)
  assert [x.place for x in found] == ['M\u00fc', 'a']
  (root / 'left' / 'a.tif').write_bytes(read)
  with pytest.raises(errors.UserError, match=r'a\.png and .*a\.tif have the s'):
    pairs.find_folders(root / 'left', root / 'right', **options)


def test_the_format_of_the_papers_depth(folders):
  root, true = folders
  found = pairs.find_folders(
    root / 'left', root / 'right', baseline=0.5, focal=100.0
  )
  estimation.run(found, root / 'out', options=OPTIONS, form='mat')
  path = root / 'out' / 'a_depth_stereoscopic.mat'
  metres = scipy.io.loadmat(path)['depth_map']
  known = metres > 0
  assert np.median(np.abs(metres - 50 / true)[known]) < 0.2


def test_folders_without_calibration(folders):
  root, _ = folders
  found = pairs.find_folders(
    root / 'left', root / 'right', baseline=None, focal=None
  )
  estimation.run(found, root / 'kitti', options=OPTIONS, form='kitti')
  assert pairs.read_kitti_disparity(root / 'kitti/a.png').shape == (60, 120)
  with pytest.raises(errors.UserError, match=r'^baseline and focal'):
    estimation.run(found, root / 'out', options=OPTIONS)
  (root / 'right' / 'a.png').rename(root / 'right' / 'b.png')
  with pytest.raises(errors.UserError, match='has no right image'):
    pairs.find_folders(root / 'left', root / 'right', baseline=None, focal=None)


def test_cityscapes_as_it_lies_on_disk(tmp_path):
  left, right, true = make_pair()
  stem = 'aachen_000000_000019'
  for top, ending, picture in (
    ('leftImg8bit_trainvaltest/leftImg8bit', 'leftImg8bit', left),
    ('rightImg8bit_trainvaltest/rightImg8bit', 'rightImg8bit', right),
  ):
    path = tmp_path / top / 'train/aachen' / f'{stem}_{ending}.png'
    path.parent.mkdir(parents=True)
    cv2.imwrite(str(path), picture[..., ::-1])
  camera = tmp_path / 'camera/train/aachen' / f'{stem}_camera.json'
  camera.parent.mkdir(parents=True)
  tree = {
    'intrinsic': {'fx': 200.0, 'u0': 60, 'v0': 30},
    'extrinsic': {'baseline': 0.25},
  }
  camera.write_text(json.dumps(tree))
  (pair,) = pairs.find_cityscapes(tmp_path, split='train')
  assert (pair.place, pair.factor()) == (f'train/aachen/{stem}', 50)
  estimation.run(
    [pair], tmp_path / 'disparity', options=OPTIONS, form='cityscapes'
  )
  out = tmp_path / 'disparity/train/aachen' / f'{stem}_disparity.png'
  raw = cv2.imread(str(out), cv2.IMREAD_UNCHANGED)
  known = raw > 0
  assert np.median(np.abs((raw[known] - 1.0) / 256 - true[known])) < 0.2
  camera.unlink()
  with pytest.raises(errors.UserError, match=r'not .*_camera\.json'):
    pairs.find_cityscapes(tmp_path)


def test_kitti_with_calibration_and_truth(tmp_path):
  left, right, true = make_pair()
  for name, picture in (('image_2', left), ('image_3', right)):
    (tmp_path / 'training' / name).mkdir(parents=True)
    path = tmp_path / 'training' / name / '000007_10.png'
    cv2.imwrite(str(path), picture[..., ::-1])
  calib = tmp_path / 'training/calib_cam_to_cam/000007.txt'
  calib.parent.mkdir()
  calib.write_text(
    'P_rect_02: 100 0 60 45 0 100 30 0 0 0 1 0\n'
    'P_rect_03: 100 0 60 -9 0 100 30 0 0 0 1 0\n'
  )
  truth = tmp_path / 'training/disp_occ_0/000007_10.png'
  truth.parent.mkdir()
  raw = np.round(true * 256).astype(np.uint16)
  raw[:, ::2] = 0
  cv2.imwrite(str(truth), raw)
  (pair,) = pairs.find_kitti(tmp_path, split='train')
  assert (pair.place, pair.factor()) == ('training/000007_10', 54)
  result = estimation.run([pair], None, options=OPTIONS, evaluate=True)
  assert result['bad3'] < 2
  assert result['median'] < 0.2
  assert 80 < result['coverage'] < 100
  assert result['missed3'] >= 100 - result['coverage']


def test_errors_by_hand():
  nan = np.nan
  found = np.array([[1, 5, nan, 7, 10]], np.float32)
  truth = np.array([[1.5, 9, 3, nan, 10]])
  counted = estimation.count_errors(found, truth)
  result = estimation.summarize([counted, counted])
  assert result == {
    'bad3': pytest.approx(100 / 3),
    'missed3': 50,
    'median': 0.5,
    'coverage': 75,
    'pairs': 2,
  }


def test_one_source_of_pairs():
  options = dict.fromkeys(
    (
      *('cityscapes', 'kitti', 'dataset', 'left', 'right', 'baseline'),
      *('focal', 'split', 'data_dir'),
    )
  )
  for change in ({}, {'kitti': 'a', 'dataset': 'b'}, {'left': 'a'}):
    with pytest.raises(errors.UserError, match='expected one of'):
      __main__.find_pairs({**options, **change})


@pytest.mark.skipif(not SAMPLES.is_dir(), reason='the samples are not here')
def test_a_real_pair_is_matched_as_well_as_others_do():
  found = pairs.find_kitti(SAMPLES / 'kitti2012', split='training')
  result = estimation.run(
    found,
    None,
    options=matching.Options(max_disparity=128),
    evaluate=True,
  )
  assert result['bad3'] < 1.4
  assert result['median'] < 0.37
  assert result['coverage'] > 88
