"""Errors of a depth network; the network itself is in test_disparity.py."""

import numpy as np

from jaxuda.depth.mono import scoring
from tests import processes


class Bright:
  """Predicts depth from the brightness, in an unknown unit."""

  def predict(self, state, image):
    del state
    return {'depth': 1 + image[..., 0].astype(np.float32)}


class Scored:
  """Five images of 4x6 with true depth, none of it valid in the fourth."""

  unit = 0.01

  def __len__(self):
    return 5

  def read(self, number):
    rng = np.random.default_rng(number)
    depth = rng.integers(100, 5000, (4, 6)).astype(np.uint16)
    image = rng.integers(0, 256, (4, 6, 3)).astype(np.uint8)
    return {'image': image, 'depth': depth * np.uint16(number != 3)}


def test_processes_share_the_images(monkeypatch):
  method, state = Bright(), None
  score = lambda: scoring.evaluate(method, state, Scored(), batch_size=2)
  alone = score()
  assert alone['images'] == 4
  row = Scored().read(0)
  truth = row['depth'].astype(np.float64) * Scored.unit
  depth = 1.0 + row['image'][..., 0]
  depth *= np.median(truth) / np.median(depth)
  by_hand = np.mean(np.abs(depth - truth) / truth)
  one = scoring.depth_errors(1 / (1.0 + row['image'][..., 0]), truth)
  assert np.isclose(one['abs_rel'], by_hand, rtol=1e-5)
  for count in (2, 3):
    found = processes.run(score, monkeypatch, count=count)
    assert found == [alone] * count
