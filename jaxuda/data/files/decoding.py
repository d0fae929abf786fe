"""Decodes a user's pictures, with all checks. Needs no TensorFlow.

Each function takes the bytes of a file, and its name for error messages. Pillow
silently converts 16-bit colour PNGs to 8 bits (SYNTHIA's labels become all
zeros, its depth loses the lower byte), so these go through OpenCV; OpenCV
converts palette PNGs to colours, so those go through Pillow. Images whose EXIF
tag says that the camera was turned are rotated upright; label and depth maps
with such a tag are rejected.
"""

from collections.abc import Mapping
import contextlib
import io
import warnings
import zlib

import cv2
import numpy as np
from PIL import Image
from PIL import ImageOps
from PIL import UnidentifiedImageError

from jaxuda import errors
from jaxuda.data.files import tree as tree_lib

# Suffixes of the pictures that are read; case does not matter.
SUFFIXES = (
  *('png', 'jpg', 'jpeg', 'jpe', 'jfif', 'bmp', 'webp', 'tif', 'tiff'),
  *('ppm', 'pgm', 'pbm', 'pnm', 'apng', 'mpo'),
)
_FORMATS = ('PNG', 'JPEG', 'MPO', 'BMP', 'WEBP', 'TIFF', 'PPM')
_ORIENTATION = 0x0112
# A PNG chunk that may hold the orientation begins with one of these.
_TAGS = (b'eXIf', b'Raw profile type ', b'XML:com.adobe.xmp')
# Of either byte order.
_TIFF = b'II*\0', b'MM\0*'
_PNG = b'\x89PNG\r\n\x1a\n'
# Silences Pillow's warnings about files that it can read; files that it cannot
# read raise errors here.
warnings.filterwarnings('ignore', module='PIL')


def keep_image(encoded: bytes, where: str) -> tuple[bytes, tuple[int, int]]:
  """Returns a colour picture's bytes to store, and its (height, width).

  An upright PNG or JPEG is kept as it is; anything else is converted to a PNG
  of the same pixels.

  Raises:
    UserError: the picture is broken, or does not have 8 bits per channel.
  """
  image = _open_image(encoded, where, pixels=False)
  plain = image.format in ('PNG', 'JPEG', 'MPO')
  if plain and orientation(encoded) == 1:
    return encoded, image.size[::-1]
  pixels = read_image(encoded, where)
  return encode_png(pixels), pixels.shape[:2]


def read_image(encoded: bytes, where: str) -> np.ndarray:
  """Decodes a colour picture, upright: uint8 [H, W, 3] RGB.

  Raises:
    UserError: see `keep_image`.
  """
  image = _open_image(encoded, where, pixels=True)
  if orientation(encoded) != 1:
    # Turned first, then written without the tag, which other tags can prevent.
    with contextlib.suppress(Exception):
      ImageOps.exif_transpose(image, in_place=True)
  return np.asarray(image.convert('RGB'))


def orientation(encoded: bytes) -> int:
  """Returns the EXIF orientation of a picture, 2 to 8, or 1 if it is upright.

  A picture whose tags cannot be read counts as upright.
  """
  try:
    with Image.open(io.BytesIO(encoded)) as image:
      turned = image.getexif().get(_ORIENTATION)
  except Exception:
    return 1
  return turned if turned in range(2, 9) else 1


def _open(encoded, where, *, pixels=True):
  """Opens and checks a picture; with `pixels=False`, PNGs stay encoded."""
  try:
    if encoded[:8] == _PNG:
      _check_chunks(encoded)
    image = _recognize(encoded)
    if image.format not in _FORMATS:
      raise ValueError(f'the file is {image.format}')
    if pixels or image.format != 'PNG':
      image.load()
  except Exception as e:  # For corrupt files, Pillow raises almost anything.
    raise errors.UserError(
      f'{where} cannot be read as a picture ({tree_lib.one_line(e)}); expected'
      f' a complete file of one of {", ".join(_FORMATS)}'
    ) from e
  return image


def _recognize(encoded):
  try:
    return Image.open(io.BytesIO(encoded))
  except UnidentifiedImageError:
    # Pillow's message is the address of the buffer.
    why = 'it is in no known format' if encoded else 'it is empty'
    if encoded[:4] in _TIFF:
      why = (
        'it is a TIFF with pixels of a kind that is not read, such as 32-bit'
        ' colours'
      )
    raise ValueError(why) from None


