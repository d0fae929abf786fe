"""What is specific to CorDA and DACS; the rest is in `test_all_methods`."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxuda import errors
from jaxuda.methods import corda
from jaxuda.methods import dacs
from jaxuda.models import deeplab
from jaxuda.ops import mixing
from jaxuda.step import parallel

NETWORK = deeplab.Options(
  backbone='resnet_tiny', init='he', train_affine=True, active_rates=2
)
COMMON = {'num_classes': 5, 'total_steps': 100, 'network': NETWORK}
SIZE = (33, 41)


def shapes(method):
  """Returns the shapes of (state, one device's batch)."""
  types = {
    'image': ((2, *SIZE, 3), jnp.uint8),
    'label': ((2, *SIZE), jnp.int32),
    'depth': ((2, *SIZE), jnp.float32),
    'depth_valid': ((2, *SIZE), jnp.bool_),
  }
  batch = {
    domain: {
      k: jax.ShapeDtypeStruct(*v)
      for k, v in types.items()
      if k.removesuffix('_valid') in fields
    }
    for domain, fields in method.needs.items()
  }
  key = jax.random.key(0)
  return jax.eval_shape(method.init, key, batch), batch, key


def trace(fn, args):
  return jax.eval_shape(lambda *a: parallel.run_alone(fn, *a), *args)


ROWS = {
  'FD': ({}, True, {'target decoder', 'source decoder', 'mixed depth'}),
  'F': (
    {'difficulty': 'none'},
    True,
    {'target decoder', 'source decoder', 'mixed depth'},
  ),
  'paper': (
    {'difficulty': 'paper', 'initial_semantic': 'backbone'},
    True,
    {'target decoder', 'source decoder', 'mixed depth'},
  ),
  'no_attention': (
    {'structure': 'no_attention', 'difficulty': 'none'},
    False,
    {'target decoder', 'mixed depth'},
  ),
  'simple_aux': (
    {'structure': 'simple_aux', 'difficulty': 'none'},
    False,
    {'target decoder', 'mixed depth'},
  ),
}


@pytest.mark.parametrize('row', ROWS)
def test_rows_of_the_ablation_build_what_they_use(row):
  fields, initial, depths = ROWS[row]
  method = corda.Method(width=8, **fields, **COMMON)
  args = shapes(method)
  _, metrics = trace(method.train_step, args)
  terms = {'loss_seg', 'loss_depth', 'loss_mixed', 'loss_mixed_depth'}
  if initial:
    terms |= {f'{k}_initial' for k in terms}
  assert metrics.keys() == terms | {'quality'}
  shown = trace(method.pictures, args)
  assert shown['depth'].keys() == depths
  assert ('attention' in shown['share']) == initial
  with_difficulty = method.difficulty != 'none'
  assert ('with difficulty' in shown['share']) == with_difficulty
  # There are no parts without effect.
  params = args[0].nets['task'].params
  assert ('distill_depth' in params) == initial
  assert ('bottleneck_depth_0' in params) == (row != 'simple_aux')


def test_teacher_labels_with_its_initial_head_first():
  fixed = corda.Method(initial_steps=7, **COMMON)
  share = corda.Method(initial_fraction=0.1, **COMMON)
  assert (fixed.initial_until, share.initial_until) == (7, 10)
  assert corda.Method(**COMMON).initial_until == 0


def test_initial_heads_weigh_as_the_final_ones():
  method = corda.Method(lambda_seg=2.0, lambda_mixed_depth=0.1, **COMMON)
  terms = {'loss_seg': 1.0, 'loss_seg_initial': 3.0, 'loss_mixed_depth': 5.0}
  assert method.add_weights(terms) == {
    'loss_seg': (2.0, 1.0),
    'loss_seg_initial': (2.0, 3.0),
    'loss_mixed_depth': (0.1, 5.0),
  }


def test_step_mixes_and_averages():
  # Two steps: the teacher copies the first student, then averages two.
  options = mixing.Options(jitter='none', blur_probability=0.0)
  method = dacs.Method(mixing=options, **COMMON)
  rng = np.random.default_rng(0)
  batch = {
    'source': {
      'image': rng.integers(0, 256, (2, *SIZE, 3), np.uint8),
      'label': rng.integers(0, 5, (2, *SIZE), np.int32),
    },
    'target': {'image': rng.integers(0, 256, (2, *SIZE, 3), np.uint8)},
  }
  key = jax.random.key(1)
  state = jax.jit(method.init)(key, batch)
  assert jax.tree.all(
    jax.tree.map(
      np.array_equal, state.teacher.params, state.nets['task'].params
    )
  )
  step = jax.jit(lambda *a: parallel.run_alone(method.train_step, *a))
  first, _ = step(state, batch, key)
  second, _ = step(first, batch, key)
  students = [s.nets['task'].params['layer6'] for s in (first, second)]
  for name in ('conv0_kernel', 'conv1_bias'):
    one, two = (np.asarray(s[name]) for s in students)
    np.testing.assert_array_equal(first.teacher.params['layer6'][name], one)
    np.testing.assert_allclose(
      second.teacher.params['layer6'][name], (one + two) / 2, rtol=1e-5
    )
    assert np.any(one != two)
  # The two rates that do not act neither learn nor decay.
  np.testing.assert_array_equal(
    students[1]['conv2_kernel'],
    state.nets['task'].params['layer6']['conv2_kernel'],
  )


def test_only_an_oracle_reads_labels_of_the_target():
  oracle = mixing.Options(weight='oracle', jitter='none', blur_probability=0.0)
  for module in (corda, dacs):
    method = module.Method(**COMMON)
    assert 'label' not in method.needs['target']
    method = module.Method(mixing=oracle, **COMMON)
    assert 'label' in method.needs['target']
    _, metrics = trace(method.train_step, shapes(method))
    assert 'quality' in metrics
  # DACS: the share of right pixels, their places, and the mixed image.
  rng = np.random.default_rng(0)
  batch = {
    domain: {
      'image': rng.integers(0, 256, (2, *SIZE, 3), np.uint8),
      'label': rng.integers(0, 5, (2, *SIZE), np.int32),
    }
    for domain in ('source', 'target')
  }
  key = jax.random.key(1)
  state = jax.jit(method.init)(key, batch)
  mix = jax.jit(lambda *a: parallel.run_alone(method.mix, *a))
  mixed, target, _ = mix(state, batch, key)
  right = np.asarray(target['label']) == batch['target']['label']
  assert 0.05 < right.mean() < 0.5
  np.testing.assert_array_equal(target['weight'], right)
  np.testing.assert_array_equal(
    mixed['weight'], np.where(mixed['mask'], 1, right)
  )


@pytest.mark.parametrize(
  ('fields', 'message'),
  [
    ({'structure': 'half'}, 'method.structure'),
    ({'difficulty': 'x'}, 'method.difficulty'),
    ({'adversarial': 'x'}, 'method.adversarial'),
    ({'evaluate': 'both'}, 'method.evaluate'),
    ({'structure': 'simple_aux'}, 'expected difficulty=none'),
  ],
)
def test_bad_fields_are_named(fields, message):
  with pytest.raises(errors.UserError, match=message):
    corda.Method(**fields, **COMMON)
  if 'evaluate' in fields:
    with pytest.raises(errors.UserError, match=message):
      dacs.Method(**fields, **COMMON)
