"""DAFormer's decoder, against NumPy, and under the other networks' heads."""

import dataclasses
import functools

from flax import linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxuda.models import corda
from jaxuda.models import deeplab
from jaxuda.models import gio_ada
from jaxuda.models import heads
from jaxuda.models import hrda
from jaxuda.models import layers

EPSILON = 1e-5
DOUBLE = layers.Style(
  initializer='torch', dtype=jnp.float64, param_dtype=jnp.float64
)


def enlarge(x, height, width):
  """Enlarges bilinearly with half-pixel centres, pixel by pixel."""
  _, h, w, _ = x.shape
  out = np.zeros((len(x), height, width, x.shape[-1]))
  for i in range(height):
    for j in range(width):
      y = min(max((i + 0.5) * h / height - 0.5, 0), h - 1)
      z = min(max((j + 0.5) * w / width - 0.5, 0), w - 1)
      top, left = int(y), int(z)
      low, right = min(top + 1, h - 1), min(left + 1, w - 1)
      v, u = y - top, z - left
      out[:, i, j] = (1 - v) * (
        (1 - u) * x[:, top, left] + u * x[:, top, right]
      ) + v * ((1 - u) * x[:, low, left] + u * x[:, low, right])
  return out


def convolve(x, kernel, dilation=1, depthwise=False):
  """Computes a 3x3 or 1x1 convolution tap by tap, with zero padding."""
  side = len(kernel)
  pad = dilation * (side // 2)
  x = np.pad(x, ((0, 0), (pad, pad), (pad, pad), (0, 0)))
  h, w = x.shape[1] - 2 * pad, x.shape[2] - 2 * pad
  total = 0
  for i in range(side):
    for j in range(side):
      part = x[:, i * dilation :, j * dilation :][:, :h, :w]
      tap = kernel[i, j]
      total = total + (part * tap[0] if depthwise else part @ tap)
  return total


def by_hand(maps, variables):
  """Computes the fusion in NumPy, with running statistics."""
  params, stats = variables['params'], variables['batch_stats']

  def end(y, name):
    p, s = params[f'{name}_bn'], stats[f'{name}_bn']
    y = (y - s['mean']) / np.sqrt(s['var'] + EPSILON) * p['scale'] + p['bias']
    return np.maximum(y, 0)

  fused = []
  for i, x in enumerate(maps):
    p = params[f'embed{i}']
    y = x @ p['kernel'][0, 0] + p['bias']
    fused.append(enlarge(y, *maps[0].shape[1:3]))
  x = np.concatenate(fused, -1)
  branches = [end(x @ params['aspp0_point']['kernel'][0, 0], 'aspp0_point')]
  for i, rate in enumerate((6, 12, 18), 1):
    deep, point = f'aspp{i}_depth', f'aspp{i}_point'
    y = end(convolve(x, params[deep]['kernel'], rate, True), deep)
    branches.append(end(y @ params[point]['kernel'][0, 0], point))
  x = np.concatenate(branches, -1)
  return end(convolve(x, params['bottleneck']['kernel']), 'bottleneck')


def test_fusion_is_that_of_numpy():
  rng = np.random.default_rng(0)
  grids = ((15, 21), (8, 11), (4, 6), (2, 3))
  maps = [
    rng.normal(size=(2, *grid, width))
    for grid, width in zip(grids, (3, 5, 7, 9), strict=True)
  ]
  with jax.enable_x64():
    norm = functools.partial(layers.BatchNorm, train_affine=True, style=DOUBLE)
    module = heads.DaformerFusion(4, norm, style=DOUBLE)
    shapes = jax.eval_shape(
      lambda *x: module.init(jax.random.key(0), x, train=False), *maps
    )
    # Scales and variances are positive; everything else has either sign.
    variables = jax.tree_util.tree_map_with_path(
      lambda path, x: (
        rng.uniform(0.5, 2, x.shape)
        if path[-1].key in ('scale', 'var')
        else rng.normal(0, 0.5, x.shape)
      ),
      shapes,
    )
    found = jax.jit(lambda v, x: module.apply(v, x, train=False))(
      variables, maps
    )
  assert found.dtype == jnp.float64
  expected = by_hand(maps, variables)
  assert (expected > 0).mean() > 0.2
  np.testing.assert_allclose(found, expected, atol=1e-12)


def test_mmcvs_weights_to_begin_with():
  """N(0, 2 / fan_out) where a norm follows, PyTorch's default elsewhere."""
  style = layers.Style(initializer='mmcv')
  norm = functools.partial(layers.BatchNorm, style=style)
  maps = [jnp.zeros((1, 4, 4, k)) for k in (32, 48, 64, 80)]
  begun = {}
  for module in (
    heads.DaformerFusion(64, norm, style=style),
    hrda.ScaleAttention(19, 64, norm, style=style),
  ):
    variables = module.init(jax.random.key(0), maps, train=False)
    begun |= {
      path[-2].key: np.asarray(x)
      for path, x in jax.tree_util.tree_leaves_with_path(variables['params'])
      if path[-1].key == 'kernel'
    }
  outputs = {'aspp0_point': 64, 'aspp2_point': 64, 'bottleneck': 9 * 64}
  # Those of PyTorch's kernel [256, 1, 3, 3], each of which sees one input.
  outputs |= {'aspp1_depth': 9 * 256, 'fuse': 64}
  for name, fan_out in outputs.items():
    kernel = begun[name]
    assert abs(kernel.std() / np.sqrt(2 / fan_out) - 1) < 0.05, name
    # Not uniform: 5 % of a normal distribution are so far out.
    assert 0.03 < (np.abs(kernel) > 1.96 * kernel.std()).mean() < 0.07, name
  for i, width in enumerate((32, 48, 64, 80)):
    edge = np.abs(begun[f'embed{i}']).max()
    assert 0.98 < edge * np.sqrt(width) <= 1
  assert abs(begun['conv'].std() / 0.01 - 1) < 0.1


def test_published_number_of_parameters():
  # Its maps are as wide as B5's.
  options = deeplab.Options(backbone='mit_b1', decoder='daformer')
  image = jax.ShapeDtypeStruct((1, 64, 96, 3), jnp.uint8)
  module = deeplab.DeepLab(classes=19, options=options)
  out, variables = jax.eval_shape(
    module.init_with_output, jax.random.key(0), image
  )
  assert out['logits'].shape == (1, 16, 24, 19)
  params = variables['params']

  def count(tree):
    return sum(x.size for x in jax.tree.leaves(tree))

  embed = sum(256 * (k + 1) for k in (64, 128, 320, 512))
  point, deep, norm = 1024 * 256, 9 * 1024, 2 * 256
  aspp = 4 * (point + norm) + 3 * (deep + 2 * 1024)
  assert count(params['neck']) == embed + aspp + 9 * 1024 * 256 + norm
  assert count(params['layer6']) == 257 * 19


def test_dropout_drops_channels_of_images():
  module = heads.Classifier(4, dropout=0.25)
  x = 1 + jax.random.uniform(jax.random.key(0), (100, 2, 3, 4))
  variables = {'params': {'conv': {'kernel': jnp.eye(4)[None, None]}}}
  variables['params']['conv']['bias'] = jnp.zeros(4)
  rngs = {'dropout': jax.random.key(1)}
  y = module.apply(variables, x, train=True, rngs=rngs)
  factor = np.round(y / x, 4)
  # One factor for all pixels: 0, or a scale that compensates for these.
  assert (factor == factor[:, :1, :1]).all()
  assert set(np.unique(factor)) == {0, np.float32(1.3333)}
  share = (factor[:, 0, 0] == 0).mean()
  np.testing.assert_allclose(share, 0.25, atol=4 * 0.43 / 20)
  for options in ({'train': False, 'rngs': rngs}, {'train': True}):
    np.testing.assert_array_equal(module.apply(variables, x, **options), x)


def test_a_new_classifier_is_small_and_without_a_bias():
  module = heads.Classifier(50)
  x = jnp.zeros((1, 1, 1, 200))
  params = module.init(jax.random.key(0), x, train=False)['params']['conv']
  np.testing.assert_allclose(params['kernel'].std(), 0.01, rtol=0.05)
  assert not params['bias'].any()


BACKBONES = ('mit_tiny', 'resnet_tiny', 'efficientnet_tiny', 'vgg_tiny')


@pytest.mark.parametrize('backbone', BACKBONES)
@pytest.mark.parametrize('size', [(64, 96), (61, 83)])
def test_every_head_on_every_backbone(backbone, size):
  options = deeplab.Options(
    backbone=backbone, decoder='daformer', decoder_width=16
  )
  more = {'multi_level': True, 'depth': True, 'fuse': True, 'density': True}
  image = jax.ShapeDtypeStruct((1, *size, 3), jnp.uint8)
  grid = options.grid_size(size)
  for module in (
    deeplab.DeepLab(classes=5, options=options, **more),
    corda.CorDA(classes=5, options=options, width=8),
    gio_ada.GioAda(classes=5, options=options),
  ):
    out, variables = jax.eval_shape(
      module.init_with_output, jax.random.key(0), image
    )
    assert out['logits'].shape == (1, *grid, 5)
    assert out['depth'].shape == (1, *grid)
    assert 'neck' in variables['params']
    assert 'neck' in variables['batch_stats']


class Maps(nn.Module):
  options: deeplab.Options

  @nn.compact
  def __call__(self, image):
    return deeplab.run_backbone(self.options, image, train=False)


@pytest.mark.parametrize(
  ('backbone', 'stride', 'strides'),
  [
    ('mit_tiny', 8, (4, 8, 16, 32)),
    ('resnet_tiny', 8, (4, 8, 8, 8)),
    ('vgg_tiny', 8, (4, 8, 8, 8)),
    ('vgg16_adaptsegnet', 8, (4, 8, 8, 8)),
    ('efficientnet_lite0', 8, (4, 8, 8, 8)),
    ('efficientnet_lite0', 16, (4, 8, 16, 16)),
    ('efficientnet_lite0', 32, (4, 8, 16, 32)),
    ('efficientnet_tiny', 16, (4, 8, 16)),
  ],
)
def test_maps_have_the_stated_strides(backbone, stride, strides):
  options = deeplab.Options(backbone=backbone, output_stride=stride)
  image = jax.ShapeDtypeStruct((1, 128, 256, 3), jnp.uint8)
  maps, _ = jax.eval_shape(
    Maps(options).init_with_output, jax.random.key(0), image
  )
  assert options.strides == strides
  for x, own in zip(maps, strides, strict=True):
    # Pooling in ceil mode leaves one more.
    assert x.shape[1] - 128 // own in (0, 1)
    assert x.shape[2] - 256 // own in (0, 1)
  # Heads see the finest map of them, or the last.
  for decoder, shape in (('daformer', maps[0]), ('aspp', maps[-1])):
    network = dataclasses.replace(options, decoder=decoder)
    assert network.grid_size((128, 256)) == shape.shape[1:3]


def test_outputs_are_enlarged_by_half_pixels():
  options = deeplab.Options(
    backbone='mit_tiny', init='torch', decoder='daformer', decoder_width=4
  )
  module = deeplab.DeepLab(classes=2, options=options)
  image = jax.random.uniform(jax.random.key(0), (1, 16, 24, 3)) * 255
  variables = jax.jit(module.init)(jax.random.key(1), image)

  class Net:
    params, batch_stats = variables['params'], variables['batch_stats']

  low, high = (
    deeplab.predict(module, Net, image, size=size)['logits']
    for size in ('grid', None)
  )
  assert low.shape == (1, 4, 6, 2)
  np.testing.assert_allclose(
    high, enlarge(np.asarray(low, float), 16, 24), atol=1e-5
  )
