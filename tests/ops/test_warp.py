import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxuda.losses import photometric
from jaxuda.ops import warp
from jaxuda.streets import street

INTRINSICS = jnp.array([[100.0, 110.0, 7.5, 3.5]])


def test_rotation_by_a_right_angle():
  motion = warp.rigid_motion(
    jnp.array([[0, 0, np.pi / 2]]), jnp.array([[1.0, 2.0, 3.0]])
  )
  expected = [[0, -1, 0, 1], [1, 0, 0, 2], [0, 0, 1, 3], [0, 0, 0, 1]]
  np.testing.assert_allclose(motion[0], expected, atol=1e-6)


def test_no_motion_has_gradients():
  def corner(v):
    return warp.rigid_motion(v[None], jnp.zeros((1, 3)))[0, 2, 1]

  np.testing.assert_allclose(jax.grad(corner)(jnp.zeros(3)), [1, 0, 0])


def test_there_and_back():
  generator = np.random.default_rng(0)
  motion = warp.rigid_motion(*jnp.float32(generator.normal(size=(2, 5, 3))))
  eye = np.broadcast_to(np.eye(4), (5, 4, 4))
  np.testing.assert_allclose(
    warp.invert_motion(motion) @ motion, eye, atol=1e-5
  )


def test_pixels_stay_where_the_camera_stays():
  depth = jnp.full((1, 8, 16), 7.0)
  pixels, z = warp.project_depth(depth, INTRINSICS, jnp.eye(4)[None])
  rows, columns = np.mgrid[:8, :16]
  np.testing.assert_allclose(pixels[0, ..., 0], columns, atol=1e-4)
  np.testing.assert_allclose(pixels[0, ..., 1], rows, atol=1e-4)
  np.testing.assert_array_equal(z, depth)


def test_a_stereo_camera_sees_the_disparity():
  # 0.4 m to the right at 10 m and 100 pixels: 4 pixels to the left.
  depth = jnp.full((1, 8, 16), 10.0)
  motion = jnp.eye(4).at[0, 3].set(-0.4)[None]
  pixels, _ = warp.project_depth(depth, INTRINSICS, motion)
  np.testing.assert_allclose(
    pixels[0, ..., 0], np.tile(np.arange(16) - 4.0, (8, 1)), atol=1e-4
  )


def test_what_is_behind_the_camera_is_finite():
  depth = jnp.full((1, 8, 16), 2.0)
  motion = jnp.eye(4).at[2, 3].set(-5.0)[None]
  pixels, z = warp.project_depth(depth, INTRINSICS, motion)
  assert np.isfinite(pixels).all()
  assert (np.asarray(z) < 0).all()


def test_sampling_between_pixels_and_beyond_the_border():
  image = jnp.array([[0.0, 10.0, 20.0], [100.0, 110.0, 120.0]])[None, ..., None]
  places = jnp.array([[0, 0], [0.5, 0], [1.25, 0.5], [2, 1], [-3, 9], [9, -1]])
  values = warp.sample_bilinear(image, places.reshape(1, 2, 3, 2))
  np.testing.assert_allclose(values.ravel(), [0, 5, 62.5, 120, 100, 20])


def test_gradient_of_a_sample_is_the_slope():
  image = jnp.array([[0.0, 10.0, 40.0], [0.0, 10.0, 40.0]])[None, ..., None]

  def value(x):
    place = jnp.stack([x, jnp.zeros(())]).reshape(1, 1, 1, 2)
    return warp.sample_bilinear(image, place)[0, 0, 0, 0]

  assert float(jax.grad(value)(1.5)) == 30
  assert float(jax.grad(value)(0.5)) == 10
  assert float(jax.grad(value)(5.0)) == 0


def test_each_image_of_a_batch_is_read_by_itself():
  generator = np.random.default_rng(1)
  images = jnp.float32(generator.uniform(size=(3, 5, 6, 2)))
  places = jnp.float32(generator.uniform(-1, 7, size=(3, 4, 4, 2)))
  together = warp.sample_bilinear(images, places)
  for i in range(3):
    one = warp.sample_bilinear(images[i : i + 1], places[i : i + 1])
    np.testing.assert_array_equal(one[0], together[i])


@pytest.mark.parametrize('view', ['right', 'previous', 'next'])
def test_exact_depth_and_motion_predict_the_other_view(view):
  """Warps a rendered street's other view to this one."""
  size = {'seed': 0, 'index': 3, 'height': 48, 'width': 96}
  here = street.render('source', **size)
  there = street.render('source', view=view, **size)
  eye = street.camera('source', **size)
  other = street.camera('source', view=view, **size)
  motion = other.extrinsic @ np.linalg.inv(eye.extrinsic)
  pixels, _ = warp.project_depth(
    jnp.asarray(here['depth'])[None],
    jnp.float32([[eye.focal, eye.focal, eye.cx, eye.cy]]),
    jnp.float32(motion)[None],
  )
  image, neighbour = (
    jnp.float32(x['image'])[None] / 255 for x in (here, there)
  )
  warped = warp.sample_bilinear(neighbour, pixels)
  error = photometric.photometric_error(warped, image).mean()
  still = photometric.photometric_error(neighbour, image).mean()
  assert error < 0.5 * still
