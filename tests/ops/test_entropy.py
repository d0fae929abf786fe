import jax.numpy as jnp
import numpy as np

from jaxuda.ops import entropy


def test_known_values():
  p = jnp.array([0.7, 0.2, 0.1, 0.0])
  np.testing.assert_allclose(
    entropy.information(p), [0.18010, 0.23219, 0.16610, 0], atol=1e-5
  )


def test_logits_give_the_information_of_their_softmax():
  p = jnp.array([[[[0.7, 0.2, 0.06, 0.04]]]])
  np.testing.assert_allclose(
    entropy.self_information(jnp.log(p)), entropy.information(p), atol=1e-6
  )


def test_largest_value_and_uniform_sum():
  p = jnp.linspace(0.001, 1, 2000)[:, None] * jnp.ones((1, 16))
  assert abs(float(entropy.information(p).max()) - 0.5307 / 4) < 1e-4
  uniform = entropy.self_information(jnp.zeros((1, 1, 1, 16)))
  np.testing.assert_allclose(uniform.sum(), 1, rtol=1e-6)
