import colorsys
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxuda.ops import augment

PIXELS = np.array([[0.2, 0.4, 0.8], [0.9, 0.3, 0.3], [0.5, 0.5, 0.5]])
BRIGHTNESS, CONTRAST, SATURATION, HUE = range(4)


def jitter(mode, order, **changes):
  factors = {'brightness': 1.0, 'contrast': 1.0, 'saturation': 1.0, 'hue': 0.0}
  factors = {k: jnp.full(1, changes.get(k, v)) for k, v in factors.items()}
  image = jnp.asarray(255 * PIXELS, jnp.float32).reshape(1, 1, 3, 3)
  order = jnp.array(order)[None]
  out = augment.apply_jitter(image, factors, order=order, mode=mode)
  return np.asarray(out)[0, 0] / 255


def by_colorsys(change):
  rows = [
    colorsys.hsv_to_rgb(*change(*colorsys.rgb_to_hsv(*p))) for p in PIXELS
  ]
  return np.array(rows)


IN_ORDER = (BRIGHTNESS, CONTRAST, SATURATION, HUE)


@pytest.mark.parametrize('mode', ['kornia0.4', 'standard'])
def test_neutral_factors_change_nothing(mode):
  np.testing.assert_allclose(jitter(mode, IN_ORDER), PIXELS, atol=1e-5)


@pytest.mark.parametrize('mode', ['kornia0.4', 'standard'])
def test_hue_turns_as_in_colorsys(mode):
  for turns in (-0.25, 0.1, 0.25):
    expected = by_colorsys(lambda h, s, v, t=turns: ((h + t) % 1, s, v))
    np.testing.assert_allclose(
      jitter(mode, IN_ORDER, hue=turns), expected, atol=1e-5
    )


def test_old_kornia_by_hand():
  np.testing.assert_allclose(
    jitter('kornia0.4', IN_ORDER, brightness=1.2),
    [[0.4, 0.6, 1.0], [1.0, 0.5, 0.5], [0.7, 0.7, 0.7]],  # 1.1 is clipped.
    atol=1e-5,
  )
  np.testing.assert_allclose(
    jitter('kornia0.4', IN_ORDER, contrast=1.25),
    [[0.25, 0.5, 1.0], [1.0, 0.375, 0.375], [0.625] * 3],
    atol=1e-5,
  )
  np.testing.assert_allclose(
    jitter('kornia0.4', IN_ORDER, saturation=1.5),
    by_colorsys(lambda h, s, v: (h, min(1.5 * s, 1), v)),
    atol=1e-5,
  )


def test_standard_by_hand():
  np.testing.assert_allclose(
    jitter('standard', IN_ORDER, brightness=1.2),
    np.minimum(1.2 * PIXELS, 1),
    atol=1e-5,
  )
  grey = PIXELS @ [0.299, 0.587, 0.114]
  np.testing.assert_allclose(
    jitter('standard', IN_ORDER, contrast=0.5),
    0.5 * PIXELS + 0.5 * grey.mean(),
    atol=1e-5,
  )
  np.testing.assert_allclose(
    jitter('standard', IN_ORDER, saturation=0.5),
    0.5 * PIXELS + 0.5 * grey[:, None],
    atol=1e-5,
  )


def test_order_is_obeyed():
  # Grey 0.5: +0.2, then times 1.25 is 0.875; times 1.25, then +0.2 is 0.825.
  factors = {'brightness': 1.2, 'contrast': 1.25}
  first = jitter('kornia0.4', IN_ORDER, **factors)
  second = jitter(
    'kornia0.4', (HUE, CONTRAST, SATURATION, BRIGHTNESS), **factors
  )
  np.testing.assert_allclose(first[2], 0.875, atol=1e-5)
  np.testing.assert_allclose(second[2], 0.825, atol=1e-5)


@pytest.mark.parametrize('mode', ['kornia0.4', 'standard'])
def test_every_image_has_its_own_order_and_factors(mode):
  orders = (IN_ORDER, (HUE, CONTRAST, SATURATION, BRIGHTNESS))
  changes = (
    {'brightness': 1.2, 'contrast': 1.25, 'hue': 0.1},
    {'brightness': 0.9, 'contrast': 1.2, 'saturation': 0.8, 'hue': -0.2},
  )
  neutral = {'brightness': 1.0, 'contrast': 1.0, 'saturation': 1.0, 'hue': 0.0}
  image = np.broadcast_to(255 * PIXELS, (2, 1, 3, 3)).astype(np.float32)
  out = augment.apply_jitter(
    jnp.asarray(image),
    {k: jnp.array([x.get(k, v) for x in changes]) for k, v in neutral.items()},
    order=jnp.array(orders),
    mode=mode,
  )
  for got, order, change in zip(out, orders, changes, strict=True):
    alone = jitter(mode, order, **change)
    np.testing.assert_allclose(got[0] / 255, alone, atol=1e-6)
    other = jitter(mode, orders[order is IN_ORDER], **change)
    assert np.abs(alone - other).max() > 0.01


def test_factors_are_drawn_from_their_ranges():
  draws = jax.vmap(augment.draw_jitter)(
    jax.random.split(jax.random.key(0), 500)
  )
  values = np.stack([draws[k] for k in ('brightness', 'contrast')])
  values = np.stack([*values, draws['saturation'], draws['hue'] + 1]) - 1
  for each in values:
    assert -0.25 <= each.min() < -0.24
    assert 0.24 < each.max() <= 0.25
  # Each is drawn by itself: of 500, correlations deviate by 0.045.
  assert np.abs(np.corrcoef(values) - np.eye(4)).max() < 0.2


def test_kernel_sizes_of_the_official_code():
  for side, pixels in ((512, 51), (65, 7), (96, 9), (192, 19)):
    assert 2 * augment.blur_radius(side) + 1 == pixels


def test_blur_of_a_point_and_of_a_corner():
  image = np.zeros((2, 7, 7, 1), np.float32)
  image[0, 3, 3] = image[1, 0, 0] = 1
  sigma = jnp.array([0.8, 0.5])
  out = np.asarray(
    augment.gaussian_blur(jnp.asarray(image), sigma, radii=(2, 1))
  )
  weights = [math.exp(-(x**2) / (2 * 0.8**2)) for x in (-2, -1, 0, 1, 2)]
  down = np.array(weights) / sum(weights)
  across = np.array([0, *weights[1:4], 0]) / sum(weights[1:4])
  np.testing.assert_allclose(
    out[0, 1:6, 1:6, 0], np.outer(down, across), atol=1e-6
  )
  # Mirrored without the border: the corner is seen once.
  side = math.exp(-1 / (2 * 0.25))
  far = math.exp(-4 / (2 * 0.25))
  middle = 1 / (1 + 2 * side + 2 * far) / (1 + 2 * side)
  np.testing.assert_allclose(out[1, 0, 0, 0], middle, rtol=1e-5)
  flat = jnp.ones((2, 7, 7, 1))
  np.testing.assert_allclose(
    augment.gaussian_blur(flat, sigma, radii=(2, 2)), flat, rtol=1e-6
  )
