import struct

import cv2
import numpy as np
import pytest

from jaxuda import errors
from jaxuda.ui import video

COLORS = np.array([[200, 0, 0], [0, 0, 201]], np.uint8)


def test_blend():
  image = np.full((1, 3, 3), 100, np.uint8)
  label = np.array([[0, 1, 255]])
  np.testing.assert_array_equal(
    video.blend(image, label, COLORS),
    [[[150, 50, 50], [50, 50, 151], [50, 50, 50]]],
  )


@pytest.mark.parametrize('suffix', video.VIDEOS)
def test_there_and_back(tmp_path, suffix):
  """Frames of one colour nearly survive a codec."""
  path = tmp_path / f'a{suffix}'
  frames = [np.full((32, 48, 3), value, np.uint8) for value in (20, 120, 220)]
  labelled = [(frame, np.zeros(frame.shape[:2], np.int32)) for frame in frames]
  assert video.write_video(path, labelled, colors=COLORS, rate=10) == 3
  assert video.frame_rate(path) == pytest.approx(10)
  found = list(video.read_video(path))
  assert len(found) == 3
  for frame, value in zip(found, (20, 120, 220), strict=True):
    assert frame.shape == (32, 48, 3)
    expected = [(200 + value) / 2, value / 2, value / 2]
    np.testing.assert_allclose(frame.mean((0, 1)), expected, atol=8)
  assert [p.name for p in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize('suffix', video.VIDEOS)
def test_odd_sides_lose_nothing(tmp_path, suffix):
  frame = np.zeros((21, 33, 3), np.uint8)
  frame[-1] = frame[:, -1] = 250
  path, label = tmp_path / f'a{suffix}', np.zeros((21, 33), np.int32)
  video.write_video(path, [(frame, label)] * 2, colors=COLORS)
  found = next(iter(video.read_video(path)))
  assert found.shape == (22, 34, 3)
  # Half of it is the class colour, (200, 0, 0).
  assert found[-2:, :, 1].mean() > 90
  assert found[:, -2:, 1].mean() > 90
  assert found[:18, :30, 1].mean() < 20


def test_mistakes(tmp_path):
  with pytest.raises(errors.UserError, match=r'ending in \.mp4 or \.avi'):
    video.write_video(tmp_path / 'a.gif', [], colors=COLORS)
  with pytest.raises(errors.UserError, match='no file'):
    list(video.read_video(tmp_path / 'none.mp4'))
  (tmp_path / 'a.mp4').write_bytes(b'no video')
  with pytest.raises(errors.UserError, match='no frame'):
    list(video.read_video(tmp_path / 'a.mp4'))


def _write(path, count=12):
  frame = np.full((32, 48, 3), 90, np.uint8)
  pair = frame, np.zeros((32, 48), np.int32)
  video.write_video(path, [pair] * count, colors=COLORS)
  return path.read_bytes()


def test_a_cut_video_gives_its_frames_and_then_both_numbers(tmp_path, capfd):
  path = tmp_path / 'a.avi'
  whole = _write(path)
  start = whole.index(b'movi') + 4
  path.write_bytes(whole[: start + (len(whole) - start) // 2])
  found, frames = [], video.read_video(path)
  with pytest.raises(errors.UserError) as caught:
    found.extend(frames)
  assert 4 <= len(found) <= 7
  assert f'promises 12 frames, and {len(found)} could be' in str(caught.value)
  path.write_bytes(whole[:start])
  with pytest.raises(errors.UserError, match='no frame that OpenCV can'):
    list(video.read_video(path))
  assert capfd.readouterr().err == ''  # No messages from FFmpeg.


def test_suffixes_in_capitals(tmp_path):
  _write(tmp_path / 'A.MP4', 3)
  assert len(list(video.read_video(tmp_path / 'A.MP4'))) == 3
  assert video.is_video('X.Avi')
  assert video.is_video('x.MOV')
  assert not video.is_video('folder.d')
  with pytest.raises(errors.UserError, match=r'x\.MOV is not a video; expe'):
    video.check_out('x.MOV')


def test_what_was_not_written_is_an_error(tmp_path, monkeypatch):
  """OpenCV does not report a full disk."""
  writer = type('Full', (), {'isOpened': lambda self: True})
  writer.write = lambda self, frame: None
  writer.release = lambda self: None
  monkeypatch.setattr(video.cv2, 'VideoWriter', lambda *args: writer())
  with pytest.raises(errors.UserError, match='cannot be written completely'):
    _write(tmp_path / 'a.avi')
  assert not list(tmp_path.iterdir())


def _encode(path, codec, count=12):
  code = cv2.VideoWriter_fourcc(*codec)
  writer = cv2.VideoWriter(str(path), code, 25, (48, 32))
  rng = np.random.default_rng(0)
  for _ in range(count):
    writer.write(rng.integers(0, 256, (32, 48, 3)).astype(np.uint8))
  writer.release()
  return bytearray(path.read_bytes())


def _lengthen(whole, milliseconds):
  """Adds to the duration of a Matroska file, a double."""
  at = whole.index(b'\x44\x89\x88') + 3
  (length,) = struct.unpack('>d', whole[at : at + 8])
  return whole[:at] + struct.pack('>d', length + milliseconds) + whole[at + 8 :]


@pytest.mark.parametrize('milliseconds', [20, 60, 900])
def test_matroska_with_a_longer_sound_track_is_whole(tmp_path, milliseconds):
  path = tmp_path / 'a.mkv'
  path.write_bytes(_lengthen(_encode(path, 'MJPG'), milliseconds))
  assert len(list(video.read_video(path))) == 12


def test_matroska_that_is_cut_or_much_too_long(tmp_path):
  path = tmp_path / 'a.mkv'
  whole = _encode(path, 'MJPG')
  path.write_bytes(whole[: len(whole) * 3 // 4])
  with pytest.raises(errors.UserError, match='promises 12 frames, and 9 could'):
    list(video.read_video(path))
  path.write_bytes(_lengthen(whole, 2000))
  with pytest.raises(errors.UserError, match='promises 62 frames, and 12 cou'):
    list(video.read_video(path))


def test_an_edit_list_leaves_out_frames(tmp_path, monkeypatch):
  name = 'OPENCV_FFMPEG_CAPTURE_OPTIONS'
  monkeypatch.setenv(name, 'threads;1')
  path = tmp_path / 'a.mp4'
  whole = _encode(path, 'mp4v')
  # Version and flags, number of entries, and the first one's duration in ms.
  at = whole.index(b'elst') + 12
  whole[at : at + 4] = struct.pack('>I', 240)
  path.write_bytes(whole)
  assert len(list(video.read_video(path))) == 6
  assert video.os.environ[name] == 'threads;1'
  monkeypatch.delenv(name)
  middle = (whole.index(b'mdat') + whole.index(b'moov')) // 2
  whole[middle : whole.index(b'moov') - 4] = bytes(
    whole.index(b'moov') - 4 - middle
  )
  path.write_bytes(whole)
  with pytest.raises(errors.UserError, match='promises 12 frames, and'):
    list(video.read_video(path))
  assert name not in video.os.environ


def test_frames_that_a_recorder_dropped_are_not_missed(tmp_path):
  """They are empty chunks of an AVI."""
  path = tmp_path / 'a.avi'
  whole = _encode(path, 'MJPG')
  start, end = whole.index(b'movi'), whole.index(b'idx1')
  chunks, at = [], start + 4
  while at < end:
    size = int.from_bytes(whole[at + 4 : at + 8], 'little')
    chunks.append(bytes(whole[at + 8 : at + 8 + size]))
    at += 8 + size + size % 2
  assert len(chunks) == 12
  chunks[4] = b''
  movie, index = b'movi', b''
  for x in chunks:
    index += b'00dc' + struct.pack('<III', 16, len(movie), len(x))
    movie += b'00dc' + struct.pack('<I', len(x)) + x + bytes(len(x) % 2)
  made = whole[: start - 4] + struct.pack('<I', len(movie)) + movie
  made += b'idx1' + struct.pack('<I', len(index)) + index
  made[4:8] = struct.pack('<I', len(made) - 8)
  path.write_bytes(made)
  assert len(list(video.read_video(path))) == 11
  # A frame that is there and cannot be read is missed.
  chunks[4] = bytes(len(chunks[5]))
  at = whole.index(b'00dc', start + 4)
  for _ in range(4):
    at = whole.index(b'00dc', at + 4)
  size = int.from_bytes(whole[at + 4 : at + 8], 'little')
  whole[at + 8 : at + 8 + size] = bytes(size)
  path.write_bytes(whole)
  with pytest.raises(errors.UserError, match='promises 12 frames, and'):
    list(video.read_video(path))


def test_wmv_of_one_frame_is_whole_and_a_cut_one_is_not(tmp_path):
  """FFmpeg takes the rate of one frame to be 1000, and promises 40 of them."""
  path = tmp_path / 'a.wmv'
  _encode(path, 'WMV2', 1)
  assert len(list(video.read_video(path))) == 1
  whole = _encode(path, 'WMV2', 600)
  assert len(list(video.read_video(path))) == 600
  path.write_bytes(whole[: len(whole) // 2])
  with pytest.raises(errors.UserError, match=r'cut short: .* its end is miss'):
    list(video.read_video(path))
  path.write_bytes(whole[: len(whole) * 97 // 100])
  with pytest.raises(errors.UserError, match='promises 600 frames, and'):
    list(video.read_video(path))


def test_a_name_that_begins_as_a_protocol(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  for name in ('run:1.mp4', 'file:2.avi', 'run:2/a.mp4'):
    frame = np.full((32, 48, 3), 90, np.uint8), np.zeros((32, 48), np.int32)
    assert video.write_video(name, [frame] * 3, colors=COLORS, rate=7) == 3
    assert len(list(video.read_video(name))) == 3
    assert video.frame_rate(name) == 7


@pytest.mark.parametrize(
  'rate', [30000 / 1001, 91.7113, 333.3333, 1985.83, 0.1]
)
def test_odd_rates_can_be_written(tmp_path, rate):
  path = tmp_path / 'a.mp4'
  frame = np.full((32, 48, 3), 90, np.uint8), np.zeros((32, 48), np.int32)
  assert video.write_video(path, [frame] * 3, colors=COLORS, rate=rate) == 3
  assert video.frame_rate(path) == pytest.approx(rate, rel=2e-4)


def test_what_cannot_be_written_is_told_with_the_reason(tmp_path, capfd):
  def write(name, shape, rate=25.0):
    frame = np.zeros((*shape, 3), np.uint8), np.zeros(shape, np.int32)
    return video.write_video(tmp_path / name, [frame], colors=COLORS, rate=rate)

  with pytest.raises(errors.UserError, match=r'1x8 pixels at 25 a .*\.avi'):
    write('a.mp4', (8, 1))
  with pytest.raises(errors.UserError, match=r'8192x8 pixels.*2 to 8191'):
    write('a.mp4', (8, 8192))
  with pytest.raises(errors.UserError, match=r'at 0\.001 a second; expected'):
    write('a.avi', (8, 8), 0.001)
  assert not list(tmp_path.iterdir())
  assert capfd.readouterr().err == ''  # No messages from OpenCV.
  assert write('a.avi', (8, 1)) == 1
  (tmp_path / 'file').write_bytes(b'')
  with pytest.raises(errors.UserError, match=r'cannot be written: .*Errno'):
    write('file/a.mp4', (8, 8))
