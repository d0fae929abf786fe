import csv
import json
import pathlib
import types

import cv2
import jax
import numpy as np
import pytest

from jaxuda import errors
from jaxuda import methods
from jaxuda.depdis.pseudo import labelling
from jaxuda.depdis.run import stages as stages_lib
from jaxuda.run import cluster
from jaxuda.run import workdir as workdir_lib
from jaxuda.ui import command
from tests import processes
from tests.depdis.pseudo import by_colour


@pytest.fixture
def stages(monkeypatch):
  """Replaces training and labelling; returns the calls."""
  calls = types.SimpleNamespace(made=[], stop_at=None, stop_step=1, read=[])

  def write(path, tree):
    with cluster.first_process_first():
      if cluster.is_first():
        workdir_lib.write_json(path, tree)

  def train(config, workdir):
    name = f'{workdir.parent.name}/{workdir.name}'
    calls.made.append(name)
    if calls.stop_at == name:
      return types.SimpleNamespace(step=calls.stop_step)
    if config.name == 'self_training':
      assert (workdir.parent / 'labels' / 'summary.json').is_file()
      assert workdir_lib.is_done(pathlib.Path(config.initial), 0)
    split = config.data.target.eval_split
    result = {
      'checkpoint_step': config.stop_step,
      'main': 'mIoU19',
      'figures': {'mIoU19': {'value': 12.5, 'split': split}},
    }
    scores = {'last': result, 'best': result}
    write(workdir / 'scores.json', scores)
    with cluster.first_process_first():
      if cluster.is_first() and not (workdir / 'config.json').exists():
        tree = workdir_lib.config_to_dict(config)
        workdir_lib.write_json(workdir / 'config.json', tree)
    return types.SimpleNamespace(step=config.stop_step)

  def load(folder, which):
    del which
    config = workdir_lib.read_config(folder)
    return types.SimpleNamespace(name=folder.name, config=config)

  def write_labels(loaded, out, options):
    calls.made.append(f'{out.parent.name}/{out.name} of {loaded.name}')
    calls.read.append(loaded.config)
    if calls.stop_at == 'labels':
      raise KeyboardInterrupt
    write(out / 'summary.json', {})
    return {}

  monkeypatch.setattr(stages_lib.segmentation, 'train', train)
  monkeypatch.setattr(stages_lib.workdir_lib, 'load', load)
  monkeypatch.setattr(stages_lib.labelling, 'write_labels', write_labels)
  monkeypatch.setattr(stages_lib.labelling, 'show', lambda summary: None)
  return calls


def test_every_stage_begins_with_the_one_before(config, stages, tmp_path):
  assert stages_lib.run(config, tmp_path / 'x')
  assert stages.made == [
    'x/adversarial',
    'round1/labels of adversarial',
    'round1/training',
    'round2/labels of training',
    'round2/training',
  ]
  # Nothing is left to do; one more round continues from the last.
  stages.made.clear()
  assert stages_lib.run(config, tmp_path / 'x')
  assert stages.made == []
  config.self_training.rounds = 3
  assert stages_lib.run(config, tmp_path / 'x')
  assert stages.made == ['round3/labels of training', 'round3/training']


def test_processes_go_through_the_stages_together(
  config, stages, tmp_path, monkeypatch, capsys
):
  run = lambda: stages_lib.run(config, tmp_path / 'x')
  assert processes.run(run, monkeypatch) == [True, True]
  assert len(stages.made) == 10
  assert sorted(stages.made[:2]) == ['x/adversarial'] * 2
  assert sorted(stages.made[8:]) == ['round2/training'] * 2
  # One of them reports it.
  assert capsys.readouterr().out.count(f'stage {tmp_path}/x/round2/tr') == 1
  stages.made.clear()
  assert processes.run(run, monkeypatch) == [True, True]
  assert stages.made == []


def test_rows_without_self_training_end_with_the_first_stage(
  config, stages, tmp_path
):
  config.self_training.rounds = 0
  assert stages_lib.run(config, tmp_path / 'x')
  assert stages.made == ['x/adversarial']


