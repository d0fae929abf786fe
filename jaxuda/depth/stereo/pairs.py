"""Finds rectified pairs of images and their baselines.

* Cityscapes: leftImg8bit/, rightImg8bit/ and camera/ (below one folder, or each
  below the folder of its archive, such as camera_trainvaltest/);
* KITTI: training/ and testing/ with image_2 and image_3 (2015), or colored_0
  and colored_1 or image_0 and image_1 (2012), and calib_cam_to_cam/ or calib/;
* a prepared dataset with right views, such as 'streets/target_stereo';
* two folders of files with the same names, with the baseline and the focal
  length given.
"""

from collections.abc import Callable
import contextlib
import dataclasses
import functools
import hashlib
import math
import os
import pathlib
import unicodedata

import cv2
import numpy as np

from jaxuda import errors
from jaxuda.data.files import frames
from jaxuda.data.records import rows as rows_lib
from jaxuda.ui import image_files
from jaxuda.ui import panels

_KITTI = (
  ('image_2', 'image_3', 'P2', 'P3'),
  ('colored_0', 'colored_1', 'P2', 'P3'),
  ('image_0', 'image_1', 'P0', 'P1'),
)
_SPLITS = ('train', 'val', 'test', 'train_extra')
_FAR_RAW = 65535  # Sky, in a prepared dataset.
_PIECE = 2**14


