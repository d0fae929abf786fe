import functools

import jax
import jax.numpy as jnp
import numpy as np

from jaxuda.models import deeplab
from jaxuda.models import layers
from jaxuda.step import parallel


def test_pooling_in_ceil_mode():
  even = jnp.arange(8.0).reshape(1, 1, 8, 1)
  odd = even[:, :, :7]

  def pool(x):
    return layers.max_pool_ceil(x)[0, 0, :, 0]

  np.testing.assert_array_equal(pool(even), [1, 3, 5, 7, 7])
  np.testing.assert_array_equal(pool(odd), [1, 3, 5, 6])
  # Padding is -inf, not 0.
  np.testing.assert_array_equal(pool(even - 10), [-9, -7, -5, -3, -3])


def test_convolution_by_hand():
  # A 3x3 kernel of ones, dilation 2: sums of 9 pixels, zeros outside.
  x = jnp.arange(25.0).reshape(1, 5, 5, 1)
  conv = layers.Conv(1, 3, dilation=2)
  y = conv.apply({'params': {'kernel': jnp.ones((3, 3, 1, 1))}}, x)
  assert y.shape == x.shape
  assert y[0, 2, 2, 0] == sum(r * 5 + c for r in (0, 2, 4) for c in (0, 2, 4))
  assert y[0, 0, 0, 0] == 0 + 2 + 10 + 12


def test_kernel_initialisers():
  keys = jax.random.split(jax.random.key(0), 5)
  shape = (4, 4, 64, 64)
  assert (
    abs(layers.kernel_init('reference')(keys[0], shape).std() - 0.01) < 1e-4
  )
  he = layers.kernel_init('he')(keys[1], shape).std()
  assert abs(he - np.sqrt(2 / 1024)) < 1e-3
  torch = layers.kernel_init('torch')(keys[2], shape)
  assert abs(jnp.abs(torch).max() - 1 / 32) < 1e-4
  # Of the outputs, each of which has nine taps.
  wide = layers.kernel_init('fan_out')(keys[4], (3, 3, 8, 256))
  assert abs(wide.std() / np.sqrt(2 / (9 * 256)) - 1) < 0.02
  bias = layers.torch_default_init(1024)(keys[3], (5000,))
  assert abs(jnp.abs(bias).max() - 1 / 32) < 1e-4


def _norm(mode, x, train=True, **kwargs):
  norm = layers.BatchNorm(mode=mode, **kwargs)
  variables = norm.init(jax.random.key(0), x, train=True)
  return norm.apply(variables, x, train=train, mutable=['batch_stats'])


def test_running_statistics_are_pytorchs():
  x = jax.random.normal(jax.random.key(0), (2, 3, 4, 5)) * 2 + 1
  y, moved = _norm('batch', x)
  np.testing.assert_allclose(y.mean((0, 1, 2)), 0, atol=1e-5)
  np.testing.assert_allclose(y.std((0, 1, 2)), 1, atol=1e-4)
  flat = np.asarray(x).reshape(-1, 5)
  stats = moved['batch_stats']
  np.testing.assert_allclose(stats['mean'], 0.1 * flat.mean(0), rtol=1e-5)
  # Unbiased, over 24 values.
  np.testing.assert_allclose(
    stats['var'], 0.9 + 0.1 * flat.var(0, ddof=1), rtol=1e-5
  )


def test_momentum_is_the_weight_of_what_is_new():
  x = jax.random.normal(jax.random.key(0), (2, 3, 4, 5)) * 2 + 1
  _, moved = _norm('batch', x, momentum=0.25)
  mean = np.asarray(x).reshape(-1, 5).mean(0)
  np.testing.assert_allclose(moved['batch_stats']['mean'], mean / 4, rtol=1e-5)


def test_frozen_norm_uses_and_keeps_the_running_ones():
  x = jax.random.normal(jax.random.key(0), (2, 3, 4, 5)) * 2 + 1
  y, moved = _norm('frozen', x)
  np.testing.assert_allclose(y, x / np.sqrt(1 + 1e-5), rtol=1e-5)
  assert not moved['batch_stats']['mean'].any()


def test_affine_gradient_is_a_switch():
  x = jax.random.normal(jax.random.key(0), (2, 3, 4, 5))
  for trained in (False, True):
    norm = layers.BatchNorm(train_affine=trained)
    variables = norm.init(jax.random.key(1), x, train=True)

    def loss(params, norm=norm, stats=variables['batch_stats']):
      y, _ = norm.apply(
        {'params': params, 'batch_stats': stats},
        x,
        train=True,
        mutable=['batch_stats'],
      )
      return jnp.sum(y**3)

    gradient = jax.grad(loss)(variables['params'])
    assert bool(jnp.abs(gradient['scale']).sum() > 0) == trained


