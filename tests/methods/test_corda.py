"""What is specific to CorDA and DACS; the rest is in `test_all_methods`."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special

from jaxuda import errors
from jaxuda.methods import corda
from jaxuda.methods import dacs
from jaxuda.methods.parts import learner
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


PLAIN = mixing.Options(jitter='none', blur_probability=0.0, weight='none')


@pytest.fixture
def outputs(monkeypatch):
  """Makes the student and the teacher return these, whatever they see."""
  generator, shape = np.random.default_rng(3), (2, *SIZE)
  full = {}
  for head in ('', 'initial_'):
    depth = generator.uniform(2, 60, shape)
    full[f'{head}logits'] = 2 * generator.normal(size=(*shape, 5))
    full[f'{head}depth'] = depth
    full[f'{head}depth_source'] = depth * generator.uniform(0.6, 1.4, shape)
  full = {k: v.astype(np.float32) for k, v in full.items()}

  def run(*unused, **options):
    return {k: jnp.asarray(v) for k, v in full.items()}, jnp.zeros(())

  for name in ('run', 'run_on'):
    monkeypatch.setattr(learner.Learner, name, run)
  return full


def make_domain(seed):
  """Makes a batch of one domain, with depth in metres."""
  generator, shape = np.random.default_rng(seed), (2, *SIZE)
  return {
    'image': generator.integers(0, 256, (*shape, 3), np.uint8),
    'label': generator.choice([0, 1, 2, 3, 4, 255], shape).astype(np.int32),
    'depth': generator.uniform(10, 300, shape).astype(np.float32),
    'depth_valid': generator.uniform(size=shape) < 0.8,
  }


def mix(method, step):
  """Returns source, target, and both after the mixing of a step."""
  source, target = make_domain(0), make_domain(1)
  del target['label']
  net = state_lib.Net(params={}, batch_stats={}, opt_state=())
  state = state_lib.create({}, teacher=net).replace(step=jnp.asarray(step))
  batch = {'source': source, 'target': target}
  mixed, labelled, _ = parallel.run_alone(
    method.mix, state, batch, jax.random.key(0)
  )
  return source, target, *jax.device_get((mixed, labelled))


def invert(metres):
  return 655.36 / (metres.astype(np.float64) + 0.01)


def test_the_teacher_changes_its_head_at_that_step(outputs):
  method = corda.Method(initial_steps=7, mixing=PLAIN, **COMMON)
  masks = set()
  for step, head in ((0, 'initial_'), (6, 'initial_'), (7, ''), (8, '')):
    *_, mixed, target = mix(method, step)
    expected = outputs[f'{head}logits'].argmax(-1)
    np.testing.assert_array_equal(target['label'], expected)
    masks.add(mixed['mask'].tobytes())
  # Every step draws other classes.
  assert len(masks) > 2


def test_depth_of_mixed_images_is_inverse_depth_of_either_side(outputs):
  method = corda.Method(difficulty='paper', mixing=PLAIN, **COMMON)
  source, target, mixed, _ = mix(method, 0)
  mask, inverse = mixed['mask'], invert(target['depth'])
  assert 0 < mask.mean() < 1
  np.testing.assert_allclose(
    mixed['depth'], np.where(mask, invert(source['depth']), inverse), rtol=1e-5
  )
  np.testing.assert_array_equal(
    mixed['depth_valid'],
    np.where(mask, source['depth_valid'], target['depth_valid']),
  )
  # Eq. 9, of the teacher on the target; what is pasted is not difficult.
  distance = np.abs(outputs['depth_source'] - outputs['depth'])
  expected = np.maximum(1 - distance / inverse, 0)
  expected[mask | ~target['depth_valid']] = 1
  np.testing.assert_allclose(mixed['agreement'], expected, rtol=1e-4, atol=1e-4)


def negative_logs(logits, label):
  """Computes -log p of each pixel's class; 0 where there is none."""
  logs = special.log_softmax(logits.astype(np.float64), -1)
  known = np.minimum(label, 4)[..., None]
  return -np.take_along_axis(logs, known, -1)[..., 0] * (label < 5)


def berhu(prediction, target, valid):
  error = np.abs(prediction - target)[valid]
  c = error.max() / 5
  return np.where(error <= c, error, (error**2 + c**2) / (2 * c)).mean()


def check(losses, expected):
  assert losses.keys() == expected.keys()
  for name, (weight, value) in expected.items():
    np.testing.assert_allclose(losses[name], (weight, value), 1e-4)


