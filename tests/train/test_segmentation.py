"""The loop with a tiny method; with a real one in test_resume.py."""

import json
import os
import re
import shutil
import signal

import jax
import numpy as np
import pytest

from jaxuda import errors
from jaxuda.data import pipeline
from jaxuda.evaluate import evaluation
from jaxuda.run import checkpoint
from jaxuda.step import parallel
from jaxuda.train import loop
from jaxuda.train import segmentation
from jaxuda.train import window
from jaxuda.ui import panels
from tests import tiny


@pytest.fixture(autouse=True)
def _install(monkeypatch):
  tiny.install(monkeypatch)


def _steps(workdir):
  with checkpoint.Checkpoints(workdir, write=False) as checkpoints:
    return checkpoints.steps()


def _assert_equal(state, other):
  jax.tree.map(np.testing.assert_array_equal, state, other)


def _without_rate(lines):
  return [
    {k: v for k, v in x.items() if k != 'steps_per_second'} for x in lines
  ]


def test_what_a_run_leaves_behind(tmp_path):
  state = segmentation.train(tiny.make_config(picture_every=4), tmp_path)
  assert int(state.step) == 12
  lines = tiny.read_lines(tmp_path)
  kinds = [(line['kind'], line['step']) for line in lines]
  assert kinds == [
    *(('train', step) for step in (2, 4, 6)),
    ('eval', 6),
    *(('train', step) for step in (8, 10, 12)),
    ('eval', 12),
  ]
  assert lines[0]['loss_other'] == 1.0
  assert lines[0]['loss_seg'] > lines[-2]['loss_seg']
  names = sorted(p.name for p in (tmp_path / 'pictures').iterdir())
  assert names == [
    f'{kind}_{i:07d}.png'
    for kind in ('target', 'training')
    for i in (4, 6, 8, 12)
  ]
  panel = panels.read_image(tmp_path / 'pictures' / names[0])
  assert panel.shape[0] > 3 * 8
  assert json.loads((tmp_path / 'config.json').read_text())['seed'] == 3
  assert 'kernel' in (tmp_path / 'parameters.txt').read_text()
  assert list(tmp_path.glob('events.*'))
  best = tiny.read_scores(tmp_path)['best']['checkpoint_step']
  assert _steps(tmp_path) == sorted({best, 9, 12})


def test_every_score_carries_its_protocol(tmp_path):
  segmentation.train(tiny.make_config(), tmp_path)
  scores = tiny.read_scores(tmp_path)
  assert set(scores) == {'last', 'best'}
  last = scores['last']
  assert last['checkpoint_step'] == 12
  assert {'mIoU7', 'IoU', 'depth_abs_rel'} <= set(last['figures'])
  for figure in last['figures'].values():
    assert figure['label_resolution'] == [16, 32]
    assert figure['network_input'] == [8, 16]
    assert figure['checkpoint_step'] == 12
    assert figure['classes'] == 'coarse7'
    assert figure['split'] == 'val'
    assert figure['dataset'] == 'tiny'
    assert figure['images'] == tiny.IMAGES
    assert 'student' in figure['network']
  assert last['figures']['mIoU7']['subset'][0] == 'flat'
  assert len(last['images']) == tiny.IMAGES
  assert all(0 <= x <= 100 for x in last['images'].values())
  # The scores of a run whose checkpoints are gone are not overwritten.
  shutil.rmtree(tmp_path / 'checkpoints')
  with pytest.raises(errors.UserError, match='scores of a run but no checkpo'):
    segmentation.train(tiny.make_config(), tmp_path)
  assert tiny.read_scores(tmp_path) == scores
  # 20 m were predicted where 10 m are true.
  assert last['figures']['depth_abs_rel']['value'] == pytest.approx(1)
  lines = [x for x in tiny.read_lines(tmp_path) if x['kind'] == 'eval']
  assert lines[-1]['mIoU7'] == last['figures']['mIoU7']['value']


def test_a_loss_of_no_pixel_is_noted(tmp_path, capfd, monkeypatch):
  monkeypatch.setattr(window.Window, 'take_mean', lambda _: {'loss_seg': 0.0})
  segmentation.train(tiny.make_config(stop_step=2, eval_every=0), tmp_path)
  assert 'no pixel had a label of coarse7' in capfd.readouterr().err


