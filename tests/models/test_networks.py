import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxuda import errors
from jaxuda.models import deeplab
from jaxuda.models import discriminators
from jaxuda.models import heads
from jaxuda.models import layers
from jaxuda.models import rewrites
from jaxuda.models.backbones import resnet
from jaxuda.step import state
from tests import filling

SMALL = deeplab.Options(backbone='resnet_tiny', init='he')
HE = layers.Style(initializer='he')


def count(tree):
  return sum(leaf.size for leaf in jax.tree.leaves(tree))


def shapes(module, size, channels=3):
  image = jax.ShapeDtypeStruct((1, *size, channels), jnp.float32)
  return jax.eval_shape(module.init, jax.random.key(0), image)


@pytest.mark.parametrize(
  ('classes', 'parameters'), [(16, 47_418_624), (7, 46_755_036)]
)
def test_dada_has_the_published_number_of_parameters(classes, parameters):
  module = deeplab.DeepLab(classes=classes, depth=True, fuse=True)
  assert count(shapes(module, (65, 65))['params']) == parameters


def test_three_branches_have_the_published_number_of_parameters():
  module = deeplab.DeepLab(classes=16, depth=True, density=True)
  params = shapes(module, (65, 65))['params']
  # 1x1 128 -> 2048 and 128 -> 16, in the official files but never used.
  unused = 129 * 2048 + 129 * 16
  assert count(params) == 50_895_248 - unused
  assert set(params['density']) == {'enc4_1', 'enc4_2', 'enc4_3'}
  assert set(params['depth']) == {'enc5_1', 'enc5_2', 'enc5_3'}


def test_discriminator_has_the_published_number_of_parameters():
  params = shapes(discriminators.FcDiscriminator(), (64, 64), 16)['params']
  assert count(params) == 2_778_049


@pytest.mark.parametrize(
  ('size', 'grid', 'disc'),
  [
    ((760, 1280), (96, 161), (23, 40)),
    ((512, 1024), (65, 129), (16, 32)),
    ((768, 1024), (97, 129), (24, 32)),
    ((320, 640), (41, 81), (10, 20)),
    ((97, 130), (13, 17), (3, 4)),
  ],
)
def test_output_grids(size, grid, disc):
  image = jax.ShapeDtypeStruct((1, *size, 3), jnp.float32)
  module = deeplab.DeepLab(classes=16, options=SMALL)
  variables = jax.eval_shape(module.init, jax.random.key(0), image)
  out = jax.eval_shape(module.apply, variables, image)
  assert out['logits'].shape == (1, *grid, 16)
  assert resnet.grid_size(size) == grid
  maps = jax.ShapeDtypeStruct((1, *size, 16), jnp.float32)
  module = discriminators.FcDiscriminator(width=4)
  variables = jax.eval_shape(module.init, jax.random.key(0), maps)
  out = jax.eval_shape(module.apply, variables, maps)
  assert out.shape == (1, *disc, 1)


@pytest.mark.parametrize('active', [None, 2])
def test_pyramid_as_product_equals_convolutions(active):
  # With rates of 12 and up most taps are outside the 9 x 13 map.
  x = jax.random.normal(jax.random.key(0), (2, 9, 13, 8))
  fast = heads.Aspp(5, active=active, style=HE)
  plain = rewrites.Rewrites(aspp_dot=False)
  slow = fast.clone(style=dataclasses.replace(HE, rewrites=plain))
  variables = fast.init(jax.random.key(1), x)
  assert len(variables['params']) == 8

  def loss(params, module):
    return jnp.sum(jnp.sin(module.apply({'params': params}, x)))

  np.testing.assert_allclose(
    fast.apply(variables, x), slow.apply(variables, x), atol=1e-4
  )
  ours = jax.grad(loss)(variables['params'], fast)
  theirs = jax.grad(loss)(variables['params'], slow)
  for name in ours:
    np.testing.assert_allclose(ours[name], theirs[name], atol=1e-4)
    # Parameters without effect get no gradient.
    acts = active is None or int(name[4]) < active
    assert bool(jnp.any(ours[name] != 0)) == acts


