import contextlib
import json
import shutil

import jax
import ml_collections
from ml_collections import config_dict
import numpy as np
import pytest

from jaxuda import errors
from jaxuda.run import checkpoint
from jaxuda.run import workdir as workdir_lib
from jaxuda.step import parallel
from tests import processes
from tests import tiny


def _config():
  return config_dict.create(
    name='dada',
    log_every=10,
    stop_step=50,
    optim={'learning_rate': 1.0, 'betas': (0.9, 0.99)},
    data={
      'data_dir': config_dict.placeholder(str),
      'source': {'size': (32, 64), 'manual_dir': None},
    },
  )


def test_write_json_replaces_the_file(tmp_path):
  path = tmp_path / 'a' / 'scores.json'
  workdir_lib.write_json(path, {'x': 1})
  workdir_lib.write_json(path, {'x': np.float32(0.5), 'y': float('nan')})
  assert json.loads(path.read_text()) == {'x': 0.5, 'y': None}
  assert [p.name for p in path.parent.iterdir()] == ['scores.json']


def test_lines_are_read_but_for_one_that_was_cut(tmp_path):
  path = tmp_path / 'a' / 'lines.jsonl'
  assert workdir_lib.read_lines(path) == []
  entries = [{'step': 1, 'loss': 0.1}, {'name': 'ä', 'x': None}]
  workdir_lib.write_lines(path, entries)
  with path.open('ab') as f:
    f.write(b'7\n\0\0\n{"step": "\xff\n[]\n{"step": 2, "lo')
  assert workdir_lib.read_lines(path) == entries
  workdir_lib.write_lines(path, entries[1:])
  assert path.read_text() == json.dumps(entries[1]) + '\n'


def test_jsonable():
  tree = {1: (np.int64(2), np.array([1.5, np.inf])), 'a': None, 'b': True}
  assert workdir_lib.jsonable(tree) == {
    '1': [2, [1.5, None]],
    'a': None,
    'b': True,
  }


def test_config_survives_json():
  tree = json.loads(json.dumps(workdir_lib.config_to_dict(_config())))
  back = workdir_lib.config_from_dict(tree)
  assert back.to_dict() == _config().to_dict()
  assert back.data.source.size == (32, 64)


def test_read_config(tmp_path):
  tree = workdir_lib.config_to_dict(_config())
  workdir_lib.write_json(tmp_path / 'config.json', tree)
  assert workdir_lib.read_config(tmp_path).optim.betas == (0.9, 0.99)
  (tmp_path / 'config.json').write_text('{')
  with pytest.raises(errors.UserError, match=r'config\.json cannot be read'):
    workdir_lib.read_config(tmp_path)
  for text in ('{}', '{"name": 3}'):
    (tmp_path / 'config.json').write_text(text)
    with pytest.raises(errors.UserError, match=r'config\.json has no name'):
      workdir_lib.read_config(tmp_path)
  with pytest.raises(errors.UserError, match=r'none/config\.json is missing'):
    workdir_lib.read_config(tmp_path / 'none')


def test_a_folder_of_runs_is_no_run(tmp_path):
  tree = workdir_lib.config_to_dict(_config())
  for name in ('b', 'a/round1'):
    workdir_lib.write_json(tmp_path / name / 'config.json', tree)
  message = rf'started, or one of {tmp_path}/a/round1, {tmp_path}/b$'
  with pytest.raises(errors.UserError, match=message):
    workdir_lib.read_config(tmp_path)


def test_read_scores(tmp_path):
  assert workdir_lib.read_scores(tmp_path) == {}
  workdir_lib.write_json(tmp_path / 'scores.json', {'last': {}})
  assert workdir_lib.read_scores(tmp_path) == {'last': {}}
  for broken in (b'{"last"', b'[]', b'\xff\xfe'):
    (tmp_path / 'scores.json').write_bytes(broken)
    with pytest.raises(errors.UserError, match=r'scores\.json cannot be read'):
      workdir_lib.read_scores(tmp_path)


