import numpy as np

from jaxuda.depdis.fit import picture
from jaxuda.methods.parts import mixtures
from jaxuda.ops import depth


def make(full):
  root = np.array([[3.0, 0, 0], [1, 2, 0], [4, -9, 6]])
  covariance = root @ root.T if full else np.array([9.0, 4.0, 36.0])
  shape = (2, 1, *covariance.shape)
  return mixtures.Mixtures(
    weights=np.array([[1.0], [0.0]]),
    means=np.tile([20.0, 12.0, 65.0], (2, 1, 1)),
    covariances=np.broadcast_to(covariance, shape).copy(),
    counts=np.array([100, 0]),
    grid=(25, 41),
    info={},
  )


def test_maps_are_those_of_drawn_points():
  for full in (False, True):
    m = make(full)
    covariance = m.covariances[0, 0]
    covariance = covariance if full else np.diag(covariance)
    rng = np.random.default_rng(0)
    x, y, z = rng.multivariate_normal(m.means[0, 0], covariance, 200000).T
    place = picture.place_density(m, 0)
    drawn, *_ = np.histogram2d(
      y, x, bins=(np.arange(26) - 0.5, np.arange(42) - 0.5)
    )
    np.testing.assert_allclose(place, drawn / len(x), atol=1e-3)
    profile = picture.depth_profile(m, 0, bins=40)
    metres = 655.36 / np.maximum(z, 1e-9) - 0.01
    edges = np.concatenate([[0], np.geomspace(2, 500, 39), [1e12]])
    drawn, *_ = np.histogram2d(y, metres, bins=(np.arange(26) - 0.5, edges))
    np.testing.assert_allclose(profile, drawn / len(x), atol=4e-3)


def test_the_sky_is_in_the_last_bin():
  m = make(False)
  m.means[0, 0, 2] = depth.invert_depth(655.35)
  m.covariances[0, 0, 2] = 1e-6
  profile = picture.depth_profile(m, 0)
  np.testing.assert_allclose(profile[:, :-1], 0, atol=1e-12)
  np.testing.assert_allclose(profile[:, -1].sum(), 1, rtol=1e-4)


def test_a_row_for_every_class():
  drawn = picture.draw(make(True), ['road', 'sky'])
  assert drawn.dtype == np.uint8
  assert drawn.shape[1] > 3 * 160
  empty = drawn[-90:, 170:]
  # Nothing is dense where there is no mixture: one dark colour, and margins.
  assert len(np.unique(empty.reshape(-1, 3), axis=0)) <= 2