def test_the_first_stage_of_another_run_is_taken(config, stages, tmp_path):
  first = tmp_path / 'M2'
  config.self_training.adversarial = str(first)
  with pytest.raises(errors.UserError, match=r'M2 has no config\.json'):
    stages_lib.run(config, tmp_path / 'x')
  # The same training with other fields of self-training, as rows have them.
  row = config.copy_and_resolve_references()
  row.self_training.update(rounds=0, spatial_prior=False, adversarial='')
  workdir_lib.write_json(first / 'config.json', workdir_lib.config_to_dict(row))
  with pytest.raises(errors.UserError, match='M2 is not finished; expected'):
    stages_lib.run(config, tmp_path / 'x')
  stages_lib.segmentation.train(row, first)
  stages.made.clear()
  assert stages_lib.run(config, tmp_path / 'x')
  assert stages.made == [
    'round1/labels of M2',
    'round1/training',
    'round2/labels of training',
    'round2/training',
  ]
  assert not (tmp_path / 'x' / 'adversarial').exists()
  for field, message in (
    ('seed', r'M2: .* another config; differing: seed'),
    ('stop_step', r'M2 is not finished; expected a run of 1499 steps'),
  ):
    config[field] -= 1
    with pytest.raises(errors.UserError, match=message):
      stages_lib.run(config, tmp_path / 'y')
    config[field] += 1


@pytest.mark.parametrize(
  'stop_at', ['x/adversarial', 'labels', 'round1/training', 'round2/training']
)
def test_goes_on_at_the_stage_where_it_stopped(
  config, stages, tmp_path, stop_at
):
  stages.stop_at = stop_at
  if stop_at == 'labels':
    with pytest.raises(KeyboardInterrupt):
      stages_lib.run(config, tmp_path / 'x')
  else:
    assert not stages_lib.run(config, tmp_path / 'x')
  assert stages.made[-1].startswith(('round1/labels', stop_at))
  before = stages.made[:-1]
  stages.stop_at = None
  stages.made.clear()
  assert stages_lib.run(config, tmp_path / 'x')
  assert not set(before) & set(stages.made)
  assert len(before) + len(stages.made) == 5


@pytest.mark.parametrize('stop_at', ['x/adversarial', 'round2/training'])
def test_a_stop_in_the_last_evaluation_ends_the_pipeline(
  config, stages, tmp_path, stop_at
):
  # All steps are taken, but they have no scores.
  stages.stop_at, stages.stop_step = stop_at, config.stop_step
  assert not stages_lib.run(config, tmp_path / 'x')
  assert stages.made[-1] == stop_at
  stages.stop_at = None
  assert stages_lib.run(config, tmp_path / 'x')
  assert stages.made.count(stop_at) == 2


def test_labels_are_made_where_the_command_says_that_the_data_are(
  config, stages, tmp_path
):
  stages.stop_at = 'labels'
  with pytest.raises(KeyboardInterrupt):
    stages_lib.run(config, tmp_path / 'x')
  stages.stop_at = None
  config.data.target.manual_dir = str(tmp_path / 'moved')
  config.data.source.manual_dir = str(tmp_path / 'source')
  config.data.data_dir = str(tmp_path / 'tfds')
  config.eval_batch_size = 1
  assert stages_lib.run(config, tmp_path / 'x')
  assert len(stages.read) == 3
  for read in stages.read[1:]:
    assert read.data.target.manual_dir == config.data.target.manual_dir
    assert read.data.source.manual_dir == config.data.source.manual_dir
    assert read.data.data_dir == config.data.data_dir
    assert read.eval_batch_size == 1
  # Those of the second round are made by a run that reads the first ones.
  assert read.data.target.label_dir.endswith('round1/labels')


def test_stages_that_are_done_are_not_called_with_another_split(
  config, stages, tmp_path
):
  own = config.data.target.eval_split
  stages.stop_at = 'round1/training'
  assert not stages_lib.run(config, tmp_path / 'x')
  stages.stop_at = None
  config.data.target.eval_split = 'train'
  message = f'x/adversarial is done and was scored on the split {own}, not on'
  for _ in range(2):  # Half done, then wholly.
    with pytest.raises(errors.UserError, match=message):
      stages_lib.run(config, tmp_path / 'x')
    config.data.target.eval_split = own
    assert stages_lib.run(config, tmp_path / 'x')
    config.data.target.eval_split = 'train'


def test_another_config_is_refused(config, stages, tmp_path):
  assert stages_lib.run(config, tmp_path / 'x')
  for field in ('stop_step', 'seed'):
    config[field] -= 1
    with pytest.raises(errors.UserError, match='another config'):
      stages_lib.run(config, tmp_path / 'x')
    config[field] += 1
  config.name = 'dada'
  with pytest.raises(errors.UserError, match='expected depdis, as in'):
    stages_lib.run(config, tmp_path / 'x')
  config.name = 'depdis'
  (tmp_path / 'file').write_text('')
  with pytest.raises(errors.UserError, match='is a file'):
    stages_lib.run(config, tmp_path / 'file')


