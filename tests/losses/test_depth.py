import jax
import jax.numpy as jnp
import numpy as np

from jaxuda.losses import depth

PREDICTION = jnp.array([0.0, 1, 2, 10]).reshape(1, 2, 2)
TARGET = jnp.array([0.5, 0, 0, 0]).reshape(1, 2, 2)


def test_known_value_and_gradient():
  loss, gradient = jax.value_and_grad(depth.berhu)(PREDICTION, TARGET)
  np.testing.assert_allclose(loss, 7.375)
  np.testing.assert_allclose(gradient.ravel(), [-0.25, 0.25, 0.25, 1.25])


def test_one_outlier_lowers_the_loss():
  # 9999 residuals of 50, with and without one of 65436 that raises c.
  target = jnp.zeros((1, 100, 100))
  prediction = jnp.full((1, 100, 100), 50.0)
  np.testing.assert_allclose(depth.berhu(prediction, target), 130, rtol=1e-5)
  outlier = prediction.at[0, 0, 0].set(65436.0)
  np.testing.assert_allclose(depth.berhu(outlier, target), 67.008, rtol=1e-4)


def test_no_residual_and_no_valid_pixel_are_zero():
  for mask in (None, jnp.zeros((1, 2, 2), bool)):
    target = TARGET if mask is not None else PREDICTION
    loss, gradient = jax.value_and_grad(depth.berhu)(
      PREDICTION, target, mask=mask
    )
    assert loss == 0
    assert not gradient.any()


def test_mask_leaves_pixels_out_of_everything():
  mask = jnp.array([True, True, True, False]).reshape(1, 2, 2)
  # Residuals .5, 1, 2: c = .4, all beyond: (e^2 + .16) / .8.
  expected = sum((e * e + 0.16) / 0.8 for e in (0.5, 1, 2)) / 3
  loss = depth.berhu(PREDICTION, TARGET, mask=mask)
  np.testing.assert_allclose(loss, expected, rtol=1e-6)


def test_half_precision_survives_zero_depth():
  far = jnp.full((1, 2, 2), 65536.0)
  loss = depth.berhu(jnp.zeros((1, 2, 2), jnp.float16), far)
  np.testing.assert_allclose(loss, 2.6 * 65536, rtol=1e-5)
