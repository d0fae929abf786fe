import jax.numpy as jnp
import numpy as np

from jaxuda.losses import depth
from jaxuda.losses import translation


def test_adversarial_losses_by_hand():
  logits = jnp.array([0.0, 2.0])
  entropy = translation.judge_as(logits, translation.REAL)
  expected = (np.log(2) + np.log1p(np.exp(-2))) / 2
  np.testing.assert_allclose(entropy, expected, rtol=1e-6)
  squares = translation.judge_as(logits, translation.FAKE, kind='least_squares')
  np.testing.assert_allclose(squares, 2)
  # Real (1 - 3)^2 and fake (0.5)^2, means.
  total = translation.discriminator_loss(
    jnp.array([3.0]), jnp.array([0.5, -0.5]), kind='least_squares'
  )
  np.testing.assert_allclose(total, 4.25)


def test_cycle_loss():
  image = jnp.zeros((1, 1, 2, 3)).at[0, 0, 0].set(0.6)
  np.testing.assert_allclose(
    translation.cycle_loss(image, jnp.zeros_like(image)), 0.3, rtol=1e-6
  )


def test_absolute_depth_error():
  prediction = jnp.array([[[0.5, 0.0], [1.0, 9.0]]])
  target = jnp.array([[[0.25, 0.5], [1.0, 0.0]]])
  np.testing.assert_allclose(depth.absolute(prediction, target), 9.75 / 4)
  mask = jnp.array([[[True, True], [True, False]]])
  np.testing.assert_allclose(
    depth.absolute(prediction, target, mask=mask), 0.25
  )
  nothing = jnp.zeros_like(mask)
  assert depth.absolute(prediction, target, mask=nothing) == 0