def test_the_example_has_the_shapes_of_a_batch():
  config = ml_collections.ConfigDict(
    {
      'seed': 0,
      'data': {
        'source': {'size': (32, 64), 'crop': (16, 24)},
        'target': {'size': (8, 12), 'crop': (0, 0)},
      },
    }
  )
  _, batch = workdir_lib.init_args(config, tiny.Method())
  assert jax.tree.map(lambda x: (x.shape, str(x.dtype)), batch) == {
    'source': {
      'image': ((1, 16, 24, 3), 'uint8'),
      'label': ((1, 16, 24), 'int32'),
      'depth': ((1, 16, 24), 'float32'),
      'depth_valid': ((1, 16, 24), 'bool'),
    },
    'target': {'image': ((1, 8, 12, 3), 'uint8')},
  }


def test_init_args_give_the_same_state_every_time():
  config, method = tiny.make_config(), tiny.Method()
  first = method.init(*workdir_lib.init_args(config, method))
  again = method.init(*workdir_lib.init_args(config, method))
  jax.tree.map(np.testing.assert_array_equal, first, again)


@pytest.fixture(name='run')
def _run(tmp_path, monkeypatch):
  """Writes checkpoints 3 and 6 of the tiny method; 3 is the best."""
  tiny.install(monkeypatch)
  config, method = tiny.make_config(), tiny.Method()
  tree = workdir_lib.config_to_dict(config)
  workdir_lib.write_json(tmp_path / 'config.json', tree)
  state = parallel.init(method.init, *workdir_lib.init_args(config, method))
  with checkpoint.Checkpoints(tmp_path) as checkpoints:
    for step in (3, 6):
      checkpoints.save(step, state.replace(step=state.step + step), config=tree)
  return tmp_path


def test_load_last_best_and_by_step(run):
  assert workdir_lib.load(run).step == 6
  assert int(workdir_lib.load(run, which='3').state.step) == 3
  with pytest.raises(errors.UserError, match=r'none is the best.* of 3, 6'):
    workdir_lib.load(run, which='best')
  scores = {'best': {'checkpoint_step': 3}}
  workdir_lib.write_json(run / 'scores.json', scores)
  loaded = workdir_lib.load(run, which='best')
  assert loaded.step == 3
  assert loaded.method == tiny.Method()
  assert loaded.config.name == 'tiny'


def test_all_processes_load_what_the_first_one_takes_for_the_best(
  run, monkeypatch
):
  # On a shared file system the others may still see older files, or none.
  seen = {0: {'best': {'checkpoint_step': 6}}, 1: {}}
  read = lambda folder: seen[jax.process_index()]
  monkeypatch.setattr(workdir_lib, 'read_scores', read)
  restored = []

  class Checkpoints(contextlib.nullcontext):
    folder = run / 'checkpoints'

    def __init__(self, *unused, write):
      super().__init__(self)

    def steps(self):
      return [3, 6]

    def restore(self, step, *unused, **options):
      restored.append((jax.process_index(), step))

  monkeypatch.setattr(checkpoint, 'Checkpoints', Checkpoints)
  load = lambda: workdir_lib.load(run, which='best').step
  assert processes.run(load, monkeypatch) == [6, 6]
  assert sorted(restored) == [(0, 6), (1, 6)]
  seen[1] = {'best': {'checkpoint_step': 3}}
  assert processes.run(load, monkeypatch) == [6, 6]

  def fail():
    with pytest.raises(errors.UserError, match='none is the best'):
      load()

  seen[0] = {}
  processes.run(fail, monkeypatch)


@pytest.mark.parametrize('which', ['latest', '-3', '²'])
def test_load_names_the_choices(run, which):
  with pytest.raises(errors.UserError, match=r'expected last, best or a step'):
    workdir_lib.load(run, which=which)


def test_load_without_a_checkpoint(run):
  (run / 'checkpoints').rename(run / 'elsewhere')
  with pytest.raises(errors.UserError, match=r'expected at least one$'):
    workdir_lib.load(run)
  (run / 'adversarial').mkdir()
  shutil.copy(run / 'config.json', run / 'adversarial')
  message = r'expected at least one, or one of .*/adversarial$'
  with pytest.raises(errors.UserError, match=message):
    workdir_lib.load(run)


def test_load_with_the_config_of_another_model(run):
  config = tiny.make_config(num_classes=5)
  tree = workdir_lib.config_to_dict(config)
  workdir_lib.write_json(run / 'config.json', tree)
  with pytest.raises(errors.UserError, match=r'kernel is float32\[3, 7\]'):
    workdir_lib.load(run)
