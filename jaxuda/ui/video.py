"""Videos of label maps laid over their frames. Needs no TF."""

from collections.abc import Iterable, Iterator
import itertools
import os
import pathlib

import cv2
import numpy as np

from jaxuda import errors
from jaxuda.ui import files
from jaxuda.ui import panels

_CODECS = {'.mp4': 'mp4v', '.avi': 'MJPG'}
VIDEOS = tuple(_CODECS)
_OTHERS = ('.mov', '.m4v', '.mkv', '.webm', '.mpg', '.mpeg', '.wmv', '.gif')
# Problems with a file are reported in one line of our own.
os.environ.setdefault('OPENCV_FFMPEG_LOGLEVEL', '-8')


def is_video(path: str | os.PathLike) -> bool:
  """Returns whether a name is that of a video, in a writable format or not."""
  return pathlib.Path(path).suffix.lower() in (*VIDEOS, *_OTHERS)


def check_out(path: str | os.PathLike) -> None:
  """Checks the name of a video to write.

  Raises:
    UserError: its suffix is not that of a video that can be written.
  """
  if pathlib.Path(path).suffix.lower() not in VIDEOS:
    raise errors.UserError(
      f'{path} is not a video; expected a name ending in {" or ".join(VIDEOS)}'
    )


def read_video(path: str | os.PathLike) -> Iterator[np.ndarray]:
  """Yields the frames of a video, uint8 [H, W, 3] RGB.

  Raises:
    UserError: the file does not exist, or OpenCV cannot read it. After the last
      frame: the file has fewer readable frames than it declares.
  """
  if not pathlib.Path(path).is_file():
    raise errors.UserError(f'no file {path}; expected a video')
  capture, count = cv2.VideoCapture(str(path)), 0
  promised = round(capture.get(cv2.CAP_PROP_FRAME_COUNT))
  try:
    while (read := capture.read())[0]:
      count += 1
      yield np.ascontiguousarray(read[1][..., ::-1])
  finally:
    capture.release()
  if not count:
    raise errors.UserError(f'{path} has no frame that OpenCV can read')
  if count < promised:
    raise errors.UserError(
      f'{path} is cut short or broken: it promises {promised} frames, and'
      f' {count} could be read'
    )


def frame_rate(path: str | os.PathLike) -> float:
  """Returns the frames per second of a video; 25 if the file does not say."""
  return cv2.VideoCapture(str(path)).get(cv2.CAP_PROP_FPS) or 25.0


def blend(
  image: np.ndarray, label: np.ndarray, colors: np.ndarray
) -> np.ndarray:
  """Blends picture and colours in equal parts, uint8 [H, W, 3] RGB.

  Args:
    image: uint8 [H, W, 3] RGB.
    label: [H, W], indices into the class set; others are black.
    colors: uint8 [C, 3].
  """
  painted = panels.color_labels(label, colors)
  return ((image.astype(np.uint16) + painted + 1) // 2).astype(np.uint8)


def write_video(
  path: str | os.PathLike,
  labelled: Iterable[tuple[np.ndarray, np.ndarray]],
  *,
  colors: np.ndarray,
  rate: float = 25.0,
) -> int:
  """Writes each frame with its label map over it.

  Args:
    path: .mp4 or .avi file; written atomically.
    labelled: frames, uint8 [H, W, 3] RGB, with their label maps [H, W]; later
      frames are resized to the first one's size.
    colors: uint8 [C, 3].
    rate: frames per second.

  Returns:
    The number of frames.

  Raises:
    UserError: the suffix is another one, or OpenCV cannot write the file, or
      not all of it.
  """
  path = pathlib.Path(path)
  check_out(path)
  labelled = iter(labelled)
  first = next(labelled, None)
  if first is None:
    return 0
  size, count = first[0].shape[1::-1], 0
  codec = cv2.VideoWriter_fourcc(*_CODECS[path.suffix.lower()])
  with files.atomic(path) as part:
    writer = cv2.VideoWriter(str(part), codec, rate, size)
    try:
      if not writer.isOpened():
        raise errors.UserError(f'OpenCV cannot write {path}')
      for frame, label in itertools.chain([first], labelled):
        shown = blend(frame, label, colors)
        if shown.shape[1::-1] != size:
          shown = cv2.resize(shown, size)
        writer.write(np.ascontiguousarray(shown[..., ::-1]))
        count += 1
    finally:
      writer.release()
    # OpenCV does not report frames that it could not write.
    written = cv2.VideoCapture(str(part)).get(cv2.CAP_PROP_FRAME_COUNT)
    if written != count:
      raise errors.UserError(
        f'{path} cannot be written completely; is the disk full?'
      )
  return count
