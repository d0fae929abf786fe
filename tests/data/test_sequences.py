import itertools
import json

import ml_collections
import numpy as np
from PIL import Image
import pytest
from scipy.spatial import transform

from jaxuda import errors
from jaxuda.data import sequences
from jaxuda.data.files import frames

ALL = ('image', 'previous', 'next', 'intrinsics')


def make_frame(path, number, size=(6, 8)):
  """Writes a picture whose columns count up from 10 times its number.

  Its rows count up in the second channel.
  """
  path.parent.mkdir(parents=True, exist_ok=True)
  picture = np.zeros((*size, 3), np.uint8)
  picture[..., 1] = np.arange(size[0])[:, None]
  picture[..., 0] = 10 * number + np.arange(size[1])
  Image.fromarray(picture).save(path)


@pytest.fixture(name='clip')
def _clip(tmp_path):
  """Writes frames 1, 2, 3, 5, 6, 7: without 4 there are two middle frames."""
  for number in (1, 2, 3, 5, 6, 7):
    make_frame(tmp_path / 'clip' / f'a{number:04d}.png', number)
  return tmp_path / 'clip'


def make_config(folder, **changes):
  return ml_collections.ConfigDict(
    {
      'dataset': 'folder',
      'data_dir': None,
      'manual_dir': str(folder),
      'size': (6, 8),
      'crop_bottom': 0.0,
      'step': 1,
      'focal': 4.0,
      **changes,
    }
  )


def names(found):
  return [x.name for x in found]


def test_only_frames_with_both_neighbours_count(clip):
  found = frames.find_triplets(clip)
  assert names(found) == ['a0002', 'a0006']
  assert found[0].previous.name == 'a0001.png'
  assert found[0].next.name == 'a0003.png'
  assert names(frames.find_triplets(clip, step=2)) == ['a0003', 'a0005']
  with pytest.raises(errors.UserError, match='no three consecutive frames'):
    frames.find_triplets(clip, step=5)


def test_clips_do_not_mix(tmp_path):
  for number, folder in enumerate(('one', 'two', 'two')):
    make_frame(tmp_path / folder / f'{number}.png', number)
  with pytest.raises(errors.UserError, match='no three consecutive'):
    frames.find_triplets(tmp_path)


def test_cityscapes_with_its_camera(tmp_path):
  city = 'leftImg8bit_sequence/train/aachen'
  for number in (18, 19, 20):
    stem = f'aachen_000001_{number:06d}_leftImg8bit'
    make_frame(tmp_path / city / f'{stem}.png', number)
  camera = tmp_path / 'camera/train/aachen'
  camera.mkdir(parents=True)
  tree = {
    'intrinsic': {'fx': 2262.52, 'u0': 1096.98, 'v0': 513.137},
    'extrinsic': {'baseline': 0.209313},
  }
  for clip, focal in (('000000', 1.0), ('000001', 2262.52)):
    tree['intrinsic']['fx'] = focal
    file = camera / f'aachen_{clip}_000019_camera.json'
    file.write_text(json.dumps(tree))
  (found,) = frames.find_triplets(tmp_path, split='train')
  assert found.intrinsics == (2262.52, 1096.98, 513.137)
  assert found.image.name == 'aachen_000001_000019_leftImg8bit.png'


def test_names_that_only_look_like_those_of_cityscapes(tmp_path):
  """A frame without city and clip, and cameras that are of no frame."""
  folder = tmp_path / 'leftImg8bit_sequence/train/aachen'
  cameras = tmp_path / 'camera/train/aachen'
  cameras.mkdir(parents=True)
  for number in range(3):
    for clip in ('frame', 'aachen_000001_'):
      make_frame(folder / f'{clip}{number:06d}_leftImg8bit.png', number)
  for name in ('camera', 'aachen_000001_x_camera'):
    (cameras / f'{name}.json').write_text('{}')
  found = frames.find_triplets(tmp_path, split='train')
  assert [x.intrinsics for x in found] == [None, None]


def test_kitti_with_its_calibration(tmp_path):
  for camera in ('image_00', 'image_02'):
    for number in range(3):
      path = f'2011_09_26/drive/{camera}/data/{number:010d}.png'
      make_frame(tmp_path / path, number)
  row = '7.2e+02 0 6.1e+02 4.5e+01 0 7.2e+02 1.7e+02 2.1e-01 0 0 1 2.7e-03'
  (tmp_path / '2011_09_26/calib_cam_to_cam.txt').write_text(
    f'P_rect_00: {row.replace("6.1", "6.0")}\nP_rect_02: {row}\n'
  )
  (found,) = frames.find_triplets(tmp_path)  # The grey camera is skipped.
  assert found.intrinsics == (720, 610, 170)


def test_intrinsics_of_a_resized_picture():
  # The middle of the picture stays the middle.
  scaled = sequences.scale_intrinsics((100, 9.5, 4.5), (10, 20), (20, 80))
  np.testing.assert_allclose(scaled, [400, 200, 39.5, 9.5])


def test_mirrored_examples_have_mirrored_pictures(clip):
  found = sequences.Sequences(make_config(clip), '', needs=ALL)
  plain, mirrored = found.read(0), found.read(0, mirrored=True)
  np.testing.assert_array_equal(plain['image'][0, :, 0], 20 + np.arange(8))
  for view in ('image', 'previous', 'next'):
    np.testing.assert_array_equal(mirrored[view], plain[view][:, ::-1])
  # The camera of such a folder is in the middle.
  np.testing.assert_allclose(plain['intrinsics'], [4, 4, 3.5, 2.5])
  np.testing.assert_allclose(mirrored['intrinsics'], [4, 4, 3.5, 2.5])


