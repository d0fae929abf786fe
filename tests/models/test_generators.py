import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxuda.models import discriminators
from jaxuda.models import generators
from jaxuda.models import layers
from jaxuda.models import lowering
from jaxuda.models import pretrained
from jaxuda.models import rewrites


@pytest.mark.parametrize('size', [(375, 1242), (512, 1024), (97, 130)])
def test_size_is_preserved(size):
  module = generators.Generator()
  image = jax.ShapeDtypeStruct((1, *size, 14), jnp.float32)
  out, variables = jax.eval_shape(
    module.init_with_output, jax.random.key(0), image
  )
  assert out.shape == (1, *size, 3)
  shapes = jax.tree.map(jnp.shape, variables['params'])
  assert shapes['stem']['kernel'] == (7, 7, 14, 64)
  assert shapes['block8_conv1']['kernel'] == (3, 3, 256, 256)
  assert len(shapes) == 1 + 2 + 18 + 2 + 1
  # CycleGAN's 9-block generator for 3 channels has 11,378,179 parameters.
  count = sum(x.size for x in jax.tree.leaves(variables['params']))
  assert count == 11378179 + 49 * 11 * 64


def test_cropping_is_of_the_padding_alone():
  # Away from the right and lower sides, padding by 0 to 3 changes nothing but
  # the instance norms' statistics: of a constant image, nothing at all.
  module = generators.Generator(width=2, blocks=1)
  image = jnp.full((1, 16, 16, 3), 0.3)
  params = module.init(jax.random.key(0), image)
  whole = module.apply(params, image)
  for height, width in ((13, 16), (15, 14)):
    part = module.apply(params, image[:, :height, :width])
    np.testing.assert_allclose(part, whole[:, :height, :width], atol=1e-6)
  assert np.abs(whole).max() <= 1


def test_residual_generator_begins_with_the_image():
  module = generators.Generator(width=4, blocks=2, residual=0.5)
  maps = jax.random.uniform(jax.random.key(0), (2, 18, 21, 5), minval=-1)
  params = module.init(jax.random.key(1), maps)['params']
  # Except the last bias, which is PyTorch's.
  params['head']['bias'] = jnp.zeros(3)
  made = module.apply({'params': params}, maps)
  np.testing.assert_allclose(made, 0.99 * maps[..., :3], atol=1e-6)
  grads = jax.grad(lambda p: jnp.sum(module.apply({'params': p}, maps) ** 2))(
    params
  )
  assert float(jnp.abs(grads['head']['kernel']).max()) > 0
  # However far it goes, it stays within the bound.
  params['head']['bias'] = jnp.asarray([-50.0, 0.0, 50.0])
  made = jnp.arctanh(module.apply({'params': params}, maps))
  added = made - jnp.arctanh(0.99 * maps[..., :3])
  np.testing.assert_allclose(
    added, jnp.broadcast_to(jnp.asarray([-0.5, 0, 0.5]), added.shape), atol=1e-4
  )


def test_transposed_convolution_by_hand():
  # A single pixel of 5 shows where every tap lands: taps (1, 1) at (0, 0).
  module = generators.ConvTranspose(1)
  kernel = jnp.arange(9.0).reshape(3, 3, 1, 1)
  params = {'params': {'kernel': kernel, 'bias': jnp.ones(1)}}
  x = jnp.zeros((1, 2, 2, 1)).at[0, 1, 1].set(5)
  y = module.apply(params, x)[0, :, :, 0]
  expected = np.zeros((4, 4))
  expected[1:4, 1:4] = 5 * np.arange(9).reshape(3, 3)
  np.testing.assert_allclose(y, expected + 1)


