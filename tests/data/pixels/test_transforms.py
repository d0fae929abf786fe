import io

import cv2
import numpy as np
from PIL import Image
import pytest
import tensorflow as tf

from jaxuda.data.pixels import aspect
from jaxuda.data.pixels import transforms


def encode(array, *, form='PNG', **options):
  out = io.BytesIO()
  Image.fromarray(array).save(out, format=form, **options)
  return out.getvalue()


@pytest.fixture
def picture():
  """Returns smooth shapes and noise, uint8 [48, 64, 3]."""
  rng = np.random.default_rng(0)
  rows, columns = np.mgrid[:48, :64]
  waves = 90 * np.sin(rows / 5)[..., None] * np.cos(columns / 7)[..., None]
  noise = rng.normal(0, 12, (48, 64, 3))
  return np.clip(128 + waves + noise, 0, 255).astype(np.uint8)


def test_png_is_decoded_exactly(picture):
  decoded = transforms.decode_image(tf.constant(encode(picture)))
  assert decoded.dtype == tf.uint8
  np.testing.assert_array_equal(decoded, picture)


def test_grey_image_becomes_rgb(picture):
  decoded = transforms.decode_image(tf.constant(encode(picture[..., 0])))
  np.testing.assert_array_equal(decoded, np.stack([picture[..., 0]] * 3, -1))


def test_jpeg_is_decoded_as_pillow_does(picture):
  encoded = encode(picture, form='JPEG', quality=92, subsampling=0)
  expected = np.asarray(Image.open(io.BytesIO(encoded)))
  np.testing.assert_array_equal(
    transforms.decode_image(tf.constant(encoded)), expected
  )


def test_label_keeps_its_ids():
  label = np.array([[0, 11, 255], [7, 8, 33]], np.uint8)
  np.testing.assert_array_equal(
    transforms.decode_label(tf.constant(encode(label))), label
  )


@pytest.mark.parametrize('channels', [1, 3])
def test_depth_keeps_sixteen_bits(channels):
  depth = np.array([[0, 1, 255], [256, 40000, 65535]], np.uint16)
  stacked = depth if channels == 1 else np.stack([depth] * 3, -1)
  encoded = cv2.imencode('.png', stacked)[1].tobytes()
  decoded = transforms.decode_depth(tf.constant(encoded))
  assert decoded.dtype == tf.uint16
  np.testing.assert_array_equal(decoded, depth)


@pytest.mark.parametrize('method', ['bicubic', 'bilinear'])
@pytest.mark.parametrize('size', [(24, 32), (31, 45), (17, 64), (96, 100)])
def test_image_is_resized_as_pillow_does(picture, method, size):
  resample = getattr(Image.Resampling, method.upper())
  expected = np.asarray(
    Image.fromarray(picture).resize(size[::-1], resample), np.int32
  )
  ours = transforms.resize_image(tf.constant(picture), size, method=method)
  assert ours.dtype == tf.uint8
  difference = np.abs(ours.numpy().astype(np.int32) - expected)
  assert difference.max() <= 3
  assert difference.mean() < 0.3


def test_image_of_the_right_size_is_left_alone(picture):
  np.testing.assert_array_equal(
    transforms.resize_image(tf.constant(picture), (48, 64)), picture
  )


def test_overshoot_is_clipped_not_wrapped():
  edge = np.zeros((8, 8, 3), np.uint8)
  edge[:, 4:] = 255
  ours = transforms.resize_image(tf.constant(edge), (16, 16)).numpy()
  assert (ours[:, :6] < 60).all()
  assert (ours[:, 10:] > 195).all()


# Native and network sizes of the datasets and papers, and odd ones.
SIZES = [
  ((760, 1280), (320, 640)),
  ((760, 1280), (720, 1280)),
  ((1024, 2048), (512, 1024)),
  ((1052, 1914), (720, 1280)),
  ((375, 1242), (128, 416)),
  ((360, 480), (180, 240)),
  ((17, 23), (40, 31)),
]


@pytest.mark.parametrize(('native', 'size'), SIZES)
def test_label_is_resized_as_pillow_does(native, size):
  label = number_pixels(native)
  image = Image.fromarray(label.astype(np.int32))
  expected = np.asarray(image.resize(size[::-1], Image.Resampling.NEAREST))
  np.testing.assert_array_equal(
    transforms.resize_label(tf.constant(label), size), expected
  )


@pytest.mark.parametrize(('native', 'size'), SIZES)
def test_depth_is_resized_as_opencv_does(native, size):
  depth = number_pixels(native)
  expected = cv2.resize(
    depth.astype(np.float64), size[::-1], interpolation=cv2.INTER_NEAREST
  )
  np.testing.assert_array_equal(
    transforms.resize_depth(tf.constant(depth), size), expected
  )


