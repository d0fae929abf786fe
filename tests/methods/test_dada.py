"""The inputs of DADA's discriminators; its rows are in tests/configs."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxuda import errors
from jaxuda.methods import dada
from jaxuda.methods.parts import learner
from jaxuda.models import deeplab
from jaxuda.step import parallel
from jaxuda.step import rng

NETWORK = deeplab.Options(
  backbone='resnet_tiny', init='he', train_affine=True, depth_scale=100.0
)
METHOD = dada.Method(
  num_classes=2, total_steps=10, network=NETWORK, disc_width=4
)
# Four pixels: probabilities 1/2 1/2, 1/4 3/4, 1 0, 1/2 1/2.
LOGITS = jnp.log(jnp.array([[1.0, 1], [1, 3], [1, 1e-20], [2, 2]]))
FULL = {
  'logits': LOGITS.reshape(1, 2, 2, 2),
  'depth': jnp.array([[[8.0, -4], [2, 6]]]),  # Magnitudes: 5 on average.
}
# -p log2 p.
INFORMATION = np.array([[0.5, 0.5], [0.5, 0.311278], [0, 0], [0.5, 0.5]])
Z = np.array([[8.0], [-4], [2], [6]])


@pytest.mark.parametrize(
  ('fields', 'expected'),
  [
    ({'align': 'none'}, {}),
    ({'align': 'seg'}, {'disc': INFORMATION}),
    ({'align': 'depth'}, {'disc': Z}),
    ({'align': 'separate'}, {'disc_seg': INFORMATION, 'disc_depth': Z}),
    ({}, {'disc': INFORMATION * Z}),
    ({'align_scale': 'mean'}, {'disc': INFORMATION * Z / 5}),
    ({'align_depth_gradient': False}, {'disc': INFORMATION * Z}),
  ],
)
def test_what_the_discriminators_see(fields, expected):
  method = dataclasses.replace(METHOD, **fields)
  maps = method.align_maps(FULL)
  assert maps.keys() == expected.keys() == method.disc_channels.keys()
  for name, value in expected.items():
    channels = method.disc_channels[name]
    assert maps[name].shape == (1, 2, 2, channels)
    np.testing.assert_allclose(
      maps[name].reshape(4, channels), value, atol=1e-6
    )


@pytest.mark.parametrize('align', ['dada', 'separate', 'seg', 'depth', 'none'])
def test_losses_and_their_weights(monkeypatch, align):
  weights = {'lambda_seg': 2.0, 'lambda_depth': 3.0, 'lambda_adv': 5.0}
  method = dataclasses.replace(METHOD, align=align, sums='device', **weights)
  # The four pixels, many times.
  full = {
    k: jnp.tile(x, (1, 16, 16) + (1,) * (x.ndim - 3)) for k, x in FULL.items()
  }
  monkeypatch.setattr(
    learner.Learner, 'run_on', lambda *_, **__: (full, 'statistics')
  )
  label, inverse = np.array([[0, 1], [0, 255]]), np.array([[8.0, 1], [2, 16]])
  source = {
    'label': np.tile(label, (1, 16, 16)),
    'depth': np.tile(655.36 / inverse - 0.01, (1, 16, 16)),
    'depth_valid': np.ones((1, 32, 32), bool),
  }
  losses, _, _ = method.source_loss(None, None, source)
  assert losses.keys() == {'loss_seg', 'loss_depth'}
  # Of 1/2, 3/4 and 1; and of errors 0, 5, 0 and 10, with a threshold of 2.
  nll = (np.log(2) + np.log(4 / 3)) / 3
  np.testing.assert_allclose(losses['loss_seg'], (2, nll), rtol=1e-5)
  berhu = (29 / 4 + 104 / 4) / 4
  np.testing.assert_allclose(losses['loss_depth'], (3, berhu), rtol=1e-4)
  discs = {
    name: method.adversary.create(jax.random.key(i), channels).params
    for i, (name, channels) in enumerate(method.disc_channels.items())
  }
  losses, _, maps = method.target_loss(None, None, discs, {})
  assert len(losses) == len(maps) == len(discs)
  for name, seen in maps.items():
    said = method.adversary.learner.apply(discs[name], seen)
    fooled = np.logaddexp(0, said).mean()
    found = losses[name.replace('disc', 'loss_adv')]
    np.testing.assert_allclose(found, (5, fooled), rtol=1e-5)


def test_a_network_without_depth_yet_is_not_blown_up():
  method = dataclasses.replace(METHOD, align_scale='mean')
  full = {**FULL, 'depth': FULL['depth'] / 100}
  maps = method.align_maps(full)['disc'].reshape(4, 2)
  np.testing.assert_allclose(maps, INFORMATION * Z / 100, atol=1e-6)


@pytest.mark.parametrize(
  ('fields', 'depth'),
  [
    ({}, INFORMATION.sum(-1)),
    # The mean is a constant.
    ({'align_scale': 'mean'}, INFORMATION.sum(-1) / 5),
    ({'align_depth_gradient': False}, np.zeros(4)),
    ({'align_depth_gradient': False, 'align_scale': 'mean'}, np.zeros(4)),
  ],
)
def test_gradient_of_the_discriminators_input(fields, depth):
  method = dataclasses.replace(METHOD, **fields)
  grads = jax.grad(lambda full: method.align_maps(full)['disc'].sum())(FULL)
  np.testing.assert_allclose(grads['depth'].reshape(4), depth, atol=1e-6)
  # The second pixel: z p (1 - p) (log2 p2 - log2 p1), over 5 with the mean.
  slope = -4 * 3 / 16 * np.log2(3) / (5 if 'align_scale' in fields else 1)
  np.testing.assert_allclose(
    grads['logits'][0, 0, 1], [slope, -slope], atol=1e-5
  )


def test_two_discriminators_have_their_own_losses():
  # Row S6, its whole step.
  method = dataclasses.replace(METHOD, align='separate')
  generator = np.random.default_rng(0)
  shape = (1, 40, 56)
  image, other = generator.integers(0, 256, (2, *shape, 3), np.uint8)
  source = {
    'image': image,
    'label': generator.integers(0, 2, shape).astype(np.int32),
    'depth': generator.uniform(2, 80, shape).astype(np.float32),
    'depth_valid': np.ones(shape, bool),
  }
  batch = {'source': source, 'target': {'image': other}}
  state = jax.jit(method.init)(rng.for_init(0), batch)
  new, metrics = jax.jit(
    lambda *args: parallel.run_alone(method.train_step, *args)
  )(state, batch, rng.root(0))
  task = state.nets['task']
  seen = {}
  for domain, arrays in batch.items():
    full, _ = method.learner.run(task.params, task.batch_stats, arrays['image'])
    seen[domain] = method.align_maps(full)
  for part in ('seg', 'depth'):
    params = state.nets[f'disc_{part}'].params
    there, here = (
      method.adversary.learner.apply(params, seen[domain][f'disc_{part}'])
      for domain in ('source', 'target')
    )
    for term, value in (
      ('d_source', jnp.logaddexp(0, there)),
      ('d_target', jnp.logaddexp(0, -here)),
      ('adv', jnp.logaddexp(0, here)),
    ):
      name = f'loss_{term}_{part}'
      np.testing.assert_allclose(
        metrics[name], value.mean(), rtol=1e-4, err_msg=name
      )
    moved = new.nets[f'disc_{part}'].params
    for layer, before in params.items():
      assert np.any(moved[layer]['kernel'] != before['kernel']), layer


@pytest.mark.parametrize('align', ['none', 'seg', 'depth', 'separate'])
@pytest.mark.parametrize(
  'fields', [{'align_scale': 'mean'}, {'align_depth_gradient': False}]
)
def test_a_variant_of_the_product_without_one_is_refused(align, fields):
  with pytest.raises(errors.UserError, match=f'align={align} multiplies'):
    dataclasses.replace(METHOD, align=align, **fields)


@pytest.mark.parametrize('align', ['depth', 'separate', 'dada'])
def test_depth_needs_its_block(align):
  with pytest.raises(errors.UserError, match=f'lambda_depth=0.*align={align}'):
    dataclasses.replace(METHOD, align=align, lambda_depth=0.0, fuse=False)
