"""EfficientNet-Lite as a backbone, and its depthwise convolutions."""

import dataclasses

from flax import linen as nn
import jax
from jax import lax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxuda import errors
from jaxuda.models import corda
from jaxuda.models import deeplab
from jaxuda.models import layers
from jaxuda.models import rewrites

PLAIN = rewrites.Rewrites(shift_depthwise=False)


def depthwise(x, kernel, stride, dilation, switches):
  side = kernel.shape[0]
  size = x.shape[1:3]
  return rewrites.depthwise(
    x,
    kernel,
    stride=stride,
    dilation=dilation,
    padding=layers.same_padding(size, side, stride=stride, dilation=dilation),
    rewrites=switches,
  )


@pytest.mark.parametrize('side', [3, 5])
@pytest.mark.parametrize('stride', [1, 2])
@pytest.mark.parametrize('dilation', [1, 2, 4])
def test_zeros_are_those_of_xla(side, stride, dilation):
  reach = (side - 1) * dilation + 1
  for size in ((64, 97), (5, 4), (1, 2)):
    ours = layers.same_padding(size, side, stride=stride, dilation=dilation)
    theirs = lax.padtype_to_pads(size, (reach,) * 2, (stride,) * 2, 'SAME')
    assert list(ours) == list(theirs)


