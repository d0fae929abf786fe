"""Feature distance and masked images, in DACS and CorDA."""

import dataclasses
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxuda.losses import features
from jaxuda.methods import corda
from jaxuda.methods import dacs
from jaxuda.methods.parts import recipe
from jaxuda.models import deeplab
from jaxuda.ops import masking
from jaxuda.ops import mixing
from jaxuda.step import parallel
from jaxuda.step import state as state_lib

NETWORK = deeplab.Options(
  backbone='resnet_tiny', init='he', train_affine=True, active_rates=2
)
COMMON = {'num_classes': 5, 'total_steps': 100, 'network': NETWORK}
# A network before its first step is certain of nothing.
ALL = mixing.Options(weight='none')
SIZE = (33, 41)
ADDED = {
  'masking': masking.Options(weight=2.0, block=8),
  'features': features.Options(weight=0.005, classes=(1, 2)),
}


def make_batch(method):
  rng = np.random.default_rng(0)
  fields = {
    'image': rng.integers(0, 256, (2, *SIZE, 3), np.uint8),
    'label': np.repeat(rng.integers(0, 5, (2, 1, 41)), 33, 1).astype(np.int32),
    'depth': rng.uniform(2, 60, (2, *SIZE)).astype(np.float32),
    'depth_valid': np.ones((2, *SIZE), bool),
  }
  return {
    domain: {k: fields[k] for k in fields if k.removesuffix('_valid') in names}
    for domain, names in method.needs.items()
  }


def trace_metrics(method):
  batch, key = make_batch(method), jax.random.key(0)
  state = jax.eval_shape(method.init, key, batch)
  _, metrics = jax.eval_shape(
    lambda *a: parallel.run_alone(method.train_step, *a), state, batch, key
  )
  return state, set(metrics)


@pytest.mark.parametrize(
  ('cls', 'more'),
  [
    (dacs.Method, {'loss_masked', 'loss_features'}),
    (
      corda.Method,
      {
        *('loss_masked', 'loss_masked_depth', 'loss_features'),
        *('loss_masked_initial', 'loss_masked_depth_initial'),
      },
    ),
  ],
)
def test_what_is_off_is_absent_and_what_is_on_is_there(cls, more):
  width = {} if cls is dacs.Method else {'width': 8}
  state, plain = trace_metrics(cls(**COMMON, **width))
  assert 'anchor' not in state.nets
  state, added = trace_metrics(cls(**COMMON, **width, **ADDED))
  assert added == plain | more
  assert set(state.nets['anchor'].params) == {'backbone'}


def test_masked_pixels_have_the_colour_that_becomes_zero():
  method = dacs.Method(**COMMON, masking=masking.Options(weight=1, ratio=1.0))
  batch = make_batch(method)
  masked = jax.vmap(
    lambda target: recipe.mask_target(method, target, jax.random.key(1)),
    axis_name=parallel.AXIS,
  )({k: x[None] for k, x in batch['target'].items()})
  seen = deeplab.normalize(NETWORK, masked['image'][0])
  np.testing.assert_allclose(seen, 0, atol=1e-5)
  assert not masked['mask'].any()


def test_the_features_are_the_backbones_and_have_the_gradient():
  # Outside of a step there is no axis of devices.
  method = dacs.Method(**COMMON, **ADDED, sums='device')
  batch = make_batch(method)
  state = jax.jit(method.init)(jax.random.key(0), batch)
  task = state.nets['task']
  source = recipe.add_anchor(method, state, batch['source'])
  # The anchor's features are those of the network's copy in evaluation mode.
  out, _ = deeplab.run(
    *(method.task, task.params, task.batch_stats, source['image']),
    train=False,
    features=True,
  )
  np.testing.assert_allclose(out['features'], source['anchor'], atol=1e-5)
  full = {'features': source['anchor'] + 3.0}
  losses = recipe.feature_loss(
    method, full, {**source, 'label': jnp.ones((2, *SIZE))}
  )
  (weight, value) = losses['loss_features']
  # Every cell is a thing; 3 in each of 16 channels is a distance of 12.
  assert weight == 0.005
  np.testing.assert_allclose(value, 12.0, rtol=1e-5)


def test_features_of_two_resolutions_are_of_the_small_image():
  network = deeplab.Options(
    backbone='mit_tiny', decoder='daformer', resolutions='hrda'
  )
  small = jax.ShapeDtypeStruct((1, 64, 128, 3), jnp.uint8)
  found, _ = jax.eval_shape(
    deeplab.Backbone(network).init_with_output, jax.random.key(0), small
  )
  # Cells of 64 pixels of the image: twice the backbone's stride.
  assert found.shape == (1, 1, 2, 16)
  label = jnp.zeros((1, 64, 128), int).at[:, :48, :64].set(1)
  label = label.at[:, :47, 64:].set(1)
  # 48 of 64 rows are enough, 47 are not.
  distance = features.feature_distance(
    jnp.ones((1, 1, 2, 1)).at[0, 0, 1].set(9),
    jnp.zeros((1, 1, 2, 1)),
    label,
    classes=(1,),
  )
  assert distance == 1


