import jax.numpy as jnp
import numpy as np

from jaxuda.losses import adversarial


def test_binary_cross_entropy_of_known_logits():
  logits = jnp.array([0.0, 2, -2])
  np.testing.assert_allclose(
    adversarial.binary_cross_entropy(logits, 0.0), 0.982334, atol=1e-6
  )
  np.testing.assert_allclose(
    adversarial.binary_cross_entropy(-logits, 1.0), 0.982334, atol=1e-6
  )


def test_entropy_loss_is_one_for_uniform_and_zero_for_certain():
  np.testing.assert_allclose(
    adversarial.entropy_loss(jnp.zeros((2, 3, 4, 7))), 1, rtol=1e-6
  )
  certain = jnp.zeros((1, 1, 1, 7)).at[..., 2].set(200.0)
  np.testing.assert_allclose(adversarial.entropy_loss(certain), 0, atol=1e-6)


def test_discriminator_loss_weighs_both_terms():
  source, target = jnp.zeros((1, 2, 2, 1)), jnp.full((1, 2, 2, 1), 2.0)
  loss, terms = adversarial.discriminator_loss(source, target, factor=0.5)
  # Source against 0: log 2. Target against 1: softplus(2) - 2.
  expected = (np.log(2), np.log1p(np.exp(2)) - 2)
  np.testing.assert_allclose(terms['loss_d_source'], expected[0], rtol=1e-6)
  np.testing.assert_allclose(terms['loss_d_target'], expected[1], rtol=1e-5)
  np.testing.assert_allclose(loss, sum(expected) / 2, rtol=1e-6)
