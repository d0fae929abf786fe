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
