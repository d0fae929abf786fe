import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special

from jaxuda import errors
from jaxuda.models import monodepth

IMAGE = jax.ShapeDtypeStruct((2, 64, 96, 3), jnp.float32)


def count(variables):
  return sum(x.size for x in jax.tree.leaves(variables['params']))


def shapes(module, *args):
  return jax.eval_shape(module.init, jax.random.key(0), *args)


def test_resnet18_has_the_published_number_of_parameters():
  """Torchvision's ResNet-18 without its last layer: 11,176,512.

  Monodepth2's decoder and pose decoder by hand: 3,152,724 and 1,314,572.
  """
  depth = shapes(monodepth.DepthNet(), IMAGE)['params']
  encoder = count({'params': depth.pop('encoder')})
  assert encoder == 11_176_512
  widths, skips = (16, 32, 64, 128, 256), (0, 64, 64, 128, 256)
  decoder, inputs = 0, 512
  for level in range(4, -1, -1):
    width = widths[level]
    decoder += 9 * inputs * width + width
    decoder += 9 * (width + skips[level]) * width + width
    inputs = width
  decoder += sum(9 * widths[level] + 1 for level in range(4))
  assert count({'params': depth}) == decoder == 3_152_724
  pose = shapes(monodepth.PoseNet(), IMAGE, IMAGE)['params']
  # Three more channels at the first convolution.
  assert count({'params': pose.pop('encoder')}) == encoder + 49 * 3 * 64
  assert count({'params': pose}) == (
    512 * 256 + 256 + 2 * (9 * 256 * 256 + 256) + 256 * 6 + 6
  )


def test_disparities_of_all_scales():
  module = monodepth.DepthNet(size='tiny')
  out, _ = jax.eval_shape(
    lambda v, x: module.apply(v, x, train=True, mutable=['batch_stats']),
    shapes(module, IMAGE),
    IMAGE,
  )
  assert {s: x.shape for s, x in out.items()} == {
    s: (2, 64 >> s, 96 >> s) for s in range(4)
  }


def test_finer_levels_than_the_smallest_scale_are_not_built():
  module = monodepth.DepthNet(size='tiny', scales=(2, 3))
  names = set(shapes(module, IMAGE)['params'])
  assert {'up2', 'disparity2', 'disparity3'} <= names
  assert not {'up1', 'up0', 'disparity1'} & names