@pytest.mark.parametrize(
  ('side', 'stride', 'dilation', 'size'),
  [
    *((3, 1, 1, (6, 7)), (5, 1, 2, (7, 6)), (3, 2, 1, (7, 8))),
    # Zeros on only one side, and a dilation that sees hardly anything else.
    *((5, 2, 1, (8, 5)), (3, 1, 4, (3, 5))),
  ],
)
def test_taps_and_convolution_agree(side, stride, dilation, size):
  with jax.enable_x64():
    keys = jax.random.split(jax.random.key(0), 2)
    x = jax.random.normal(keys[0], (2, *size, 3), jnp.float64)
    kernel = jax.random.normal(keys[1], (side, side, 1, 3), jnp.float64)

    def compare(switches):
      def loss(x, kernel):
        y = depthwise(x, kernel, stride, dilation, switches)
        return jnp.sum(jnp.sin(y)), y

      gradients = jax.value_and_grad(loss, (0, 1), has_aux=True)
      (_, y), grads = jax.jit(gradients)(x, kernel)
      return y, *grads

    ours, plain = compare(rewrites.Rewrites()), compare(PLAIN)
  assert ours[0].shape == (2, *(-(-n // stride) for n in size), 3)
  for a, b in zip(ours, plain, strict=True):
    assert a.dtype == jnp.float64
    np.testing.assert_allclose(a, b, atol=1e-13 * np.abs(b).max())


def test_gradients_of_gradients_of_taps():
  x = jax.random.normal(jax.random.key(0), (1, 4, 5, 2))
  kernel = jax.random.normal(jax.random.key(1), (3, 3, 1, 2))

  def penalty(x, kernel, switches):
    def loss(*args):
      return jnp.sum(jnp.sin(depthwise(*args, 2, 1, switches)))

    return sum(jnp.sum(g**2) for g in jax.grad(loss, (0, 1))(x, kernel))

  ours, plain = (
    jax.jit(jax.grad(penalty, (0, 1)), static_argnums=2)(x, kernel, switches)
    for switches in (rewrites.Rewrites(), PLAIN)
  )
  for a, b in zip(ours, plain, strict=True):
    np.testing.assert_allclose(a, b, atol=1e-4 * np.abs(b).max())


@pytest.mark.parametrize(
  ('backend', 'switches', 'taps'),
  [
    ('cpu', rewrites.Rewrites(), True),
    ('cpu', PLAIN, False),
    ('gpu', rewrites.Rewrites(), False),
    ('tpu', rewrites.Rewrites(), False),
  ],
)
def test_taps_are_for_cpus(monkeypatch, backend, switches, taps):
  monkeypatch.setattr(jax, 'default_backend', lambda: backend)
  arrays = jnp.ones((1, 6, 6, 2)), jnp.ones((3, 3, 1, 2))
  program = jax.make_jaxpr(
    jax.grad(lambda *a: jnp.sum(depthwise(*a, 1, 1, switches)), (0, 1))
  )(*arrays)
  assert ('conv_general_dilated' in str(program)) != taps


def outputs(options, size, **fields):
  """Returns shapes of a network's variables and outputs, by tracing."""
  module = deeplab.DeepLab(classes=5, options=options, **fields)
  image = jax.ShapeDtypeStruct((1, *size, 3), jnp.float32)
  return jax.eval_shape(module.init_with_output, jax.random.key(0), image)


# (kernel, stride, dilation) of blocks 0 to 4, then of the others.
FIRST = [(3, 1, 1), (3, 2, 1), (3, 1, 1), (5, 2, 1), (5, 1, 1)]
MIDDLE = [(3, 2, 1), *[(3, 1, 1)] * 2, *[(5, 1, 1)] * 3]


@pytest.mark.parametrize(
  ('stride', 'rest'),
  [
    (32, [*MIDDLE, (5, 2, 1), *[(5, 1, 1)] * 3, (3, 1, 1)]),
    (16, [*MIDDLE, (5, 1, 1), *[(5, 1, 2)] * 3, (3, 1, 2)]),
    (
      8,
      [
        *((3, 1, 1), *[(3, 1, 2)] * 2, *[(5, 1, 2)] * 3),
        *((5, 1, 2), *[(5, 1, 4)] * 3, (3, 1, 4)),
      ],
    ),
  ],
)
def test_strides_and_dilations(monkeypatch, stride, rest):
  seen = []
  real = rewrites.depthwise

  def spy(x, kernel, **options):
    seen.append((kernel.shape[0], options['stride'], options['dilation']))
    return real(x, kernel, **options)

  monkeypatch.setattr(rewrites, 'depthwise', spy)
  options = deeplab.Options(backbone='efficientnet_lite0', output_stride=stride)
  outputs(options, (65, 97))
  assert seen == FIRST + rest


@pytest.mark.parametrize(
  ('stride', 'size', 'earlier', 'last'),
  [
    (8, (65, 97), (9, 13), (9, 13)),
    (8, (96, 192), (12, 24), (12, 24)),
    (16, (180, 240), (12, 15), (12, 15)),
    (32, (65, 97), (5, 7), (3, 4)),
  ],
)
def test_grids_and_channels(stride, size, earlier, last):
  options = deeplab.Options(backbone='efficientnet_lite0', output_stride=stride)
  fields = {'multi_level': True, 'depth': True, 'fuse': True, 'density': True}
  out, variables = outputs(options, size, **fields)
  assert out['logits'].shape == (1, *last, 5)
  assert out['depth'].shape == out['density'].shape == (1, *last)
  assert out['aux'].shape == (1, *earlier, 5)
  assert options.grid_size(size) == last
  params = variables['params']
  # The heads follow the channels: 320, a quarter and a sixteenth of them.
  assert params['layer6']['conv0_kernel'].shape == (3, 3, 320, 5)
  assert params['layer5']['conv0_kernel'].shape == (3, 3, 112, 5)
  assert params['depth']['enc5_1']['kernel'].shape == (1, 1, 320, 80)
  assert params['depth']['dec4']['kernel'].shape == (1, 1, 20, 320)
  count = sum(x.size for x in jax.tree.leaves(params['backbone']))
  # 4,652,008 minus the 1x1 to 1280, its norm, and the classifier.
  assert count == 2_958_848
  assert count == 4_652_008 - 320 * 1280 - 2 * 1280 - 1281 * 1000


def test_rewrites_and_remat_change_nothing():
  image = jax.random.uniform(jax.random.key(0), (1, 17, 25, 3)) * 255
  off = {field.name: False for field in dataclasses.fields(rewrites.Rewrites)}
  options = deeplab.Options(
    backbone='efficientnet_tiny', dtype='float64', image_scale=(0.01,) * 3
  )
  generator = np.random.default_rng(0)

  def gradients(options, variables):
    module = deeplab.DeepLab(classes=5, options=options)

    def loss(params):
      stats = variables['batch_stats']
      out, _ = deeplab.run(module, params, stats, image, train=False)
      return jnp.mean(out['logits'] ** 2)

    return jax.jit(jax.value_and_grad(loss))(variables['params'])

  with jax.enable_x64():
    _, shapes = outputs(options, (17, 25))
    variables = jax.tree.map(
      lambda x: jnp.asarray(generator.uniform(0.1, 0.9, x.shape)), shapes
    )
    ours = gradients(options, variables)
    change = dataclasses.replace(options, remat=True, **off)
    plain = gradients(change, variables)
  assert ours[0].dtype == jnp.float64
  for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(plain), strict=True):
    np.testing.assert_allclose(a, b, atol=1e-12 * np.abs(b).max())


def test_norms_of_the_backbone_have_their_own_epsilon():
  options = deeplab.Options(backbone='efficientnet_tiny', norm_momentum=0.01)
  module = corda.CorDA(classes=5, options=options, width=8)
  seen = {}

  def note(call, args, kwargs, context):
    norm = context.module
    if isinstance(norm, layers.BatchNorm) and context.method_name == '__call__':
      seen[norm.path] = norm.epsilon, norm.momentum
    return call(*args, **kwargs)

  image = jax.ShapeDtypeStruct((1, 33, 33, 3), jnp.float32)
  with nn.intercept_methods(note):
    jax.eval_shape(module.init, jax.random.key(0), image)
  backbone = {v for k, v in seen.items() if k[0] == 'backbone'}
  heads = {v for k, v in seen.items() if k[0] != 'backbone'}
  assert (backbone, heads) == ({(1e-3, 0.01)}, {(1e-5, 0.01)})


@pytest.mark.parametrize(
  ('fields', 'message'),
  [
    ({'output_stride': 16}, r'output_stride=16; expected 8 with .*resnet101'),
    ({'output_stride': 4}, 'expected one of 8, 16, 32'),
    ({'norm_momentum': 1.5}, 'norm_momentum=1.5; expected 0 to 1'),
    ({'backbone': 'efficientnet_b0'}, 'expected one of .*efficientnet_lite0'),
  ],
)
def test_bad_options_are_named(fields, message):
  with pytest.raises(errors.UserError, match=message):
    deeplab.Options(**fields)
