import io
import struct
import zlib

import cv2
import h5py
import numpy as np
from PIL import Image
import pytest
import scipy.io

from jaxuda import errors
from jaxuda.data.datasets import cityscapes
from jaxuda.data.files import decoding

IDS = np.array([[0, 7, 33], [255, 1, 2]], np.uint8)
DEPTH = np.array([[0, 1, 255], [256, 40000, 65535]], np.uint16)


def encode(array, form='PNG', mode=None):
  image = Image.fromarray(array)
  out = io.BytesIO()
  (image.convert(mode) if mode else image).save(out, format=form)
  return out.getvalue()


@pytest.mark.parametrize('channels', [1, 3])
def test_depth_keeps_sixteen_bits(channels):
  stacked = DEPTH if channels == 1 else np.stack([DEPTH] * 3, -1)
  # Encoded by hand: three equal channels have no order.
  encoded = decoding.encode_png(DEPTH)
  if channels == 3:
    encoded = cv2.imencode('.png', stacked)[1].tobytes()
  np.testing.assert_array_equal(decoding.read_depth(encoded, 'x'), DEPTH)
  assert decoding.is_grey_png(encoded, bits=16) == (channels == 1)
  assert not decoding.is_grey_png(encoded, bits=8)


def test_ids_of_grey_and_palette():
  grey = encode(IDS)
  np.testing.assert_array_equal(decoding.read_ids(grey, 'x'), IDS)
  assert decoding.is_grey_png(grey, bits=8)
  image = Image.fromarray(IDS).convert('P')
  image.frombytes(IDS.tobytes())
  image.putpalette([9] * 768)
  out = io.BytesIO()
  image.save(out, format='PNG')
  np.testing.assert_array_equal(decoding.read_ids(out.getvalue(), 'x'), IDS)
  assert not decoding.is_grey_png(out.getvalue(), bits=8)


def test_pictures_come_back():
  colors = np.random.default_rng(0).integers(0, 256, (5, 6, 3), np.uint8)
  encoded = decoding.encode_png(colors)
  np.testing.assert_array_equal(decoding.read_image(encoded, 'x'), colors)
  np.testing.assert_array_equal(decoding.read_colors(encoded, 'x'), colors)
  assert decoding.keep_image(encoded, 'x') == (encoded, (5, 6))
  smooth = np.full((16, 16, 3), 99, np.uint8)
  jpeg = decoding.encode_jpeg(smooth)
  back = decoding.read_image(jpeg, 'x').astype(int)
  assert np.abs(back - 99).max() <= 1


@pytest.mark.parametrize(
  ('read', 'encoded', 'message'),
  [
    (decoding.read_ids, encode(np.zeros((2, 2, 3), np.uint8)), 'not colours'),
    (decoding.read_ids, encode(IDS, 'JPEG'), 'is JPEG'),
    (decoding.read_colors, encode(IDS), 'mode L'),
    (decoding.read_depth, encode(IDS), '8-bit with 1 channel'),
    (decoding.read_synthia_ids, encode(IDS), 'saved again'),
    (decoding.read_image, b'', 'cannot be read as a picture'),
    (decoding.read_image, encode(IDS)[:-9], 'cannot be read as a picture'),
    (
      decoding.read_image,
      cv2.imencode('.tiff', np.zeros((4, 5, 3), np.float32))[1].tobytes(),
      'a TIFF with pixels of a kind that is not read, such as 32-bit colours',
    ),
    (decoding.read_image, encode(IDS, 'GIF'), 'the file is GIF'),
    (decoding.keep_image, decoding.encode_png(DEPTH), 'mode I;16'),
  ],
)
def test_mistakes_name_the_file(read, encoded, message):
  with pytest.raises(errors.UserError) as caught:
    read(encoded, 'dir/x.png')
  assert message in str(caught.value)
  assert str(caught.value).startswith('dir/x.png')
  assert '\n' not in str(caught.value)


def test_sixteen_bit_images_are_refused():
  encoded = cv2.imencode('.png', np.zeros((2, 2, 3), np.uint16))[1].tobytes()
  for read in (decoding.keep_image, decoding.read_image):
    with pytest.raises(errors.UserError, match='16 bits a channel; expected 8'):
      read(encoded, 'x')


def test_sixteen_bit_colours_are_those_of_eight_bits_or_refused():
  colors = np.arange(24, dtype=np.uint16).reshape(2, 4, 3)
  deep = cv2.imencode('.png', colors[..., ::-1] * 257)[1].tobytes()
  np.testing.assert_array_equal(decoding.read_colors(deep, 'a.png'), colors)
  deep = cv2.imencode('.png', colors[..., ::-1])[1].tobytes()
  with pytest.raises(errors.UserError, match=r'a\.png has 16 bits a channel'):
    decoding.read_colors(deep, 'a.png')


