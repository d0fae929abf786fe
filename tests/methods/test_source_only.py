"""The running statistics of source-only training: source or target."""

import dataclasses
import functools

import jax
import numpy as np
import pytest

from jaxuda import errors
from jaxuda import methods
from jaxuda.methods import dada
from jaxuda.methods import depdis
from jaxuda.methods import source_only
from jaxuda.models import deeplab
from jaxuda.step import parallel
from jaxuda.step import rng
from jaxuda.ui import command
from tests import filling

COMMON = {
  'num_classes': 5,
  'total_steps': 10,
  'network': deeplab.Options(
    backbone='resnet_tiny', init='he', train_affine=True
  ),
}
PLAIN = source_only.Method(**COMMON)
ADABN = dataclasses.replace(PLAIN, statistics='target')


def make_batch():
  generator = np.random.default_rng(0)
  shape = (2, 40, 56)
  return {
    'source': {
      'image': generator.integers(0, 256, (*shape, 3), np.uint8),
      'label': generator.integers(0, 5, shape).astype(np.int32),
    },
    # Darker, so that its statistics differ.
    'target': {'image': generator.integers(0, 64, (*shape, 3), np.uint8)},
  }


def step(method, state, batch):
  batch = {k: {f: batch[k][f] for f in v} for k, v in method.needs.items()}
  run = jax.jit(functools.partial(parallel.run_alone, method.train_step))
  new, metrics = run(state, batch, rng.root(0))
  return new.nets['task'], metrics


def check_equal(one, other, **tolerance):
  for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
    np.testing.assert_allclose(a, b, **tolerance)


def test_the_target_gives_the_statistics_and_nothing_else():
  batch = make_batch()
  assert PLAIN.needs == {'source': ('image', 'label')}
  assert ADABN.needs == {**PLAIN.needs, 'target': ('image',)}
  state = jax.jit(ADABN.init)(rng.for_init(0), batch)
  before = state.nets['task']
  plain, terms = step(PLAIN, state, batch)
  adapted, metrics = step(ADABN, state, batch)
  assert metrics.keys() == terms.keys() == {'loss_seg'}
  np.testing.assert_allclose(metrics['loss_seg'], terms['loss_seg'], rtol=1e-6)
  # The update is that of the source.
  check_equal(adapted.params, plain.params, rtol=1e-5, atol=1e-7)
  assert np.any(
    plain.params['layer6']['conv0_kernel']
    != before.params['layer6']['conv0_kernel']
  )
  # A forward pass by hand, at the old parameters.
  _, variables = ADABN.task.apply(
    {'params': before.params, 'batch_stats': before.batch_stats},
    batch['target']['image'],
    train=True,
    mutable=['batch_stats'],
  )
  check_equal(
    adapted.batch_stats, variables['batch_stats'], rtol=1e-3, atol=1e-5
  )
  # The first norm without the network: a tenth of the batch mean.
  image = batch['target']['image']
  first = deeplab.normalize(ADABN.network, image)
  kernel = before.params['backbone']['conv1']['kernel']
  features = jax.lax.conv_general_dilated(
    *(first, kernel, (2, 2), [(3, 3), (3, 3)]),
    dimension_numbers=('NHWC', 'HWIO', 'NHWC'),
  )
  found = adapted.batch_stats['backbone']['bn1']['mean']
  np.testing.assert_allclose(
    found, 0.1 * features.mean((0, 1, 2)), rtol=1e-3, atol=1e-4
  )
  other = plain.batch_stats['backbone']['bn1']['mean']
  assert np.abs(found - other).max() > 1


@pytest.mark.parametrize(
  'twin',
  [
    dada.Method(align='none', lambda_depth=0.0, fuse=False, **COMMON),
    depdis.Method(
      **{'align': 'none', 'lambda_depth': 0.0, 'lambda_balance': 0.0},
      **{'lambda_balance_target': 0.0, 'class_weights': (1,) * 5},
      **{**COMMON, 'optim': PLAIN.optim},
    ),
  ],
  ids=['dada', 'depdis'],
)
def test_other_methods_without_a_loss_of_the_target(twin):
  adapted = dataclasses.replace(twin, statistics='target')
  assert (twin.needs, adapted.needs) == (PLAIN.needs, ADABN.needs)
  batch = make_batch()
  state = filling.fill_state(ADABN, batch)
  theirs, metrics = step(adapted, state, batch)
  ours, terms = step(ADABN, state, batch)
  assert metrics.keys() == terms.keys()
  np.testing.assert_allclose(metrics['loss_seg'], terms['loss_seg'], rtol=1e-6)
  check_equal(ours.params, theirs.params, rtol=1e-5, atol=1e-7)
  check_equal(ours.batch_stats, theirs.batch_stats, rtol=1e-4, atol=1e-5)


