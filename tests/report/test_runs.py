import json

import pytest

from jaxuda import errors
from jaxuda.report import runs
from jaxuda.run import provenance
from tests.report import hand


def test_reads_what_there_is(tmp_path):
  folder = hand.write_run(tmp_path / 'a', rates=(2, 8))
  with (tmp_path / 'a' / 'metrics.jsonl').open('a') as file:
    file.write('{}\n{"step": null}\n')  # Changed by hand.
    file.write('{"kind": "tr')  # Killed while it wrote.
  (tmp_path / 'a' / 'parameters.txt').write_text(
    'network disc\nTotal: 1,200 -- 4,800 bytes\n'
    'network task\nTotal: 34 -- 136 bytes\n'
  )
  (run,) = runs.read([folder])
  assert run.config['data.target.dataset'] == 'tiny'
  assert (run.rate, run.step, run.parameters) == (5.0, 12, 1234)
  (tmp_path / 'a' / 'scores.json').write_text('{')
  with pytest.raises(errors.UserError, match=r'a/scores\.json cannot be read'):
    runs.read([folder])
  with pytest.raises(errors.UserError, match=r'config\.json is missing'):
    runs.read([str(tmp_path)])


def _groups(folders):
  made = runs.make_groups(runs.read(folders))
  return [[run.name for run in group.runs] for group in made]


@pytest.mark.parametrize(
  'protocol',
  [
    {'classes': 'camvid11'},
    {'dataset': 'other'},
    {'split': 'train'},
    {'images': 4},
    {'label_resolution': [8, 16]},
  ],
)
def test_other_protocols_stand_apart(tmp_path, protocol):
  folders = [
    hand.write_run(tmp_path / 'a'),
    hand.write_run(tmp_path / 'b', protocol=protocol),
    hand.write_run(tmp_path / 'c', seed=4),
  ]
  assert _groups(folders) == [['a', 'c'], ['b']]


def test_a_best_checkpoint_of_another_split_stands_apart(tmp_path):
  folders = [hand.write_run(tmp_path / name) for name in 'ab']
  path = tmp_path / 'b' / 'scores.json'
  scores = json.loads(path.read_text())
  scores['best']['figures']['IoU']['split'] = 'train'
  path.write_text(json.dumps(scores))
  assert _groups(folders) == [['a'], ['b']]


def test_without_scores_the_config_says_where_it_belongs(tmp_path):
  folders = [hand.write_run(tmp_path / name) for name in 'abc']
  for name in 'ab':
    (tmp_path / name / 'scores.json').unlink()
  config = json.loads((tmp_path / 'b' / 'config.json').read_text())
  config['classes'] = 'camvid11'
  (tmp_path / 'b' / 'config.json').write_text(json.dumps(config))
  assert _groups(folders) == [['a', 'c'], ['b']]


def test_code_is_what_the_run_noted(tmp_path):
  folder = hand.write_run(tmp_path / 'S1' / 'seed2')
  assert runs.read([folder])[0].code == []
  provenance.note(folder, 'commit 1234')
  provenance.note(folder, 'commit 5678')
  assert runs.read([folder])[0].code == ['commit 1234', 'commit 5678']


def test_only_fields_that_differ():
  one = {'seed': 1, 'optim.power': 0.9, 'size': [8, 16], 'scale': 1.0}
  other = {'seed': 2, 'size': [8, 16], 'scale': 1}
  assert runs.differing_fields([one, other]) == [
    ('optim.power', ['0.9', 'absent']),
    ('seed', ['1', '2']),
  ]


def test_cost(tmp_path):
  (run,) = runs.read([hand.write_run(tmp_path / 'a', rates=(0.1, 0.3))])
  cost = runs.describe_cost(run)
  # 12 steps at 0.2 steps per second.
  assert cost['time of these steps'] == '1 min 00 s'
  assert cost['steps per second'] == '0.2'
  assert cost['parameters, all networks'] == '–'
  (tmp_path / 'a' / 'metrics.jsonl').write_text('')
  cost = runs.describe_cost(*runs.read([str(tmp_path / 'a')]))
  assert cost['steps'] == cost['time of these steps'] == '–'


def test_curves_in_order(tmp_path):
  folders = [hand.write_run(tmp_path / name) for name in 'ab']
  lines = [
    {'kind': 'train', 'step': 2, 'quality': 0.5, 'loss_adv': None},
    {'kind': 'train', 'step': 4, 'learning_rate': 0.1, 'loss_adv': 3},
    {'kind': 'eval', 'step': 4, 'mIoU7': 9, 'mIoU19': 5, 'depth_pixels': 7},
  ]
  path = tmp_path / 'b' / 'metrics.jsonl'
  path.write_text('\n'.join(map(json.dumps, lines)))
  curves = runs.list_curves(runs.read(folders))
  assert list(curves) == [
    *('mIoU19', 'mIoU7', 'learning_rate', 'loss_adv', 'loss_seg', 'quality'),
  ]
  assert curves['mIoU7'] == [(0, [12], [40.0]), (1, [4], [9])]
  assert curves['loss_seg'] == [(0, [6, 12], [2.5, 1.5])]
  assert curves['loss_adv'] == [(1, [4], [3])]
