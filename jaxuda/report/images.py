"""Encodes pictures as URIs, so that a page needs no other file."""

import base64
from collections.abc import Sequence
import io

import numpy as np
from PIL import Image

from jaxuda.data.pixels import resizing
from jaxuda.ui import panels

# Pixels; wider pictures are shrunk: they are for viewing, not for measuring.
WIDEST = 480
# Colours of right, wrong and unlabelled pixels, for light and dark pages and
# for colour-blind readers.
_ERRORS = np.array([[214, 220, 226], [200, 30, 60], [128, 134, 142]], np.uint8)


def encode_photo(image: np.ndarray) -> str:
  """Returns uint8 [H, W, 3] RGB as the URI of a JPEG."""
  picture = Image.fromarray(image)
  size = _shrunk(image.shape[:2])
  picture = picture.resize(size[::-1], Image.Resampling.LANCZOS)
  return _encode(picture, 'JPEG', quality=82, optimize=True)


def encode_labels(label: np.ndarray, colors: np.ndarray) -> str:
  """Returns ids [h, w] as the URI of a PNG in `colors`, uint8 [C, 3].

  Ids that are not a class become black.
  """
  ids = np.where((label >= 0) & (label < len(colors)), label, len(colors))
  return _encode_indexed(ids, [*colors, panels.IGNORED])


def encode_errors(prediction: np.ndarray, label: np.ndarray) -> str:
  """Returns right pixels (grey) and wrong ones (red) as the URI of a PNG.

  Both arguments are ids [h, w]; ignored pixels (label 255) are dark grey.
  """
  kind = np.where(label == 255, 2, prediction != label)
  return _encode_indexed(kind, _ERRORS)


def encode_depth(depth: np.ndarray) -> str:
  """Returns depth [h, w] in metres as the URI of a JPEG; 0 becomes black."""
  small = resizing.resize_label(
    np.asarray(depth, np.float32), _shrunk(depth.shape)
  )
  valid = small > 0
  return encode_photo(
    panels.color_depth(np.where(valid, small, 1), valid=valid)
  )


def encode_density(density: np.ndarray) -> str:
  """Returns a predicted density [h, w] in 0..255 as the URI of a JPEG."""
  small = resizing.resize_label(
    np.asarray(density, np.float32), _shrunk(density.shape)
  )
  return encode_photo(panels.color_density(small))


def encode_drawing(picture: np.ndarray) -> str:
  """Returns uint8 [H, W, 3] RGB as the URI of a PNG, at its own size."""
  image = Image.fromarray(picture)
  return _encode(image.quantize(64), 'PNG', optimize=True)


def encode_bytes(data: bytes, kind: str) -> str:
  """Returns the data URI of a file, e.g. of kind 'image/svg+xml'."""
  return f'data:{kind};base64,{base64.b64encode(data).decode()}'


def _encode_indexed(ids: np.ndarray, colors: Sequence[Sequence[int]]) -> str:
  # Labels cannot be averaged.
  small = resizing.resize_label(ids.astype(np.uint8), _shrunk(ids.shape))
  image = Image.fromarray(small)
  image.putpalette(np.asarray(colors, np.uint8).ravel().tolist())
  return _encode(image, 'PNG', optimize=True)


def _encode(image, kind, **options):
  file = io.BytesIO()
  image.save(file, kind, **options)
  return encode_bytes(file.getvalue(), f'image/{kind.lower()}')


def _shrunk(size):
  """Returns (height, width), no wider than WIDEST."""
  height, width = size
  scale = min(1, WIDEST / width)
  return max(1, round(height * scale)), max(1, round(width * scale))