def test_transposed_convolution_is_the_gradient_of_a_convolution():
  keys = jax.random.split(jax.random.key(0), 3)
  kernel = jax.random.normal(keys[0], (3, 3, 4, 6))
  x = jax.random.normal(keys[1], (2, 3, 5, 6))
  params = {'params': {'kernel': kernel, 'bias': jnp.zeros(4)}}

  def down(image):
    return jax.lax.conv_general_dilated(
      image,
      kernel,
      (2, 2),
      [(1, 1), (1, 1)],
      dimension_numbers=('NHWC', 'HWIO', 'NHWC'),
    )

  expected = jax.linear_transpose(down, jnp.zeros((2, 6, 10, 4)))(x)[0]
  for options in (rewrites.NONE, rewrites.Rewrites()):
    style = layers.Style(rewrites=options)
    module = generators.ConvTranspose(4, style=style)
    np.testing.assert_allclose(
      module.apply(params, x), expected, rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize(
  ('platform', 'switch', 'product'),
  [('cpu', 'on', True), ('cpu', 'off', False), ('tpu', 'on', False)],
)
def test_zeros_are_multiplied_where_that_is_cheaper(
  platform, switch, product, monkeypatch
):
  monkeypatch.setattr(lowering, '_target', platform)
  options = rewrites.Rewrites(aspp_dot=switch)
  module = generators.ConvTranspose(4, style=layers.Style(rewrites=options))
  x = jnp.zeros((2, 3, 5, 6))
  params = {'kernel': jnp.zeros((3, 3, 4, 6)), 'bias': jnp.zeros(4)}
  program = str(jax.make_jaxpr(module.apply)({'params': params}, x))
  assert ('dot_general' in program) == product
  assert ('lhs_dilation=(2, 2)' in program) != product


def test_instance_norm_by_hand():
  x = jnp.array([1.0, 3.0, 10.0, 10.0]).reshape(2, 2, 1, 1)
  y = layers.instance_norm(x, epsilon=0.0)
  np.testing.assert_allclose(y[0].ravel(), [-1, 1])
  # A constant channel becomes 0 with the default epsilon.
  np.testing.assert_array_equal(layers.instance_norm(x)[1].ravel(), [0, 0])
  half = layers.instance_norm(x.astype(jnp.bfloat16))
  assert half.dtype == jnp.bfloat16


def test_patches_are_70_pixels():
  module = discriminators.PatchDiscriminator(width=2)
  x = jax.random.normal(jax.random.key(0), (1, 160, 160, 3))
  params = module.init(jax.random.key(1), x)
  assert module.apply(params, x).shape == (1, 18, 18, 1)
  # Without the norms, which see everything, by the strides: 1 + 3 (1 + 1 * 1
  # + ...), as the receptive field of five 4x4 convolutions.
  field, jump = 1, 1
  for stride in (2, 2, 2, 1, 1):
    field, jump = field + 3 * jump, jump * stride
  assert field == 70
  large = jax.ShapeDtypeStruct((1, 375, 1242, 3), jnp.float32)
  out = jax.eval_shape(
    discriminators.PatchDiscriminator().init_with_output,
    jax.random.key(0),
    large,
  )
  assert out[0].shape == (1, 375 // 8 - 2, 1242 // 8 - 2, 1)
  # The published PatchGAN has 2,764,737 parameters.
  assert sum(x.size for x in jax.tree.leaves(out[1])) == 2764737


def test_keys_are_the_published_ones():
  module = generators.Generator(width=2, blocks=9)
  params = module.init(jax.random.key(0), jnp.zeros((1, 16, 16, 3)))
  key = functools.partial(pretrained.generator_key, blocks=9)
  state_dict = pretrained.to_torch(params, naming=key)
  places = (1, 4, 7, *range(10, 19), 19, 22, 26)
  assert {int(k.split('.')[1]) for k in state_dict} == set(places)
  assert state_dict['model.18.conv_block.5.weight'].shape == (8, 8, 3, 3)
  # Transposed convolutions are stored [in, out, kh, kw].
  assert state_dict['model.19.weight'].shape == (8, 4, 3, 3)
  back = pretrained.from_torch(state_dict, params, naming=key)
  jax.tree.map(np.testing.assert_array_equal, back, params)