def _check_chunks(encoded):
  """Raises ValueError unless every chunk of a PNG has a correct checksum.

  Pillow reads files that libpng, and thus OpenCV and TensorFlow, cannot.
  """
  at, kind = len(_PNG), b''
  while kind != b'IEND':
    size, kind = int.from_bytes(encoded[at : at + 4]), encoded[at + 4 : at + 8]
    end = at + 8 + size
    if (
      int.from_bytes(encoded[end : end + 4])
      != zlib.crc32(encoded[at + 4 : end])
      or len(encoded) < end + 4
    ):
      raise ValueError(f'the checksum of its part {kind!r} is wrong')
    at = end + 4


def _open_image(encoded, where, *, pixels):
  image = _open(encoded, where, pixels=pixels)
  if image.mode not in ('RGB', 'RGBA', 'L', 'P', 'LA', '1'):
    raise errors.UserError(
      f'{where} has pixels of mode {image.mode}; expected an 8-bit RGB picture'
    )
  if _png_header(encoded)[0] == 16:
    raise errors.UserError(f'{where} has 16 bits a channel; expected 8')
  return image


def read_ids(encoded: bytes, where: str) -> np.ndarray:
  """Decodes ids: uint8 [H, W] from a grey or palette PNG of at most 8 bits.

  From a palette picture it takes the indices, never the colours; from a grey
  one of 1, 2 or 4 bits the raw samples, which Pillow would scale to 0..255.

  Raises:
    UserError: the picture is broken, lossy, or has another pixel format.
  """
  label = _open_label(
    encoded,
    where,
    ('L', 'P', '1'),
    '8-bit PNG with one id for each pixel, not colours',
  )
  bits, color = _png_header(encoded)
  ids = np.asarray(label, np.uint8)
  if color == 0 and bits in (2, 4):
    ids = ids // (255 // (2**bits - 1))
  return ids


def read_colors(encoded: bytes, where: str) -> np.ndarray:
  """Decodes a label map whose classes are colours: uint8 [H, W, 3] RGB.

  Raises:
    UserError: the picture is broken, lossy, or has no colours.
  """
  label = _open_label(
    encoded,
    where,
    ('RGB', 'RGBA', 'P'),
    'RGB PNG with one colour for each class',
  )
  if _png_header(encoded)[0] == 16:
    # Pillow keeps the upper bytes: none of the ids of SYNTHIA, say.
    deep = _decode_raw(encoded, where)
    if (deep % 257).any():
      raise errors.UserError(
        f'{where} has 16 bits a channel, and its colours need them; expected 8'
      )
  return np.asarray(label.convert('RGB'))


def _open_label(encoded, where, modes, expected):
  label = _open(encoded, where)
  if label.format != 'PNG' or label.mode not in modes:
    raise errors.UserError(
      f'{where} is {label.format} with pixels of mode {label.mode}; expected an'
      f' {expected}'
    )
  _check_upright(encoded, where)
  return label


def _check_upright(encoded, where):
  """Checks that a map has no orientation tag, which only some tools obey."""
  # Only if needed: Pillow decodes the whole picture to look for tags.
  tagged = any(x in encoded for x in _TAGS)
  turned = orientation(encoded) if tagged else 1
  if turned != 1:
    raise errors.UserError(
      f'{where} has the EXIF orientation {turned}; expected a map without one,'
      ' with its pixels upright'
    )


def pack_colors(colors: np.ndarray) -> np.ndarray:
  """Packs each colour, uint8 [..., 3] RGB, into one number: int32 [...]."""
  red, green, blue = np.moveaxis(np.asarray(colors, np.int32), -1, 0)
  return red << 16 | green << 8 | blue


def look_up(
  values: np.ndarray, table: Mapping[int, int]
) -> tuple[np.ndarray, np.ndarray]:
  """Maps ids or packed colours to raw ids.

  Args:
    values: integers [H, W].
    table: value -> raw id 0..255; not empty.

  Returns:
    (uint8 [H, W] raw ids; bool [H, W], whether the table has the value: where
    it does not, the id is meaningless).
  """
  known = np.array(sorted(table), np.int32)
  place = np.searchsorted(known, values).clip(max=len(known) - 1)
  ids = np.array([table[x] for x in known.tolist()], np.uint8)
  return ids[place], known[place] == values


