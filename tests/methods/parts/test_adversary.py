import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from jaxuda.methods import dada
from jaxuda.models import deeplab
from jaxuda.step import parallel


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
  # Faster, one step leaves the domains better apart.
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
