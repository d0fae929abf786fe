"""Maps that exist are kept only if they are of the same images."""

import json
import shutil

import numpy as np
from PIL import Image
import pytest

from jaxuda import errors
from jaxuda.depth.stereo import estimation
from jaxuda.depth.stereo import matching
from jaxuda.depth.stereo import pairs

OPTIONS = matching.Options(max_disparity=16)


def draw(seed):
  return np.random.default_rng(seed).integers(0, 256, (20, 40, 3), np.uint8)


def save(root, *names, seed):
  for side in ('left', 'right'):
    (root / side).mkdir(parents=True, exist_ok=True)
    for name in names:
      Image.fromarray(draw(seed)).save(root / side / f'{name}.png')


def find(root):
  folders = root / 'left', root / 'right'
  return pairs.find_folders(*folders, baseline=0.5, focal=100.0)


def test_maps_of_other_images_do_not_pass_for_those_of_these(tmp_path):
  first, other, out = (tmp_path / x for x in ('first', 'other', 'out'))
  run = lambda found: estimation.run(found, out, options=OPTIONS)
  save(first, 'a', seed=0)
  run(find(first))
  shutil.copytree(first, other)
  run(find(other))  # The same images elsewhere, as if moved.
  save(other, 'a', 'b', seed=1)
  message = r'out/a\.png was made of .*/first/left/a\.png, .*other/left/a\.png'
  with pytest.raises(errors.UserError, match=message):
    run(find(other))
  # Maps of several folders may lie side by side.
  for side in ('left', 'right'):
    (other / side / 'a.png').unlink()
  run(find(other))
  run(find(first))
  record = out / 'stereo.json'
  tree = json.loads(record.read_text())
  assert set(tree['images']) == {'a', 'b'}
  # Earlier versions did not record the images.
  del tree['images']
  record.write_text(json.dumps(tree))
  run(find(first))
  assert json.loads(record.read_text())['images'] == {}


def test_maps_of_another_dataset_do_not_pass_for_those_of_this(tmp_path):
  def run(source):
    read = lambda: (draw(0), draw(0))
    pair = pairs.Pair(place='0', read=read, source=source)
    estimation.run([pair], tmp_path, options=OPTIONS, form='kitti')

  run('a, split train')
  run('a, split train')
  with pytest.raises(errors.UserError, match=r'of a, split train, which .* b,'):
    run('b, split train')


def test_maps_of_another_calibration_do_not_pass_for_those_of_this(tmp_path):
  folder = tmp_path / 'in/training'
  for name in ('image_2', 'image_3', 'calib'):
    (folder / name).mkdir(parents=True)
  for name in ('image_2', 'image_3'):
    Image.fromarray(draw(0)).save(folder / name / '000000_10.png')

  def run(baseline):
    rows = (f'P{x}: 50 0 1 {y} 0 50 1 0 0 0 1 0' for x, y in baseline.items())
    (folder / 'calib/000000.txt').write_text('\n'.join(rows))
    found = pairs.find_kitti(tmp_path / 'in')
    estimation.run(found, tmp_path / 'out', options=OPTIONS)

  run({2: 0, 3: -25})
  with pytest.raises(errors.UserError, match='expected the same images'):
    run({2: 0, 3: -250})
