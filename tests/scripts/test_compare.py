import json
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]


def _write_scores(
  folder, *, road, train, miou, rms=None, split='val', step=100
):
  protocol = {
    'classes': 'two',
    'dataset': 'streets/target',
    'split': split,
    'images': 5,
    'label_resolution': [160, 320],
    'checkpoint_step': step,
  }
  figures = {
    'mIoU2': {'value': miou, 'unit': '%', **protocol},
    'IoU': {
      'value': {'road': road, 'train': train},
      'unit': '%',
      **protocol,
    },
  }
  if rms is not None:
    figures['depth_rms'] = {'value': rms, 'unit': 'm', **protocol}
    figures['depth_pixels'] = {'value': 9.0, 'unit': 'pixels', **protocol}
  scores = {'last': {'figures': figures, 'checkpoint_step': step}}
  folder.mkdir()
  (folder / 'scores.json').write_text(json.dumps(scores))


def _compare(tmp_path, *arguments):
  return subprocess.run(
    [
      *(sys.executable, ROOT / 'scripts' / 'compare.py'),
      f'--workdirs={tmp_path}/a,{tmp_path}/b/',
      *arguments,
    ],
    cwd=ROOT,
    capture_output=True,
    text=True,
  )


def test_table(tmp_path):
  _write_scores(tmp_path / 'a', road=60.0, train=None, miou=60.0)
  _write_scores(
    tmp_path / 'b', road=72.5, train=0.0, miou=36.25, rms=4.5, step=200
  )
  done = _compare(tmp_path)
  assert done.returncode == 0, done.stderr
  rows = [
    line.replace('│', ' ').replace('┃', ' ').split()
    for line in done.stdout.splitlines()
  ]
  assert ['class', 'a', 'b', 'b', '-', 'a'] in rows
  assert ['road', '60.00', '72.50', '+12.50'] in rows
  assert ['train', '-', '0.00', '-'] in rows
  assert ['mIoU2', '60.00', '36.25', '-23.75'] in rows
  assert ['depth_rms', '-', '4.50', '-'] in rows
  assert 'pixels' not in done.stdout
  title = ' '.join(done.stdout.split())
  assert 'streets/target val, 5 images at 160x320' in title
  assert '(step 100, 200)' in title


def test_other_protocol(tmp_path):
  _write_scores(tmp_path / 'a', road=60.0, train=1.0, miou=30.5)
  _write_scores(tmp_path / 'b', road=60.0, train=1.0, miou=30.5, split='train')
  done = _compare(tmp_path)
  assert done.returncode == 1
  assert 'was scored with split=train' in done.stderr
  assert done.stderr.count('\n') == 1


@pytest.mark.parametrize('arguments', [(), ('--checkpoint=best',)])
def test_not_evaluated(tmp_path, arguments):
  _write_scores(tmp_path / 'a', road=60.0, train=1.0, miou=30.5)
  done = _compare(tmp_path, *arguments)
  assert done.returncode == 1
  assert 'expected the workdir of a run that has been evaluated' in done.stderr
