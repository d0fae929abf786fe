import json

import pytest

from jaxuda import errors
from jaxuda.report import runs
from jaxuda.run import provenance
from tests.report import hand


def test_names_are_as_short_as_they_can_be():
  assert runs.unique_names(['x/a', 'x/b/']) == ['a', 'b']
  assert runs.unique_names(['x/a/1', 'y/a/1']) == ['x/a/1', 'y/a/1']
  with pytest.raises(errors.UserError, match='x/a/ is given twice'):
    runs.unique_names(['x/a', 'x/a/'])


def test_reads_what_there_is(tmp_path):
  folder = hand.write_run(tmp_path / 'a', rates=(2, 8))
  with (tmp_path / 'a' / 'metrics.jsonl').open('a') as file:
    file.write('{"kind": "tr')  # Killed while it wrote.
  (tmp_path / 'a' / 'parameters.txt').write_text(
    'network disc\nTotal: 1,200 -- 4,800 bytes\n'
    'network task\nTotal: 34 -- 136 bytes\n'
  )
  (run,) = runs.read([folder])
  assert run.config['data.target.dataset'] == 'tiny'
  assert (run.rate, run.step, run.parameters) == (5.0, 12, 1234)
  (tmp_path / 'a' / 'scores.json').write_text('{')
  with pytest.raises(errors.UserError, match=r'a/scores\.json is not JSON'):
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
