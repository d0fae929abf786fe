"""MiT; its numbers are checked in tests/scripts/test_check_golden.py."""

import dataclasses
import itertools

from flax import linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxuda import errors
from jaxuda.models import deeplab
from jaxuda.models import layers
from jaxuda.models import rewrites
from jaxuda.models.backbones import attention
from jaxuda.models.backbones import mit

TORCH = layers.Style(initializer='torch')


def shapes(module, size):
  image = jax.ShapeDtypeStruct((1, *size, 3), jnp.float32)
  return jax.eval_shape(
    lambda x: module.init_with_output(jax.random.key(0), x, train=False), image
  )


@pytest.mark.parametrize(
  ('name', 'count'),
  # The numbers of `transformers.SegformerModel`.
  [
    ('mit_b0', 3_319_392),
    ('mit_b2', 24_196_288),
    ('mit_b5', 81_443_008),
  ],
)
def test_numbers_of_parameters(name, count):
  maps, variables = shapes(mit.Mit(size=name), (64, 96))
  assert set(variables) == {'params'}
  assert sum(x.size for x in jax.tree.leaves(variables)) == count
  widths = mit.SIZES[name].channels
  grids = ((16, 24), (8, 12), (4, 6), (2, 3))
  assert [x.shape[1:] for x in maps] == [
    (*grid, width) for grid, width in zip(grids, widths, strict=True)
  ]


