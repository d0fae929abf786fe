"""Files in which datasets and papers keep depth.

* 'depth': 16-bit PNG of centimetres, 65535 = none, with `depth.json`; the one
  that `config.data.target.depth_dir` reads;
* 'disparity': 16-bit PNG of 65535 / greatest * disparity of a monocular
  network, 0 = none, with `depth.json`; CorDA's own format for 'mono';
* 'mat': <stem>_depth_stereoscopic.mat with `depth_map` in metres, 0 = none;
  CorDA's own format for 'stereo' (Sakaridis et al., IJCV 2018);
* 'cityscapes': <stem>_disparity.png, 16 bits, 256 * pixels + 1, 0 = none;
* 'kitti': <name>.png, 16 bits, 256 * pixels, 0 = none.
"""

from collections.abc import Mapping
import os
import pathlib
from typing import Any

import cv2
import numpy as np
import scipy.io

from jaxuda import errors
from jaxuda.run import workdir as workdir_lib
from jaxuda.ui import files

# How the files of stereo depth end.
_ENDINGS = {
  'depth': '.png',
  'mat': '_depth_stereoscopic.mat',
  'cityscapes': '_disparity.png',
  'kitti': '.png',
}
STEREO = tuple(_ENDINGS)
# Those that need the baseline and the focal length.
METRIC = ('depth', 'mat')
NO_FACTOR = (
  'baseline and focal length are not known; expected --baseline and --focal,'
  ' calibration files, or --format=kitti'
)
FILE = 'depth.json'
NO_DEPTH = 65535

# What the 16-bit numbers mean, as `data.depth_codes` reads it.
METRES = {
  'depth_code': 'metres',
  'depth_unit': 0.01,
  'depth_missing': [NO_DEPTH],
}
INVERSE = {'depth_code': 'inverse'}


def encode_metres(metres: np.ndarray) -> np.ndarray:
  """Returns centimetres.

  Args:
    metres: [H, W], NaN where unknown.

  Returns:
    uint16 [H, W], at least 1; 65535 where depth is unknown or beyond 655.34 m.
  """
  raw = np.round(100 * np.asarray(metres, np.float64))
  raw = np.where(np.isnan(raw) | (raw > NO_DEPTH - 1), NO_DEPTH, raw)
  return np.maximum(raw, 1).astype(np.uint16)


def measure_disparity(disparity: np.ndarray, *, factor: float) -> np.ndarray:
  """Returns metres, float64 [H, W]: factor / disparity; NaN where unknown.

  Args:
    disparity: [H, W] pixels; NaN where unknown.
    factor: baseline times focal length, metres times pixels.
  """
  wide = np.asarray(disparity, np.float64)
  return np.where(wide > 0, factor / np.where(wide > 0, wide, 1), np.nan)


def encode_cityscapes(disparity: np.ndarray) -> np.ndarray:
  """Returns Cityscapes' uint16 [H, W]: 256 * pixels + 1, 0 = none."""
  return _encode(np.round(256 * np.asarray(disparity)) + 1, least=0)


def encode_kitti(disparity: np.ndarray) -> np.ndarray:
  """Returns KITTI's uint16 [H, W]: 256 * pixels, 0 = none."""
  # A disparity of 0 would be none.
  return _encode(np.round(256 * np.asarray(disparity)), least=1)


def encode_inverse(inverse: np.ndarray, *, greatest: float) -> np.ndarray:
  """Returns CorDA's uint16 [H, W] of a monocular network: 65535 = nearest.

  Args:
    inverse: [H, W], 1 / depth in any unit, > 0; NaN where there is none.
    greatest: inverse depth that becomes 65535.

  Returns:
    uint16 [H, W], at least 1, for 0 is none.
  """
  level = np.round(65535 * np.asarray(inverse, np.float64) / greatest)
  return _encode(level, least=1)


def _encode(level: np.ndarray, *, least: int) -> np.ndarray:
  """uint16 from `least` on; 0 where the level is NaN."""
  return np.nan_to_num(np.clip(level, least, 65535), nan=0).astype(np.uint16)


def write_png16(path: str | os.PathLike[str], raw: np.ndarray) -> None:
  """Writes uint16 [H, W] as PNG; its folder is made if missing."""
  done, data = cv2.imencode('.png', raw)
  if raw.dtype != np.uint16 or not done:
    raise ValueError(f'{raw.dtype} {raw.shape} is no 16-bit picture')
  with files.atomic(path) as part:
    part.write_bytes(data.tobytes())


def write_disparity(
  folder: pathlib.Path,
  place: str,
  disparity: np.ndarray,
  *,
  form: str,
  factor: float | None,
) -> None:
  """Writes one map of disparities.

  Args:
    folder: folder to write to.
    place: path in it, without ending, see `pairs.Pair`.
    disparity: [H, W] pixels; NaN where unknown.
    form: one of `STEREO`.
    factor: baseline times focal length, metres times pixels; needed by 'depth'
      and 'mat'.

  Raises:
    UserError: the factor is needed and not known.
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
  """Writes `depth.json`: what the numbers mean, and how they came about."""
  workdir_lib.write_json(pathlib.Path(folder) / FILE, {**code, **more})
