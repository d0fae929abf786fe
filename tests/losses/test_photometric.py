import jax
import jax.numpy as jnp
import numpy as np

from jaxuda.losses import photometric


def random(*shape, seed=0):
  return jnp.float32(np.random.default_rng(seed).uniform(size=shape))


def ssim_by_hand(x, y, row, column):
  """Computes SSIM by the definition, at one pixel away from the border."""
  a, b = (
    np.float64(v[row - 1 : row + 2, column - 1 : column + 2]) for v in (x, y)
  )
  covariance = ((a - a.mean()) * (b - b.mean())).mean()
  above = (2 * a.mean() * b.mean() + 1e-4) * (2 * covariance + 9e-4)
  below = (a.mean() ** 2 + b.mean() ** 2 + 1e-4) * (a.var() + b.var() + 9e-4)
  return above / below


def test_ssim_is_that_of_the_definition():
  x, y = random(1, 5, 6, 3), random(1, 5, 6, 3, seed=1)
  distance = photometric.ssim_distance(x, y)
  for row, column, channel in ((1, 1, 0), (2, 3, 1), (3, 4, 2)):
    ssim = ssim_by_hand(x[0, ..., channel], y[0, ..., channel], row, column)
    expected = np.clip((1 - ssim) / 2, 0, 1)
    np.testing.assert_allclose(
      distance[0, row, column, channel], expected, rtol=1e-4
    )


def test_ssim_mirrors_at_the_border():
  x, y = random(1, 4, 4, 1), random(1, 4, 4, 1, seed=1)
  pad = ((1, 1), (1, 1))
  wide = [np.pad(v[0, ..., 0], pad, mode='reflect') for v in (x, y)]
  expected = (1 - ssim_by_hand(*wide, 1, 1)) / 2
  np.testing.assert_allclose(
    photometric.ssim_distance(x, y)[0, 0, 0, 0], expected, rtol=1e-4
  )


def test_ssim_of_an_image_with_itself_and_its_negative():
  x = random(1, 6, 6, 3)
  np.testing.assert_allclose(photometric.ssim_distance(x, x), 0, atol=1e-6)
  assert photometric.ssim_distance(x, 1 - x).mean() > 0.5


def test_the_error_is_85_to_15():
  x, y = random(2, 5, 6, 3), random(2, 5, 6, 3, seed=1)
  ssim = photometric.ssim_distance(x, y).mean(-1)
  l1 = jnp.abs(x - y).mean(-1)
  np.testing.assert_allclose(
    photometric.photometric_error(x, y), 0.85 * ssim + 0.15 * l1, rtol=1e-5
  )
  np.testing.assert_allclose(
    photometric.photometric_error(x, y, ssim_weight=0), l1, rtol=1e-5
  )


def test_the_smaller_error_of_each_pixel_counts():
  first = jnp.array([[[1.0, 5.0, 9.0, 2.0]]])
  second = jnp.array([[[4.0, 3.0, 8.0, 2.0]]])
  loss, moving = photometric.minimum_reprojection([first, second], [])
  assert (float(loss), float(moving)) == ((1 + 3 + 8 + 2) / 4, 1)


def test_pixels_that_do_not_move_are_masked():
  warped = jnp.array([[[1.0, 5.0, 9.0, 3.0]]])
  still = jnp.array([[[2.0, 4.0, 9.0, 7.0]]])

  def loss(x):
    return photometric.minimum_reprojection([x], [still])[0]

  value, moving = photometric.minimum_reprojection([warped], [still])
  assert (float(value), float(moving)) == ((1 + 4 + 9 + 3) / 4, 0.5)
  np.testing.assert_allclose(jax.grad(loss)(warped).ravel(), [0.25, 0, 0, 0.25])
  # Noise decides ties.
  noise = jnp.full((1, 1, 4), 1e-3)
  _, moving = photometric.minimum_reprojection([warped], [still], noise=noise)
  assert float(moving) == 0.75


def test_smoothness_by_hand():
  disparity = jnp.array([[[1.0, 2.0], [3.0, 2.0]]])  # mean 2
  image = jnp.zeros((1, 2, 2, 3)).at[0, 0, 1].set(1.0)
  across = (0.5 * np.exp(-1) + 0.5) / 2
  down = (1 + 0 * np.exp(-1)) / 2
  value = photometric.edge_aware_smoothness(disparity, image)
  np.testing.assert_allclose(value, across + down, rtol=1e-5)


def test_smoothness_does_not_see_the_scale():
  disparity, image = random(2, 4, 6), random(2, 4, 6, 3, seed=1)
  np.testing.assert_allclose(
    photometric.edge_aware_smoothness(disparity, image),
    photometric.edge_aware_smoothness(50 * disparity, image),
    rtol=1e-4,
  )
  flat = jnp.full((2, 4, 6), 0.3)
  assert float(photometric.edge_aware_smoothness(flat, image)) == 0
