"""The state of runs written by hand, at several moments."""

import json
import os
import time

import pytest

from jaxuda import errors
from jaxuda.watch import watching
from tests.report import hand

LINES = (
  {'kind': 'train', 'step': 6, 'loss_seg': 2.5, 'steps_per_second': 8.0},
  {'kind': 'eval', 'step': 6, 'mIoU7': 41.0, 'blind_entropy': 0.5},
  {'kind': 'train', 'step': 12, 'loss_seg': 1.25, 'steps_per_second': 2.0},
  {'kind': 'eval', 'step': 12, 'mIoU7': 40.0, 'blind_entropy': 0.25},
)


def write_run(folder, lines=LINES, **more):
  """Writes a run of 24 steps that has taken 12."""
  hand.write_run(folder, stop_step=24, log_every=6, **more)
  text = ''.join(json.dumps(line) + '\n' for line in lines)
  (folder / 'metrics.jsonl').write_text(text)
  return str(folder)


def read_one(watch):
  (run,) = watch.read()['runs']
  return run


def test_a_run_that_trains(tmp_path):
  watch = watching.Watch([write_run(tmp_path / 'a', name='dada')])
  run = read_one(watch)
  assert (run['name'], run['about']) == ('a', 'dada, tiny, seed 1')
  assert (run['state'], run['share']) == ('training', 0.5)
  # 12 steps left at the last rate.
  assert run['progress'] == ['12 of 24 steps', '2.00 steps/s', '6 s left']
  assert run['losses'] == [('loss_seg', '1.25', '')]
  assert run['scores'] == [
    ('mIoU7', '40.00', 'step 12'),
    ('best', '41.00', 'step 6'),
  ]
  # Low entropy is good.
  assert run['blind'] == [('entropy', '0.250', 'best: step 12')]
  curves = {x['name']: x for x in watch.read()['curves']}
  assert list(curves) == ['mIoU7', 'blind_entropy', 'loss_seg']
  assert curves['loss_seg']['runs'] == [(0, [6, 12], [2.5, 1.25])]
  assert curves['blind_entropy']['group'] == 'Without labels'


def test_a_run_from_before_it_begins_to_its_end(tmp_path):
  folder = tmp_path / 'a'
  watch = watching.Watch([str(folder)])
  assert (read_one(watch)['state'], read_one(watch)['said']) == (
    'waiting',
    'not started yet',
  )
  folder.mkdir()
  assert read_one(watch)['said'] == 'not started yet'
  write_run(tmp_path / 'other', ())
  (tmp_path / 'other' / 'config.json').rename(folder / 'config.json')
  assert read_one(watch)['said'] == 'started, no figures yet'
  metrics = folder / 'metrics.jsonl'
  first, second = (json.dumps(LINES[i]) + '\n' for i in (0, 2))
  # An incomplete line does not count yet.
  metrics.write_text(first + second[:30])
  assert read_one(watch)['progress'][0] == '6 of 24 steps'
  metrics.write_text(first + second)
  assert read_one(watch)['progress'][0] == '12 of 24 steps'
  metrics.write_text(first + json.dumps({**LINES[2], 'step': 24}) + '\n')
  run = read_one(watch)
  assert (run['state'], run['share']) == ('done', 1.0)
  assert run['progress'] == ['24 of 24 steps']


def test_a_silent_run_is_called_so(tmp_path):
  folder = tmp_path / 'a'
  watch = watching.Watch([write_run(folder)])
  then = time.time() - 600
  os.utime(folder / 'metrics.jsonl', (then, then))
  run = read_one(watch)
  assert run['state'] == 'silent'
  assert run['said'].startswith('no news for 10 min')
  # A run that does not progress has no time left.
  assert run['progress'] == ['12 of 24 steps']


def test_what_cannot_be_read_is_said_and_the_rest_stays(tmp_path):
  watch = watching.Watch([write_run(tmp_path / 'a')])
  watch.read()
  (tmp_path / 'a' / 'config.json').write_text('{"name"')
  run = read_one(watch)
  assert 'config.json cannot be read' in run['said']
  assert run['share'] == 0.5