def test_criteria_without_labels_are_logged_beside_the_scores(tmp_path):
  segmentation.train(tiny.make_config(), tmp_path)
  lines = [x for x in tiny.read_lines(tmp_path) if x['kind'] == 'eval']
  figures = tiny.read_scores(tmp_path)['last']['figures']
  for name in ('entropy', 'information', 'density', 'flip'):
    assert lines[-1][f'blind_{name}'] == figures[f'blind_{name}']['value']
  assert {'mIoU7', 'depth_rms'} <= set(lines[-1])


def test_a_target_without_labels_is_trained_on_and_drawn(tmp_path, capfd):
  config = tiny.make_config()
  config.data.target.eval_split = 'bare'
  state = segmentation.train(config, tmp_path / 'bare')
  _assert_equal(
    state, segmentation.train(tiny.make_config(), tmp_path / 'labelled')
  )
  lines = [x for x in tiny.read_lines(tmp_path / 'bare') if x['kind'] == 'eval']
  assert [x['step'] for x in lines] == [6, 12]
  assert not any(k.startswith(('mIoU', 'depth')) for x in lines for k in x)
  assert (tmp_path / 'bare/pictures/target_0000012.png').is_file()
  scores = tiny.read_scores(tmp_path / 'bare')
  assert scores['last']['main'] == 'blind_choice'
  # The best is the one that the criterion chooses.
  best = max(lines, key=lambda x: x['blind_choice'])
  assert scores['best']['checkpoint_step'] == best['step']
  said = capfd.readouterr().err
  assert said.index('compiling the first step\n') < said.index('train: 1/12')
  known = {6: 'the best was step 6', 12: 'the best so far'}[best['step']]
  assert re.search(rf'step 12: blind_choice 0\.\d+; {known}\n', said)
  # With labels, in addition to the scores.
  assert re.search(r'step 12: mIoU7 \S+, blind_choice 0\.\d+; the', said)


def test_a_best_of_another_criterion_is_no_best_any_more(tmp_path, capfd):
  config = tiny.make_config(stop_step=6)
  config.data.target.eval_split = 'bare'
  segmentation.train(config, tmp_path)
  # As an earlier version left it.
  scores = tiny.read_scores(tmp_path)
  best = scores['best']
  best['main'] = 'blind_information'
  del best['figures']['blind_choice']
  best['figures']['blind_information']['value'] = 0.99
  (tmp_path / 'scores.json').write_text(json.dumps(scores))
  config.stop_step = 12
  segmentation.train(config, tmp_path)
  assert (
    tiny.read_scores(tmp_path)['best'] == tiny.read_scores(tmp_path)['last']
  )
  assert _steps(tmp_path) == [9, 12]
  said = capfd.readouterr().err
  assert said.count('step 6, was chosen by a figure') == 1
  assert 'the best starts again from step 12\n' in said
  assert '; the best so far\n' in said


def test_continued_runs_are_the_uninterrupted_one(tmp_path):
  whole = segmentation.train(tiny.make_config(), tmp_path / 'whole')
  for stop in (4, 7, 12):
    # total_steps stays: it belongs to the schedule.
    config = tiny.make_config(stop_step=stop)
    state = segmentation.train(config, tmp_path / 'parts')
  _assert_equal(state, whole)
  assert tiny.read_scores(tmp_path / 'whole') == tiny.read_scores(
    tmp_path / 'parts'
  )


def test_a_beginning_is_checked_before_anything_is_read(tmp_path, monkeypatch):
  gone = tiny.make_config(initial='pretrained/gone.pth')
  with monkeypatch.context() as patch:
    patch.setattr(pipeline, 'train_stream', None)
    with pytest.raises(
      errors.UserError, match=r'gone\.pth: there is no such fi'
    ):
      segmentation.train(gone, tmp_path / 'new')


