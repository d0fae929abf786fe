"""DINOv2 against the golden numbers, and by hand."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxuda import errors
from jaxuda.models import vit
from jaxuda.ops import resize
from scripts.golden import vit as golden
from tests.models import foundation

# Of outputs and gradients in float64.
BOUND = 1e-10


def build(name, **options):
  registers = vit.REGISTERS if name == 'registers' else 0
  positions = 'antialias' if registers else 'size'
  options = {'positions': positions, **options}
  return vit.ViT(
    size='dinov2_tiny',
    registers=registers,
    style=foundation.STYLE,
    **options,
  )


@pytest.mark.parametrize(
  ('name', 'size'),
  [
    *(('dinov2', 'square'), ('dinov2', 'wide'), ('dinov2', 'large')),
    *(('registers', 'wide'), ('registers', 'large')),
  ],
)
def test_golden(name, size):
  with jax.enable_x64():
    module = build(name)
    tree, family = foundation.variables(name, module)
    image = jnp.asarray(golden.images()[size])

    def run(params):
      return module.apply({'params': params}, image)[0]

    error = foundation.check(f'{name}/{size}', family, tree['params'], run)
    assert error < BOUND
    second = jax.jit(build(name, taps=(2,), norm=False).apply)(tree, image)[0]
    there = foundation.stored()[f'{name}/{size}/block2']
    assert foundation.compare(second, there) < BOUND


def test_golden_masked_recomputed_and_dropped():
  """Recomputing changes nothing, nor does a probability of 0 in training."""
  with jax.enable_x64():
    module = build('dinov2', remat=True)
    tree, family = foundation.variables('dinov2', module)
    image, mask = jnp.asarray(golden.images()['wide']), golden.mask()

    def run(params):
      return module.apply({'params': params}, image, mask=mask, train=True)[0]

    error = foundation.check('dinov2/masked', family, tree['params'], run)
    assert error < BOUND


@pytest.mark.parametrize('grid', golden.GRIDS)
def test_golden_offset(grid):
  with jax.enable_x64():
    places = jnp.asarray(golden.positions())
    ours = vit.resize_positions(places, grid, how='offset')
    other = vit.resize_positions(places, grid, how='size')
  theirs = foundation.stored()[f'positions/offset/{grid[0]}x{grid[1]}']
  assert foundation.compare(ours[::3], theirs) < 1e-12
  # The offset is to be seen: it moves the last place by a tenth of a patch.
  assert foundation.compare(other[::3], theirs) > 1e-3


def test_cubic_matrix_by_hand():
  # Keys' kernel at 1/4, 3/4, 5/4 and 7/4 with a = -3/4.
  near, far = [0.87890625, 0.26171875], [-0.10546875, -0.03515625]
  matrix = resize.cubic_matrix(4, 8)
  row = [far[0], near[0], near[1], far[1]]
  np.testing.assert_allclose(matrix[3], row, atol=1e-15)
  np.testing.assert_allclose(matrix[4], row[::-1], atol=1e-15)
  # What reaches beyond the border is the border's.
  first = [far[1] + near[1] + near[0], far[0], 0, 0]
  np.testing.assert_allclose(matrix[0], first, atol=1e-15)
  # With a = -1/2 a ramp stays one, inside; a constant does everywhere.
  ramp = resize.cubic_matrix(16, 24, antialias=True) @ np.arange(16)
  expected = (np.arange(24) + 0.5) * 16 / 24 - 0.5
  np.testing.assert_allclose(ramp[4:-4], expected[4:-4], atol=1e-12)
  for antialias in (False, True):
    for target in (1, 3, 16, 40):
      matrix = resize.cubic_matrix(16, target, antialias=antialias)
      np.testing.assert_allclose(matrix.sum(1), np.ones(target), atol=1e-12)


def test_other_sides_are_filled_up():
  """Below and to the right, with zeros; the grid is rounded up."""
  module = vit.ViT(size='dinov2_tiny')
  image = jax.random.normal(jax.random.key(0), (1, 30, 57, 3))
  tree = jax.jit(module.init)(jax.random.key(1), image)
  padded = jnp.pad(image, ((0, 0), (0, 12), (0, 13), (0, 0)))
  run = jax.jit(lambda tree, x: module.apply(tree, x)[0])
  ours, theirs = run(tree, image), run(tree, padded)
  assert ours.shape == (1, 3, 5, 16)
  assert vit.grid_size((30, 57)) == (3, 5)
  np.testing.assert_array_equal(ours, theirs)


def test_a_dropped_sample_skips_every_branch():
  """With a probability of nearly 1 the tokens are those of the beginning."""
  module = vit.ViT(size='dinov2_tiny', norm=False, stochastic_depth=0.999)
  image = jax.random.normal(jax.random.key(0), (2, 14, 28, 3))
  tree = jax.jit(module.init)(jax.random.key(1), image)
  keys = {'dropout': jax.random.key(2)}
  # Scales of a size that would be seen.
  params = jax.tree_util.tree_map_with_path(
    lambda path, x: x + 1 if 'layer_scale' in path[-1].key else x,
    tree['params'],
  )
  run = jax.jit(functools.partial(module.apply, train=True))
  ours = run({'params': params}, image, rngs=keys)[0]
  p = params['patch_embed']
  patches = image.reshape(2, 1, 14, 2, 14, 3).transpose(0, 1, 3, 2, 4, 5)
  embedded = patches.reshape(2, 1, 2, -1) @ p['kernel'].reshape(-1, 16)
  embedded += p['bias'].reshape(1, 1, 1, -1)
  places = params['positions'][0, 1:].reshape(5, 5, 16)
  places = vit.resize_positions(places, (1, 2), how='offset')
  np.testing.assert_allclose(ours, embedded + places[None], atol=1e-5)


def test_bfloat16_is_near_and_kept():
  style = vit.layers.Style(dtype=jnp.bfloat16)
  image = jax.random.normal(jax.random.key(0), (1, 28, 28, 3))
  wide = vit.ViT(size='dinov2_tiny')
  tree = jax.jit(wide.init)(jax.random.key(1), image)
  narrow = vit.ViT(size='dinov2_tiny', style=style)
  ours, theirs = (jax.jit(x.apply)(tree, image)[0] for x in (narrow, wide))
  assert ours.dtype == jnp.bfloat16
  np.testing.assert_allclose(ours, theirs, atol=0.1)


@pytest.mark.parametrize('taps', [(0,), (5,), (3, 2), (2, 2)])
def test_wrong_blocks(taps):
  module = vit.ViT(size='dinov2_tiny', taps=taps)
  with pytest.raises(errors.UserError, match=r'taps=.*1 to 4'):
    module.init(jax.random.key(0), jnp.zeros((1, 14, 14, 3)))


def test_wrong_names():
  image = jnp.zeros((1, 14, 14, 3))
  with pytest.raises(errors.UserError, match="'vit'; expected one of dino"):
    vit.ViT(size='vit').init(jax.random.key(0), image)
  module = vit.ViT(size='dinov2_tiny', mask_token=False)
  with pytest.raises(errors.UserError, match='no mask token'):
    module.init(jax.random.key(0), image, mask=np.ones((1, 1, 1), bool))


@pytest.mark.parametrize(
  ('name', 'millions'), [('small', 22.06), ('base', 86.58), ('large', 304.37)]
)
def test_published_sizes(name, millions):
  """As the table of DINOv2 counts them: 21, 86 and 300 million."""
  image = jax.ShapeDtypeStruct((1, 14, 14, 3), jnp.float32)
  module = vit.ViT(size=f'dinov2_{name}')
  tree = jax.eval_shape(module.init, jax.random.key(0), image)
  count = sum(x.size for x in jax.tree.leaves(tree))
  assert round(count / 1e6, 2) == millions
