"""File formats in which datasets and papers store depth.

* 'depth': 16-bit PNG of centimetres, 65535 = none, with `depth.json`; the one
  that `config.data.target.depth_dir` reads;
* 'disparity': 16-bit PNG of a monocular network's disparity, times 65535 /
  greatest, 0 = none, with `depth.json`; CorDA's own format for 'mono';
* 'mat': <stem>_depth_stereoscopic.mat with `depth_map` in metres, 0 = none;
  CorDA's own format for 'stereo' (Sakaridis et al., IJCV 2018);
* 'cityscapes': <stem>_disparity.png, 16 bits, 256 * pixels + 1, 0 = none;
* 'kitti': <name>.png, 16 bits, 256 * pixels, 0 = none.
"""

from collections.abc import Mapping
import hashlib
import os
import pathlib
from typing import Any
import zlib

import cv2
import numpy as np
import scipy.io

from jaxuda import errors
from jaxuda.run import workdir as workdir_lib
from jaxuda.ui import files

# Endings of the files of stereo depth.
_ENDINGS = {
  'depth': '.png',
  'mat': '_depth_stereoscopic.mat',
  'cityscapes': '_disparity.png',
  'kitti': '.png',
}
STEREO = tuple(_ENDINGS)
# Formats that require the baseline and the focal length.
METRIC = ('depth', 'mat')
NO_FACTOR = (
  'baseline and focal length are not known; expected --baseline and --focal,'
  ' calibration files, or --format=kitti'
)
FILE = 'depth.json'
NO_DEPTH = 65535

# Meaning of the 16-bit numbers, in the form that `data.pixels.depth_codes`
# reads.
METRES = {
  'depth_code': 'metres',
  'depth_unit': 0.01,
  'depth_missing': [NO_DEPTH],
}
INVERSE = {'depth_code': 'inverse'}
# Size of a PNG's signature and header, behind which its text may begin.
_HEADER = 33


def encode_metres(metres: np.ndarray) -> np.ndarray:
  """Converts metres to centimetres in 16 bits.

  Args:
    metres: [H, W], NaN where unknown.

  Returns:
    uint16 [H, W], at least 1; 65535 where depth is unknown or beyond 655.34 m.
  """
  raw = np.round(100 * np.asarray(metres, np.float64))
  raw = np.where(np.isnan(raw) | (raw > NO_DEPTH - 1), NO_DEPTH, raw)
  return np.maximum(raw, 1).astype(np.uint16)


def measure_disparity(disparity: np.ndarray, *, factor: float) -> np.ndarray:
  """Converts disparity to metres: factor / disparity.

  Args:
    disparity: [H, W] pixels; NaN where unknown.
    factor: baseline times focal length, metres times pixels.

  Returns:
    float64 [H, W] metres; NaN where unknown.
  """
  wide = np.asarray(disparity, np.float64)
  return np.where(wide > 0, factor / np.where(wide > 0, wide, 1), np.nan)


def encode_cityscapes(disparity: np.ndarray) -> np.ndarray:
  """Encodes disparity like Cityscapes: uint16 256 * pixels + 1, 0 = none."""
  return _encode(np.round(256 * np.asarray(disparity)) + 1, least=0)


def encode_kitti(disparity: np.ndarray) -> np.ndarray:
  """Encodes disparity like KITTI: uint16 256 * pixels, 0 = none."""
  # At least 1, since 0 stands for none.
  return _encode(np.round(256 * np.asarray(disparity)), least=1)


def encode_inverse(inverse: np.ndarray, *, greatest: float) -> np.ndarray:
  """Encodes a monocular network's output like CorDA: 65535 = nearest.

  Args:
    inverse: [H, W], 1 / depth in any unit, > 0; NaN where there is none.
    greatest: inverse depth that becomes 65535.

  Returns:
    uint16 [H, W], at least 1; 0 where there is none.
  """
  level = np.round(65535 * np.asarray(inverse, np.float64) / greatest)
  return _encode(level, least=1)


def _encode(level: np.ndarray, *, least: int) -> np.ndarray:
  """Clips to `least`..65535 as uint16; 0 where the level is NaN."""
  return np.nan_to_num(np.clip(level, least, 65535), nan=0).astype(np.uint16)


def write_png16(
  path: str | os.PathLike[str],
  raw: np.ndarray,
  *,
  image: np.ndarray | None = None,
) -> None:
  """Writes uint16 [H, W] as a PNG; creates its folder if it is missing.

  Args:
    path: file to write.
    raw: uint16 [H, W].
    image: uint8 [H, W, 3], the image whose map this is, see `is_of_image`.
  """
  done, data = cv2.imencode('.png', raw)
  if raw.dtype != np.uint16 or not done:
    raise ValueError(f'{raw.dtype} {raw.shape} is not a 16-bit picture')
  encoded, tag = data.tobytes(), b'' if image is None else _tag(image)
  with files.atomic(path) as part:
    part.write_bytes(encoded[:_HEADER] + tag + encoded[_HEADER:])


def is_of_image(path: pathlib.Path, image: np.ndarray) -> bool:
  """Returns whether a map was made of this image, if it says of which.

  Args:
    path: file of `write_png16`; one without `image`, as earlier versions wrote
      them, counts as made of any image.
    image: uint8 [H, W, 3].
  """
  tag = _tag(image)
  with path.open('rb') as f:
    found = f.read(_HEADER + len(tag))[_HEADER:]
  key = tag.index(b'\0', 4)
  return found == tag or found[:key] != tag[:key]


def _tag(image):
  """Returns the part of a PNG, a text, that says of which image a map is."""
  whole = np.ascontiguousarray(image)
  text = b'tEXtsha256 of the image\0'
  text += hashlib.sha256(whole).hexdigest().encode()
  size, check = len(text) - 4, zlib.crc32(text)
  return size.to_bytes(4) + text + check.to_bytes(4)


def write_disparity(
  folder: pathlib.Path,
  place: str,
  disparity: np.ndarray,
  *,
  form: str,
  factor: float | None,
) -> None:
  """Writes one disparity map.

  Args:
    folder: folder to write to.
    place: path in the folder, without ending, see `pairs.Pair`.
    disparity: [H, W] pixels; NaN where unknown.
    form: one of `STEREO`.
    factor: baseline times focal length, metres times pixels; required by
      'depth' and 'mat'.

  Raises:
    UserError: the factor is required but unknown.
  """
  path = place_of(folder, place, form=form)
  if form in ('cityscapes', 'kitti'):
    encode = encode_kitti if form == 'kitti' else encode_cityscapes
    write_png16(path, encode(disparity))
    return
  if factor is None:
    raise errors.UserError(f'{place}: {NO_FACTOR}')
  metres = measure_disparity(disparity, factor=factor)
  if form == 'depth':
    write_png16(path, encode_metres(metres))
    return
  with files.atomic(path) as part:
    tree = {'depth_map': np.nan_to_num(metres, nan=0.0)}
    scipy.io.savemat(part, tree, do_compression=True)


def place_of(folder: pathlib.Path, place: str, *, form: str) -> pathlib.Path:
  """Returns the file of a map, see `write_disparity`."""
  return folder / f'{place}{_ENDINGS[form]}'


def write_description(
  folder: str | os.PathLike[str], code: Mapping[str, Any], **more: Any
) -> None:
  """Writes `depth.json`: the meaning of the numbers and their origin."""
  workdir_lib.write_json(pathlib.Path(folder) / FILE, {**code, **more})