def test_runs_of_a_folder_and_runs_beside_each_other(tmp_path):
  table = tmp_path / 'table'
  watch = watching.Watch([str(table), write_run(tmp_path / 'b')])
  names = lambda: [run['name'] for run in watch.read()['runs']]
  assert names() == ['table', 'b']
  write_run(table / 'S1' / 'seed1')
  assert names() == ['b', 'seed1']
  write_run(table / 'S1' / 'seed0')
  # A run keeps its colour.
  assert names() == ['b', 'seed1', 'seed0']
  state = watch.read()
  assert [x['color'] for x in state['runs']] == [
    watching.charts.pick_color(i) for i in range(3)
  ]
  assert [x[0] for x in state['curves'][0]['runs']] == [0, 1, 2]


@pytest.mark.parametrize('lines', [None, '', '{"kind": "eval", "step"'])
def test_scores_without_a_log_are_not_shown(tmp_path, lines):
  watch = watching.Watch([write_run(tmp_path / 'a')])
  if lines is None:
    (tmp_path / 'a' / 'metrics.jsonl').unlink()
  else:
    (tmp_path / 'a' / 'metrics.jsonl').write_text(lines)
  run = read_one(watch)
  assert (run['said'], run['scores']) == ('started, no figures yet', [])


def test_the_trainings_of_depth_distribution(tmp_path):
  pipeline = tmp_path / 'M4' / 'seed1'
  hand.write_run(pipeline, stop_step=24, log_every=6)
  for name in ('metrics.jsonl', 'scores.json'):
    (pipeline / name).unlink()
  watch = watching.Watch([str(pipeline)])
  beside = watching.Watch([str(tmp_path)])
  assert read_one(watch)['said'] == 'started, no figures yet'
  write_run(pipeline / 'adversarial')
  assert read_one(watch)['name'] == 'adversarial'
  write_run(pipeline / 'round1' / 'training', name='self_training')
  for each in (watch, beside):
    shown = [(x['name'], x['state']) for x in each.read()['runs']]
    assert shown == [('adversarial', 'training'), ('training', 'training')]


def test_pictures(tmp_path):
  folder = tmp_path / 'a'
  watch = watching.Watch([write_run(folder)])
  assert read_one(watch)['pictures'] == {}
  (folder / 'pictures').mkdir()
  names = ('target_0000012.png', 'target_0000006.png', 'training_0000006.png')
  for name in (*names, '.1.part.png', 'notes.txt'):
    (folder / 'pictures' / name).write_bytes(b'x')
  run = read_one(watch)
  assert run['pictures'] == {
    'target': ['0000006', '0000012'],
    'training': ['0000006'],
  }
  path = folder / 'pictures' / names[0]
  assert watch.find_picture(run['key'], names[0]) == path
  assert watch.find_picture('0' * 12, names[0]) is None
  for name in ('target_0000018.png', '../config.json', 'notes.txt', ''):
    assert watch.find_picture(run['key'], name) is None
  (folder / 'pictures' / 'link_1.png').symlink_to(folder / 'config.json')
  assert watch.find_picture(run['key'], 'link_1.png') is None


def test_mistakes(tmp_path):
  (tmp_path / 'file').write_text('')
  with pytest.raises(errors.UserError, match='file is a file; expected the'):
    watching.Watch([str(tmp_path / 'file')])
  with pytest.raises(errors.UserError, match='given twice'):
    watching.Watch(['a', 'a'])


def test_long_curves_are_means_of_neighbours():
  steps, values = list(range(9)), [0, 2, 4, 6, 8, 10, 12, 14, 99]
  assert watching.thin_out(steps, values, most=9) == (steps, values)
  # Means of three, three and two points, and the last one as it is.
  assert watching.thin_out(steps, values, most=4) == (
    [1, 4, 6.5, 8],
    [2, 8, 13, 99],
  )
  assert len(watching.thin_out(range(12345), range(12345))[0]) <= 400