def test_depth_is_the_mean_of_the_encoded_channels():
  x = jax.random.normal(jax.random.key(0), (1, 4, 5, 32))
  block = heads.DepthBlock(style=HE)
  variables = block.init(jax.random.key(1), x)
  (depth, factor), state = block.apply(
    variables, x, capture_intermediates=True, mutable=['intermediates']
  )
  encoded = state['intermediates']['enc4_3']['__call__'][0]
  assert encoded.shape == (1, 4, 5, 2)
  np.testing.assert_allclose(depth, encoded.mean(-1), atol=1e-6)
  scaled, same = block.clone(scale=100.0).apply(variables, x)
  np.testing.assert_allclose(scaled, 100 * depth, rtol=1e-6)
  np.testing.assert_array_equal(same, factor)
  assert factor.shape == x.shape
  assert (factor >= 0).all()
  assert block.clone(decode=False).apply(variables, x)[1] is None


@pytest.mark.parametrize(
  'change',
  [
    {field.name: False for field in dataclasses.fields(rewrites.Rewrites)},
    {'remat': True},
  ],
)
def test_rewrites_and_remat_change_nothing(change):
  image = jax.random.uniform(jax.random.key(0), (1, 33, 49, 3)) * 255

  def outputs(options):
    module = deeplab.DeepLab(classes=5, options=options, depth=True, fuse=True)
    variables = module.init(jax.random.key(1), image)

    def loss(params):
      out, _ = deeplab.run(
        module, params, variables['batch_stats'], image, train=True
      )
      return jnp.mean(out['logits'] ** 2), out

    return jax.jit(jax.value_and_grad(loss, has_aux=True))(variables['params'])

  frozen = dataclasses.replace(
    SMALL, norm='frozen', image_scale=(0.01, 0.01, 0.01)
  )
  (_, ours), grads = outputs(frozen)
  (_, plain), plain_grads = outputs(dataclasses.replace(frozen, **change))
  for name, value in ours.items():
    np.testing.assert_allclose(value, plain[name], rtol=1e-3, atol=1e-4)
  for a, b in zip(
    jax.tree.leaves(grads), jax.tree.leaves(plain_grads), strict=True
  ):
    scale = jnp.abs(b).max() + 1e-9
    np.testing.assert_allclose(a / scale, b / scale, atol=1e-3)


def test_bfloat16_computes_in_it_and_puts_out_float32():
  image = jax.ShapeDtypeStruct((1, 33, 49, 3), jnp.float32)
  options = dataclasses.replace(SMALL, dtype='bfloat16')
  module = deeplab.DeepLab(classes=5, options=options, depth=True, fuse=True)
  variables = jax.eval_shape(module.init, jax.random.key(1), image)
  assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {
    jnp.dtype('float32')
  }
  out = jax.eval_shape(module.apply, variables, image)
  assert {v.dtype for v in out.values()} == {jnp.dtype('float32')}


def test_prediction_is_upsampled_once_to_any_size():
  image = jnp.zeros((2, 33, 49, 3), jnp.uint8)
  module = deeplab.DeepLab(classes=5, options=SMALL, depth=True)
  shapes = jax.eval_shape(module.init, jax.random.key(1), image)
  net = state.create_net(filling.fill(shapes), None)
  for size, expected in ((None, (33, 49)), ((66, 98), (66, 98))):
    predict = functools.partial(deeplab.predict, module, size=size)
    out = jax.jit(predict)(net, image)
    assert out['logits'].shape == (2, *expected, 5)
    assert out['depth'].shape == (2, *expected)
    assert ((out['depth'] >= 0) & (out['depth'] <= 655.36)).all()


@pytest.mark.parametrize(
  ('fields', 'message'),
  [
    ({'backbone': 'resnet18'}, 'unknown backbone'),
    ({'norm': 'group'}, 'network.norm'),
    ({'dtype': 'float16'}, 'network.dtype'),
    ({'active_rates': 5}, 'network.active_rates'),
    ({'image_mean': (1, 2)}, r'network\.image_mean=\(1, 2\); expected 3 num'),
    ({'image_scale': (None,)}, r'network\.image_scale'),
    ({'rates': (6, 1.5)}, r'network\.rates=\(6, 1\.5\); expected whole num'),
    ({'rates': (0,)}, r'network\.rates'),
    ({'rates': ()}, r'network\.rates'),
    ({'depth_scale': -1.0}, r'network\.depth_scale'),
  ],
)
def test_bad_options_are_named(fields, message):
  with pytest.raises(errors.UserError, match=message):
    deeplab.Options(**fields)


def test_backbone_sizes_by_name():
  assert resnet.size('resnet101').blocks == (3, 4, 23, 3)
  with pytest.raises(errors.UserError, match='resnet_small'):
    resnet.size('vgg')