def number_pixels(size):
  return np.arange(size[0] * size[1], dtype=np.int32).reshape(size)


def test_half_size_takes_odd_labels_and_even_depth():
  row = tf.constant([[0, 1, 2, 3, 4, 5]])
  assert transforms.resize_label(row, (1, 3)).numpy().tolist() == [[1, 3, 5]]
  assert transforms.resize_depth(row, (1, 3)).numpy().tolist() == [[0, 2, 4]]
  consistent = transforms.resize_depth(row, (1, 3), method='consistent')
  assert consistent.numpy().tolist() == [[1, 3, 5]]


def test_labels_are_mapped():
  table = np.full(256, 255, np.int32)
  table[3] = 7
  mapped = transforms.look_up(tf.constant([[3, 0, 255]], tf.uint8), table)
  assert mapped.dtype == tf.int32
  assert mapped.numpy().tolist() == [[7, 255, 255]]


def test_linear_depth_is_opencvs():
  raw = np.random.default_rng(0).integers(0, 65536, (8, 12), np.uint16)
  for size in ((3, 5), (4, 6), (16, 20)):
    expected = cv2.resize(raw.astype(np.float32), size[::-1])
    ours = transforms.resize_depth(tf.constant(raw), size, method='linear')
    np.testing.assert_allclose(ours, expected, rtol=1e-4)


@pytest.mark.parametrize(
  ('shape', 'size', 'inner', 'padded'),
  [
    # 4:3 into 2:1, and 2:1 into 4:3.
    ((300, 400), (100, 200), (100, 133), (300, 600)),
    ((1000, 2000), (768, 1024), (512, 1024), (1500, 2000)),
    ((768, 1024), (768, 1024), (768, 1024), (768, 1024)),
    # The integer part: 2448 * 1024 / 3265 = 767.76.
    ((2448, 3265), (768, 1024), (767, 1024), (2448, 3265)),
  ],
)
def test_the_aspect_is_kept(shape, size, inner, padded):
  assert aspect.fit_size(shape, size) == inner
  assert aspect.pad_shape(shape, size) == padded
  tensors = tf.unstack(tf.constant(shape))
  fitted = aspect.fit_size(tensors, size, smaller=tf.minimum)
  assert [int(x) for x in fitted] == list(inner)
  around = aspect.pad_shape(tensors, size, larger=tf.maximum)
  assert [int(x) for x in around] == list(padded)


def test_padding_is_below_and_right():
  out = transforms.pad_to(tf.constant([[1, 2]]), (2, 4), fill=9)
  assert out.numpy().tolist() == [[1, 2, 9, 9], [9, 9, 9, 9]]


def draw(index, **options):
  seed = tf.constant([3, index], tf.int64)
  return transforms.draw_window(seed, (6, 9), **options)


def test_window_is_a_function_of_its_seed():
  first = [tuple(map(int, draw(5, crop=(2, 3), flip=True)[:2]))] * 2
  again = tuple(map(int, draw(5, crop=(2, 3), flip=True)[:2]))
  assert again == first[0]


def test_windows_reach_every_place_and_side():
  windows = [draw(i, crop=(4, 7), flip=True) for i in range(150)]
  places = {(int(x.top), int(x.left), bool(x.mirrored)) for x in windows}
  assert places == {
    (top, left, side)
    for top in range(3)
    for left in range(3)
    for side in (False, True)
  }


def test_nothing_is_cut_or_mirrored_unless_asked():
  window = draw(0)
  assert (int(window.top), int(window.left)) == (0, 0)
  assert not any(draw(i).mirrored for i in range(20))
  values = tf.reshape(tf.range(6 * 9), (6, 9))
  np.testing.assert_array_equal(transforms.cut_window(values, window), values)


def test_cut_is_the_same_for_image_and_label():
  window = transforms.Window(
    top=tf.constant(1),
    left=tf.constant(2),
    size=(2, 3),
    mirrored=tf.constant(True),
  )
  label = tf.reshape(tf.range(6 * 9), (6, 9))
  cut = transforms.cut_window(label, window)
  np.testing.assert_array_equal(cut, [[13, 12, 11], [22, 21, 20]])
  image = tf.stack([label] * 3, -1)
  np.testing.assert_array_equal(
    transforms.cut_window(image, window)[..., 1], cut
  )


@pytest.mark.parametrize(
  'call',
  [
    lambda: transforms.resize_image(None, (1, 1), method='nearest'),
    lambda: transforms.resize_depth(None, (1, 1), method='area'),
  ],
)
def test_unknown_options(call):
  with pytest.raises(ValueError, match='expected one of'):
    call()