def test_sync_on_two_devices_is_batch_on_one():
  x = jax.random.normal(jax.random.key(0), (4, 3, 4, 5)) * 3
  whole, moved = _norm('batch', x)
  norm = layers.BatchNorm(mode='sync')
  variables = norm.init(jax.random.key(0), x, train=True)
  halves, split = jax.pmap(
    lambda x: norm.apply(variables, x, train=True, mutable=['batch_stats']),
    axis_name=parallel.AXIS,
  )(x.reshape(2, 2, 3, 4, 5))
  np.testing.assert_allclose(halves.reshape(x.shape), whole, atol=1e-5)
  for name in ('mean', 'var'):
    np.testing.assert_allclose(
      split['batch_stats'][name][1], moved['batch_stats'][name], rtol=1e-5
    )


def test_styles_begin_and_end_a_layer():
  style = layers.Style(initializer='he', dtype=jnp.bfloat16)
  conv = layers.Conv(2, 3, use_bias=True, style=style)
  x = jnp.ones((1, 4, 4, 5))
  params = conv.init(jax.random.key(0), x)['params']
  assert {p.dtype for p in jax.tree.leaves(params)} == {jnp.dtype('float32')}
  y = conv.apply({'params': params}, x)
  assert y.dtype == jnp.bfloat16
  assert layers.widen(y).dtype == jnp.float32
  with jax.enable_x64():
    assert layers.widen(jnp.zeros(1, jnp.float64)).dtype == jnp.float64
  zeros = jnp.zeros((1, 1, 1, 2), jnp.bfloat16)
  ended = layers.add_bias(zeros, jnp.array([1.0, 2.0]), style)
  np.testing.assert_array_equal(ended[0, 0, 0], [1, 2])


def test_no_norm_is_scale_and_bias_alone():
  x = jax.random.normal(jax.random.key(0), (2, 3, 4, 5))
  norm = layers.BatchNorm(mode='none', train_affine=True)
  variables = norm.init(jax.random.key(0), x, train=True)
  assert variables.keys() == {'params'}
  params = {'scale': jnp.full(5, 3.0), 'bias': jnp.arange(5.0)}
  for train in (True, False):
    y = norm.apply({'params': params}, x, train=train)
    expected = 3 * x + jnp.arange(5.0).reshape(1, 1, 1, 5)
    np.testing.assert_allclose(y, expected, rtol=1e-6)


def test_a_network_without_norms_sees_every_image_alone():
  options = deeplab.Options(backbone='resnet_tiny', norm='none', init='torch')
  module = deeplab.DeepLab(classes=3, options=options)
  images = jax.random.uniform(jax.random.key(1), (2, 33, 33, 3)) * 255
  variables = jax.jit(module.init)(jax.random.key(0), images)
  assert variables.keys() == {'params'}
  run = jax.jit(functools.partial(deeplab.run, module, train=True))
  both, stats = run(variables['params'], {}, images)
  alone, _ = run(variables['params'], {}, images[:1])
  assert stats == {}
  np.testing.assert_allclose(both['logits'][:1], alone['logits'], rtol=1e-5)


def _standardize(x, epsilon):
  centred = x - x.mean((1, 2), keepdims=True)
  var = jnp.square(centred).mean((1, 2), keepdims=True)
  return centred / jnp.sqrt(var + epsilon)


def test_gradients_of_an_instance_norm():
  with jax.enable_x64():
    x, weight = jax.random.normal(jax.random.key(0), (2, 2, 5, 7, 3))
    # Far from 0, and a constant channel.
    x = (x + 40.0).at[0, :, :, 1].set(3.0)

    def loss(norm, x):
      return jnp.sum(weight * norm(x) ** 3)

    def slope(norm, x):
      return jnp.sum(jnp.sin(jax.grad(functools.partial(loss, norm))(x)))

    ours = functools.partial(layers.instance_norm, epsilon=1e-3)
    plain = functools.partial(_standardize, epsilon=1e-3)
    np.testing.assert_allclose(ours(x), plain(x), atol=1e-12)
    for fn in (loss, slope):
      found, expected = (
        jax.grad(functools.partial(fn, norm))(x) for norm in (ours, plain)
      )
      np.testing.assert_allclose(
        found, expected, rtol=1e-10, atol=1e-10 * abs(expected).max()
      )


def test_an_instance_norm_keeps_its_digits_far_from_zero():
  x = jax.random.normal(jax.random.key(0), (1, 32, 32, 2))
  far = jnp.float32(4096) + jnp.round(x * 256) / 256
  exact = _standardize(np.asarray(far, np.float64), 1e-5)
  np.testing.assert_allclose(layers.instance_norm(far), exact, atol=1e-5)
