import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxuda import errors
from jaxuda.models import corda
from jaxuda.models import deeplab
from jaxuda.step import by_name
from jaxuda.step import optim


def test_poly_schedule_values():
  schedule = optim.poly_schedule(2.5e-4, total_steps=90000, power=0.9)
  for step, rate in (
    (0, 2.5e-4),
    (30000, 1.735633e-4),
    (45000, 1.339717e-4),
    (54000, 1.095958e-4),
    (90000, 0),
  ):
    np.testing.assert_allclose(schedule(step), rate, rtol=1e-5)
  # One ulp of the fraction left is 0.5 % of it: single precision.
  np.testing.assert_allclose(schedule(89999), 8.692e-9, rtol=1e-2)


def test_warm_up_rises_linearly_into_the_decay():
  schedule = optim.poly_schedule(1.0, total_steps=100, power=1, warmup_steps=4)
  rates = [float(schedule(step)) for step in range(5)]
  np.testing.assert_allclose(rates, [0.25, 0.495, 0.735, 0.97, 0.96], rtol=1e-6)


def test_daformers_warm_up_multiplies_the_decay():
  schedule = optim.poly_schedule(
    6e-5, total_steps=40000, power=1, warmup_steps=1500, warmup_ratio=1e-6
  )
  for step in (0, 1, 1499, 1500, 20000, 40000):
    # By hand, in double precision.
    rate = 6e-5 * (1 - step / 40000)
    if step < 1500:
      rate *= 1 - (1 - step / 1500) * (1 - 1e-6)
    np.testing.assert_allclose(schedule(step), rate, rtol=3e-6)
  np.testing.assert_allclose(schedule(0), 6e-11, rtol=1e-6)
  # Not the base: 38,500 of 40,000 steps are left.
  np.testing.assert_allclose(schedule(1500), 5.775e-5, rtol=1e-6)


def test_a_decay_may_follow_the_warm_up():
  schedule = optim.poly_schedule(
    2.0, total_steps=10, power=1, warmup_steps=4, warmup_ratio=0.5, hold=0.4
  )
  rates = [float(schedule(step)) for step in (0, 1, 2, 3, 4, 7, 10)]
  np.testing.assert_allclose(rates, [1, 1.25, 1.5, 1.75, 2, 1, 0], rtol=1e-6)


MIT = deeplab.Options(backbone='mit_tiny', decoder='daformer', decoder_width=16)


@functools.cache
def mit_params():
  module = deeplab.DeepLab(classes=3, options=MIT, depth=True)
  image = jax.ShapeDtypeStruct((1, 32, 32, 3), jnp.float32)
  shapes = jax.eval_shape(module.init, jax.random.key(0), image)['params']
  return jax.tree.map(lambda x: np.full((1,), 2.0), shapes)


def paths(tree):
  return {
    jax.tree_util.keystr(path, simple=True, separator='/'): x
    for path, x in jax.tree_util.tree_leaves_with_path(tree)
  }


def test_norms_of_a_mit_do_not_decay_and_those_of_its_decoder_do():
  found = paths(by_name.is_decayed(mit_params(), no_decay=('norm',)))
  kept = {
    path.rpartition('/')[0] for path, decayed in found.items() if not decayed
  }
  # The last stage reduces nothing; keys and values of the others are normed.
  assert kept == {
    *(
      f'backbone/stage{i}_{x}'
      for i in range(1, 5)
      for x in ('embed/norm', 'norm', 'block0/norm1', 'block0/norm2')
    ),
    *(f'backbone/stage{i}_block0/attention/reduce_norm' for i in range(1, 4)),
  }
  assert found['neck/bottleneck_bn/scale']
  assert found['backbone/stage1_block0/attention/query/bias']


