import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxuda import errors
from jaxuda.models import deeplab
from jaxuda.models import generators
from jaxuda.models import heads
from jaxuda.models import layers
from jaxuda.models import lowering
from jaxuda.models import rewrites


def gradients(make, params, x, switches):
  """Returns gradients of a nonlinear function of a layer's output."""

  def loss(params, x):
    style = layers.Style(rewrites=switches)
    y = make(style=style).apply({'params': params}, x)
    return jnp.sum(jnp.sin(y))

  return jax.grad(loss, (0, 1))(params, x)


def assert_close(ours, plain):
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(
      a, b, atol=1e-5 * float(jnp.abs(b).max())
    ),
    ours,
    plain,
  )


@pytest.mark.parametrize('stride', [1, 2])
def test_product_and_convolution_agree(stride):
  x = jax.random.normal(jax.random.key(0), (2, 7, 9, 5))
  make = functools.partial(layers.Conv, 4, 1, stride=stride, use_bias=True)
  params = make().init(jax.random.key(1), x)['params']
  assert_close(
    gradients(make, params, x, rewrites.Rewrites()),
    gradients(make, params, x, rewrites.NONE),
  )


@pytest.mark.parametrize(
  ('kernel', 'stride', 'dilation', 'padding'),
  [
    *((3, 1, 1, 1), (4, 2, 1, 1), (3, 2, 2, 0)),
    # Taps that see only zeros, or many of them.
    *((3, 1, 4, None), (3, 1, 9, None), (3, 1, 12, None), (3, 2, 4, 4)),
  ],
)
def test_taps_and_convolution_agree(kernel, stride, dilation, padding):
  # 128 channels: taps are used from there on.
  x = jax.random.normal(jax.random.key(0), (2, 8, 11, 128))
  make = functools.partial(
    layers.Conv, 3, kernel, stride=stride, dilation=dilation, padding=padding
  )
  params = make().init(jax.random.key(1), x)['params']
  switches = rewrites.Rewrites(barriers=False)
  assert_close(
    gradients(make, params, x, switches),
    gradients(make, params, x, rewrites.NONE),
  )
  program = jax.make_jaxpr(lambda: gradients(make, params, x, switches))()
  # One product per tap instead of the convolution that XLA would run.
  assert str(program).count('dot_general[') == kernel**2


