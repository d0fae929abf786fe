"""What is left of disparity maps when their command is killed."""

import types

import cv2
import numpy as np
from PIL import Image
import pytest

from jaxuda.depth import maps
from jaxuda.depth.mono import disparity
from jaxuda.depth.mono import scoring


def test_no_map_of_another_checkpoint_is_left(tmp_path, monkeypatch):
  for name in 'ab':
    path = tmp_path / 'images' / f'{name}.png'
    path.parent.mkdir(exist_ok=True)
    Image.fromarray(np.zeros((4, 6, 3), np.uint8)).save(path)
  images, out = maps.Folder(tmp_path / 'images'), tmp_path / 'out'
  data = types.SimpleNamespace(size=(4, 6), crop_bottom=0.0)
  run = types.SimpleNamespace(
    config=types.SimpleNamespace(data=data),
    method=types.SimpleNamespace(min_depth=0.1),
    state=None,
    step=1,
  )
  left = [2]

  def predict(method, state, small):
    if not left[0]:
      raise KeyboardInterrupt
    left[0] -= 1
    return np.full((len(small), 4, 6), run.step, np.float32)

  monkeypatch.setattr(scoring, 'predict_disparity', predict)
  disparity.write_disparities(run, images, out, normalization='none')
  # Of a process that was killed while it wrote.
  (out / '.0a1b2c3d.1.part.png').touch()
  run.step, left[0] = 2, 1
  with pytest.raises(KeyboardInterrupt):
    disparity.write_disparities(run, images, out, normalization='none')
  left[0] = 2
  assert sorted(x.name for x in out.glob('[!.]*')) == ['a.png', 'depth.json']
  disparity.write_disparities(run, images, out, normalization='none')
  found = [cv2.imread(str(out / f'{x}.png'), -1)[0, 0] for x in 'ab']
  assert found == [round(65535 * 2 * 0.1)] * 2
