import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image
import pytest

from jaxuda.ops import resize


def test_ramp_of_four_to_seven_has_aligned_corners():
  ramp = jnp.arange(4.0).reshape(1, 1, 4, 1)
  out = resize.resize_align_corners(ramp, (1, 7))
  np.testing.assert_allclose(
    out.ravel(), [0, 0.5, 1, 1.5, 2, 2.5, 3], atol=1e-6
  )


def test_matrix_rows_are_weights():
  for source, target in ((1, 5), (5, 1), (9, 65), (65, 9), (2, 2)):
    matrix = resize.interpolation_matrix(source, target)
    assert matrix.shape == (target, source)
    np.testing.assert_allclose(matrix.sum(1), 1)
    assert (matrix >= 0).all()
  # PyTorch's rule for a single output: the first input.
  np.testing.assert_array_equal(
    resize.interpolation_matrix(5, 1), [[1, 0, 0, 0, 0]]
  )


def brute_force(x, size):
  _, h, w, _ = x.shape
  out = np.zeros((x.shape[0], *size, x.shape[3]))
  for i in range(size[0]):
    for j in range(size[1]):
      y = i * (h - 1) / (size[0] - 1)
      z = j * (w - 1) / (size[1] - 1)
      y0, z0 = min(int(y), h - 2), min(int(z), w - 2)
      a, b = y - y0, z - z0
      out[:, i, j] = (
        (1 - a) * (1 - b) * x[:, y0, z0]
        + (1 - a) * b * x[:, y0, z0 + 1]
        + a * (1 - b) * x[:, y0 + 1, z0]
        + a * b * x[:, y0 + 1, z0 + 1]
      )
  return out


@pytest.mark.parametrize('size', [(13, 9), (5, 21), (3, 4)])
def test_equals_the_interpolation_pixel_by_pixel(size):
  x = np.random.default_rng(0).normal(size=(2, 4, 5, 3)).astype(np.float32)
  out = resize.resize_align_corners(jnp.asarray(x), size)
  np.testing.assert_allclose(out, brute_force(x, size), atol=1e-5)


def test_maps_without_channels_and_jit():
  x = jax.random.normal(jax.random.key(0), (2, 4, 5))
  plain = resize.resize_align_corners(x, (8, 10))
  assert plain.shape == (2, 8, 10)
  jitted = jax.jit(lambda v: resize.resize_align_corners(v, (8, 10)))(x)
  np.testing.assert_allclose(plain, jitted, atol=1e-6)
  same = resize.resize_align_corners(x, (4, 5))
  np.testing.assert_array_equal(same, x)


def test_nearest_takes_the_pixel_under_the_centre():
  x = np.random.default_rng(0).integers(0, 255, (2, 7, 10, 2), np.uint8)
  ours = resize.resize_nearest(x, (3, 13))
  for b in range(2):
    for c in range(2):
      image = Image.fromarray(np.ascontiguousarray(x[b, ..., c]))
      theirs = image.resize((13, 3), Image.Resampling.NEAREST)
      np.testing.assert_array_equal(ours[b, ..., c], theirs)
