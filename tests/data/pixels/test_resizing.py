"""One table of golden pixels for every resizing: TensorFlow, JAX, NumPy."""

import cv2
import numpy as np
from PIL import Image
import pytest
import tensorflow as tf

from jaxuda.data.pixels import resizing
from jaxuda.data.pixels import transforms
from jaxuda.ops import resize
from jaxuda.ui import panels

# (pixels that there are, pixels that are wanted): pixels under the centres, as
# Pillow's NEAREST takes them, and under the corners, as OpenCV's INTER_NEAREST.
GOLDEN = {
  (6, 3): ([1, 3, 5], [0, 2, 4]),
  (3, 6): ([0, 0, 1, 1, 2, 2], [0, 0, 1, 1, 2, 2]),
  (5, 3): ([0, 2, 4], [0, 1, 3]),
  (7, 4): ([0, 2, 4, 6], [0, 1, 3, 5]),
  # Pixel 1 begins exactly under the third centre.
  (2, 5): ([0, 0, 1, 1, 1], [0, 0, 0, 1, 1]),
  (1, 3): ([0, 0, 0], [0, 0, 0]),
  (4, 1): ([2], [0]),
  (4, 4): ([0, 1, 2, 3], [0, 1, 2, 3]),
}
# A row of grey levels, and the result of Pillow 12.
ROW = (0, 0, 0, 255, 255, 255, 10, 20)
GOLDEN_IMAGES = {
  ('bicubic', 4): [0, 129, 248, 32],
  ('bicubic', 5): [0, 36, 255, 193, 6],
  ('bicubic', 12): [0, 0, 0, 0, 128, 255, 255, 255, 225, 39, 1, 21],
  ('bilinear', 4): [0, 128, 224, 49],
  ('bilinear', 5): [0, 47, 244, 191, 16],
  ('bilinear', 12): [0, 0, 0, 0, 128, 255, 255, 255, 214, 51, 15, 20],
}


def number_pixels(height, width):
  return np.arange(height * width, dtype=np.uint16).reshape(height, width)


def by_pillow(x, size):
  image = Image.fromarray(x.astype(np.int32))
  return np.asarray(image.resize(size[::-1], Image.Resampling.NEAREST))


def by_opencv(x, size):
  return cv2.resize(
    x.astype(np.float64), size[::-1], interpolation=cv2.INTER_NEAREST
  )


CENTRES = {
  'pillow': by_pillow,
  'numpy': resizing.resize_label,
  'tensorflow': lambda x, size: transforms.resize_label(tf.constant(x), size),
  'jax': lambda x, size: resize.resize_nearest(x[None], size)[0],
  'panels': panels._fit,
  'consistent': lambda x, size: transforms.resize_depth(
    tf.constant(x), size, method='consistent'
  ),
  'numpy, consistent': lambda x, size: resizing.resize_depth(
    x, size, method='consistent'
  ),
}
CORNERS = {
  'opencv': by_opencv,
  'numpy': resizing.resize_depth,
  'tensorflow': lambda x, size: transforms.resize_depth(tf.constant(x), size),
}


@pytest.mark.parametrize(('old', 'new'), GOLDEN)
@pytest.mark.parametrize('by', CENTRES)
def test_pixels_under_the_centres(by, old, new):
  expected, _ = GOLDEN[old, new]
  x = number_pixels(old, 6)
  # Rows as in the table, columns always halved.
  resized = np.asarray(CENTRES[by](x, (new, 3)))
  np.testing.assert_array_equal(resized, x[expected][:, [1, 3, 5]])
  across = np.asarray(CENTRES[by](x.T.copy(), (3, new)))
  np.testing.assert_array_equal(across, resized.T)


@pytest.mark.parametrize(('old', 'new'), GOLDEN)
@pytest.mark.parametrize('by', CORNERS)
def test_pixels_under_the_corners(by, old, new):
  _, expected = GOLDEN[old, new]
  x = number_pixels(old, 6)
  resized = np.asarray(CORNERS[by](x, (new, 3)))
  np.testing.assert_array_equal(resized, x[expected][:, [0, 2, 4]])
  across = np.asarray(CORNERS[by](x.T.copy(), (3, new)))
  np.testing.assert_array_equal(across, resized.T)