def expect_mixed(outputs, mixed, weight, *, name, scale=1.0):
  """Computes the losses on mixed or masked images, of both kinds of heads."""
  losses = {}
  for head, suffix in (('', ''), ('initial_', '_initial')):
    nll = negative_logs(outputs[f'{head}logits'], mixed['label'])
    depth = np.where(
      mixed['mask'], outputs[f'{head}depth_source'], outputs[f'{head}depth']
    )
    wrong = berhu(depth, mixed['depth'], mixed['depth_valid'])
    losses[f'loss_{name}{suffix}'] = scale * 0.5, (nll * weight).mean()
    losses[f'loss_{name}_depth{suffix}'] = scale * 0.25, wrong
  return losses


@pytest.mark.parametrize(
  'difficulty', ['per_image', 'batch_mean', 'paper', 'none']
)
def test_losses_of_mixed_images_and_their_difficulty(outputs, difficulty):
  method = corda.Method(
    **{'difficulty': difficulty, 'difficulty_floor': 0.25, 'sums': 'device'},
    **{'lambda_mixed': 0.5, 'lambda_mixed_depth': 0.25},
    **COMMON,
  )
  generator, shape = np.random.default_rng(4), (2, *SIZE)
  mixed = make_domain(2)
  given = {k: generator.uniform(size=shape) for k in ('weight', 'agreement')}
  mixed |= {k: v.astype(np.float32) for k, v in given.items()}
  mixed |= {'mask': generator.uniform(size=shape) < 0.5}
  mixed['depth'] = generator.uniform(5, 60, shape).astype(np.float32)
  losses = parallel.run_alone(
    lambda *args: method.mixed_loss(None, None, args[1])[0], 0, mixed, 0
  )
  weight, distance = mixed['weight'], outputs['depth_source'] - outputs['depth']
  agreement = np.maximum(1 - np.abs(distance) / mixed['depth'], 0) + 0.25
  agreement = np.where(mixed['depth_valid'], np.minimum(agreement, 1), 1)
  assert (agreement < 0.9).mean() > 0.1
  factor = {
    'per_image': agreement / agreement.mean(),
    'batch_mean': agreement.mean(0) / agreement.mean(),
    'paper': mixed['agreement'],
    'none': 1,
  }[difficulty]
  check(losses, expect_mixed(outputs, mixed, weight * factor, name='mixed'))


def test_masked_images_have_the_teachers_weights_alone(outputs):
  method = corda.Method(
    masking=masking.Options(weight=2.0, block=8, augment=False),
    mixing=mixing.Options(jitter_probability=1.0, blur_probability=1.0),
    **{'lambda_mixed': 0.5, 'lambda_mixed_depth': 0.25, 'sums': 'device'},
    **COMMON,
  )
  target = make_domain(2)
  target['weight'] = np.linspace(0, 1, 33 * 41, dtype=np.float32)
  target['weight'] = np.tile(target['weight'].reshape(SIZE), (2, 1, 1))

  def run(state, target, key):
    ((loss, masked),) = recipe.masked_passes(method, state, target, key)
    return loss(None, None, masked)[0], masked['image']

  losses, image = parallel.run_alone(
    run, state_lib.create({}), target, jax.random.key(0)
  )
  # Every pixel is the target's.
  whole = {**target, 'mask': np.zeros((2, *SIZE), bool)}
  check(
    losses,
    expect_mixed(outputs, whole, target['weight'], name='masked', scale=2.0),
  )
  # What is left of them is as it was: their colours are not jittered.
  kept = (np.asarray(image) == target['image']).all(-1)
  assert 0.1 < kept.mean() < 0.6
  assert len(np.unique(np.asarray(image)[~kept], axis=0)) == 1


@pytest.mark.parametrize('average_all', [False, True])
def test_losses_of_the_source_are_of_its_own_decoder(outputs, average_all):
  method = corda.Method(
    **{'average_all': average_all, 'adversarial': 'dada', 'sums': 'device'},
    **{'lambda_seg': 2.0, 'lambda_depth': 0.125},
    **COMMON,
  )
  source = make_domain(0)
  losses, _, maps = method.source_loss(None, None, source)
  known, inverse = source['label'] < 255, invert(source['depth'])
  count = known.size if average_all else known.sum()
  expected = {}
  for head, suffix in (('', ''), ('initial_', '_initial')):
    nll = negative_logs(outputs[f'{head}logits'], source['label']).sum()
    depth = outputs[f'{head}depth_source']
    wrong = berhu(depth, inverse, source['depth_valid'])
    expected[f'loss_seg{suffix}'] = 2.0, nll / count
    expected[f'loss_depth{suffix}'] = 0.125, wrong
  check(losses, expected)
  p = special.softmax(outputs['logits'], -1)
  seen = special.entr(p) / np.log(5) * outputs['depth_source'][..., None]
  np.testing.assert_allclose(maps['disc'], seen, rtol=1e-4, atol=1e-5)


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
