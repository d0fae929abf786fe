"""Folders of frames and their cameras. Needs no TensorFlow.

A folder of frames is one of

    ROOT/**/<frame>                            any frames with numbers, links
                                               followed, hidden ones left out
    ROOT/leftImg8bit_sequence/<split>/<city>/  Cityscapes
    ROOT/<date>/<drive>/image_02/data/         KITTI raw

A frame's neighbours are the frames with the same folder and name whose numbers
are lower and higher by `step`. The camera is looked up where Cityscapes
(camera/<split>/<city>/*_camera.json, or camera_trainvaltest/camera/...) and
KITTI (calib_cam_to_cam.txt) keep it.
"""

from collections.abc import Sequence
import dataclasses
import functools
import json
import pathlib
import re

import numpy as np

from jaxuda import errors
from jaxuda.data.pixels import resizing
from jaxuda.ui import files
from jaxuda.ui import image_files

# Files of Cityscapes: <city>_<clip>_<number>_<kind>.
_CITY_FRAME = re.compile(r'.*_([^_]*)_(\d+)_leftImg8bit')
_CITY_CAMERA = re.compile(r'.*_([^_]*)_(\d+)_camera')


@dataclasses.dataclass(frozen=True, kw_only=True)
class Triplet:
  """The files of three frames, and their camera if it was found.

  Attributes:
    name: path of the middle frame relative to the folder, without suffix.
    image, previous, next: files of the frames.
    intrinsics: (focal length, cx, cy) in pixels at the files' size, or None.
  """

  name: str
  image: pathlib.Path
  previous: pathlib.Path
  next: pathlib.Path
  intrinsics: tuple[float, float, float] | None = None


def find_triplets(
  folder: str | pathlib.Path, *, split: str = '', step: int = 1
) -> list[Triplet]:
  """Finds the frames of a folder that have both neighbours.

  Args:
    folder: folder of frames, see the top of this file.
    split: name of a Cityscapes split; other folders have no splits.
    step: difference between the numbers of neighbours.

  Raises:
    UserError: the folder does not exist, or has no three consecutive frames.
  """
  root = pathlib.Path(folder)
  if not root.is_dir():
    raise errors.UserError(f'no folder {root}; expected one with frames')
  frames = root
  for name in ('leftImg8bit_sequence', 'leftImg8bit_sequence_trainvaltest'):
    if (root / name).is_dir():
      frames = next(
        (x for x in sorted((root / name).rglob(split)) if x.is_dir()),
        root / name / split,
      )
  clips: dict[tuple, dict[int, pathlib.Path]] = {}
  for path in sorted(x for _, inside in files.walk(frames) for x in inside):
    # KITTI raw has grey cameras 00 and 01 in addition to the colour ones.
    grey = {'image_00', 'image_01'} & set(path.relative_to(frames).parts)
    stem = path.stem.removesuffix('_leftImg8bit')
    match = re.fullmatch(r'(.*?)(\d+)', stem)
    picture = path.suffix.lower() in image_files.SUFFIXES
    if match and picture and not grey:
      key = (path.parent, match[1], path.stem.removeprefix(stem))
      clips.setdefault(key, {})[int(match[2])] = path
  find_camera = _open_cameras(root)
  found = [
    Triplet(
      name=str(path.relative_to(root).with_suffix('')),
      image=path,
      previous=clip[number - step],
      next=clip[number + step],
      intrinsics=find_camera(path),
    )
    for clip in clips.values()
    for number, path in sorted(clip.items())
    if number - step in clip and number + step in clip
  ]
  if not found:
    raise errors.UserError(
      f'{frames} has no three consecutive frames (step {step}); expected'
      ' pictures whose names end in a number, such as 0000012.png'
    )
  return found