def test_restart_writes_every_line_once(tmp_path):
  segmentation.train(tiny.make_config(), tmp_path / 'whole')
  segmentation.train(tiny.make_config(stop_step=6), tmp_path / 'parts')
  # As after a kill: lines after the checkpoint, the last one incomplete.
  with (tmp_path / 'parts' / 'metrics.jsonl').open('a') as f:
    f.write('{"kind": "train", "step": 8, "loss_seg": 1}\n{"kind": "tra')
  segmentation.train(tiny.make_config(), tmp_path / 'parts')
  lines = [
    _without_rate(tiny.read_lines(tmp_path / x)) for x in ('whole', 'parts')
  ]
  assert lines[0] == lines[1]


def test_finished_run_does_nothing_more(tmp_path, monkeypatch):
  first = segmentation.train(tiny.make_config(), tmp_path)
  before = tiny.read_lines(tmp_path)
  monkeypatch.setattr(evaluation, 'run', None)
  _assert_equal(segmentation.train(tiny.make_config(), tmp_path), first)
  assert tiny.read_lines(tmp_path) == before


def test_evaluation_that_was_cut_short_is_done_on_restart(
  tmp_path, monkeypatch
):
  def kill(*args, **kwargs):
    raise KeyboardInterrupt

  with monkeypatch.context() as patch:
    patch.setattr(evaluation, 'run', kill)
    with pytest.raises(KeyboardInterrupt):
      segmentation.train(tiny.make_config(stop_step=6), tmp_path / 'parts')
  assert _steps(tmp_path / 'parts') == [3, 6]
  assert not (tmp_path / 'parts' / 'scores.json').exists()
  segmentation.train(tiny.make_config(), tmp_path / 'parts')
  segmentation.train(tiny.make_config(), tmp_path / 'whole')
  assert tiny.read_scores(tmp_path / 'parts') == tiny.read_scores(
    tmp_path / 'whole'
  )


@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGINT])
def test_signal_saves_and_returns(tmp_path, monkeypatch, capfd, number):
  whole = segmentation.train(tiny.make_config(), tmp_path / 'whole')

  def stream(*args, **kwargs):
    for i, batch in enumerate(tiny.train_stream(*args, **kwargs)):
      if i == 7:
        os.kill(os.getpid(), number)
      yield batch

  with monkeypatch.context() as patch:
    patch.setattr(pipeline, 'train_stream', stream)
    state = segmentation.train(tiny.make_config(), tmp_path / 'parts')
  step = int(state.step)
  assert step < 12
  assert _steps(tmp_path / 'parts')[-1] == step
  message = (
    f'stopped by {number.name} and saved at step {step} of 12; run the same'
    ' command again to continue'
  )
  assert message in capfd.readouterr().err
  _assert_equal(
    segmentation.train(tiny.make_config(), tmp_path / 'parts'), whole
  )


def test_signal_during_an_evaluation(tmp_path, monkeypatch):
  real = tiny.eval_stream

  def stream(*args, **kwargs):
    for i, batch in enumerate(real(*args, **kwargs)):
      if i == 1:
        os.kill(os.getpid(), signal.SIGTERM)
      yield batch

  with monkeypatch.context() as patch:
    patch.setattr(pipeline, 'eval_stream', stream)
    state = segmentation.train(tiny.make_config(), tmp_path)
  assert int(state.step) == 6
  assert not (tmp_path / 'scores.json').exists()
  segmentation.train(tiny.make_config(), tmp_path)
  evaluated = [
    x['step'] for x in tiny.read_lines(tmp_path) if x['kind'] == 'eval'
  ]
  assert evaluated == [6, 12]


def test_nan_stops_names_the_loss_and_keeps_the_last_good_checkpoint(tmp_path):
  config = tiny.make_config(method={'poison': 8})
  with pytest.raises(
    window.NonFiniteError,
    match=(
      r'not finite at step 8: loss_other=nan, loss_seg=nan; the last good'
      rf' checkpoint is {tmp_path}/checkpoints/6$'
    ),
  ):
    segmentation.train(config, tmp_path)
  assert _steps(tmp_path) == [3, 6]
  assert all(line['step'] < 8 for line in tiny.read_lines(tmp_path))