def test_an_anchor_follows_the_weights_that_training_begins_with():
  from jaxuda.train import warm_start  # Heavy.

  method = dacs.Method(**COMMON, **ADDED)
  state = jax.jit(method.init)(jax.random.key(0), make_batch(method))
  task = state.nets['task']
  ones, zeros = (
    jax.tree.map(lambda x, n=n: jnp.full_like(x, n), task) for n in (1, 0)
  )
  state = warm_start._replace(state, ones.params, zeros.batch_stats)
  anchor = state.nets['anchor']
  assert all((x == 1).all() for x in jax.tree.leaves(anchor.params))
  assert all((x == 0).all() for x in jax.tree.leaves(anchor.batch_stats))
  assert jax.tree.leaves(anchor.batch_stats)
  # The step donates their buffers: no two leaves may share one.
  kept = {id(x) for x in jax.tree.leaves(state.nets['task'].params)}
  assert not kept & {id(x) for x in jax.tree.leaves(anchor.params)}


def test_the_step_changes_the_student_and_keeps_the_anchor():
  method = dacs.Method(**COMMON, **ADDED, mixing=ALL)
  batch = make_batch(method)
  state = jax.jit(method.init)(jax.random.key(0), batch)
  step = jax.jit(lambda *a: parallel.run_alone(method.train_step, *a))
  new, metrics = step(state, batch, jax.random.key(1))
  assert np.isfinite(list(metrics.values())).all()
  same = jax.tree.map(
    lambda a, b: bool((a == b).all()), state.nets['anchor'], new.nets['anchor']
  )
  assert all(jax.tree.leaves(same))
  # The last pass, on masked images, matters: without it the step differs.
  less = dataclasses.replace(method, masking=masking.Options())
  other, _ = jax.jit(lambda *a: parallel.run_alone(less.train_step, *a))(
    state, batch, jax.random.key(1)
  )
  moved = jax.tree.map(
    lambda a, b: float(jnp.abs(a - b).max()),
    new.nets['task'].params,
    other.nets['task'].params,
  )
  assert max(jax.tree.leaves(moved)) > 0


@pytest.mark.parametrize(
  ('count_initial', 'teachers'),
  [
    # Students 3, 7 and 15 after the first, 1: means of two, then 0.6 and 0.4.
    (False, [3, 5, 0.6 * 5 + 0.4 * 15]),
    (True, [2, 0.6 * 2 + 0.4 * 7, 0.6 * 4 + 0.4 * 15]),
  ],
)
def test_what_follows_the_student_in_a_step(count_initial, teachers):
  """The passes are faked: the student's number x becomes 2 x + 1."""
  handed = []

  def train(task, passes, noise):
    del passes, noise
    task = task.replace(params=2 * task.params + 1)
    return task, {'loss_seg': task.params}, ['source', 'mixed', 'target']

  def update_each(nets, pair):
    handed.append(pair)
    return {**nets, 'disc': 'updated'}, {'loss_d': jnp.asarray(0.5)}

  def mix(state, batch, key):
    del batch, key
    statistics = 10.0 + state.step
    return {}, {'weight': jnp.array([[[0.25, 0.75, 0.5, 0.5]]])}, statistics

  method = types.SimpleNamespace(
    mix=mix,
    noise=lambda *_: None,
    learner=types.SimpleNamespace(train=train),
    adversary=types.SimpleNamespace(update_each=update_each),
    mixing=mixing.Options(alpha=0.6, count_initial=count_initial),
    masking=masking.Options(),
    features=features.Options(),
    adversarial='none',
    source_loss=None,
    mixed_loss=None,
  )
  one = state_lib.Net(
    params=jnp.asarray(1.0), batch_stats=jnp.asarray(0.0), opt_state=()
  )
  state = state_lib.create({'task': one}, teacher=one)
  for number, expected in enumerate(teachers):

    def step(_, state=state):
      batch = {'source': {}, 'target': {}}
      new, metrics = recipe.train_step(method, state, batch, None)
      assert new.nets['disc'] == 'updated'
      return new.replace(nets={'task': new.nets['task']}), metrics

    state, metrics = jax.tree.map(
      lambda x: x[0], jax.vmap(step, axis_name=parallel.AXIS)(jnp.zeros(1))
    )
    np.testing.assert_allclose(state.teacher.params, expected, rtol=1e-6)
    # Its own, of the target alone.
    assert state.teacher.batch_stats == 10 + number
    assert state.step == number + 1
    student = 2 ** (number + 2) - 1
    assert metrics == {'loss_seg': student, 'loss_d': 0.5, 'quality': 0.5}
  # Of the passes, the first and the last are of unmixed images.
  assert handed == [['source', 'target']] * 3
