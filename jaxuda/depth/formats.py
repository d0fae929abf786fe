"""The files in which datasets and papers keep depth, written.

* 'depth': 16-bit PNG of centimetres, 65535 = none, with `depth.json`; the one
  that `config.data.target.depth_dir` reads;
* 'disparity': 16-bit PNG of 65535 / greatest * disparity of a monocular
  network, 0 = none, with `depth.json`; CorDA's own format for 'mono';
* 'mat': <stem>_depth_stereoscopic.mat with `depth_map` in metres, 0 = none;
  CorDA's own format for 'stereo' (Sakaridis et al., IJCV 2018);
* 'cityscapes': <stem>_disparity.png, 16 bits, 256 * pixels + 1, 0 = none;
* 'kitti': <name>.png, 16 bits, 256 * pixels, 0 = none.

Files appear whole or not at all.
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

STEREO = ('depth', 'mat', 'cityscapes', 'kitti')
FILE = 'depth.json'
NO_DEPTH = 65535

# What the 16-bit numbers mean, as `data.depth_codes` reads it.
METRES = {
  'depth_code': 'metres',
  'depth_unit': 0.01,
  'depth_missing': [NO_DEPTH],
}
INVERSE = {'depth_code': 'inverse'}


def encode_depth(disparity: np.ndarray, *, factor: float) -> np.ndarray:
  """Returns centimetres.

  Args:
    disparity: [H, W] pixels; NaN where unknown.
    factor: baseline times focal length, metres times pixels.

  Returns:
    uint16 [H, W]; 65535 where depth is unknown or beyond 655.34 m.
  """
  raw = np.round(100 * measure_disparity(disparity, factor=factor))
  raw = np.where(np.isnan(raw) | (raw > NO_DEPTH - 1), NO_DEPTH, raw)
  return np.maximum(raw, 1).astype(np.uint16)


def measure_disparity(disparity: np.ndarray, *, factor: float) -> np.ndarray:
  """Returns metres, float64 [H, W]: factor / disparity; NaN where unknown."""
  wide = np.asarray(disparity, np.float64)
  return np.where(wide > 0, factor / np.where(wide > 0, wide, 1), np.nan)


def encode_cityscapes(disparity: np.ndarray) -> np.ndarray:
  """Returns Cityscapes' uint16 [H, W]: 256 * pixels + 1, 0 = none."""
  return _encode_disparity(disparity, offset=1)


def encode_kitti(disparity: np.ndarray) -> np.ndarray:
  """Returns KITTI's uint16 [H, W]: 256 * pixels, 0 = none."""
  # A disparity of 0 would be none.
  return _encode_disparity(
    np.fmax(disparity, 1 / 256), offset=0, known=disparity
  )


def _encode_disparity(disparity, *, offset, known=None):
  known = ~np.isnan(disparity if known is None else known)
  raw = np.round(256 * np.where(known, disparity, 0)) + offset
  return np.where(known, np.clip(raw, 0, 65535), 0).astype(np.uint16)


def encode_inverse(inverse: np.ndarray, *, greatest: float) -> np.ndarray:
  """Returns CorDA's uint16 [H, W] of a monocular network: 65535 = nearest.

  Args:
    inverse: [H, W], 1 / depth in any unit, > 0; NaN where there is none.
    greatest: what becomes 65535.

  Returns:
    uint16 [H, W], at least 1, for 0 is none.
  """
  level = np.round(65535 * np.asarray(inverse, np.float64) / greatest)
  known = ~np.isnan(level)
  level = np.clip(np.where(known, level, 0), 1, 65535)
  return np.where(known, level, 0).astype(np.uint16)


def write_png16(path: str | os.PathLike[str], raw: np.ndarray) -> None:
  """Writes uint16 [H, W] as PNG; its folder is made if missing."""
  done, data = cv2.imencode('.png', raw)
  if raw.dtype != np.uint16 or not done:
    raise ValueError(f'{raw.dtype} {raw.shape} is no 16-bit picture')
  _write(path, data.tobytes())


def write_mat(path: str | os.PathLike[str], metres: np.ndarray) -> None:
  """Writes `depth_map`: [H, W] metres, NaN becomes 0."""
  path = pathlib.Path(path)
  path.parent.mkdir(parents=True, exist_ok=True)
  part = path.with_name(path.name + '.part')
  with part.open('wb') as file:
    scipy.io.savemat(
      file,
      {'depth_map': np.nan_to_num(metres, nan=0.0)},
      do_compression=True,
    )
  part.rename(path)


def _write(path, data):
  path = pathlib.Path(path)
  path.parent.mkdir(parents=True, exist_ok=True)
  part = path.with_name(path.name + '.part')
  part.write_bytes(data)
  part.rename(path)


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
    folder: where to.
    place: path in it, without ending, see `pairs.Pair`.
    disparity: [H, W] pixels; NaN where unknown.
    form: one of `STEREO`.
    factor: baseline times focal length; needed by 'depth' and 'mat'.

  Raises:
    UserError: the factor is needed and not known.
  """
  path = place_of(folder, place, form=form)
  if form in ('depth', 'mat') and factor is None:
    raise errors.UserError(
      f'{place}: baseline and focal length are not known; expected --baseline'
      ' and --focal, calibration files, or --format=kitti'
    )
  if form == 'depth':
    write_png16(path, encode_depth(disparity, factor=factor))
  elif form == 'mat':
    write_mat(path, measure_disparity(disparity, factor=factor))
  elif form == 'cityscapes':
    write_png16(path, encode_cityscapes(disparity))
  else:
    write_png16(path, encode_kitti(disparity))


def place_of(folder: pathlib.Path, place: str, *, form: str) -> pathlib.Path:
  """Returns the file of a map, see `write_disparity`."""
  ending = {
    'mat': '_depth_stereoscopic.mat',
    'cityscapes': '_disparity.png',
  }.get(form, '.png')
  path = folder / place
  return path.with_name(path.name + ending)


def write_description(
  folder: str | os.PathLike[str], code: Mapping[str, Any], **more: Any
) -> None:
  """Writes `depth.json`: what the numbers mean, and how they came about."""
  workdir_lib.write_json(pathlib.Path(folder) / FILE, {**code, **more})