def test_blocks_that_follow():
  leaf = {'kernel': 0}
  vit = {
    'backbone': {
      'positions': 0,
      'patch_embed': leaf,
      **{f'block{i}': {'fc1': leaf} for i in range(12)},
      'norm': {'scale': 0},
    },
    'layer6': leaf,
  }
  found = paths(by_name.layers_after(vit))
  assert (
    found['backbone/positions'] == found['backbone/patch_embed/kernel'] == 12
  )
  blocks = [found[f'backbone/block{i}/fc1/kernel'] for i in range(12)]
  assert blocks == [11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0]
  assert found['backbone/norm/scale'] == found['layer6/kernel'] == 0
  found = paths(by_name.layers_after(mit_params()))
  for part, expected in (('embed/conv', 4), ('block0/mlp/fc1', 3), ('norm', 3)):
    for stage in range(1, 5):
      (count,) = {
        n
        for p, n in found.items()
        if p.startswith(f'backbone/stage{stage}_{part}/')
      }
      assert count == expected - stage + 1, (stage, part)


def test_layers_decays_and_heads_in_one_step():
  # Rate times (sign of the gradient, and decay times parameter), by hand.
  options = optim.Options(
    name='adamw',
    learning_rate=0.1,
    weight_decay=0.25,
    no_decay=('norm',),
    layer_decay=0.5,
    head_multiplier=10.0,
  )
  params = mit_params()
  tx = optim.task_optimizer(options, MIT, total_steps=10)
  grads = jax.tree.map(lambda x: jnp.full_like(x, -3.0), params)
  updates, _ = tx.update(grads, tx.init(params), params)
  found = paths(updates)
  for path, expected in (
    ('backbone/stage1_embed/conv/kernel', 0.1 / 16 * 0.5),
    ('backbone/stage1_embed/norm/scale', 0.1 / 16),
    ('backbone/stage1_block0/mlp/fc1/bias', 0.1 / 8 * 0.5),
    ('backbone/stage4_block0/norm1/bias', 0.1),
    ('neck/bottleneck_bn/scale', 1 * 0.5),
    ('layer6/conv/bias', 1 * 0.5),
  ):
    np.testing.assert_allclose(found[path], expected, rtol=1e-4, err_msg=path)
  plain = optim.task_optimizer(optim.Options(name='adamw'), MIT, total_steps=9)
  # The options do not change checkpoints of runs without them.
  state = plain.init(params).inner_states['stem'].inner_state
  assert len(state) == 3


def test_layers_of_a_network_without_blocks():
  options = optim.Options(name='adamw', layer_decay=0.9)
  tx = optim.task_optimizer(options, deeplab.Options(), total_steps=10)
  with pytest.raises(errors.UserError, match='layer_decay; expected 1'):
    tx.init({'backbone': {'conv1': {'kernel': jnp.ones(1)}}})


def test_adamw_moves_every_group_by_its_rate():
  # The first step of Adam is the rate times the gradient's sign; the decay is
  # decoupled: rate * decay * parameter more.
  options = optim.Options(
    name='adamw', learning_rate=0.1, weight_decay=0.25, head_multiplier=10.0
  )
  tx = optim.task_optimizer(options, deeplab.Options(), total_steps=10)
  leaf = {'kernel': jnp.full((), 2.0)}
  params = {
    'backbone': {'layer1_0': {'conv1': leaf, 'bn1': {'scale': jnp.ones(())}}},
    'layer6': leaf,
  }
  grads = jax.tree.map(lambda x: jnp.full_like(x, -3.0), params)
  updates, _ = tx.update(grads, tx.init(params), params)
  block = updates['backbone']['layer1_0']
  np.testing.assert_allclose(block['conv1']['kernel'], 0.1 - 0.05, rtol=1e-4)
  np.testing.assert_allclose(updates['layer6']['kernel'], 1 - 0.5, rtol=1e-4)
  np.testing.assert_array_equal(block['bn1']['scale'], 0)


