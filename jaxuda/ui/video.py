"""Videos of label maps laid over their frames. Needs no TF."""

from collections.abc import Iterable, Iterator
import contextlib
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
# Types of the first box of an MP4 or QuickTime file.
_MP4 = (b'ftyp', b'moov', b'mdat', b'wide', b'free', b'skip')
# How Matroska and WebM files begin, and WMV.
_EBML = b'\x1a\x45\xdf\xa3'
_ASF = bytes.fromhex('3026b2758e66cf11a6d900aa0062ce6c')
_LIMITS = (
  '2 to 8191 pixels a side in .mp4, up to 65500 in .avi, and 0.002 to 65535'
  ' frames a second'
)
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
      frame: the file has fewer readable frames than it declares. Frames that an
      edit list leaves out and frames that a recorder dropped are not missed,
      nor is the end of a video whose length is that of a longer sound track,
      by up to a second or a tenth of it.
  """
  if not pathlib.Path(path).is_file():
    raise errors.UserError(f'no file {path}; expected a video')
  capture, count, last = _open(path), 0, 0.0
  promised = round(capture.get(cv2.CAP_PROP_FRAME_COUNT))
  rate = capture.get(cv2.CAP_PROP_FPS) or 25.0
  try:
    while (read := capture.read())[0]:
      count += 1
      last = capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
      yield np.ascontiguousarray(read[1][..., ::-1])
  finally:
    capture.release()
  if not count:
    raise errors.UserError(f'{path} has no frame that OpenCV can read')
  if promised < 0 and _ends_early(path):  # FFmpeg does not trust the header.
    raise errors.UserError(
      f'{path} is cut short: {count} frames could be read, and its end is'
      ' missing'
    )
  if count < promised and not _is_whole(path, count, promised, rate, last):
    raise errors.UserError(
      f'{path} is cut short or broken: it promises {promised} frames, and'
      f' {count} could be read'
    )


def _open(path, *options):
  """Opens a video; FFmpeg takes the start of `a:b.mp4` for a protocol."""
  return cv2.VideoCapture(os.path.abspath(path), *options)


def _is_whole(path, count, promised, rate, last):
  """Returns whether a video has fewer frames than it promises, but all of them.

  Args:
    path: the video.
    count: number of frames that were read.
    promised: number of frames by the file's header.
    rate: frames per second.
    last: time of the last frame that was read, in seconds.
  """
  with open(path, 'rb') as file:
    head = file.read(8)
  if head[:4] == b'RIFF':
    # AVI counts the frames that a recorder dropped. They have empty packets,
    # which FFmpeg skips, but keep their time.
    packets = _open(path, cv2.CAP_FFMPEG, [cv2.CAP_PROP_FORMAT, -1])
    return _count(packets) == count and round(last * rate) + 1 == promised
  if head[4:8] in _MP4:
    # MP4 counts the frames that its edit list leaves out.
    with _ffmpeg_options('ignore_editlist;1'):
      return _count(_open(path)) == promised
  # The others promise a length, which is that of the longest track, and OpenCV
  # multiplies it by the mean rate.
  length = promised / rate
  missing = length - last - 1 / rate
  return missing <= max(1, length / 10) and not _ends_early(path)


@contextlib.contextmanager
def _ffmpeg_options(text):
  """Sets options that OpenCV passes on to FFmpeg when it opens a video."""
  name = 'OPENCV_FFMPEG_CAPTURE_OPTIONS'
  before = os.environ.get(name)
  os.environ[name] = text
  try:
    yield
  finally:
    del os.environ[name]
    if before is not None:
      os.environ[name] = before


def _count(capture):
  """Returns how many frames, or packets, can be read."""
  count = sum(1 for _ in iter(capture.grab, False))
  capture.release()
  return count


def _ends_early(path):
  """Returns whether a file is shorter than its header says.

  Matroska and WebM by RFC 8794, sections 4 (variable-size integers) and 11.2.1;
  WMV by Advanced Systems Format 1.20.03, sections 3.1 and 5.1. False for other
  formats, and for streams, which do not know their size.
  """
  with open(path, 'rb') as file:
    head = file.read(4096)
    start = 0
    if head.startswith(_ASF):
      start = int.from_bytes(head[16:24], 'little')
      file.seek(min(start, os.path.getsize(path)))
      size = int.from_bytes(file.read(24)[16:], 'little') or None
    elif head.startswith(_EBML):
      size, start = _variable_size(head, len(_EBML))
      start += (size or 0) + 4  # The identifier of the segment.
      size, start = _variable_size(head, start)
    else:
      size = None
  return size is not None and start + size > os.path.getsize(path)


def _variable_size(data, start):
  """Returns (a size of EBML, None if unknown; the position after it)."""
  length = 9 - int.from_bytes(data[start : start + 1], 'big').bit_length()
  bits = 7 * length
  end = start + length
  size = int.from_bytes(data[start:end], 'big') & ((1 << bits) - 1)
  return None if size == (1 << bits) - 1 else size, end


def frame_rate(path: str | os.PathLike) -> float:
  """Returns the frames per second of a video; 25 if the file does not say."""
  return _open(path).get(cv2.CAP_PROP_FPS) or 25.0


def _writable_rate(rate):
  """Rounds frames per second to a fraction of 16 bits, as MPEG-4 needs."""
  places = next((x for x in (3, 2, 1) if rate * 10**x <= 65535), 0)
  return rate if places == 3 else round(rate, places)


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
      frames are resized to the first one's size. Where it is odd, which codecs
      do not take, the last row or column is repeated.
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
  # OpenCV aborts the process on AVIs a few pixels wide, but not on odd ones.
  odd = [x % 2 if 16 < x < 8191 else 0 for x in size]
  codec = cv2.VideoWriter_fourcc(*_CODECS[path.suffix.lower()])
  rate = _writable_rate(rate)
  with files.atomic(path) as part:
    part.touch()  # OpenCV does not report why it could not.
    even = (size[0] + odd[0], size[1] + odd[1])
    writer = cv2.VideoWriter(os.path.abspath(part), codec, rate, even)
    try:
      if not writer.isOpened():
        raise errors.UserError(
          f'OpenCV cannot write {path} with frames of {size[0]}x{size[1]}'
          f' pixels at {rate:g} a second; expected {_LIMITS}, or a folder as'
          ' --out for pictures of the labels'
        )
      for frame, label in itertools.chain([first], labelled):
        shown = blend(frame, label, colors)
        if shown.shape[1::-1] != size:
          shown = cv2.resize(shown, size)
        shown = cv2.copyMakeBorder(
          *(shown, 0, odd[1], 0, odd[0], cv2.BORDER_REPLICATE)
        )
        writer.write(np.ascontiguousarray(shown[..., ::-1]))
        count += 1
    finally:
      writer.release()
    # OpenCV does not report frames that it could not write.
    written = _open(part).get(cv2.CAP_PROP_FRAME_COUNT)
    if written != count:
      raise errors.UserError(
        f'{path} cannot be written completely; is the disk full?'
      )
  return count