def read_synthia_ids(encoded: bytes, where: str) -> np.ndarray:
  """Decodes SYNTHIA's GT/LABELS: uint8 [H, W] from a 16-bit colour PNG.

  The id is in the file's first channel, red; the others count instances.

  Raises:
    UserError: the picture is broken, or not 16-bit colour.
  """
  picture = _decode_raw(encoded, where)
  if picture.dtype != np.uint16 or picture.ndim != 3:
    raise errors.UserError(
      f'{where} is {_describe(picture)}; expected the 16-bit colour PNG of'
      ' SYNTHIA GT/LABELS: it was saved again, which loses the ids'
    )
  # OpenCV turns RGB into BGR.
  ids = picture[..., 2]
  if ids.max(initial=0) > 255:
    raise errors.UserError(
      f'{where} has ids up to {ids.max()} in its first channel; expected the'
      ' ids 0..22 of SYNTHIA'
    )
  return ids.astype(np.uint8)


def read_depth(encoded: bytes, where: str) -> np.ndarray:
  """Decodes raw depth: uint16 [H, W] from a 16-bit PNG.

  If there are three channels (equal in SYNTHIA), it takes the first.

  Raises:
    UserError: the picture is broken, has 8 bits, or has channels that differ.
  """
  picture = _decode_raw(encoded, where)
  if picture.dtype != np.uint16:
    raise errors.UserError(
      f'{where} is {_describe(picture)}; expected 16 bits: depth that was saved'
      ' again with 8 bits is lost, use the original file'
    )
  if picture.ndim == 2:
    return picture
  if (picture[..., :1] != picture[..., : min(3, picture.shape[2])]).any():
    raise errors.UserError(
      f'{where} has channels that differ; expected depth in one channel, or the'
      ' same in all of them'
    )
  return np.ascontiguousarray(picture[..., 0])


def decode_stored(encoded: bytes) -> np.ndarray:
  """Decodes a prepared picture: uint8 [H, W, 3] RGB, or uint8/uint16 [H, W]."""
  picture = cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_UNCHANGED)
  return picture[..., ::-1] if picture.ndim == 3 else picture


def encode_png(picture: np.ndarray) -> bytes:
  """Encodes [H, W] uint8 or uint16, or RGB uint8 [H, W, 3], losslessly."""
  if picture.ndim == 3:
    picture = picture[..., ::-1]
  # Level 6 is a third smaller than OpenCV's default on labels and depth.
  done, encoded = cv2.imencode(
    '.png', picture, [cv2.IMWRITE_PNG_COMPRESSION, 6]
  )
  if not done:
    raise ValueError(f'no PNG of {_describe(picture)}')
  return encoded.tobytes()


def encode_jpeg(image: np.ndarray) -> bytes:
  """Encodes RGB uint8 [H, W, 3] as JPEG of quality 95."""
  out = io.BytesIO()
  Image.fromarray(image).save(out, format='JPEG', quality=95)
  return out.getvalue()


def is_grey_png(encoded: bytes, *, bits: int) -> bool:
  """Returns whether a file is a grey PNG of the given bit depth.

  Such a file can be stored as it is: ids of 8 bits, depth of 16.
  """
  return _png_header(encoded) == (bits, 0)


def _png_header(encoded):
  """Returns (bits per channel, colour type) of a PNG; (0, 0) if it is none."""
  if encoded[:8] != _PNG or len(encoded) < 26:
    return 0, 0
  return encoded[24], encoded[25]


def _decode_raw(encoded, where):
  _open(encoded, where, pixels=False)
  _check_upright(encoded, where)
  picture = cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_UNCHANGED)
  if picture is None:
    raise errors.UserError(
      f'{where} cannot be read as a picture; expected a complete PNG file'
    )
  return picture


def _describe(picture):
  channels = 1 if picture.ndim == 2 else picture.shape[2]
  return f'{8 * picture.itemsize}-bit with {channels} channel' + (
    's' if channels > 1 else ''
  )
