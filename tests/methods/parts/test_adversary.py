import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxuda import errors
from jaxuda.methods import corda
from jaxuda.methods import dacs
from jaxuda.methods import dada
from jaxuda.methods.parts import adversary as adversary_lib
from jaxuda.methods.parts import learner
from jaxuda.models import deeplab
from jaxuda.step import parallel

COMMON = {
  'num_classes': 2,
  'total_steps': 10,
  'network': deeplab.Options(backbone='resnet_tiny'),
}
# Three pixels of probabilities 1/2 1/2, 1/4 3/4 and 1 0.
FULL = {
  'logits': jnp.log(jnp.array([[[[1.0, 1], [1, 3], [1, 1e-20]]]])),
  'depth': jnp.array([[[8.0, -4, 3]]]),
}
INFORMATION = np.array([[0.5, 0.5], [0.5, 0.311278], [0, 0]])  # -p log2 p.


def test_discriminator_of_a_method():
  method = dada.Method(
    num_classes=3,
    total_steps=10,
    network=deeplab.Options(backbone='resnet_tiny'),
    disc_width=2,
    disc_factor=0.5,
  )
  adversary = method.adversary
  net = adversary.create(jax.random.key(0), 3)
  assert net.params['conv0']['kernel'].shape == (4, 4, 3, 2)
  source, target = jax.random.normal(jax.random.key(1), (2, 1, 32, 32, 3))
  logits = [adversary.learner.apply(net.params, x) for x in (source, target)]
  # log(1 + e^x) for label 0, log(1 + e^-x) for label 1; the source's is 0.
  terms = {
    'loss_d_source': jnp.logaddexp(0, logits[0]).mean(),
    'loss_d_target': jnp.logaddexp(0, -logits[1]).mean(),
  }
  loss, found = adversary.loss(net.params, source, target)
  np.testing.assert_allclose(loss, sum(terms.values()) / 2, rtol=1e-6)
  for name, value in terms.items():
    np.testing.assert_allclose(found[name], value, rtol=1e-6)
  np.testing.assert_allclose(
    adversary.fool(net.params, target),
    jnp.logaddexp(0, logits[1]).mean(),
    rtol=1e-6,
  )
  # With a higher rate, one step separates the domains better.
  optim = dataclasses.replace(method.optim, disc_learning_rate=0.01)
  adversary = dataclasses.replace(method, optim=optim).adversary
  new, _ = jax.vmap(
    adversary.update,
    in_axes=None,
    out_axes=None,
    axis_name=parallel.AXIS,
    axis_size=1,
  )(net, source, target)
  assert adversary.loss(new.params, source, target)[0] < loss


def test_self_training_aligns_information_times_depth():
  plain = dacs.Method(**COMMON)
  assert adversary_lib.align_maps(plain, FULL) == {}
  assert adversary_lib.align_passes(plain, {}, {}) == []
  depth = np.array([[8.0], [-4], [3]])
  own = {**FULL, 'depth_source': -FULL['depth']}
  for method, full, name, expected in (
    (dacs.Method(adversarial='advent', **COMMON), FULL, 'depth', INFORMATION),
    (
      dacs.Method(adversarial='dada', lambda_depth=1.0, **COMMON),
      *(FULL, 'depth', INFORMATION * depth),
    ),
    # CorDA has a separate decoder for the source's images.
    (
      corda.Method(adversarial='dada', **COMMON),
      *(own, 'depth_source', -INFORMATION * depth),
    ),
  ):
    found = adversary_lib.align_maps(method, full, name)['disc']
    assert found.shape == (1, 1, 3, 2)
    np.testing.assert_allclose(found[0, 0], expected, atol=1e-6)


def test_depth_of_dada_on_self_training(monkeypatch):
  """Checks the source's losses and outputs, and the target's pass."""
  method = dacs.Method(
    **{'lambda_depth': 0.25, 'fuse': True, 'adversarial': 'dada'},
    **{'lambda_adv': 0.5, 'disc_width': 2, 'sums': 'device'},
    **COMMON,
  )
  assert method.needs == {
    'source': ('image', 'label', 'depth'),
    'target': ('image',),
  }
  assert (method.task.depth, method.task.fuse) == (True, True)
  monkeypatch.setattr(
    learner.Learner, 'run_on', lambda *_, **__: (FULL, 'statistics')
  )
  metres = jnp.array([[[65.526, 163.83, 1.0]]])  # 10, 4 and, masked, 649.
  source = {
    'label': jnp.array([[[0, 1, 255]]]),
    'depth': metres,
    'depth_valid': metres > 2,
  }
  losses, statistics, maps = method.source_loss(None, None, source)
  assert statistics == 'statistics'
  # Of 1/2 and 3/4, the third has no label.
  weight, loss = losses['loss_seg']
  assert weight == 1
  np.testing.assert_allclose(loss, (np.log(2) + np.log(4 / 3)) / 2, rtol=1e-5)
  weight, loss = losses['loss_depth']
  assert weight == 0.25
  # Errors 2 and 8 over a threshold of 8 / 5: (e^2 + c^2) / (2 c).
  berhu = [(e**2 + 1.6**2) / 3.2 for e in (2, 8)]
  np.testing.assert_allclose(loss, np.mean(berhu), rtol=1e-4)
  product = INFORMATION * [[8.0], [-4], [3]]
  np.testing.assert_allclose(maps['disc'][0, 0], product, atol=1e-6)
  # The target's.
  net = method.adversary.create(jax.random.key(0), 2)
  seen = {**FULL, 'logits': jnp.tile(FULL['logits'], (1, 32, 11, 1))}
  seen['depth'] = jnp.tile(FULL['depth'], (1, 32, 11))
  monkeypatch.setattr(
    learner.Learner, 'run_on', lambda *_, **__: (seen, 'statistics')
  )
  ((loss, params, target),) = adversary_lib.align_passes(
    method, {'disc': net}, {'image': 'those'}
  )
  assert target == {'image': 'those'}
  found, _, maps = loss(None, None, params, target)
  weight, value = found['loss_adv']
  assert weight == 0.5
  np.testing.assert_allclose(
    value, method.adversary.fool(net.params, maps['disc']), rtol=1e-6
  )


@pytest.mark.parametrize('fields', [{'fuse': True}, {'adversarial': 'dada'}])
def test_depth_on_self_training_needs_its_block(fields):
  with pytest.raises(errors.UserError, match='lambda_depth=0 builds no depth'):
    dacs.Method(**fields, **COMMON)