def test_a_backbone_of_other_names_is_stepped_once():
  # There are no shortcuts and no ResNet's blocks in it: groups without leaves.
  options = optim.Options(learning_rate=0.1, weight_decay=0.0, momentum=0.0)
  tx = optim.task_optimizer(options, deeplab.Options(), total_steps=10)
  leaf, norm = {'kernel': jnp.full((), 2.0)}, {'scale': jnp.ones(())}
  params = {
    'backbone': {
      'conv_stem': leaf,
      'block1': {'expand_conv': leaf, 'bn0': norm},
    }
  }
  grads = jax.tree.map(lambda x: jnp.full_like(x, -3.0), params)
  updates, _ = tx.update(grads, tx.init(params), params)
  for module in (
    updates['backbone']['conv_stem'],
    updates['backbone']['block1']['expand_conv'],
  ):
    np.testing.assert_allclose(module['kernel'], 0.3, rtol=1e-6)
  np.testing.assert_array_equal(
    updates['backbone']['block1']['bn0']['scale'], 0
  )


@pytest.mark.parametrize('repeats', [1, 3, 4])
def test_steady_state_displacement(repeats):
  # For a constant gradient: 10 * repeats * lr * g per step at momentum .9.
  tx = optim.repeated_sgd(
    lambda _: jnp.asarray(0.01), momentum=0.9, weight_decay=0, repeats=repeats
  )
  params = {'w': jnp.zeros(3)}
  state = tx.init(params)
  for _ in range(200):
    updates, state = tx.update({'w': jnp.ones(3)}, state, params)
    params = optax.apply_updates(params, updates)
  np.testing.assert_allclose(updates['w'], -0.1 * repeats, rtol=1e-3)


def by_hand(repeats, legacy, steps):
  """Mimics PyTorch's loop over a list with repeated parameters."""
  param, trace = 2.0, None
  for step in range(steps):
    grad = 0.5
    kept = trace
    for _ in range(repeats):
      decayed = grad + 0.1 * param
      if legacy:
        grad = decayed
        kept = decayed if kept is None else 0.9 * kept + decayed
      else:
        # All buffers are looked up before the loop: none exists at first.
        kept = decayed if step == 0 else 0.9 * kept + decayed
      param -= 0.01 * kept
    trace = kept
  return param


@pytest.mark.parametrize('legacy', [False, True])
@pytest.mark.parametrize('repeats', [1, 3, 4])
def test_repeated_sgd_is_pytorchs_loop(repeats, legacy):
  tx = optim.repeated_sgd(
    lambda _: jnp.asarray(0.01),
    momentum=0.9,
    weight_decay=0.1,
    repeats=repeats,
    legacy=legacy,
  )
  params = jnp.asarray(2.0)
  state = tx.init(params)
  for _ in range(3):
    updates, state = tx.update(jnp.asarray(0.5), state, params)
    params = optax.apply_updates(params, updates)
  np.testing.assert_allclose(params, by_hand(repeats, legacy, 3), rtol=1e-6)


def test_plain_is_optax_sgd():
  tx = optim.repeated_sgd(
    lambda _: jnp.asarray(0.01), momentum=0.9, weight_decay=0.1
  )
  reference = optax.chain(
    optax.add_decayed_weights(0.1), optax.sgd(0.01, momentum=0.9)
  )
  ours = theirs = jnp.asarray([1.0, -2.0])
  state, other = tx.init(ours), reference.init(theirs)
  for _ in range(4):
    updates, state = tx.update(jnp.ones(2), state, ours)
    ours = optax.apply_updates(ours, updates)
    updates, other = reference.update(jnp.ones(2), other, theirs)
    theirs = optax.apply_updates(theirs, updates)
  np.testing.assert_allclose(ours, theirs, rtol=1e-6)


def test_groups_of_the_official_list():
  module = deeplab.DeepLab(classes=16, depth=True, fuse=True)
  image = jax.ShapeDtypeStruct((1, 65, 65, 3), jnp.float32)
  params = jax.eval_shape(module.init, jax.random.key(0), image)['params']
  labels = jax.tree.leaves(optim.labels_of(params, train_affine=False))
  counts = {name: labels.count(name) for name in set(labels)}
  # 1 + 99 + 4 convolutions; ASPP and block with weights and biases; 104 norms.
  assert counts == {
    'stem': 1,
    'block': 99,
    'shortcut': 4,
    'head': 16,
    'frozen': 208,
  }
  trained = jax.tree.leaves(optim.labels_of(params, train_affine=True))
  assert 'frozen' not in trained