@pytest.mark.parametrize(
  ('kernel', 'padding', 'channels', 'outputs'),
  # One product; two and three groups.
  [*((7, 0, 19, 3), (5, 2, 6, 4)), *((7, 3, 17, 5), (5, 1, 33, 32))],
)
def test_large_kernels_and_convolution_agree(
  kernel, padding, channels, outputs
):
  x = jax.random.normal(jax.random.key(0), (2, 9, 12, channels))
  make = functools.partial(layers.Conv, outputs, kernel, padding=padding)
  params = make().init(jax.random.key(1), x)['params']
  switches = rewrites.Rewrites()
  values = (
    make(style=layers.Style(rewrites=x_)).apply({'params': params}, x)
    for x_ in (switches, rewrites.NONE)
  )
  assert_close(*values)
  assert_close(
    gradients(make, params, x, switches),
    gradients(make, params, x, rewrites.NONE),
  )
  # The convolution must not be compared with itself.
  module = make(style=layers.Style(rewrites=switches))
  lowered = jax.jit(module.apply).lower({'params': params}, x)
  assert lowered.as_text().count('stablehlo.convolution') == (
    0 if outputs <= 4 else -(-channels // 16)
  )


def test_gradients_of_gradients():
  x = jax.random.normal(jax.random.key(0), (1, 4, 5, 128))
  kernel = jax.random.normal(jax.random.key(1), (3, 3, 128, 2)) * 0.03

  def penalty(x, switches):
    def loss(x):
      y = rewrites.conv(
        x, kernel, stride=1, dilation=1, padding=1, rewrites=switches
      )
      return jnp.sum(jnp.sin(rewrites.dense(y, kernel[0, 0, :2])))

    return jnp.sum(jax.grad(loss)(x) ** 2)

  ours, plain = (
    jax.grad(penalty)(x, switches)
    for switches in (rewrites.Rewrites(), rewrites.NONE)
  )
  assert_close(ours, plain)


@pytest.mark.parametrize(
  ('platform', 'pay'),
  [
    (
      'cpu',
      {'dot_1x1', 'dot_wgrad', 'barriers', 'aspp_dot', 'shift_depthwise'},
    ),
    ('gpu', {'dot_wgrad', 'aspp_dot'}),
    ('tpu', {'dot_1x1', 'aspp_dot'}),
  ],
)
def test_auto_is_what_pays_on_the_platform(monkeypatch, platform, pay):
  names = [field.name for field in dataclasses.fields(rewrites.Rewrites)]

  def on(**switches):
    options = deeplab.Options(**switches)
    return {x for x in names if options.style.rewrites.is_on(x)}

  # When compiling for an absent device, its platform decides.
  monkeypatch.setattr(lowering, '_target', '')
  lowering.trace_for(platform)
  monkeypatch.setattr(jax, 'default_backend', lambda: 'tpu')
  assert on() == pay
  # An explicit setting wins, in any form: older runs have booleans.
  assert on(barriers='off', dot_1x1='on') == (pay | {'dot_1x1'}) - {'barriers'}
  assert on(barriers=False, dot_1x1='True') == (pay | {'dot_1x1'}) - {
    'barriers'
  }
  assert on(**dict.fromkeys(names, True)) == {*names}
  with pytest.raises(errors.UserError, match='expected one of auto, on, off'):
    deeplab.Options(barriers='yes')


@pytest.mark.parametrize('name', ['pyramid', 'upsample'])
def test_products_in_bfloat16_are_rounded_once(name):
  keys = jax.random.split(jax.random.key(0), 5)
  x = jax.random.normal(keys[0], (1, 21, 33, 96), jnp.bfloat16)
  kernels = [
    jax.random.normal(k, (3, 3, 96, 5), jnp.bfloat16) * 0.1 for k in keys[1:]
  ]
  if name == 'pyramid':
    ways = heads._pyramid_dot, heads._pyramid_conv
    arguments = x, kernels, (2, 3, 4, 6)
  else:
    ways = generators._upsample_dot, generators._upsample_conv
    arguments = x, kernels[0]
  wide = jax.tree.map(
    lambda v: v.astype(jnp.float32) if isinstance(v, jax.Array) else v,
    arguments,
  )
  exact = jax.jit(lambda *v: ways[1](*v, *arguments[2:]))(*wide[:2])
  ours, plain = (
    jax.jit(lambda *v, way=way: way(*v, *arguments[2:]))(*arguments[:2])
    for way in ways
  )
  assert ours.dtype == jnp.bfloat16
  wrong, others = (np.abs(np.float32(y) - exact) for y in (ours, plain))
  # Half of the last of 8 bits, and float32 sums in another order.
  assert (wrong <= np.abs(exact) * 2.0**-8 + 1e-5).all()
  assert np.mean(wrong) <= np.mean(others) * 1.001
  gradients = jax.grad(
    lambda *v: jnp.sum(jnp.float32(ways[0](*v, *arguments[2:]))), (0, 1)
  )
  found = jax.eval_shape(gradients, *arguments[:2])
  assert {v.dtype for v in jax.tree.leaves(found)} == {jnp.dtype('bfloat16')}


@pytest.mark.parametrize('name', ['depthwise', 'large'])
def test_sums_over_taps_in_bfloat16_are_rounded_once(name):
  keys = jax.random.split(jax.random.key(0), 3)
  shape = (5, 5, 1, 24) if name == 'depthwise' else (5, 5, 24, 12)
  x, kernel, g = (
    jax.random.normal(k, s, jnp.bfloat16)
    for k, s in zip(
      keys, [(1, 13, 17, 24), shape, (1, 13, 17, shape[-1])], strict=True
    )
  )

  def run(x, kernel, g, switch):
    chosen = rewrites.Rewrites(
      **{f.name: switch for f in dataclasses.fields(rewrites.Rewrites)}
    )
    options = {'stride': 1, 'dilation': 1, 'rewrites': chosen}
    if name == 'depthwise':
      conv, pad = rewrites.depthwise, ((2, 2), (2, 2))
    else:
      conv, pad = rewrites.conv, 2
    y, pull = jax.vjp(lambda *v: conv(*v, padding=pad, **options), x, kernel)
    return y, pull(g)[0]

  run = jax.jit(run, static_argnames='switch')
  wide = [v.astype(jnp.float32) for v in (x, kernel, g)]
  pairs = zip(run(x, kernel, g, 'on'), run(*wide, 'off'), strict=True)
  for ours, exact in pairs:
    assert ours.dtype == jnp.bfloat16
    wrong = np.abs(np.float32(ours) - exact)
    # Half of the last of 8 bits, and float32 sums in another order.
    assert (wrong <= np.abs(exact) * 2.0**-8 + 1e-4).all()


@pytest.mark.parametrize(
  ('backend', 'channels', 'dilation', 'taps'),
  [
    ('cpu', 128, 1, True),
    ('cpu', 127, 2, False),
    ('gpu', 128, 1, False),
    ('gpu', 16, 2, True),
    ('tpu', 128, 2, False),
  ],
)
def test_weight_gradients_are_a_platforms(
  monkeypatch, backend, channels, dilation, taps
):
  monkeypatch.setattr(jax, 'default_backend', lambda: backend)

  def loss(kernel, x):
    y = rewrites.conv(
      x,
      kernel,
      stride=1,
      dilation=dilation,
      padding=dilation,
      rewrites=rewrites.Rewrites(),
    )
    return jnp.sum(jnp.sin(y))

  shapes = (3, 3, channels, 2), (1, 6, 6, channels)
  arrays = [jax.ShapeDtypeStruct(x, jnp.float32) for x in shapes]
  program = str(jax.make_jaxpr(jax.grad(loss))(*arrays))
  assert program.count('dot_general') == (9 if taps else 0)
