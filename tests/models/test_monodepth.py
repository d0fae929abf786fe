import jax
import jax.numpy as jnp
import numpy as np
import pytest

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