def by_tensorflow(image, size, *, method):
  return transforms.resize_image(tf.constant(image), size, method=method)


@pytest.mark.parametrize(('method', 'width'), GOLDEN_IMAGES)
@pytest.mark.parametrize(
  # Pillow rounds between its two passes, TensorFlow does not.
  ('by', 'levels'),
  [(resizing.resize_image, 0), (by_tensorflow, 3)],
)
def test_images(by, levels, method, width):
  image = np.array([[ROW] * 3] * 2, np.uint8).transpose(0, 2, 1)
  expected = GOLDEN_IMAGES[method, width]
  for one, size, axis in (
    (image, (2, width), 0),
    (image.transpose(1, 0, 2).copy(), (width, 2), 1),
  ):
    resized = np.asarray(by(one, size, method=method))
    assert resized.dtype == np.uint8
    for channel in np.moveaxis(resized.take(0, axis), -1, 0):
      np.testing.assert_allclose(channel, expected, atol=levels)


@pytest.mark.parametrize('by', [resizing.resize_image, by_tensorflow])
@pytest.mark.parametrize('width', [3, 4, 5, 12])
def test_linear_images_are_interpolated_at_the_centres(by, width):
  """OpenCV's INTER_LINEAR uses two pixels, however much it shrinks."""
  places = (np.arange(width) + 0.5) * len(ROW) / width - 0.5
  expected = np.interp(places, range(len(ROW)), ROW)
  image = np.array([[ROW] * 3] * 2, np.uint8).transpose(0, 2, 1)
  across = np.asarray(by(image, (2, width), method='linear'))
  down = by(image.transpose(1, 0, 2).copy(), (width, 2), method='linear')
  assert across.dtype == np.uint8
  for one in (across[0], np.asarray(down)[:, 0]):
    np.testing.assert_allclose(one.T, [expected] * 3, atol=1)


@pytest.mark.parametrize('by', [resizing.resize_image, by_tensorflow])
def test_half_of_a_linear_image_is_the_mean_of_four_pixels(by):
  image = np.random.default_rng(1).integers(0, 256, (6, 8, 3), np.uint8)
  half = np.asarray(by(image, (3, 4), method='linear')).astype(int)
  mean = image.reshape(3, 2, 4, 2, 3).mean((1, 3))
  np.testing.assert_allclose(half, mean, atol=1)
  # Pillow's filter is twice as wide.
  smooth = resizing.resize_image(image, (3, 4), method='bilinear')
  assert np.abs(half - smooth).max() > 20


def test_label_is_pillows():
  ids = np.random.default_rng(0).integers(0, 255, (31, 47)).astype(np.uint8)
  for size in ((10, 20), (31, 47), (15, 90)):
    np.testing.assert_array_equal(
      resizing.resize_label(ids, size), by_pillow(ids, size)
    )


def test_framed_images_are_padded_below_and_to_the_right():
  image = np.full((30, 40, 3), 99, np.uint8)
  stretched = resizing.frame_image(
    image, (10, 20), method='bicubic', fit='stretch'
  )
  assert stretched.shape == (10, 20, 3)
  assert (stretched == 99).all()
  padded = resizing.frame_image(image, (10, 20), method='bicubic', fit='pad')
  assert padded.shape == (10, 20, 3)
  assert (padded[:, :13] == 99).all()
  assert not padded[:, 13:].any()
  label = resizing.pad_to(np.ones((1, 2), np.uint8), (2, 4), fill=255)
  assert label.tolist() == [[1, 1, 255, 255], [255] * 4]


def test_an_image_of_the_right_size_is_left_alone():
  image = np.zeros((3, 4, 3), np.uint8)
  assert resizing.resize_image(image, (3, 4)) is image
