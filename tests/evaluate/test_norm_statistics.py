"""Statistics of norms, re-estimated on the target."""

import dataclasses
import functools
import json
import os
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxuda import errors
from jaxuda.data import pipeline
from jaxuda.evaluate import __main__ as command
from jaxuda.evaluate import evaluation
from jaxuda.evaluate import norm_statistics
from jaxuda.methods import dacs
from jaxuda.methods import gio_ada
from jaxuda.methods import source_only
from jaxuda.models import deeplab
from jaxuda.run import workdir as workdir_lib
from jaxuda.step import state as state_lib
from jaxuda.weights import runs
from tests import tiny

SIZE = (32, 48)
NETWORK = deeplab.Options(backbone='resnet_tiny', init='torch')
COMMON = {'num_classes': 7, 'total_steps': 10, 'network': NETWORK}


@pytest.fixture(autouse=True)
def images(monkeypatch):
  """Returns the target's five training images, of different brightness."""
  rng = np.random.default_rng(0)
  made = [
    (rng.integers(0, 256, (*SIZE, 3)) * share).astype(np.uint8)
    for share in (0.2, 0.9, 0.5, 1.0, 0.1)
  ]

  def stream(data_config):
    assert data_config.target.split == 'train'
    return iter([{'image': x, 'name': b'x'} for x in made]), len(made)

  tiny.install(monkeypatch)
  monkeypatch.setattr(pipeline, 'image_stream', stream)
  return np.stack(made)


@functools.cache
def begin():
  """Returns a method and its initial state, compiled once."""
  method = source_only.Method(**COMMON)
  batch = {
    'source': {
      'image': np.zeros((1, *SIZE, 3), np.uint8),
      'label': np.zeros((1, *SIZE), np.int32),
    }
  }
  return method, jax.jit(method.init)(jax.random.key(0), batch)


def make():
  config = tiny.make_config(batch_size=2, eval_batch_size=1)
  config.data.target.size = SIZE
  return config, *begin()


def convolve(kernel, images):
  """Returns the input of the first norm, without any of our layers."""
  normalized = images[..., ::-1] - np.array(NETWORK.image_mean, np.float32)
  return jax.lax.conv_general_dilated(
    jnp.asarray(normalized),
    kernel,
    window_strides=(2, 2),
    padding=((3, 3), (3, 3)),
    dimension_numbers=('NHWC', 'HWIO', 'NHWC'),
  )


def test_the_first_norm_by_hand(images):
  config, method, state = make()
  after, what = norm_statistics.reestimate(method, state, config)
  assert what == 'target: 5 images of tiny train'
  old, new = state.nets['task'], after.nets['task']
  kernel = old.params['backbone']['conv1']['kernel']
  seen = np.asarray(convolve(kernel, images), np.float64)
  mean = seen.mean((0, 1, 2))
  # Batches of 2, 2 and 1 images, in which the variance is unbiased.
  variance = 0
  for batch in (seen[:2], seen[2:4], seen[4:]):
    flat = batch.reshape(-1, seen.shape[-1])
    distance = (flat.mean(0) - mean) ** 2
    variance = variance + len(batch) * (flat.var(0, ddof=1) + distance) / 5
  stats = new.batch_stats['backbone']['bn1']
  np.testing.assert_allclose(stats['mean'], mean, rtol=1e-4)
  np.testing.assert_allclose(stats['var'], variance, rtol=1e-4)
  np.testing.assert_allclose(stats['var'], seen.var((0, 1, 2)), rtol=5e-3)
  # For all norms; no weight changes.
  assert new.params is old.params
  for x, y in zip(
    *(jax.tree.leaves(net.batch_stats) for net in (old, new)), strict=True
  ):
    assert x.dtype == y.dtype
    assert np.abs(np.asarray(x) - y).max() > 1e-6


def test_norms_that_are_frozen_in_training_are_no_exception():
  config, method, state = make()
  after, _ = norm_statistics.reestimate(method, state, config)
  frozen = dataclasses.replace(
    method, network=dataclasses.replace(NETWORK, norm='frozen')
  )
  again, _ = norm_statistics.reestimate(frozen, state, config)
  jax.tree.map(
    np.testing.assert_array_equal,
    *(x.nets['task'].batch_stats for x in (after, again)),
  )


