"""What is specific to GIO-Ada and CycleGAN; test_all_methods has the rest."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxuda import errors
from jaxuda.losses import translation
from jaxuda.methods import cyclegan
from jaxuda.methods import gio_ada
from jaxuda.methods.parts import learner
from jaxuda.models import deeplab
from jaxuda.models import discriminators
from jaxuda.ops import image as image_ops
from jaxuda.step import parallel
from jaxuda.step import rng
from tests import filling

NETWORK = deeplab.Options(
  backbone='vgg_tiny', init='he', decoder='aspp_l', decoder_width=8, dropout=0
)
SMALL = {'gen_width': 4, 'gen_blocks': 1, 'disc_width': 4}
COMMON = {'num_classes': 5, 'total_steps': 100, 'network': NETWORK, **SMALL}
SIZE = (40, 56)
RAW = {'transform': 'none', 'input_label': False, 'input_depth': False}
ROWS = {
  'na': {**RAW, 'align': 'none'},
  'cg': {**RAW, 'transform': 'frozen', 'align': 'none'},
  'gd': {**RAW, 'transform': 'guided', 'align': 'none'},
  'd': {'input_label': False, 'align': 'none'},
  's': {'input_depth': False, 'align': 'none'},
  'sd': {'align': 'none'},
  'ss': {**RAW, 'align': 'semantic'},
  'depth': {**RAW, 'align': 'depth'},
  'sep': {**RAW, 'align': 'separate'},
  'joint': RAW,
  'full': {},
}
# Input channels of the transform network and of each discriminator.
EXPECTED = {
  'na': {},
  'cg': {'gen': 3},
  'gd': {'gen': 3, 'disc_input': 3},
  'd': {'gen': 4, 'disc_input': 3},
  's': {'gen': 8, 'disc_input': 3},
  'sd': {'gen': 9, 'disc_input': 3},
  'ss': {'disc_output': 5},
  'depth': {'disc_output': 1},
  'sep': {'disc_semantic': 5, 'disc_depth': 1},
  'joint': {'disc_output': 6},
  'full': {'gen': 9, 'disc_input': 3, 'disc_output': 6},
}


def create(row, **fields):
  return gio_ada.Method(**{**COMMON, **ROWS[row], **fields})


def make_batch(method, rows=1):
  generator = np.random.default_rng(0)
  shape = (rows, *SIZE)
  arrays = {
    'image': generator.integers(0, 256, (*shape, 3), np.uint8),
    'label': generator.choice([0, 1, 2, 3, 4, 255], shape).astype(np.int32),
    'depth': generator.uniform(2, 80, shape).astype(np.float32),
  }
  batch = {}
  for domain, fields in method.needs.items():
    batch[domain] = {k: arrays[k] for k in fields}
    if 'depth' in fields:
      batch[domain]['depth_valid'] = generator.uniform(size=shape) < 0.9
  return batch


def trace(fn, *args):
  return jax.eval_shape(lambda *a: parallel.run_alone(fn, *a), *args)


@pytest.mark.parametrize('row', ROWS)
def test_rows_of_the_ablation_build_what_they_use(row):
  method = create(row)
  batch = make_batch(method)
  state = jax.eval_shape(method.init, rng.root(0), batch)
  found = {
    name: net.params['stem' if name == 'gen' else 'conv0']['kernel'].shape[2]
    for name, net in state.nets.items()
    if name != 'task'
  }
  assert found == EXPECTED[row]
  assert set(batch) == ({'source'} if row in 'na cg' else {'source', 'target'})
  new, metrics = trace(method.train_step, state, batch, rng.root(0))
  terms = {'loss_seg', 'loss_depth'}
  for name in found:
    if name != 'gen':
      what = name.removeprefix('disc_')
      terms |= {f'loss_adv_{what}', f'loss_d_{what}'}
  assert metrics.keys() == terms
  assert jax.tree.structure(new) == jax.tree.structure(state)
  shown = trace(method.pictures, state, batch, rng.root(0))
  assert ('transformed source' in shown['image']) == ('gen' in found)
  assert set(shown['depth']) == {'source depth', 'predicted depth'}


def test_what_is_off_is_not_computed():
  # The step as compiled: the discriminator's first convolution has one channel
  # less without depth, and no transform network is in it.
  def cost(row):
    method = create(row, output_disc='patch')
    batch = make_batch(method)
    state = jax.eval_shape(method.init, rng.root(0), batch)
    step = jax.jit(lambda *a: parallel.run_alone(method.train_step, *a))
    compiled = step.lower(state, batch, rng.root(0)).compile()
    return compiled.cost_analysis()['flops']

  joint, semantic, none = (cost(row) for row in ('joint', 'ss', 'na'))
  # 4x4 taps to 4 channels at a quarter of the pixels: two passes, two weight
  # gradients, one input gradient, and what brings the depth there.
  conv = 2 * 16 * 4 * (20 * 28)
  assert 4 * conv < joint - semantic < 10 * conv
  assert none < 0.75 * semantic


def run(method, batch, steps=1):
  first = state = jax.jit(method.init)(rng.for_init(0), batch)
  step = jax.jit(lambda *a: parallel.run_alone(method.train_step, *a))
  for _ in range(steps):
    state, metrics = step(state, batch, rng.root(1))
  return first, state, metrics


@pytest.mark.parametrize(
  ('kind', 'module'),
  [
    ('patch', discriminators.PatchDiscriminator(width=4)),
    ('strided', discriminators.FcDiscriminator(width=4)),
    ('local', discriminators.FcDiscriminator(width=4, depth=3)),
  ],
)
def test_input_discriminator(kind, module):
  method = create('gd', input_disc=kind)
  batch = make_batch(method)
  first, _, metrics = run(method, batch)
  made = method.transform_image(first.nets['gen'].params, batch['source'])
  params = {'params': first.nets['disc_input'].params}
  real, fake = (
    module.apply(params, image_ops.to_symmetric(x))
    for x in (batch['target']['image'], made)
  )
  expected = jnp.mean(jax.nn.softplus(-real)) + jnp.mean(jax.nn.softplus(fake))
  np.testing.assert_allclose(metrics['loss_d_input'], expected, rtol=1e-5)


def test_both_discriminators_are_gaussian_patchgans():
  """Section 3.5, without naming them; kernels of N(0, 0.02), logits by 1/8."""
  method = create('full', disc_width=16)
  state = jax.jit(method.init)(rng.for_init(0), make_batch(method))
  for name, channels in (('disc_input', 3), ('disc_output', 6)):
    params = state.nets[name].params
    assert params['conv0']['kernel'].shape == (4, 4, channels, 16)
    deep = np.asarray(params['conv3']['kernel']).ravel()
    assert (deep.size, deep.mean()) == (131072, pytest.approx(0, abs=2e-4))
    assert deep.std() == pytest.approx(0.02, rel=0.02)
    # Gaussian: 4.55 % are beyond two deviations; none of a uniform would be.
    assert np.mean(np.abs(deep) > 0.04) == pytest.approx(0.0455, abs=0.005)
    logits = method.critic(name).learner.apply(
      params, jnp.zeros((1, 64, 80, channels))
    )
    assert logits.shape == (1, 6, 8, 1)


def test_a_frozen_generator_stays():
  method = create('cg')
  before, after, _ = run(method, make_batch(method))
  assert before.nets['gen'].opt_state == ()
  jax.tree.map(
    np.testing.assert_array_equal,
    before.nets['gen'].params,
    after.nets['gen'].params,
  )


def test_target_statistics_without_a_target_loss():
  # Rows that align nothing see the target in one pass without a loss.
  wide = {x: create(x, statistics='target').needs for x in ROWS}
  for row, needs in wide.items():
    assert needs == {**create(row).needs, 'target': ('image',)}
  network = deeplab.Options(backbone='resnet_tiny', train_affine=True)
  plain = create('na', network=network)
  adapted = dataclasses.replace(plain, statistics='target')
  batch = jax.tree.map(lambda x: x[:, :24, :32], make_batch(adapted))
  # Darker, so that its statistics differ.
  batch['target'] = {'image': batch['target']['image'] // 4}
  state = filling.fill_state(adapted, batch)
  before = state.nets['task']

  @jax.jit
  def step(state):
    # In one program, which computes the common parts once.
    steps = [
      parallel.run_alone(x.train_step, state, batch, rng.root(0))[0]
      for x in (plain, adapted)
    ]
    _, by_hand = adapted.task.apply(
      {'params': before.params, 'batch_stats': before.batch_stats},
      batch['target']['image'],
      train=True,
      mutable=['batch_stats'],
    )
    return *(x.nets['task'] for x in steps), by_hand['batch_stats']

  one, other, by_hand = step(state)
  # The update is that of the source's losses only.
  jax.tree.map(np.testing.assert_array_equal, one.params, other.params)
  kernels = (x.params['backbone']['conv1']['kernel'] for x in (one, before))
  assert np.any(np.not_equal(*kernels))
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6),
    *(other.batch_stats, by_hand),
  )
  # The first norm without the network: a tenth of the batch's mean.
  kernel = before.params['backbone']['conv1']['kernel']
  means = [
    jax.lax.conv_general_dilated(
      *(deeplab.normalize(network, batch[side]['image']), kernel),
      *((2, 2), [(3, 3), (3, 3)]),
      dimension_numbers=('NHWC', 'HWIO', 'NHWC'),
    ).mean((0, 1, 2))
    for side in ('source', 'target')
  ]
  assert np.abs(means[0] - means[1]).max() > 1
  for net, mean in zip((one, other), means, strict=True):
    found = net.batch_stats['backbone']['bn1']['mean']
    np.testing.assert_allclose(found, 0.1 * mean, rtol=1e-3, atol=1e-4)


def test_literal_output_loss_reaches_the_transform_network():
  # With only lambda_output, nothing else trains the network.
  fields = {'lambda_seg': 0.0, 'lambda_depth': 1e-30, 'lambda_input': 0.0}
  norms = {}
  for choice in ('target_only', 'both'):
    method = create('full', output_gradient=choice, lambda_output=1.0, **fields)
    method = dataclasses.replace(method, sums='device')
    batch = make_batch(method)
    state = jax.jit(method.init)(rng.for_init(0), batch)
    params = {k: state.nets[k].params for k in ('task', 'gen')}
    discs = {k: state.nets[k].params for k in method.disc_channels}
    one_pass = (method.source_loss, discs, batch['source'], rng.root(0))
    grads, _, terms, _ = jax.jit(
      lambda x, one_pass=one_pass: learner.run_passes(x, {}, [one_pass])
    )(params)
    leaves = jax.tree.leaves(grads['gen'])
    norms[choice] = float(sum(jnp.sum(x**2) for x in leaves))
    assert ('loss_adv_output_source' in terms) == (choice == 'both')
  assert norms['target_only'] < 1e-30 < norms['both']


def test_depth_is_predicted_in_metres():
  method = create('na', depth_encoding='inverse', depth_near=2.0)
  batch = make_batch(method)
  state = jax.jit(method.init)(rng.for_init(0), batch)
  # Biases alone: 1/4 of 0.5 each, in the middle of inverse depth.
  head = jax.tree.map(jnp.zeros_like, state.nets['task'].params['depth'])
  for i in range(4):
    head[f'fc8_{i}']['bias'] = jnp.full(1, 0.125)
  params = {**state.nets['task'].params, 'depth': head}
  task = state.nets['task'].replace(params=params)
  out = method.predict(
    state.replace(nets={'task': task}), batch['source']['image'], size=(3, 4)
  )
  assert out['depth'].shape == (1, 3, 4)
  middle = 655.36 / ((1 + 655.36 / 2.01) / 2) - 0.01
  np.testing.assert_allclose(out['depth'], middle, rtol=1e-4)


def test_cyclegan_trains_both_ways_and_shows_pools():
  method = cyclegan.Method(pool_size=3, lambda_identity=5.0, **COMMON)
  batch = make_batch(method)
  before, after, metrics = run(method, batch, steps=2)
  assert metrics.keys() == {
    f'loss_{k}_{d}'
    for k in ('adv', 'cycle', 'd', 'identity')
    for d in ('source', 'target')
  }
  assert int(after.nets['disc_target'].batch_stats.count) == 2
  made = method.translate(before, batch['source'])
  stored = after.nets['disc_target'].batch_stats.images[0]
  assert stored.dtype == np.int16
  np.testing.assert_allclose(
    stored / 32767, image_ops.to_symmetric(made)[0], atol=1e-4
  )
  # The loss of the first step by hand, from the pictures.
  shown = method.pictures(before, batch, rng.root(0))['image']
  images = {k: image_ops.to_symmetric(v) for k, v in shown.items()}
  cycle = translation.cycle_loss(images['source'], images['source back'])
  losses, _, _ = method.generator_loss(
    {k: before.nets[k].params for k in ('gen', 'gen_back')},
    {},
    {k: before.nets[k].params for k in ('disc_source', 'disc_target')},
    {k: images[k] for k in ('source', 'target')},
  )
  weight, loss = losses['loss_cycle_source']
  assert weight == 10
  np.testing.assert_allclose(loss, cycle, rtol=1e-3)


@pytest.mark.parametrize(
  ('fields', 'message'),
  [
    ({'align': 'x'}, 'method.align'),
    ({'transform': 'x'}, 'method.transform'),
    ({'output_gradient': 'x'}, 'method.output_gradient'),
    ({'output_disc': 'x'}, 'method.output_disc'),
    ({'input_disc': 'x'}, 'method.input_disc'),
    ({'depth_encoding': 'x'}, 'method.depth_encoding'),
    ({'statistics': 'x'}, 'method.statistics'),
    ({'lambda_depth': 0}, 'lambda_depth=0 builds no depth decoder'),
    ({'transform': 'frozen'}, 'transform=frozen is not guided'),
    ({'depth_near': 700.0}, 'depth_near=700'),
  ],
)
def test_bad_fields_are_named(fields, message):
  with pytest.raises(errors.UserError, match=message):
    gio_ada.Method(**fields, **COMMON)
  # What fails at once fails later, too.
  with pytest.raises(errors.UserError, match=message):
    dataclasses.replace(gio_ada.Method(**COMMON), **fields)