def convolve(x, p, *, stride=1, mode='constant'):
  """Computes a convolution tap by tap, with half a kernel of padding."""
  kernel, pad = p['kernel'], len(p['kernel']) // 2
  height, width = (-(-side // stride) for side in x.shape[1:3])
  x = np.pad(x, ((0, 0), (pad, pad), (pad, pad), (0, 0)), mode=mode)
  total = p.get('bias', 0)
  for i, j in np.ndindex(kernel.shape[:2]):
    part = x[:, i::stride, j::stride][:, :height, :width]
    total = total + part @ kernel[i, j]
  return total


def encode(image, variables):
  """Computes the five maps of the tiny encoder in NumPy."""
  params, stats = (variables[k]['encoder'] for k in ('params', 'batch_stats'))

  def normalize(x, p, s):
    x = (x - s['mean']) / np.sqrt(s['var'] + 1e-5)
    return x * p['scale'] + p['bias']

  x = convolve((image - 0.45) / 0.225, params['conv1'], stride=2)
  x = np.maximum(normalize(x, params['bn1'], stats['bn1']), 0)
  maps = [x]
  padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))  # All are >= 0.
  height, width = (side // 2 for side in x.shape[1:3])
  x = np.max(
    [padded[:, i::2, j::2][:, :height, :width] for i, j in np.ndindex(3, 3)],
    0,
  )
  for stage in range(1, 5):
    p, s = (x[f'layer{stage}_0'] for x in (params, stats))
    stride = 1 if stage == 1 else 2
    y = convolve(x, p['conv1'], stride=stride)
    y = np.maximum(normalize(y, p['bn1'], s['bn1']), 0)
    y = normalize(convolve(y, p['conv2']), p['bn2'], s['bn2'])
    if stage > 1:
      x = convolve(x, p['downsample_conv'], stride=stride)
      x = normalize(x, p['downsample_bn'], s['downsample_bn'])
    x = np.maximum(x + y, 0)
    maps.append(x)
  return maps


def fill(module, *images):
  """Returns variables of which none is where a network begins."""
  rng = np.random.default_rng(0)

  def draw(path, x):
    if path[-1].key in ('scale', 'var'):
      return rng.uniform(0.5, 2, x.shape).astype('f4')
    inputs = np.prod(x.shape[:-1]) if path[-1].key == 'kernel' else 10
    return rng.normal(0, inputs**-0.5, x.shape).astype('f4')

  return jax.tree_util.tree_map_with_path(draw, shapes(module, *images))


def test_disparities_are_those_of_numpy():
  module = monodepth.DepthNet(size='tiny')
  image = np.random.default_rng(1).uniform(size=(2, 32, 64, 3)).astype('f4')
  variables = fill(module, image)
  found = jax.jit(module.apply)(variables, image)
  maps, params = encode(image, variables), variables['params']
  x = maps[-1]

  def mirrored(x, name):
    # The coarsest map has one row, which has nothing to mirror.
    mode = 'reflect' if x.shape[1] > 1 else 'edge'
    (p,) = params[name].values()
    return convolve(x, p, mode=mode)

  def elu(x):
    return np.where(x > 0, x, np.expm1(np.minimum(x, 0)))

  for level in range(4, -1, -1):
    x = elu(mirrored(x, f'up{level}')).repeat(2, 1).repeat(2, 2)
    if level:
      x = np.concatenate([x, maps[level - 1]], -1)
    x = elu(mirrored(x, f'merge{level}'))
    if level < 4:
      expected = special.expit(mirrored(x, f'disparity{level}')[..., 0])
      assert np.ptp(expected) > 0.1
      np.testing.assert_allclose(found[level], expected, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize('rotation_scale', [0.01, 0.2])
def test_motions_are_those_of_numpy(rotation_scale):
  module = monodepth.PoseNet(size='tiny', rotation_scale=rotation_scale)
  rng = np.random.default_rng(1)
  first, second = rng.uniform(size=(2, 3, 32, 64, 3)).astype('f4')
  variables = fill(module, first, second)
  turn, shift = jax.jit(module.apply)(variables, first, second)
  x = encode(np.concatenate([first, second], -1), variables)[-1]
  for name in ('squeeze', 'pose0', 'pose1'):
    x = np.maximum(convolve(x, variables['params'][name]), 0)
  out = convolve(x, variables['params']['pose2']).mean((1, 2))
  np.testing.assert_allclose(turn, rotation_scale * out[:, :3], rtol=1e-3)
  np.testing.assert_allclose(shift, 0.01 * out[:, 3:], rtol=1e-3)


def test_motions_start_small():
  module = monodepth.PoseNet(size='tiny')
  generator = np.random.default_rng(0)
  first, second = jnp.float32(generator.uniform(size=(2, 3, 32, 64, 3)))
  variables = module.init(jax.random.key(0), first, second)
  turn, shift = module.apply(variables, first, second)
  assert turn.shape == shift.shape == (3, 3)
  assert 0 < float(jnp.abs(shift).max()) < 0.1


def test_the_range_of_depths():
  disparity = jnp.array([0.0, 0.5, 1.0])
  inverse = monodepth.scaled_disparity(disparity, min_depth=0.5, max_depth=50.0)
  np.testing.assert_allclose(1 / inverse, [50, 1 / 1.01, 0.5], rtol=1e-5)


def test_an_unknown_size_is_named():
  with pytest.raises(errors.UserError, match="'huge'; expected one of"):
    monodepth.size('huge')