def test_one_process_shows_the_progress(monkeypatch, capsys):
  config, method, state = make()
  monkeypatch.setattr(jax, 'process_index', lambda: 1)
  norm_statistics.reestimate(method, state, config)
  assert capsys.readouterr().err == ''
  monkeypatch.setattr(jax, 'process_index', lambda: 0)
  norm_statistics.reestimate(method, state, config)
  assert 'statistics of tiny train' in capsys.readouterr().err


def test_the_network_that_is_scored_gets_them():
  config, _, state = make()
  task = state.nets['task']
  state = state.replace(teacher=task.replace(opt_state=()))
  method = dacs.Method(**COMMON, evaluate='teacher')
  after, _ = norm_statistics.reestimate(method, state, config)
  assert after.nets['task'] is task
  moved = after.teacher.batch_stats['backbone']['bn1']['mean']
  assert np.abs(moved).max() > 1


def test_scores_say_whose_statistics_they_are_with():
  config, method, state = make()
  scored = evaluation.run(method, state, config, step=3)
  assert {x['statistics'] for x in scored['figures'].values()} == {'own'}
  after, what = norm_statistics.reestimate(method, state, config)
  again = evaluation.run(method, after, config, step=3, statistics=what)
  assert {x['statistics'] for x in again['figures'].values()} == {what}
  # Other statistics, other predictions.
  assert again['images'] != scored['images']
  plain, config = tiny.Method(), tiny.make_config()
  state = plain.init(*workdir_lib.init_args(config, plain))
  (figure, *_) = evaluation.run(plain, state, config, step=3)[
    'figures'
  ].values()
  assert figure['statistics'] == 'none'


class Flags(dict):
  """The values of the command's flags; those not given are None."""

  __getattr__ = dict.get

  def __missing__(self, name):
    return types.SimpleNamespace(value=None)


def test_the_command(monkeypatch, tmp_path, capsys):
  config, method, state = make()
  run = workdir_lib.Run(config=config, method=method, state=state, step=3)
  monkeypatch.setattr(runs, 'load', lambda **_: run)
  given = Flags(workdir=str(tmp_path), scales=['1'], flip=False, window=False)
  command._main(Flags(given, statistics='own'))
  command._main(Flags(given, statistics='target', against='other'))
  own, target = (
    json.loads((tmp_path / f'evaluation{x}.json').read_text())
    for x in ('', '_target_statistics')
  )
  figure = own['figures']['mIoU7']
  assert figure['statistics'] == 'own'
  after, what = norm_statistics.reestimate(method, state, config)
  expected = evaluation.run(method, after, config, step=3, statistics=what)
  assert target['figures']['mIoU7'] == expected['figures']['mIoU7']
  assert target['figures']['mIoU7']['statistics'] == what
  # The other run, with its target statistics, too: not one image is worse.
  assert target['figures']['negative_transfer_rate']['value'] == 0
  shown = capsys.readouterr().out
  assert shown.count('statistics of the target: 5 images of tiny train') == 1


def test_nothing_is_scored_that_would_be_lost(monkeypatch, tmp_path):
  def load(workdir, **unused):
    if workdir == 'other':
      raise errors.UserError('other/config.json is missing')

  monkeypatch.setattr(runs, 'load', load)
  monkeypatch.setattr(evaluation, 'run', None)
  given = Flags(workdir=str(tmp_path), scales=['1'], flip=False, window=False)
  with pytest.raises(errors.UserError, match='other/config'):
    command._main(Flags(given, against='other'))
  monkeypatch.setattr(runs, 'load', None)
  monkeypatch.setattr(os, 'access', lambda *_: False)
  with pytest.raises(errors.UserError, match='no permission to'):
    command._main(given)


@pytest.mark.parametrize('backbone', ['vgg16', 'resnet101'])
def test_a_network_without_norms_is_an_error(backbone):
  network = deeplab.Options(backbone=backbone, norm='none')
  method = gio_ada.Method(num_classes=7, total_steps=10, network=network)
  net = state_lib.Net(params={}, batch_stats={}, opt_state=())
  state = state_lib.create({'task': net})
  with pytest.raises(
    errors.UserError,
    match=f'no running statistics .network.backbone={backbone}, network.norm=n',
  ):
    norm_statistics.reestimate(method, state, tiny.make_config())
