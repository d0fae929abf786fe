"""Runs that are continued after checkpoints or the split have changed."""

import json
import shutil

import jax
import numpy as np
import pytest

from jaxuda import errors
from jaxuda.data import pipeline
from jaxuda.run import checkpoint
from jaxuda.run import workdir as workdir_lib
from jaxuda.step import rng
from jaxuda.train import segmentation
from tests import tiny


@pytest.fixture(autouse=True)
def _install(monkeypatch):
  tiny.install(monkeypatch)


@pytest.mark.parametrize('removed', [9, 12])
def test_removed_checkpoints_take_no_evaluation_with_them(tmp_path, removed):
  config = tiny.make_config(eval_every=3, keep_last=3, stop_step=removed)
  segmentation.train(config, tmp_path)
  assert tiny.read_scores(tmp_path)['best']['checkpoint_step'] == removed
  if removed == 12:  # The last one, but not the best.
    scores = tiny.read_scores(tmp_path)
    with checkpoint.Checkpoints(tmp_path, write=False) as checkpoints:
      assert checkpoints.steps() == [6, 9, 12]
    lines = [x for x in tiny.read_lines(tmp_path) if x['kind'] == 'eval']
    scores['best'] = {**scores['best'], 'checkpoint_step': 6}
    (tmp_path / 'scores.json').write_text(json.dumps(scores))
    assert len(lines) == 4
  # As a line about a damaged one advises.
  shutil.rmtree(tmp_path / 'checkpoints' / str(removed))
  config.stop_step = 12
  segmentation.train(config, tmp_path)
  steps = [x['step'] for x in tiny.read_lines(tmp_path) if x['kind'] == 'eval']
  assert steps == [3, 6, 9, 12]
  assert tiny.read_scores(tmp_path)['last']['checkpoint_step'] == 12


def test_the_best_is_of_one_split(tmp_path, monkeypatch, capfd):
  def stream(data_config, **options):
    for batch in tiny.eval_stream(data_config, **options):
      # Another split, whose images are harder.
      hard = data_config.target.eval_split == 'hard'
      yield {**batch, 'label': (batch['label'] + hard) % 7}

  monkeypatch.setattr(pipeline, 'eval_stream', stream)
  config = tiny.make_config(eval_every=3, stop_step=6)
  segmentation.train(config, tmp_path)
  assert tiny.read_scores(tmp_path)['best']['checkpoint_step'] == 6
  config.stop_step, config.data.target.eval_split = 12, 'hard'
  segmentation.train(config, tmp_path)
  best = tiny.read_scores(tmp_path)['best']
  assert best['checkpoint_step'] in (9, 12)
  assert best['figures']['mIoU7']['split'] == 'hard'
  assert 'step 6, was chosen by a figure' in capfd.readouterr().err


def test_a_run_that_has_started_no_longer_needs_its_beginning(tmp_path):
  scratch = tiny.make_config(initial='scratch', stop_step=3)
  segmentation.train(scratch, tmp_path / 'scratch')
  begun = tiny.make_config(initial=str(tmp_path / 'scratch'), stop_step=6)
  begun.initial_checkpoint = 'last'
  segmentation.train(begun, tmp_path / 'begun')
  (tmp_path / 'scratch').rename(tmp_path / 'moved')
  begun.stop_step = 12
  state = segmentation.train(begun, tmp_path / 'begun')
  begun.initial = str(tmp_path / 'moved')
  whole = segmentation.train(begun, tmp_path / 'whole')
  for mine, theirs in zip(*map(jax.tree.leaves, (state, whole)), strict=True):
    np.testing.assert_array_equal(mine, theirs)
  # What began with nothing does not go on as if it had begun with a file.
  gone = tiny.make_config(initial='pretrained/gone.pth')
  with pytest.raises(errors.UserError, match=r'differing: initial \("scratch'):
    segmentation.train(gone, tmp_path / 'moved')


def test_a_run_that_is_done_is_not_called_with_another_split(tmp_path):
  config = tiny.make_config(stop_step=3)
  segmentation.train(config, tmp_path)
  before = (tmp_path / 'config.json').read_text()
  config.data.target.eval_split = 'bare'
  with pytest.raises(
    errors.UserError, match=r'split val, not on bare;.*--split=bare`'
  ):
    segmentation.train(config, tmp_path)
  assert (tmp_path / 'config.json').read_text() == before
  # One that goes on is scored on the new one from there.
  config.stop_step = 6
  segmentation.train(config, tmp_path)
  assert (tmp_path / 'config.json').read_text() != before


@pytest.mark.parametrize('killed', [6, 12])
def test_killed_before_an_evaluation_it_draws_what_it_would_have(
  tmp_path, killed
):
  whole = segmentation.train(tiny.make_config(), tmp_path / 'whole')
  config = tiny.make_config(eval_every=0, stop_step=killed)
  segmentation.train(config, tmp_path / 'run')
  for path in ('scores.json', f'pictures/training_{killed:07d}.png'):
    (tmp_path / 'run' / path).unlink()
  state = segmentation.train(tiny.make_config(), tmp_path / 'run')
  names = [
    {path.name for path in (tmp_path / run / 'pictures').iterdir()}
    for run in ('run', 'whole')
  ]
  assert names[0] | {'target_0000006.png', 'training_0000006.png'} == names[1]
  assert f'training_{killed:07d}.png' in names[0]
  for mine, theirs in zip(*map(jax.tree.leaves, (state, whole)), strict=True):
    np.testing.assert_array_equal(mine, theirs)


@pytest.mark.parametrize('seed', [3, 4])
def test_the_seed_is_that_of_the_network_the_batches_and_all_steps(
  tmp_path, monkeypatch, seed
):
  """Also in a run that is continued."""
  streams, real = [], tiny.Method.train_step

  def stream(data_config, *, seed, start_step, **options):
    streams.append((seed, start_step))
    options |= {'seed': seed, 'start_step': start_step}
    return tiny.train_stream(data_config, **options)

  def train_step(self, state, batch, key):
    new, metrics = real(self, state, batch, key)
    drawn = jax.random.uniform(jax.random.fold_in(key, state.step))
    return new, metrics | {'drawn': drawn}

  monkeypatch.setattr(pipeline, 'train_stream', stream)
  monkeypatch.setattr(tiny.Method, 'train_step', train_step)
  for stop in (2, 5):
    config = tiny.make_config(
      seed=seed, stop_step=stop, log_every=1, eval_every=0
    )
    segmentation.train(config, tmp_path)
  assert streams == [(seed, 0), (seed, 2)]
  lines = [x for x in tiny.read_lines(tmp_path) if x['kind'] == 'train']
  expected = [
    jax.random.uniform(jax.random.fold_in(rng.root(seed), step))
    for step in range(5)
  ]
  np.testing.assert_allclose([x['drawn'] for x in lines], expected, rtol=1e-6)
  key, _ = workdir_lib.init_args(config, tiny.Method())
  np.testing.assert_array_equal(
    *(jax.random.key_data(x) for x in (key, rng.for_init(seed)))
  )