def test_it_is_dada_without_alignment():
  batch = make_batch()
  twin = dada.Method(
    lambda_depth=0.0,
    lambda_adv=0.0,
    fuse=False,
    align='seg',
    statistics='target',
    disc_width=4,
    **COMMON,
  )
  state = jax.jit(twin.init)(rng.for_init(0), batch)
  theirs, _ = step(twin, state, batch)
  ours, _ = step(ADABN, state, batch)
  check_equal(ours.params, theirs.params, rtol=1e-5, atol=1e-7)
  check_equal(ours.batch_stats, theirs.batch_stats, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize('weights', [(), (1, 0, 5, 2, 0.5)])
@pytest.mark.parametrize(
  'plain',
  [
    PLAIN,
    dada.Method(lambda_depth=0.0, fuse=False, align='none', **COMMON),
  ],
  ids=['source_only', 'dada'],
)
def test_class_weights(plain, weights):
  method = dataclasses.replace(plain, class_weights=list(weights))
  batch = make_batch()
  batch['source']['label'][:, ::3] = 255
  state = jax.jit(method.init)(rng.for_init(0), batch)
  _, metrics = step(method, state, batch)
  task = state.nets['task']
  out, _ = jax.jit(method.learner.run)(
    task.params, task.batch_stats, batch['source']['image']
  )
  # sum(w nll) / sum(w) over the labelled pixels.
  labelled = batch['source']['label'] < 255
  label = batch['source']['label'][labelled]
  logs = np.asarray(jax.nn.log_softmax(out['logits'])[labelled])
  weight = np.array(weights or (1,) * 5)[label]
  expected = -(weight * logs[np.arange(len(label)), label]).sum()
  np.testing.assert_allclose(
    metrics['loss_seg'], expected / weight.sum(), rtol=1e-4
  )


@pytest.mark.parametrize('make', [source_only.Method, dada.Method])
def test_wrong_class_weights_are_named(make):
  with pytest.raises(
    errors.UserError, match='class_weights has 2 numbers; exp'
  ):
    make(class_weights=(1, 2), **COMMON)
  with pytest.raises(errors.UserError, match='expected numbers of at least 0'):
    make(class_weights=(1, 2, -1, 1, 1), **COMMON)
  # A list does not make it unhashable.
  assert hash(make(class_weights=[1] * 5, **COMMON))


def test_argument_of_the_config():
  for text, chosen in (('', 'source'), (',statistics=target', 'target')):
    config = command.read_config(f'source_only:pair=streets{text}')
    assert methods.create(config).statistics == chosen
  for text, message in (
    ('statistics=both', "unknown statistics 'both'"),
    ('statistics=target,train_on=target', 'expected statistics=source'),
  ):
    with pytest.raises(errors.UserError, match=message):
      command.read_config(f'source_only:pair=streets,{text}')


def test_the_oracle_reads_the_folder_of_the_target():
  config = command.read_config(
    'source_only:pair=streets2camvid,train_on=target'
  )
  config.data.target.manual_dir = 'one'
  assert config.data.source.manual_dir == 'one'
  config.data.source.manual_dir = 'two'
  assert config.data.target.manual_dir == 'one'


@pytest.mark.parametrize(
  ('network', 'message'),
  [
    ({'norm': 'frozen'}, 'network.norm=frozen freezes; expected .*batch'),
    ({'norm': 'none'}, 'network.norm=none lacks; expected .*batch'),
    ({'backbone': 'vgg16'}, 'network.backbone=vgg16 lacks'),
  ],
)
def test_a_network_without_moving_statistics_is_refused(network, message):
  options = dataclasses.replace(PLAIN.network, **network)
  with pytest.raises(errors.UserError, match=f'statistics=target.*{message}'):
    dataclasses.replace(PLAIN, network=options, statistics='target')