def _open_cameras(root):
  """Returns a function from a frame to its intrinsics, or to None."""
  read_kitti = functools.cache(read_kitti_camera)
  read_cityscapes = functools.cache(read_cityscapes_camera)

  @functools.cache
  def list_city(split, city):
    return [
      file
      for top in ('camera', 'camera_trainvaltest/camera')
      for file in sorted((root / top / split / city).glob('*.json'))
      if _CITY_CAMERA.fullmatch(file.stem)
    ]

  def find(frame):
    if match := _CITY_FRAME.fullmatch(frame.stem):
      clip, number = match.groups()

      def distance(file):
        other, near = _CITY_CAMERA.fullmatch(file.stem).groups()
        return (other != clip, abs(int(near) - int(number)))

      files = list_city(frame.parent.parent.name, frame.parent.name)
      if not files:
        return None
      return read_cityscapes(min(files, key=distance))[:3]
    for parent in frame.parents:
      file = parent / 'calib_cam_to_cam.txt'
      if file.is_file():
        camera = re.search(r'image_(\d\d)', str(frame))
        return read_kitti(file, camera=camera[1] if camera else '02')
      if parent == root:
        break
    return None

  return find


def read_cityscapes_camera(
  file: str | pathlib.Path,
) -> tuple[float, float, float, float]:
  """Returns fx, u0, v0 in pixels and the baseline in metres.

  Raises:
    UserError: the file is not a Cityscapes camera file.
  """
  try:
    tree = json.loads(pathlib.Path(file).read_text())
    inner = tree['intrinsic']
    return (
      *(float(inner[x]) for x in ('fx', 'u0', 'v0')),
      float(tree['extrinsic']['baseline']),
    )
  except (OSError, ValueError, KeyError, TypeError) as e:
    raise errors.UserError(
      f'{file} is not a camera file of Cityscapes ({type(e).__name__}: {e});'
      ' expected JSON with intrinsic.fx, u0, v0 and extrinsic.baseline'
    ) from e


def read_kitti_camera(
  file: str | pathlib.Path, *, camera: str = '02'
) -> tuple[float, float, float]:
  """Returns f, cx, cy in pixels from KITTI's calib_cam_to_cam.txt.

  Args:
    file: the calibration file.
    camera: number of the rectified camera.

  Raises:
    UserError: the file has no such camera.
  """
  numbers = read_kitti_matrix(file, f'P_rect_{camera}')
  return numbers[0], numbers[2], numbers[6]


def read_kitti_matrix(file: str | pathlib.Path, *keys: str) -> list[float]:
  """Returns the 12 numbers of a line in a KITTI calibration file.

  Args:
    file: the calibration file.
    *keys: the keys that the line may have before its colon.

  Raises:
    UserError: the file cannot be read, or has no such line.
  """
  try:
    text = pathlib.Path(file).read_text()
    match = re.search(f'^(?:{"|".join(keys)}):(.*)$', text, re.MULTILINE)
    numbers = [float(x) for x in match[1].split()] if match else []
  except (OSError, ValueError) as e:
    raise errors.UserError(
      f'{file} is not a calibration file of KITTI ({e}); expected lines of a'
      ' name and numbers'
    ) from e
  if len(numbers) != 12 or not np.isfinite(numbers).all():
    raise errors.UserError(
      f'{file} has no {" or ".join(keys)} with 12 numbers; expected a'
      ' calibration file of KITTI'
    )
  return numbers


def resize_frame(
  picture: np.ndarray, size: Sequence[int], *, crop_bottom: float = 0.0
) -> np.ndarray:
  """Crops a share of the rows off the bottom and resizes with LANCZOS.

  Args:
    picture: uint8 [h, w, 3].
    size: (H, W) in pixels.
    crop_bottom: share of the rows to crop, in [0, 1), such as the car's hood.

  Returns:
    uint8 [H, W, 3].
  """
  kept = picture[: picture.shape[0] - int(crop_bottom * picture.shape[0])]
  return resizing.resize_image(kept, size, method='lanczos')
