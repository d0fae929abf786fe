"""Every row of DADA's ablation trains the parts that the paper says."""

import dataclasses
import functools

import jax
import numpy as np
import pytest

from configs import dada
from jaxuda import errors
from jaxuda import methods
from jaxuda.methods.parts import learner
from jaxuda.models import deeplab
from jaxuda.step import parallel
from jaxuda.step import rng
from jaxuda.ui import command
from tests import filling

CLASSES = 19
DEPTH = {'enc4_1', 'enc4_2', 'enc4_3'}
SEG, BOTH = {'layer6'}, {'layer6', 'dec4'}
# From section 4.3: the discriminators with the channels that each sees, whether
# depth is supervised, whether features are fused. What follows from that: the
# parts of the network, other than the backbone, that the adversarial losses
# train.
ROWS = {
  'S1': ({}, False, False, set()),
  'S2': ({'disc': CLASSES}, False, False, SEG),
  'S3': ({'disc': CLASSES}, True, True, BOTH | DEPTH),
  'S4': ({'disc': 1}, True, False, DEPTH),
  'S5': ({'disc': 1}, True, True, DEPTH),
  'S6': ({'disc_seg': CLASSES, 'disc_depth': 1}, True, True, BOTH | DEPTH),
  'S7': ({'disc': CLASSES}, True, True, BOTH | DEPTH),
}


def read(row, pair='streets', flags=()):
  config = command.read_config(f'dada:pair={pair},ablation={row}', flags)
  return methods.create(config)


def make_batch(method):
  generator = np.random.default_rng(0)
  shape = (1, 40, 56)
  arrays = {
    'image': generator.integers(0, 256, (*shape, 3), np.uint8),
    'label': generator.integers(0, CLASSES, shape).astype(np.int32),
    'depth': generator.uniform(2, 80, shape).astype(np.float32),
  }
  batch = {k: {f: arrays[f] for f in v} for k, v in method.needs.items()}
  if 'depth' in batch['source']:
    batch['source']['depth_valid'] = np.ones(shape, bool)
  return batch


def test_all_rows_are_there():
  assert dada.ABLATIONS.keys() == ROWS.keys()


@pytest.mark.parametrize('row', ROWS)
def test_losses_and_networks_of_a_row(row):
  discs, depth, fuse, _ = ROWS[row]
  method = read(row)
  network = dataclasses.replace(method.network, backbone='resnet_tiny')
  method = dataclasses.replace(method, network=network)
  batch = make_batch(method)
  assert 'label' not in batch.get('target', ())
  assert ('depth' in batch['source']) == depth
  state = jax.eval_shape(method.init, rng.root(0), batch)
  task = state.nets['task'].params
  assert ('depth' in task) == depth
  assert ('dec4' in task.get('depth', ())) == fuse
  assert {
    name: net.params['conv0']['kernel'].shape[2]
    for name, net in state.nets.items()
    if name != 'task'
  } == discs
  _, metrics = jax.eval_shape(
    functools.partial(parallel.run_alone, method.train_step),
    *(state, batch, rng.root(0)),
  )
  terms = {'loss_seg'} | ({'loss_depth'} if depth else set())
  for name in discs:
    end = name.removeprefix('disc')
    terms |= {f'loss_{x}{end}' for x in ('adv', 'd_source', 'd_target')}
  assert metrics.keys() == terms


def test_statistics_of_the_row_without_adaptation():
  # As for the published figures: the source's, unless requested otherwise.
  for row, own in (('S1', 'both'), ('S4', 'target')):
    for asked in ('', 'both', 'target'):
      flags = [f'--config.method.statistics={asked}'] * bool(asked)
      method = read(row, flags=flags)
      assert method.statistics == (asked or own)
      assert ('target' in method.needs) == (row != 'S1' or asked == 'target')


def find_trained(method, loss, *args, state):
  """Returns the parts of the network with a gradient in a pass."""
  task = state.nets['task']
  grads = jax.jit(
    lambda params: learner.run_passes(
      params, task.batch_stats, [(loss, *args)]
    )[0]
  )(task.params)
  parts = {**grads, **grads.get('depth', {})}
  return {
    name
    for name, tree in parts.items()
    if any(np.any(np.asarray(x)) for x in jax.tree.leaves(tree))
  } - {'depth'}


@pytest.mark.parametrize('row', ROWS)
def test_what_the_losses_of_a_row_train(row):
  discs, depth, fuse, adversarial = ROWS[row]
  # Depths of order one: far larger ones leave a discriminator no gradient.
  tiny = deeplab.Options(backbone='resnet_tiny', init='he')
  # Passes are tested outside of a mapped step.
  method = dataclasses.replace(read(row), network=tiny, sums='device')
  batch = make_batch(method)
  state = filling.fill_state(method, batch)
  find = functools.partial(find_trained, method, state=state)
  supervised = SEG | (DEPTH if depth else set()) | ({'dec4'} if fuse else set())
  found = find(method.source_loss, batch['source'])
  assert found == supervised | {'backbone'}
  if discs:
    params = {name: state.nets[name].params for name in discs}
    found = find(method.target_loss, params, batch['target'])
    assert found == adversarial | {'backbone'}


def test_weights():
  # The paper's, and ten times as much on small pairs.
  for pair, weight in (('synthia2cityscapes', 1e-3), ('streets', 1e-2)):
    for row, (_, depth, *_) in ROWS.items():
      method = read(row, pair)
      assert method.lambda_seg == 1
      assert method.lambda_adv == weight
      assert method.lambda_depth == (weight if depth else 0)
      assert (method.align_scale, method.align_depth_gradient) == ('none', True)


def test_unknown_rows_are_named():
  with pytest.raises(errors.UserError, match="unknown ablation 'S8'"):
    command.read_config('dada:ablation=S8')