def test_derived_config_is_of_the_same_network(config):
  config.self_training.update(learning_rate=0.0, norm='')
  options = labelling.read_options(config)
  later = stages_lib.derive(config, options, initial='a', label_dir='b')
  json.dumps(workdir_lib.config_to_dict(later))
  method = methods.create(later)
  first = methods.create(config)
  assert method.needs == {'target': ('image', 'label')}
  assert method.task == first.task
  assert method.optim == first.optim
  assert later.data.target.label_dir == 'b'
  assert (later.initial, later.initial_checkpoint) == ('a', 'best')
  assert (later.total_steps, later.stop_step) == (1500, 500)
  # Stages of older runs, which go on, have no such field.
  assert 'sums' not in later.method


def test_later_stages_sum_over_what_the_first_sums_over(config):
  config.method.sums = 'device'
  options = labelling.read_options(config)
  later = stages_lib.derive(config, options, initial='a', label_dir='b')
  assert methods.create(later).sums == 'device'


def test_no_image_is_labelled_that_the_first_stage_does_not_see(config):
  config.self_training.share = 0.5
  with config.unlocked():
    config.data.target.update(fraction=0.5, first=8)
  options = labelling.read_options(config)
  assert (options.first, options.share) == (8, 0.25)
  for own, first in ((9000, 8), (4, 4)):
    config.self_training.first = own
    assert labelling.read_options(config).first == first
  config.self_training.first = 0
  later = stages_lib.derive(config, options, initial='a', label_dir='b')
  assert (later.data.target.first, later.data.target.fraction) == (8, 0.25)
  # Labels made by such a run are of the images that it was trained on.
  options = labelling.read_options(later)
  assert (options.first, options.share) == (8, 0.25)


def test_self_training_can_have_a_rate_and_norms_of_its_own(config):
  options = labelling.read_options(config)
  later = stages_lib.derive(config, options, initial='a', label_dir='b')
  # Those of the small setting, also if the stage is run alone.
  alone = command.read_config('self_training:pair=streets')
  for x in (later, alone):
    assert x.optim.learning_rate == pytest.approx(3e-5)
    assert x.network.norm == 'frozen'
  assert config.network.norm == 'batch'


def test_the_whole_pipeline(config, tmp_path):
  config.update(total_steps=2, stop_step=2, batch_size=2, eval_batch_size=2)
  config.update(eval_every=2, checkpoint_every=2, picture_every=0)
  config.self_training.update(
    rounds=1, total_steps=2, stop_step=1, confidence=0.0, base=1, range=0
  )
  config.mixtures.folder = str(tmp_path / 'mixtures')
  workdir = tmp_path / 'x'
  assert stages_lib.run(config, workdir)
  first = workdir_lib.load(workdir / 'adversarial', which='best')
  last = workdir_lib.load(workdir / 'round1' / 'training')
  assert (first.step, last.step) == (2, 1)
  # The second stage started from the network of the first: parameters that it
  # does not train are the same, and those that it trains moved a little.
  a, b = (x.state.nets['task'].params for x in (first, last))
  jax.tree.map(np.testing.assert_array_equal, a['density'], b['density'])
  kernels = a['layer6']['conv0_kernel'], b['layer6']['conv0_kernel']
  assert 0 < np.abs(kernels[0] - kernels[1]).max() < 0.01
  names = {x.name for x in (workdir / 'round1' / 'labels' / 'city').iterdir()}
  assert names == {f'{i}.png' for i in range(7)}
  # Their precision, in addition to all stages.
  lines = (workdir / 'pseudo_labels.csv').read_text().splitlines()
  rows = list(csv.DictReader(lines))
  assert len(rows) == 19
  assert {row['round'] for row in rows} == {'round1'}
  given = [
    cv2.imread(str(workdir / 'round1' / 'labels' / 'city' / f'{i}.png'), -1)
    for i in range(7)
  ]
  truth = [by_colour.truth(i) for i in range(7)]
  for row, label in zip(rows, range(19), strict=True):
    true, said = np.equal(truth, label), np.equal(given, label)
    right = true & said
    assert int(row['kept']) == said.sum()
    if said.any():
      assert float(row['precision']) == pytest.approx(right.sum() / said.sum())
    if true.any():
      assert float(row['labelled']) == 1
      assert float(row['recall']) == pytest.approx(right.sum() / true.sum())
    else:
      assert row['labelled'] == row['recall'] == ''
