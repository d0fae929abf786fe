"""The terms of Monodepth2's loss and its schedule, by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxuda.depth.mono import self_supervised
from jaxuda.losses import photometric
from jaxuda.ops import warp

SIZE = (16, 32)


def create(**fields):
  return self_supervised.Method(network='tiny', total_steps=20, **fields)


@pytest.mark.parametrize(
  ('fields', 'rates'),
  [
    ({}, {0: 1, 14: 1, 15: 0.1, 19: 0.1}),
    ({'drop_at': 0.5}, {9: 1, 10: 0.1}),
    ({'warmup_steps': 4}, {0: 0.25, 1: 0.5, 3: 1, 4: 1, 15: 0.1}),
  ],
)
def test_the_rate_drops_to_a_tenth_and_warms_up(fields, rates):
  """Adam turns a constant gradient into its learning rate."""
  tx = create(learning_rate=1e-3, **fields).tx
  params = jnp.asarray(0.0)
  state, found = tx.init(params), {}
  for step in range(20):
    update, state = tx.update(jnp.asarray(3.0), state, params)
    found[step] = -float(update) / 1e-3
  for step, rate in rates.items():
    assert found[step] == pytest.approx(rate, rel=1e-4), step


def make_views():
  generator = np.random.default_rng(0)
  return {
    name: jnp.asarray(generator.uniform(size=(1, *SIZE, 3)), jnp.float32)
    for name in ('image', 'previous', 'next')
  }


def compare(method, disparities):
  """Returns the loss of cameras that move sideways, its terms, the errors."""
  views = make_views()
  motions = [
    warp.rigid_motion(jnp.zeros((1, 3)), jnp.float32([[x, 0, 0]]))
    for x in (0.2, -0.2)
  ]
  batch = {'intrinsics': jnp.float32([[20, 20, 15.5, 7.5]])}
  noise = jnp.zeros((1, *SIZE))
  loss, terms = method._compare(disparities, motions, views, batch, noise)
  errors = {}
  for scale, disparity in disparities.items():
    full = jax.image.resize(disparity, (1, *SIZE), 'bilinear')
    # 1 / depth is linear between 1 / 10 and 1 / 0.5.
    depth = 1 / (0.1 + (2 - 0.1) * full)
    for name, motion in zip(('previous', 'next'), motions, strict=True):
      pixels, _ = warp.project_depth(depth, batch['intrinsics'], motion)
      seen = warp.sample_bilinear(views[name], pixels)
      errors[scale, name] = photometric.photometric_error(
        seen, views['image'], ssim_weight=0.5
      )
  still = [
    photometric.photometric_error(views[x], views['image'], ssim_weight=0.5)
    for x in ('previous', 'next')
  ]
  return float(loss), jax.device_get(terms), errors, still


@pytest.mark.parametrize('reprojection', ['minimum', 'mean'])
@pytest.mark.parametrize('auto_mask', [False, True])
def test_terms_at_two_scales(reprojection, auto_mask):
  method = create(
    **{'reprojection': reprojection, 'auto_mask': auto_mask},
    **{'min_depth': 0.5, 'max_depth': 10.0, 'ssim_weight': 0.5},
    lambda_smooth=0.3,
    scales=(1, 3),
  )
  generator = np.random.default_rng(1)
  disparities = {
    scale: jnp.asarray(
      generator.uniform(0.1, 0.9, (1, *(x // 2**scale for x in SIZE))),
      jnp.float32,
    )
    for scale in (1, 3)
  }
  loss, terms, errors, still = compare(method, disparities)
  join = np.minimum if reprojection == 'minimum' else lambda a, b: (a + b) / 2
  photo, smooth, moving = [], [], {}
  for scale, disparity in disparities.items():
    best = join(*(np.asarray(errors[scale, x]) for x in ('previous', 'next')))
    kept = np.ones(best.shape, bool)
    if auto_mask:
      unmoved = join(*map(np.asarray, still))
      kept = best < unmoved
      best = np.minimum(best, unmoved)
    photo.append(best.mean())
    moving[scale] = kept.mean()
    small = jax.image.resize(
      make_views()['image'], (*disparity.shape, 3), 'linear'
    )
    rough = photometric.edge_aware_smoothness(disparity, small)
    smooth.append(float(rough) / {1: 2, 3: 8}[scale])
  expected = np.mean(photo), np.sum(smooth) / 2
  np.testing.assert_allclose(terms['loss_photometric'], expected[0], rtol=1e-4)
  np.testing.assert_allclose(terms['loss_smooth'], expected[1], rtol=1e-4)
  np.testing.assert_allclose(loss, expected[0] + 0.3 * expected[1], rtol=1e-4)
  assert (moving[1] == 1) == (not auto_mask)
  assert moving[1] != moving[3] or not auto_mask
  # The share is that of the finest scale.
  np.testing.assert_allclose(terms['moving'], moving[1], rtol=1e-5)