@pytest.mark.parametrize('size', [(61, 77), (33, 64), (5, 130), (1, 1)])
def test_any_size(size):
  maps, _ = shapes(mit.Mit(size='mit_tiny'), size)
  assert [x.shape[1:3] for x in maps] == [
    tuple(-(-side // stride) for side in size) for stride in mit.STRIDES
  ]
  for decoder in ('aspp', 'daformer'):
    options = deeplab.Options(backbone='mit_tiny', decoder=decoder)
    module = deeplab.DeepLab(classes=3, options=options)
    image = jax.ShapeDtypeStruct((1, *size, 3), jnp.uint8)
    out, _ = jax.eval_shape(module.init_with_output, jax.random.key(0), image)
    assert out['logits'].shape[1:3] == options.grid_size(size)


def test_a_map_smaller_than_a_square_is_filled_up():
  x = jax.random.normal(jax.random.key(0), (1, 3, 9, 4))
  block = mit.Attention(2, 4, style=TORCH)
  variables = block.init(jax.random.key(1), x)
  y = jax.jit(block.apply)(variables, x)
  assert np.isfinite(y).all()
  filled = jnp.pad(x, ((0, 0), (0, 1), (0, 0), (0, 0)))
  same = jax.jit(block.apply)(variables, filled)[:, :3]
  np.testing.assert_allclose(y, same, atol=1e-6)


def test_stochastic_depth_leaves_out_sums_by_image():
  drop, count = 0.25, 200
  block = mit.Block(heads=2, reduction=1, expansion=2, drop=drop, style=TORCH)
  x = jax.random.normal(jax.random.key(0), (1, 3, 4, 8))
  variables = block.init(jax.random.key(1), x, False)

  def part(module, params, norm, x):
    params = variables['params'][params]
    scale, bias = (variables['params'][norm][k] for k in ('scale', 'bias'))
    mean = x.mean(-1, keepdims=True)
    centred = (x - mean) / jnp.sqrt(x.var(-1, keepdims=True) + 1e-6)
    scaled = centred * scale.reshape(1, 1, 1, -1) + bias.reshape(1, 1, 1, -1)
    return module.apply({'params': params}, scaled)

  attention = mit.Attention(2, 1, style=TORCH)
  mlp = mit.MixFfn(2, style=TORCH)
  expected = []
  for first, second in itertools.product((0, 1), repeat=2):
    y = x + first / (1 - drop) * part(attention, 'attention', 'norm1', x)
    y = y + second / (1 - drop) * part(mlp, 'mlp', 'norm2', y)
    expected.append(np.asarray(y[0]))
  many = jnp.repeat(x, count, 0)
  rngs = {'dropout': jax.random.key(2)}
  found = jax.jit(lambda v: block.apply(v, many, True, rngs=rngs))(variables)
  found = np.asarray(found)
  apart = np.stack([np.abs(found - y).max((1, 2, 3)) for y in expected])
  assert apart.min(0).max() < 1e-5
  shares = np.bincount(apart.argmin(0), minlength=4) / count
  kept = 1 - drop
  wanted = [drop**2, drop * kept, kept * drop, kept**2]
  np.testing.assert_allclose(shares, wanted, atol=4 * 0.5 / count**0.5)
  # Without random numbers, and in a test pass, nothing is dropped.
  plain = jax.jit(lambda v: block.apply(v, x, False))(variables)
  still = jax.jit(lambda v: block.apply(v, x, True))(variables)
  np.testing.assert_array_equal(still, plain)
  y = x + part(attention, 'attention', 'norm1', x)
  y = y + part(mlp, 'mlp', 'norm2', y)
  np.testing.assert_allclose(plain, y, atol=1e-5)


def test_stochastic_depth_grows_with_the_blocks():
  seen = []

  def note(call, args, kwargs, context):
    if isinstance(context.module, mit.Block):
      if context.method_name == '__call__':
        seen.append(context.module.drop)
    return call(*args, **kwargs)

  options = deeplab.Options(backbone='mit_b5', stochastic_depth=0.2)
  image = jax.ShapeDtypeStruct((1, 32, 32, 3), jnp.uint8)
  with nn.intercept_methods(note):
    jax.eval_shape(deeplab.Backbone(options).init, jax.random.key(0), image)
  np.testing.assert_allclose(seen, np.linspace(0, 0.2, 52), atol=1e-12)


def test_rewrites_and_remat_change_nothing():
  off = {field.name: False for field in dataclasses.fields(rewrites.Rewrites)}
  options = deeplab.Options(
    backbone='mit_tiny', init='torch', dtype='float64', image_scale=(0.01,) * 3
  )
  image = 255 * np.random.RandomState(0).uniform(size=(2, 33, 41, 3))

  def gradients(options, params=None):
    module = deeplab.Backbone(options)
    rngs = {'dropout': jax.random.key(3)}
    if params is None:
      params = jax.jit(module.init)(jax.random.key(0), image)['params']

    def loss(params):
      y = module.apply({'params': params}, image, train=True, rngs=rngs)
      return jnp.sum(jnp.sin(3 * y))

    return jax.jit(jax.value_and_grad(loss))(params), params

  with jax.enable_x64():
    ours, params = gradients(options)
    change = dataclasses.replace(options, remat=True, **off)
    plain, _ = gradients(change, params)
  assert ours[0].dtype == jnp.float64
  for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(plain), strict=True):
    np.testing.assert_allclose(a, b, atol=1e-12 * max(np.abs(b).max(), 1))


def test_bfloat16_computes_in_it():
  maps, variables = shapes(
    mit.Mit(size='mit_tiny', style=layers.Style(dtype=jnp.bfloat16)), (33, 41)
  )
  assert {x.dtype.name for x in maps} == {'bfloat16'}
  assert {x.dtype.name for x in jax.tree.leaves(variables)} == {'float32'}


def test_attention_is_jaxs():
  shape = (2, 7, 3, 5)
  keys = jax.random.split(jax.random.key(0), 3)
  arrays = [jax.random.normal(k, shape) for k in keys]
  ours = attention.attend(*arrays)
  with jax.enable_x64():
    exact = attention.attend(*(jnp.asarray(x, jnp.float64) for x in arrays))
  assert (ours.dtype, exact.dtype) == (jnp.float32, jnp.float64)
  np.testing.assert_allclose(ours, exact, atol=1e-5)


@pytest.mark.parametrize(
  ('fields', 'message'),
  [
    ({'backbone': 'mit_b6'}, 'expected one of .*mit_b5'),
    ({'stochastic_depth': 1.5}, 'stochastic_depth=1.5; expected 0 to 1'),
    ({'dropout': -1}, 'dropout=-1; expected 0 to 1'),
    ({'decoder': 'x'}, 'decoder=.*expected one of aspp, aspp_l, daformer'),
    ({'backbone': 'mit_b0', 'output_stride': 16}, 'expected 8 with .*mit_b0'),
  ],
)
def test_bad_options_are_named(fields, message):
  with pytest.raises(errors.UserError, match=message):
    deeplab.Options(**fields)