def test_groups_of_corda():
  module = corda.CorDA(classes=19)
  image = jax.ShapeDtypeStruct((1, 65, 65, 3), jnp.float32)
  params = jax.eval_shape(module.init, jax.random.key(0), image)['params']
  tree = optim.labels_of(params, train_affine=False, active_rates=2)
  labels = jax.tree.leaves(tree)
  # Besides the backbone's norms: two rates of three heads, kernel and bias.
  assert labels.count('frozen') == 208 + 12
  assert tree['semantic']['conv1_bias'] == 'head'
  assert tree['semantic']['conv2_bias'] == 'frozen'
  # The bottlenecks' norms are trained, unlike the backbone's.
  assert tree['bottleneck_depth_0']['downsample_bn']['scale'] == 'head'
  assert tree['backbone']['layer1_0']['downsample_bn']['scale'] == 'frozen'


def test_first_step_per_group():
  options = optim.Options(weight_decay=0.0)
  tx = optim.task_optimizer(options, deeplab.Options(), total_steps=10)
  params = {
    'backbone': {
      'conv1': {'kernel': jnp.zeros(1)},
      'bn1': {'scale': jnp.ones(1), 'bias': jnp.zeros(1)},
      'layer1_0': {
        'conv1': {'kernel': jnp.zeros(1)},
        'downsample_conv': {'kernel': jnp.zeros(1)},
        'downsample_bn': {'scale': jnp.ones(1), 'bias': jnp.zeros(1)},
      },
    },
    'layer6': {'conv0_kernel': jnp.zeros(1), 'conv0_bias': jnp.zeros(1)},
  }
  grads = jax.tree.map(jnp.ones_like, params)
  updates, _ = tx.update(grads, tx.init(params), params)
  moved = jax.tree.map(lambda u: round(float(u[0]) / -2.5e-4, 3), updates)
  assert moved == {
    'backbone': {
      'conv1': {'kernel': 1},
      'bn1': {'scale': 0, 'bias': 0},
      'layer1_0': {
        'conv1': {'kernel': 3},
        'downsample_conv': {'kernel': 4},
        'downsample_bn': {'scale': 0, 'bias': 0},
      },
    },
    'layer6': {'conv0_kernel': 10, 'conv0_bias': 10},
  }


def test_disc_optimizer_is_adam_with_the_schedule():
  tx = optim.disc_optimizer(optim.Options(), total_steps=10)
  params = jnp.asarray(1.0)
  state = tx.init(params)
  for step in range(2):
    updates, state = tx.update(jnp.asarray(3.0), state, params)
    # Adam turns a constant gradient into its learning rate.
    np.testing.assert_allclose(
      updates, -1e-4 * (1 - step / 10) ** 0.9, rtol=1e-4
    )


@pytest.mark.parametrize(('own', 'rate'), [(0.0, 1e-4), (3e-5, 3e-5)])
def test_generators_have_their_own_rate_or_the_discriminators(own, rate):
  options = optim.Options(gen_learning_rate=own)
  tx = optim.gen_optimizer(options, total_steps=10)
  params = jnp.asarray(1.0)
  updates, _ = tx.update(jnp.asarray(3.0), tx.init(params), params)
  np.testing.assert_allclose(updates, -rate, rtol=1e-4)


@pytest.mark.parametrize(
  'fields',
  [
    {'repeats': 'twice'},
    {'name': 'adam'},
    {'warmup_steps': -1},
    {'momentum': -1.0},
    {'betas': (0.9,)},
    {'learning_rate': float('inf')},
    {'weight_decay': float('nan')},
    {'warmup_ratio': 2.0},
    {'layer_decay': 0.9},
    {'no_decay': ['norm']},
    {'no_decay': 'norm', 'name': 'adamw'},
  ],
)
def test_bad_fields_are_named(fields):
  with pytest.raises(errors.UserError, match=f'optim.{next(iter(fields))}'):
    optim.Options(**fields)
