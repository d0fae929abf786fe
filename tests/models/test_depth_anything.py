"""Depth Anything against the golden numbers, and by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxuda import errors
from jaxuda.models import depth_anything
from jaxuda.models import layers
from scripts.golden import vit as golden
from tests.models import foundation


@pytest.mark.parametrize('kind', ['relative', 'metric'])
def test_golden(kind):
  with jax.enable_x64():
    module = depth_anything.DepthAnything(
      size='dinov2_tiny',
      metric=kind == 'metric',
      positions='size',
      style=foundation.STYLE,
    )
    tree, family = foundation.variables('depth', module)
    image = jnp.asarray(golden.images()['wide'])

    def run(params):
      return module.apply({'params': params}, image)

    error = foundation.check(f'depth/{kind}', family, tree['params'], run)
    assert error < 1e-10


def test_enlarging_by_hand():
  """Every pixel becomes a square: the kernel times it, plus the bias."""
  module = layers.Enlarge(1, 2)
  x = jnp.array([[[[1.0], [10.0]]]])
  kernel = jnp.arange(1.0, 5).reshape(2, 2, 1, 1)
  tree = {'params': {'kernel': kernel, 'bias': jnp.array([0.5])}}
  y = module.apply(tree, x)[0, ..., 0]
  assert y.tolist() == [[1.5, 2.5, 10.5, 20.5], [3.5, 4.5, 30.5, 40.5]]


def test_blocks_of_the_versions():
  taps = depth_anything.default_taps
  assert taps('dinov2_s', 1) == (9, 10, 11, 12)
  assert taps('dinov2_s', 2) == (3, 6, 9, 12)
  assert taps('dinov2_l', 1) == (21, 22, 23, 24)
  assert taps('dinov2_l', 2) == (5, 12, 18, 24)


def test_other_sides():
  """Outputs keep the sides of images that are not multiples of 14."""
  image = jax.random.normal(jax.random.key(0), (2, 30, 45, 3))
  module = depth_anything.DepthAnything(
    size='dinov2_tiny', metric=True, max_depth=20.0
  )
  depth, _ = jax.jit(module.init_with_output)(jax.random.key(1), image)
  assert (depth.shape, depth.dtype) == ((2, 30, 45), jnp.float32)
  # A network of small random weights is in the middle of its range.
  np.testing.assert_allclose(depth, np.full(depth.shape, 10), atol=2)


@pytest.mark.parametrize(
  ('name', 'millions'), [('s', 24.79), ('b', 97.47), ('l', 335.32)]
)
def test_published_sizes(name, millions):
  """As on its page: 24.8, 97.5 and 335.3 million parameters."""
  image = jax.ShapeDtypeStruct((1, 14, 14, 3), jnp.float32)
  module = depth_anything.DepthAnything(size=f'dinov2_{name}')
  tree = jax.eval_shape(module.init, jax.random.key(0), image)
  count = sum(x.size for x in jax.tree.leaves(tree))
  # The first fusion's other residual is saved there but never used.
  fused = depth_anything.SIZES[f'dinov2_{name}'].fused
  count += 2 * (9 * fused**2 + fused)
  assert round(count / 1e6, 2) == millions


def test_wrong_blocks():
  module = depth_anything.DepthAnything(size='dinov2_tiny', taps=(1, 2))
  with pytest.raises(errors.UserError, match='expected four blocks'):
    module.init(jax.random.key(0), np.zeros((1, 14, 14, 3)))
