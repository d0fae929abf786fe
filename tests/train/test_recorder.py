import json

import numpy as np
import pytest

from jaxuda import errors
from jaxuda.train import recorder
from jaxuda.ui import panels


def _lines(folder):
  text = (folder / 'metrics.jsonl').read_text()
  return [json.loads(line) for line in text.splitlines()]


def test_writes_lines_events_and_pictures(tmp_path):
  picture = np.full((4, 6, 3), 9, np.uint8)
  with recorder.Recorder(tmp_path) as record:
    record.write_scalars(5, 'train', {'loss_seg': np.float32(0.5), 'x': None})
    # At once: a killed process must not take lines with it.
    assert _lines(tmp_path) == [
      {'kind': 'train', 'step': 5, 'loss_seg': 0.5, 'x': None}
    ]
    record.write_picture(5, 'target', picture)
    record.write_text(0, 'config', 'seed: 1')
  np.testing.assert_array_equal(
    panels.read_image(tmp_path / 'pictures' / 'target_0000005.png'), picture
  )
  (events,) = tmp_path.glob('events.*')
  data = events.read_bytes()
  assert b'train/loss_seg' in data
  assert b'target' in data
  assert b'seed: 1' in data


def test_other_processes_write_nothing(tmp_path):
  with recorder.Recorder(tmp_path, write=False) as record:
    record.write_scalars(5, 'train', {'loss_seg': 0.5})
    record.write_picture(5, 'target', np.zeros((4, 6, 3), np.uint8))
    record.write_text(5, 'config', '')
  assert not list(tmp_path.iterdir())


def test_cut_lines_removes_what_will_come_again(tmp_path):
  entries = [
    {'kind': 'train', 'step': 2},
    {'kind': 'train', 'step': 4},
    {'kind': 'eval', 'step': 4},
    {'kind': 'train', 'step': 6},
    {'kind': 'eval', 'step': 6},
    {'kind': 'train', 'step': 8},
  ]
  text = ''.join(json.dumps(e) + '\n' for e in entries)
  text += '{}\n{"kind": "other", "step": 1}\n{"kind": "tra'
  path = tmp_path / 'metrics.jsonl'
  path.write_text(text)
  # Checkpoint 6 was written, its evaluation was not finished.
  recorder.cut_lines(tmp_path, step=6, evaluated=4)
  assert _lines(tmp_path) == entries[:4]
  recorder.cut_lines(tmp_path, step=0, evaluated=-1)
  assert _lines(tmp_path) == []


def test_cut_lines_without_a_file(tmp_path):
  recorder.cut_lines(tmp_path, step=0, evaluated=-1)
  assert not list(tmp_path.iterdir())


def test_a_log_that_cannot_be_written_is_named(tmp_path):
  with recorder.Recorder(tmp_path) as record:
    record.write_scalars(1, 'train', {'x': 0.5})
    (tmp_path / 'metrics.jsonl').unlink()
    (tmp_path / 'metrics.jsonl').symlink_to('/dev/full')
    with pytest.raises(
      errors.UserError, match=r'metrics\.jsonl cannot be written: .*No space'
    ):
      record.write_scalars(2, 'train', {'x': 0.5})