def test_colours_are_looked_up():
  colors = np.array(
    [[[0, 0, 1], [1, 2, 3]], [[255, 0, 0], [0, 0, 1]]], np.uint8
  )
  packed = decoding.pack_colors(colors)
  assert packed.tolist() == [[1, 0x010203], [0xFF0000, 1]]
  ids, known = decoding.look_up(packed, {0x010203: 200, 1: 7})
  assert ids[known].tolist() == [7, 200, 7]
  assert known.tolist() == [[True, True], [False, True]]


def test_prepared_pictures_come_back():
  colors = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
  for picture in (colors, IDS, DEPTH):
    stored = decoding.encode_png(picture)
    np.testing.assert_array_equal(decoding.decode_stored(stored), picture)


METRES = np.array([[1.5, 2.5, 3.5], [4.5, 5.5, 6.5]])


def test_matlab_of_both_versions():
  old = io.BytesIO()
  scipy.io.savemat(old, {'depth_map': METRES})
  np.testing.assert_array_equal(
    cityscapes.read_mat(old.getvalue(), 'x'), METRES
  )
  new = io.BytesIO()
  with h5py.File(new, 'w', userblock_size=512) as opened:
    opened['depth_map'] = METRES.T
  data = bytearray(new.getvalue())
  data[:19] = b'MATLAB 7.3 MAT-file'
  np.testing.assert_array_equal(cityscapes.read_mat(bytes(data), 'x'), METRES)
  for wrong in (b'', b'MATLAB 5', old.getvalue()[:150]):
    with pytest.raises(errors.UserError, match='x cannot be read as a MATLAB'):
      cityscapes.read_mat(wrong, 'x')
  flat = io.BytesIO()
  scipy.io.savemat(flat, {'depth_map': np.zeros((0, 0))})
  with pytest.raises(errors.UserError, match='depth_map of shape'):
    cityscapes.read_mat(flat.getvalue(), 'x')


@pytest.mark.parametrize(('turn', 'undo'), [(3, 2), (6, 3), (8, 1)])
@pytest.mark.parametrize('form', ['JPEG', 'PNG', 'TIFF', 'WEBP'])
def test_turned_pictures_are_upright(turn, undo, form):
  shown = np.zeros((16, 24, 3), np.uint8)
  shown[:8, :8] = 255
  exif = Image.Exif()
  exif[0x0112] = turn
  out = io.BytesIO()
  Image.fromarray(np.rot90(shown, -undo)).save(out, form, exif=exif)
  encoded = out.getvalue()
  assert decoding.orientation(encoded) == turn
  upright = decoding.read_image(encoded, 'x')
  assert upright.shape == shown.shape
  assert np.abs(upright.astype(int) - shown).max() < 40
  kept, size = decoding.keep_image(encoded, 'x')
  assert size == shown.shape[:2]
  assert kept != encoded
  # Stored images are upright without the tag, which TensorFlow would ignore.
  np.testing.assert_array_equal(decoding.decode_stored(kept), upright)


def grey_png(samples, bits):
  """Returns a grey PNG of few bits; Pillow does not write 2 and 4 bits."""

  def chunk(name, data):
    crc = zlib.crc32(name + data)
    return struct.pack('>I', len(data)) + name + data + struct.pack('>I', crc)

  height, width = samples.shape
  rows = b''
  for row in samples:
    text = ''.join(f'{x:0{bits}b}' for x in row.tolist())
    text = text.ljust(-(-len(text) // 8) * 8, '0')
    rows += b'\0' + int(text, 2).to_bytes(len(text) // 8, 'big')
  head = struct.pack('>IIBBBBB', width, height, bits, 0, 0, 0, 0)
  parts = (b'IHDR', head), (b'IDAT', zlib.compress(rows)), (b'IEND', b'')
  return b'\x89PNG\r\n\x1a\n' + b''.join(chunk(*x) for x in parts)


@pytest.mark.parametrize('bits', [1, 2, 4, 8])
def test_masks_of_few_bits_keep_their_samples(bits):
  samples = np.arange(33).reshape(3, 11) % 2**bits
  encoded = grey_png(samples, bits)
  np.testing.assert_array_equal(decoding.read_ids(encoded, 'x'), samples)
  assert decoding.is_grey_png(encoded, bits=8) == (bits == 8)
