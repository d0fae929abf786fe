"""Label maps over the pictures that they are of, as a video. Needs no TF."""

from collections.abc import Iterable, Iterator
import os
import pathlib

import cv2
import numpy as np

from jaxuda import errors
from jaxuda.ui import panels

VIDEOS = ('.mp4', '.avi')
_CODECS = {'.mp4': 'mp4v', '.avi': 'MJPG'}


def read_video(path: str | os.PathLike) -> Iterator[np.ndarray]:
  """Yields the frames of a video, uint8 [H, W, 3] RGB.

  Raises:
    UserError: no such file, or none that OpenCV reads.
  """
  if not pathlib.Path(path).is_file():
    raise errors.UserError(f'no file {path}; expected a video')
  capture = cv2.VideoCapture(str(path))
  try:
    count = 0
    while True:
      found, frame = capture.read()
      if not found:
        break
      count += 1
      yield np.ascontiguousarray(frame[..., ::-1])
    if not count:
      raise errors.UserError(f'{path} has no frame that OpenCV reads')
  finally:
    capture.release()


def frame_rate(path: str | os.PathLike) -> float:
  """Returns the frames a second of a video; 25 where it does not say."""
  capture = cv2.VideoCapture(str(path))
  try:
    return capture.get(cv2.CAP_PROP_FPS) or 25.0
  finally:
    capture.release()


def blend(
  image: np.ndarray, label: np.ndarray, colors: np.ndarray
) -> np.ndarray:
  """Returns picture and colours in equal parts.

  Args:
    image: uint8 [H, W, 3] RGB.
    label: [H, W], places in the class set; others are black.
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
    path: .mp4 or .avi; whole or absent.
    labelled: frames, uint8 [H, W, 3] RGB, with their label maps [H, W]; later
      ones are brought to the first's size.
    colors: uint8 [C, 3].
    rate: frames a second.

  Returns:
    The number of frames.

  Raises:
    UserError: another suffix, or OpenCV cannot write there.
  """
  path = pathlib.Path(path)
  if path.suffix not in VIDEOS:
    raise errors.UserError(
      f'{path} is no video; expected a name ending in {" or ".join(VIDEOS)}'
    )
  path.parent.mkdir(parents=True, exist_ok=True)
  part = path.with_name('part.' + path.name)
  writer, size, count = None, None, 0
  codec = cv2.VideoWriter_fourcc(*_CODECS[path.suffix])
  try:
    for frame, label in labelled:
      if writer is None:
        size = frame.shape[1::-1]
        writer = cv2.VideoWriter(str(part), codec, rate, size)
        if not writer.isOpened():
          raise errors.UserError(f'OpenCV cannot write {path}')
      shown = blend(frame, label, colors)
      if shown.shape[1::-1] != size:
        shown = cv2.resize(shown, size)
      writer.write(np.ascontiguousarray(shown[..., ::-1]))
      count += 1
  finally:
    if writer is not None:
      writer.release()
  if count:
    part.rename(path)
  return count
