import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxuda.ops import difficulty


def test_agreement_by_hand():
  source = jnp.array([[[10.0, 12.0, 30.0, 5.0]]])
  target = jnp.array([[[10.0, 10.0, 10.0, 50.0]]])
  depth = jnp.array([[[10.0, 10.0, 10.0, 1.0]]])
  valid = jnp.array([[[True, True, True, False]]])
  args = source, target, depth
  weight = difficulty.depth_agreement(*args, valid=valid)
  # Equal; a fifth off; off by more than the depth; no depth.
  np.testing.assert_allclose(weight, [[[1, 0.801, 0.001, 1]]], rtol=1e-5)
  weight = difficulty.depth_agreement(*args, valid=valid, floor=0.0)
  np.testing.assert_allclose(weight, [[[1, 0.8, 0, 1]]], rtol=1e-6)
  gradient = jax.grad(
    lambda x: difficulty.depth_agreement(x, target, depth, valid=valid).sum()
  )(source)
  assert not gradient.any()


# Two images of two pixels; the mean agreement is 0.5.
WEIGHT = jnp.array([[1.0, 0.5], [1.0, 0.5]]).reshape(2, 1, 2)
AGREEMENT = jnp.array([[1.0, 0.4], [0.2, 0.4]]).reshape(2, 1, 2)


@pytest.mark.parametrize(
  ('mode', 'expected'),
  [
    ('per_image', [2.0, 0.4, 0.4, 0.4]),
    # Means over the images: 0.6 and 0.4.
    ('batch_mean', [1.2, 0.4, 1.2, 0.4]),
    ('paper', [1.0, 0.2, 0.2, 0.2]),
    ('none', [1.0, 0.5, 1.0, 0.5]),
  ],
)
def test_four_variants(mode, expected):
  weight = difficulty.apply_difficulty(WEIGHT, AGREEMENT, mode=mode)
  np.testing.assert_allclose(weight.ravel(), expected, rtol=1e-6)
  # One image per device is the same batch.
  split = jax.vmap(
    lambda w, a: difficulty.apply_difficulty(w, a, mode=mode, axis='batch'),
    axis_name='batch',
  )(WEIGHT[:, None], AGREEMENT[:, None])
  np.testing.assert_allclose(split.ravel(), expected, rtol=1e-6)


def test_batch_mean_is_the_broadcast_of_the_official_code():
  # Weights [B, H, W] times [B, 1, H, W] is [B, B, H, W]; times the losses
  # [B, H, W] and the mean of all.
  generator = np.random.default_rng(0)
  weight, agreement, loss = generator.uniform(size=(3, 2, 3, 4))
  official = (weight * agreement[:, None] / agreement.mean() * loss).mean()
  ours = difficulty.apply_difficulty(
    jnp.asarray(weight), jnp.asarray(agreement), mode='batch_mean'
  )
  np.testing.assert_allclose((ours * loss).mean(), official, rtol=1e-6)
