"""DINOv2 against the golden numbers, and by hand."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxuda import errors
from jaxuda.models import deeplab
from jaxuda.models import heads
from jaxuda.models.backbones import vit
from jaxuda.ops import resize
from scripts.golden import vit as golden
from tests.models import foundation

# For outputs and gradients in float64.
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
  """Neither recomputing nor a drop probability of 0 changes anything."""
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
  # The offset matters: it moves the last position by a tenth of a patch.
  assert foundation.compare(other[::3], theirs) > 1e-3


def test_cubic_matrix_by_hand():
  # Keys' kernel at 1/4, 3/4, 5/4 and 7/4 with a = -3/4.
  near, far = [0.87890625, 0.26171875], [-0.10546875, -0.03515625]
  matrix = resize.cubic_matrix(4, 8)
  row = [far[0], near[0], near[1], far[1]]
  np.testing.assert_allclose(matrix[3], row, atol=1e-15)
  np.testing.assert_allclose(matrix[4], row[::-1], atol=1e-15)
  # Taps beyond the border see the border.
  first = [far[1] + near[1] + near[0], far[0], 0, 0]
  np.testing.assert_allclose(matrix[0], first, atol=1e-15)
  # With a = -1/2 a ramp is kept inside; a constant is kept everywhere.
  ramp = resize.cubic_matrix(16, 24, antialias=True) @ np.arange(16)
  expected = (np.arange(24) + 0.5) * 16 / 24 - 0.5
  np.testing.assert_allclose(ramp[4:-4], expected[4:-4], atol=1e-12)
  for antialias in (False, True):
    for target in (1, 3, 16, 40):
      matrix = resize.cubic_matrix(16, target, antialias=antialias)
      np.testing.assert_allclose(matrix.sum(1), np.ones(target), atol=1e-12)


def test_other_sides_are_filled_up():
  """Padded with zeros below and to the right; the grid is rounded up."""
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
  """With a probability of nearly 1 the tokens stay as they were."""
  module = vit.ViT(size='dinov2_tiny', norm=False, stochastic_depth=0.999)
  image = jax.random.normal(jax.random.key(0), (2, 14, 28, 3))
  tree = jax.jit(module.init)(jax.random.key(1), image)
  keys = {'dropout': jax.random.key(2)}
  # Scales large enough to be noticed.
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


@pytest.mark.parametrize(
  ('image', 'grow', 'round_'),
  [
    # VFM-UDA's own: int(1024 * 1.1) // 14 * 14.
    ((1024, 1024), (1120, 1120), (1022, 1022)),
    ((512, 1024), (560, 1120), (518, 1022)),
    ((518, 28), (560, 28), (518, 28)),
    ((96, 192), (98, 210), (98, 196)),
    ((5, 20), (14, 14), (14, 14)),
  ],
)
def test_what_a_backbone_sees(image, grow, round_):
  assert vit.input_size(image, how='grow') == grow
  assert vit.input_size(image, how='round') == round_


def test_fields_of_backbones():
  small, large = (
    vit.backbone_fields('dinov2_s'),
    vit.backbone_fields('dinov2_l'),
  )
  assert (small['taps'], small['registers']) == ((3, 6, 9, 12), 0)
  assert large['taps'] == (6, 12, 18, 24)
  assert small['positions'] == 'offset'
  other = vit.backbone_fields('dinov2_b_reg')
  assert (other['size'], other['registers']) == ('dinov2_b', 4)
  assert other['positions'] == 'antialias'
  assert vit.backbone_name('dinov2_b', registers=4) == 'dinov2_b_reg'


@pytest.mark.parametrize('decoder', ['vfm_uda', 'daformer', 'aspp'])
@pytest.mark.parametrize('backbone', ['dinov2_tiny', 'dinov2_tiny_reg'])
def test_every_decoder_sits_on_it(backbone, decoder):
  for size, how in (((33, 48), 'grow'), ((70, 28), 'round')):
    options = deeplab.Options(
      backbone=backbone, decoder=decoder, decoder_width=8, patch_resize=how
    )
    module = deeplab.DeepLab(
      classes=3, options=options, depth=True, density=True, multi_level=True
    )
    image = jax.ShapeDtypeStruct((1, *size, 3), jnp.uint8)
    outputs, tree = jax.eval_shape(
      module.init_with_output, jax.random.key(0), image
    )
    grid = options.grid_size(size)
    assert outputs['logits'].shape == (1, *grid, 3)
    assert outputs['depth'].shape == outputs['density'].shape == (1, *grid)
    # Patches of 2 x 3 and 5 x 2.
    patches = (2, 3) if how == 'grow' else (5, 2)
    assert outputs['aux'].shape[1:3] == patches
    factor = 4 if decoder == 'vfm_uda' else 1
    assert grid == tuple(factor * x for x in patches)
    assert options.has_statistics == ('batch_stats' in tree)
    assert 'mask_token' not in tree['params']['backbone']


def test_a_backbone_is_the_network_on_the_resized_image():
  options = deeplab.Options(
    backbone='dinov2_tiny', decoder='vfm_uda', image_scale=(0.01,) * 3
  )
  image = jax.random.uniform(jax.random.key(0), (1, 40, 28, 3), maxval=255.0)
  module = deeplab.Backbone(options)
  tree = jax.jit(module.init)(jax.random.key(1), image)
  ours = jax.jit(module.apply)(tree, image)
  # 44 x 30.8 pixels at 1.1.
  seen = resize.resize_half_pixel(deeplab.normalize(options, image), (42, 28))
  plain = vit.ViT(size='dinov2_tiny', mask_token=False)
  theirs = jax.jit(plain.apply)({'params': tree['params']['backbone']}, seen)[0]
  assert ours.shape == (1, 3, 2, 16)
  np.testing.assert_allclose(ours, theirs, atol=1e-5)


def test_the_light_decoder_by_hand():
  """Pixel by pixel; the kernels of `layers.Enlarge` are [s, s, out, in]."""
  rng = np.random.default_rng(0)
  x = rng.normal(size=(1, 1, 2, 8)).astype('f4')
  module = heads.VfmUpscale()
  shapes = jax.eval_shape(module.init, jax.random.key(0), x)['params']
  p = jax.tree.map(lambda s: rng.normal(size=s.shape).astype('f4'), shapes)

  def norm(y, name):
    y = (y - y.mean(-1, keepdims=True)) / np.sqrt(y.var(-1) + 1e-6)[..., None]
    return y * p[name]['scale'] + p[name]['bias']

  def double(y, name):
    h, w, _ = y.shape
    kernel = p[name]['kernel']
    return np.stack(
      [
        [kernel[i % 2, j % 2] @ y[i // 2, j // 2] for j in range(2 * w)]
        for i in range(2 * h)
      ]
    )

  y = norm(double(x[0], 'up0'), 'norm0')
  y = y * (1 + np.vectorize(math.erf)(y / math.sqrt(2))) / 2
  y = norm(double(y, 'up1'), 'norm1')
  around, kernel = np.pad(y, ((1, 1), (1, 1), (0, 0))), p['conv']['kernel']
  y = sum(
    around[i : i + 4, j : j + 8] @ kernel[i, j]
    for i in range(3)
    for j in range(3)
  )
  ours = jax.jit(module.apply)({'params': p}, x)
  np.testing.assert_allclose(ours[0], norm(y, 'norm2'), atol=2e-4)


def test_parameters_of_the_light_decoder():
  """All of VFM-UDA's last layers for ViT-B and 19 classes, by hand."""
  module = deeplab.DeepLab(
    classes=19, options=deeplab.Options(backbone='dinov2_b', decoder='vfm_uda')
  )
  image = jax.ShapeDtypeStruct((1, 28, 28, 3), jnp.uint8)
  tree = jax.eval_shape(module.init, jax.random.key(0), image)['params']
  ends = {'neck': tree['neck'], 'layer6': tree['layer6']}
  count = sum(x.size for x in jax.tree.leaves(ends))
  convolutions = 4 * 768 * 384 + 4 * 384 * 192 + 9 * 192 * 192 + 192 * 19
  assert count == convolutions + 2 * (384 + 192 + 192)


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
  ('name', 'millions'), [('s', 22.06), ('b', 86.58), ('l', 304.37)]
)
def test_published_sizes(name, millions):
  """As in the table of DINOv2: 21, 86 and 300 million parameters."""
  image = jax.ShapeDtypeStruct((1, 14, 14, 3), jnp.float32)
  module = vit.ViT(size=f'dinov2_{name}')
  tree = jax.eval_shape(module.init, jax.random.key(0), image)
  count = sum(x.size for x in jax.tree.leaves(tree))
  assert round(count / 1e6, 2) == millions