def test_mirrored_examples_have_mirrored_cameras(clip):
  """A point on the other side is seen in the other half, in every view."""
  found = sequences.Sequences(make_config(clip, size=(3, 16)), '', needs=ALL)
  motions = {}
  for name, sign in (('motion_previous', 1), ('motion_next', -1)):
    motions[name] = np.eye(4)
    motions[name][:3, :3] = transform.Rotation.from_rotvec(
      [0.1 * sign, 0.2, -0.3]
    ).as_matrix()
    motions[name][:3, 3] = 0.4 * sign, -0.1, 0.5
  pictures = found._read(0)
  raw = {**pictures, **motions, 'intrinsics': (4.0, 2.0, 1.0)}
  found.needs, found._read = (*ALL, *motions), lambda number: raw
  plain, mirrored = found.read(0), found.read(0, mirrored=True)
  # Not in the middle: pixel 2 of 8 is 4.5 of 16, and 10.5 from the right.
  assert (plain['intrinsics'][2], mirrored['intrinsics'][2]) == (4.5, 10.5)

  def look(example, point, motion):
    x, y, z, _ = motion @ [*point, 1]
    fx, fy, cx, cy = example['intrinsics']
    return fx * x / z + cx, fy * y / z + cy

  for name in (None, *motions):
    here, there = (
      np.eye(4) if name is None else x[name] for x in (plain, mirrored)
    )
    for point in ((0.5, -0.2, 4.0), (-1.5, 0.7, 3.0)):
      x, y = look(plain, point, here)
      other = look(mirrored, (-point[0], *point[1:]), there)
      np.testing.assert_allclose(other, (15 - x, y), rtol=1e-5)


def test_the_hood_is_cut_off(clip):
  config = make_config(clip, crop_bottom=0.5, size=(3, 8))
  example = sequences.Sequences(config, '', needs=ALL).read(0)
  assert example['image'].shape == (3, 8, 3)
  for view in ('image', 'previous', 'next'):
    assert example[view][:, 0, 1].tolist() == [0, 1, 2]
  # Nothing was shrunk: the camera is the same.
  np.testing.assert_allclose(example['intrinsics'], [4, 4, 3.5, 2.5])


def test_true_depth_is_cut_off_at_the_same_row(add_dataset, data_dir):
  add_dataset('near')
  changes = {'dataset': 'near', 'data_dir': data_dir, 'crop_bottom': 0.4}
  config = make_config('', **changes)
  found = sequences.Sequences(config, 'train', needs=('image', 'depth'))
  whole = make_config('', **{**changes, 'crop_bottom': 0.0})
  uncut = sequences.Sequences(whole, 'train', needs=('image', 'depth'))
  # int(0.4 * 6) = 2 of the 6 rows are cut off.
  expected = uncut.read(0)['depth'][:4]
  assert len(uncut.read(0)['depth']) == 6
  np.testing.assert_array_equal(found.read(0)['depth'], expected)


def test_batches_are_a_function_of_seed_and_step(clip):
  found = sequences.Sequences(make_config(clip), '', needs=ALL)

  def take(count, **options):
    stream = sequences.train_stream(found, batch_size=3, **options)
    return list(itertools.islice(stream, count))

  whole = take(6, seed=5)
  assert whole[0]['image'].shape == (3, 6, 8, 3)
  assert set(whole[0]) == set(ALL)
  for start, workers in ((0, 3), (4, 1)):
    rest = take(6 - start, seed=5, start_step=start, workers=workers)
    for one, other in zip(whole[start:], rest, strict=True):
      for name in ALL:
        np.testing.assert_array_equal(one[name], other[name])
  numbers = np.concatenate([b['image'].min((1, 2))[:, 0] // 10 for b in whole])
  assert sorted(numbers) == [2] * 9 + [6] * 9
  first = np.concatenate([b['image'][:, 0, 0, 0] % 10 for b in whole])
  assert set(first) == {0, 7}  # Some are mirrored.
  # Each of three processes has a row of every batch.
  shares = [take(3, seed=5, share=(i, 3)) for i in range(3)]
  for name in ALL:
    for one, rows in zip(whole, zip(*shares, strict=True), strict=False):
      joined = np.concatenate([x[name] for x in rows])
      np.testing.assert_array_equal(joined, one[name])
  with pytest.raises(errors.UserError, match='does not divide over 2 proc'):
    take(1, seed=5, share=(0, 2))
  plain = take(6, seed=5, flip=False)
  assert all((b['image'][:, 0, 0, 0] % 10 == 0).all() for b in plain)


@pytest.mark.parametrize(
  ('changes', 'message'),
  [
    ({'focal': None}, 'no camera was found'),
    ({'manual_dir': None}, 'manual_dir is not set'),
    ({'manual_dir': '/nowhere'}, 'no folder /nowhere'),
    ({'crop_bottom': 1.0}, 'crop_bottom'),
  ],
)
def test_mistakes_are_named(clip, changes, message):
  with pytest.raises(errors.UserError, match=message):
    sequences.Sequences(make_config(clip, **changes), '', needs=ALL)


def test_a_folder_has_no_depth(clip):
  with pytest.raises(errors.UserError, match='has no depth'):
    sequences.Sequences(make_config(clip), '', needs=('image', 'depth'))


def test_broken_cameras_are_named(tmp_path):
  (tmp_path / 'camera.json').write_text('{"intrinsic": {}}')
  with pytest.raises(errors.UserError, match=r'camera\.json is not a camera'):
    frames.read_cityscapes_camera(tmp_path / 'camera.json')
  (tmp_path / 'calib.txt').write_text('P_rect_02: 1 2 3\n')
  with pytest.raises(errors.UserError, match='no P_rect_02 with 12 numbers'):
    frames.read_kitti_camera(tmp_path / 'calib.txt')