def test_nan_before_the_first_checkpoint(tmp_path):
  config = tiny.make_config(method={'poison': 1}, log_every=0)
  with pytest.raises(
    window.NonFiniteError, match=r'step 1: .*no checkpoint was written'
  ):
    segmentation.train(config, tmp_path)
  assert _steps(tmp_path) == []


def test_parameters_that_are_not_finite_are_never_saved(tmp_path):
  config = tiny.make_config(method={'poison_spare': 3})
  with pytest.raises(
    window.NonFiniteError,
    match=(
      r'not finite in the state after step 3: .*nets/task/params/spare; no'
      r' checkpoint was written'
    ),
  ):
    segmentation.train(config, tmp_path)
  assert _steps(tmp_path) == []


@pytest.mark.parametrize(
  ('changes', 'message'),
  [
    ({'batch_size': 3}, r'batch_size=3 does not divide over 2 devices'),
    ({'batch_size': 0}, r'batch_size=0; expected at least 1'),
    ({'stop_step': 13}, r'stop_step=13; expected at most total_steps=12'),
    ({'classes': 'ade20k'}, r"unknown class set 'ade20k'; .*coarse7"),
    ({'keep_last': 0}, r'keep_last=0; expected at least 1'),
    ({'name': 'dad'}, r"unknown method 'dad'"),
    ({'seed': 10**20}, r'seed=10{20}; expected -2147483648 to 4294967295'),
  ],
)
def test_bad_config(tmp_path, changes, message):
  with pytest.raises(errors.UserError, match=message):
    segmentation.train(tiny.make_config(**changes), tmp_path / 'run')


def test_workdir_of_another_run(tmp_path):
  segmentation.train(tiny.make_config(stop_step=3), tmp_path)
  with pytest.raises(
    errors.UserError, match=r'differing: seed \(3 there, 4 here\)'
  ):
    segmentation.train(tiny.make_config(seed=4), tmp_path)
  # Nor can steps be taken back.
  with pytest.raises(errors.UserError, match=r'reached step 3, .*at least 3'):
    segmentation.train(tiny.make_config(stop_step=2), tmp_path)
  assert json.loads((tmp_path / 'config.json').read_text())['stop_step'] == 3


def test_a_workdir_that_is_trained_in(tmp_path, monkeypatch):
  config, real = tiny.make_config(), segmentation._evaluate
  begun = []

  def evaluate(*args):
    with pytest.raises(errors.UserError, match='is in use by another training'):
      segmentation.train(config, tmp_path)
    begun.append(tiny.read_lines(tmp_path))
    return real(*args)

  monkeypatch.setattr(segmentation, '_evaluate', evaluate)
  segmentation.train(config, tmp_path)
  # The other one took nothing away, and the end lets go of the folder.
  assert begun
  assert begun[-1] == tiny.read_lines(tmp_path)[: len(begun[-1])]
  segmentation.train(config, tmp_path)


def test_workdir_is_a_file(tmp_path):
  (tmp_path / 'run').write_text('')
  with pytest.raises(errors.UserError, match='is a file; expected a folder'):
    segmentation.train(tiny.make_config(), tmp_path / 'run')


def test_step_is_compiled_once_even_after_a_restart(tmp_path, monkeypatch):
  traces = []
  real = tiny.Method.train_step

  def counted(self, *args):
    traces.append(1)
    return real(self, *args)

  monkeypatch.setattr(tiny.Method, 'train_step', counted)
  segmentation.train(tiny.make_config(stop_step=6), tmp_path)
  assert len(traces) == 1
  segmentation.train(tiny.make_config(), tmp_path)
  assert len(traces) == 2


def test_is_due():
  assert [loop.is_due(i, 3) for i in (1, 2, 3, 6)] == [
    False,
    False,
    True,
    True,
  ]
  assert not loop.is_due(3, 0)


def test_devices_share_the_batch(tmp_path):
  assert jax.device_count() == 2
  state = segmentation.train(tiny.make_config(stop_step=2), tmp_path)
  kernel = state.nets['task'].params['kernel']
  first, second = (np.asarray(x.data) for x in kernel.addressable_shards)
  np.testing.assert_array_equal(first, second)
  assert kernel.sharding.is_equivalent_to(parallel.replicated(), kernel.ndim)