@dataclasses.dataclass(frozen=True, kw_only=True)
class Pair:
  """One rectified pair.

  Attributes:
    place: path of its depth, relative to the output folder, without ending:
      'train/aachen/aachen_000000_000019'.
    read: () -> (left, right), uint8 [H, W, 3] RGB.
    factor: () -> baseline times focal length, metres times pixels; None if
      unknown.
    truth: () -> float [H, W] true disparity in pixels, NaN where unknown; None
      without ground truth.
    source: where the left image is from: its file, or the dataset and split.
    files: the files that the depth is made of; () for a prepared dataset.
  """

  place: str
  read: Callable[[], tuple[np.ndarray, np.ndarray]]
  factor: Callable[[], float] | None = None
  truth: Callable[[], np.ndarray] | None = None
  source: str = ''
  files: tuple[pathlib.Path, ...] = ()

  def digest(self) -> str:
    """Returns what identifies the images, wherever they are: 16 digits.

    It is the hash of the files' sizes and of 16 KiB at their start, middle and
    end, which no two photographs share (to read all of Cityscapes would take
    minutes); for a prepared dataset, that of its name and split.
    """
    hashed = hashlib.sha256(b'' if self.files else self.source.encode())
    for file in self.files:
      # A file that cannot be read will be reported when it is matched.
      with contextlib.suppress(OSError), file.open('rb') as f:
        size = f.seek(0, os.SEEK_END)
        hashed.update(b'%d' % size)
        for start in (0, size // 2, max(size - _PIECE, 0)):
          f.seek(start)
          hashed.update(f.read(_PIECE))
    return hashed.hexdigest()[:16]


def find_cityscapes(root: pathlib.Path, *, split: str = '') -> list[Pair]:
  """Finds the pairs of Cityscapes.

  Args:
    root: folder above leftImg8bit or leftImg8bit_trainvaltest.
    split: train, val, test or train_extra; if empty, all that exist.

  Raises:
    UserError: the split is unknown, there are no pairs, or a right image or a
      camera file is missing.
  """
  if split and split not in _SPLITS:
    raise errors.UserError(
      f'unknown split {split!r}; expected one of {", ".join(_SPLITS)}'
    )
  left = _find_folder(root, 'leftImg8bit')
  right = _find_folder(root, 'rightImg8bit')
  camera = _find_folder(root, 'camera')
  pairs = []
  for one in (split,) if split else _SPLITS:
    # Skips the hidden files that macOS puts next to them.
    for path in sorted((left / one).glob('*/[!.]*_leftImg8bit.png')):
      stem, city = path.stem.removesuffix('_leftImg8bit'), path.parent.name
      other = right / one / city / f'{stem}_rightImg8bit.png'
      file = camera / one / city / f'{stem}_camera.json'
      _require(other, path)
      _require(file, path)
      pairs.append(
        Pair(
          place=f'{one}/{city}/{stem}',
          read=_reader(path, other),
          factor=functools.partial(_read_cityscapes_factor, file),
          source=str(path),
          files=(path, other, file),
        )
      )
  return _check_found(pairs, left, '<split>/<city>/<stem>_leftImg8bit.png')


def _read_cityscapes_factor(file):
  fx, _, _, baseline = frames.read_cityscapes_camera(file)
  return baseline * fx


def find_kitti(root: pathlib.Path, *, split: str = '') -> list[Pair]:
  """Finds the pairs of KITTI's stereo benchmarks, whose names end in _10.

  Args:
    root: folder above training and testing.
    split: 'training' or 'testing' (or train, test); both if empty.

  Raises:
    UserError: there are no pairs, or a right image is missing.
  """
  names = {'train': 'training', 'test': 'testing'}
  pairs = []
  for one in (names.get(split, split),) if split else names.values():
    folder = root / one
    cameras = [
      x for x in _KITTI if all((folder / name).is_dir() for name in x[:2])
    ]
    for left, right, *matrices in cameras[:1]:
      for path in sorted((folder / left).glob('[!.]*_10.png')):
        other, text = folder / right / path.name, f'{path.stem[:6]}.txt'
        _require(other, path)
        known = [folder / x / text for x in ('calib_cam_to_cam', 'calib')]
        calibration = [x for x in known if x.is_file()][:1]
        factor = _first(
          calibration, functools.partial(_read_kitti_factor, matrices=matrices)
        )
        truth = _first(
          [folder / x / path.name for x in ('disp_occ_0', 'disp_occ')],
          read_kitti_disparity,
        )
        pairs.append(
          Pair(
            place=f'{one}/{path.stem}',
            read=_reader(path, other),
            factor=factor,
            truth=truth,
            source=str(path),
            files=(path, other, *calibration),
          )
        )
  return _check_found(pairs, root, 'training/image_2/000000_10.png and image_3')


def _first(paths, read):
  """Returns a reader of the first file that exists, or None."""
  found = [path for path in paths if path.is_file()]
  return functools.partial(read, found[0]) if found else None


def _read_kitti_factor(file, *, matrices):
  """Returns baseline times focal length: P_left[3] - P_right[3]."""
  # The matrix is called 'P2' in one devkit, 'P_rect_02' in the other.
  left, right = (
    frames.read_kitti_matrix(file, key, f'P_rect_0{key[1]}') for key in matrices
  )
  return left[3] - right[3]


def read_kitti_disparity(file: pathlib.Path) -> np.ndarray:
  """Reads KITTI's disparity: float64 [H, W] pixels, NaN where there is none.

  Raises:
    UserError: the file is not a 16-bit grey PNG.
  """
  raw = cv2.imread(str(file), cv2.IMREAD_UNCHANGED)
  if raw is None or raw.dtype != np.uint16 or raw.ndim != 2:
    raise errors.UserError(f'{file}: expected a 16-bit grey PNG of disparity')
  return np.where(raw > 0, raw / 256, np.nan)


def find_folders(
  left: pathlib.Path,
  right: pathlib.Path,
  *,
  baseline: float | None,
  focal: float | None,
) -> list[Pair]:
  """Pairs the files of two folders by their names without suffix.

  Args:
    left: folder of the left images.
    right: folder of the right images, which must have all the left names.
    baseline: distance of the cameras, metres, or None if depth is not wanted.
    focal: focal length, pixels, or None.

  Raises:
    UserError: there are no images, a right image is missing, two images have
      the same name, the folders are the same, or a number is not positive.
  """
  for name, value in (('baseline', baseline), ('focal', focal)):
    if value is not None and not 0 < value < math.inf:
      raise errors.UserError(f'{name}={value}; expected more than 0')
  if left.is_dir() and right.is_dir() and left.samefile(right):
    raise errors.UserError(
      f'{left} and {right} are the same folder; expected the right images in'
      ' another'
    )
  known = baseline is not None and focal is not None
  ours, others = _name_images(left), _name_images(right)
  for name, path in ours.items():
    if name not in others:
      raise errors.UserError(
        f'{path} has no right image; expected {right / name} with any suffix'
      )
  return [
    Pair(
      place=name,
      read=_reader(path, others[name]),
      factor=(lambda: baseline * focal) if known else None,
      source=str(path),
      files=(path, others[name]),
    )
    for name, path in ours.items()
  ]


def _name_images(folder):
  """Returns the images of a folder, keyed by name without suffix, in NFC."""
  found = {}
  for path in image_files.list_images(folder):
    stem = str(path.relative_to(folder).with_suffix(''))
    first = found.setdefault(unicodedata.normalize('NFC', stem), path)
    if first != path:
      raise errors.UserError(
        f'{first} and {path} have the same name; expected one image of each'
        ' name'
      )
  return found


def find_prepared(
  dataset: str, *, split: str, data_dir: str | None = None
) -> list[Pair]:
  """Returns the pairs of a prepared dataset with right views.

  Args:
    dataset: name such as 'streets/target_stereo'; prepared if necessary.
    split: name of the split, such as 'train'.
    data_dir: folder of the prepared data.

  Raises:
    UserError: the dataset or split does not exist, or has no right views.
  """
  fields = ('image', 'right', 'intrinsics', 'depth')
  rows = rows_lib.Rows(dataset, split=split, fields=fields, data_dir=data_dir)
  unit, baseline = (float(rows.metadata[x]) for x in ('depth_unit', 'baseline'))

  def describe(number):
    def views():
      row = rows.read(number)
      return row['image'], row['right']

    def factor():
      return baseline * float(rows.read(number)['intrinsics'][0])

    def truth():
      raw = rows.read(number)['depth']
      return factor() / np.where(raw == _FAR_RAW, np.nan, raw * unit)

    return Pair(
      place=rows.read(number)['name'],
      read=views,
      factor=factor,
      truth=truth,
      source=f'{dataset}, split {split}',
    )

  return [describe(number) for number in range(len(rows))]


def _find_folder(root, name):
  for found in (root / name, *sorted(root.glob(f'{name}*/{name}'))):
    if found.is_dir():
      return found
  raise errors.UserError(
    f'{root} has no folder {name}; expected it there or in the folder of its'
    f' archive, such as {name}_trainvaltest/{name}'
  )


def _require(file, path):
  if not file.is_file():
    raise errors.UserError(f'{path} exists, but not {file}')


def _check_found(pairs, root, expected):
  if not pairs:
    raise errors.UserError(f'{root} has no pairs; expected {expected}')
  return pairs


def _reader(left, right):
  return lambda: (panels.read_image(left), panels.read_image(right))
