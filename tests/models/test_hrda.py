"""HRDA's two resolutions, compared with NumPy around the inner network."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxuda import errors
from jaxuda.models import corda
from jaxuda.models import deeplab
from jaxuda.models import hrda
from tests.models import test_daformer

# The small image and a part have one size, so that one program serves both.
OPTIONS = deeplab.Options(
  backbone='mit_tiny',
  decoder='daformer',
  decoder_width=16,
  init='torch',
  dropout=0.0,
  stochastic_depth=0.0,
  resolutions='hrda',
  detail_crop=(32, 32),
  window=(64, 64),
)
INNER = deeplab.DeepLab(classes=3, options=OPTIONS, depth=True)
TWO = hrda.wrap(INNER)
enlarge = test_daformer.enlarge


@functools.cache
def variables():
  rng = np.random.default_rng(0)
  image = jax.ShapeDtypeStruct((1, 64, 64, 3), jnp.float32)
  shapes = jax.eval_shape(TWO.init, jax.random.key(0), image)
  return jax.tree_util.tree_map_with_path(
    lambda path, x: np.float32(
      rng.uniform(0.5, 2, x.shape)
      if path[-1].key in ('scale', 'var')
      else rng.normal(0, 0.3, x.shape)
    ),
    shapes,
  )


def images(*shape):
  return np.float32(np.random.default_rng(1).uniform(0, 255, (*shape, 3)))


@functools.partial(jax.jit, static_argnames='train')
def inner(state, image, train=False):
  """Applies the inner network, which ignores the attention's parameters."""
  return INNER.apply(
    state, image, train=train, maps=True, mutable=['batch_stats']
  )


def attend(maps, state, moments=None):
  """Computes scale attention in NumPy; norms use running or batch moments."""
  params = state['params']['scale_attention']
  embedded = [
    enlarge(np.asarray(x) @ p['kernel'][0, 0] + p['bias'], *maps[0].shape[1:3])
    for i, x in enumerate(maps)
    for p in [params[f'embed{i}']]
  ]
  y = np.concatenate(embedded, -1) @ params['fuse']['kernel'][0, 0]
  stats = state['batch_stats']['scale_attention']['fuse_bn']
  mean, var = stats['mean'], stats['var']
  if moments == 'batch':
    mean, var = y.mean((0, 1, 2)), y.var((0, 1, 2))
  norm, last = params['fuse_bn'], params['classifier']['conv']
  y = (y - mean) / np.sqrt(var + 1e-5) * norm['scale'] + norm['bias']
  y = np.maximum(y, 0) @ last['kernel'][0, 0] + last['bias']
  return 1 / (1 + np.exp(-y))


def shrink(image):
  return image.reshape(len(image), 32, 2, 32, 2, 3).mean((2, 4))


def by_hand(image):
  """One window of 64x64: the logits 16x16, and the depth of the small image."""
  state = variables()
  out, _ = inner(state, shrink(image))
  attention = attend(out['maps'], state)
  detail, count = np.zeros((1, 16, 16, 3)), np.zeros((16, 16, 1))
  for top in (0, 16, 32):
    for left in (0, 16, 32):
      part, _ = inner(state, image[:, top : top + 32, left : left + 32])
      y, x = top // 4, left // 4
      detail[:, y : y + 8, x : x + 8] += part['logits']
      count[y : y + 8, x : x + 8] += 1
  assert (count.min(), count.max()) == (1, 4)
  context = enlarge((1 - attention) * np.asarray(out['logits']), 16, 16)
  logits = context + enlarge(attention, 16, 16) * detail / count
  return logits, np.asarray(out['depth'])[..., None]


def test_a_large_image_is_labelled_in_windows_of_windows():
  image = images(1, 64, 128)
  total, depth, count = np.zeros((1, 64, 128, 3)), 0, np.zeros((128, 1))
  depth = np.zeros((1, 64, 128, 1))
  for left in (0, 32, 64):
    place = np.s_[:, :, left : left + 64]
    logits, low = by_hand(image[place])
    total[place] += enlarge(logits, 64, 64)
    depth[place] += enlarge(low, 64, 64)
    count[left : left + 64] += 1
  found = jax.jit(TWO.apply)(variables(), image)
  assert found.keys() == {'logits', 'depth'}
  np.testing.assert_allclose(found['logits'], total / count, atol=2e-5)
  np.testing.assert_allclose(found['depth'], (depth / count)[..., 0], atol=1e-4)


@pytest.mark.parametrize('overlap', [True, False])
def test_detail_in_windows_half_of_one_apart_or_side_by_side(
  overlap, monkeypatch
):
  state, seen, cut = variables(), [], hrda.image_ops.cut_windows

  def record(x, places, size):
    seen.append((tuple(size), list(places)))
    return cut(x, places, size)

  monkeypatch.setattr(hrda.image_ops, 'cut_windows', record)
  options = dataclasses.replace(OPTIONS, detail_overlap=overlap)
  module = hrda.wrap(deeplab.DeepLab(classes=3, options=options, depth=True))
  out = jax.eval_shape(module.apply, state, jnp.zeros((1, 64, 128, 3)))
  assert out['logits'].shape == (1, 64, 128, 3)
  whole, (size, places) = seen
  # Windows of an image that is larger than those of training always overlap.
  assert whole == ((64, 64), [(0, 0), (0, 32), (0, 64)])
  starts = (0, 16, 32) if overlap else (0, 32)
  assert size == (32, 32)
  assert places == [(top, left) for top in starts for left in starts]


def test_a_training_pass_draws_a_part_and_moves_the_norms_twice():
  state, image = variables(), images(2, 64, 64)
  run = functools.partial(TWO.apply, train=True, mutable=['batch_stats'])
  out, moved = jax.jit(run)(state, image, rngs={'dropout': jax.random.key(4)})
  top, left = map(int, out['detail']['box'])
  # The multiples 0, 8, 16, 24 in the margin of 32 pixels.
  assert (top, left) in {
    (y, x) for y in range(0, 32, 8) for x in range(0, 32, 8)
  }
  assert top != left
  low, between = inner(state, shrink(image), train=True)
  part = image[:, top : top + 32, left : left + 32]
  high, after = inner({**state, **between}, part, train=True)
  detail, inside = np.zeros((2, 16, 16, 3)), np.zeros((8, 8, 1))
  detail[:, top // 4 : top // 4 + 8, left // 4 : left // 4 + 8] = high['logits']
  inside[top // 8 : top // 8 + 4, left // 8 : left // 8 + 4] = 1
  attention = attend(low['maps'], state, 'batch') * inside
  expected = enlarge((1 - attention) * np.asarray(low['logits']), 16, 16)
  expected = expected + enlarge(attention, 16, 16) * detail
  np.testing.assert_allclose(out['logits'], expected, atol=1e-3)
  np.testing.assert_allclose(out['depth'], low['depth'], atol=1e-3)
  np.testing.assert_allclose(out['detail']['logits'], high['logits'], atol=5e-5)
  for name in ('mean', 'var'):
    found, hand = (
      x['batch_stats']['neck']['bottleneck_bn'][name] for x in (moved, after)
    )
    np.testing.assert_allclose(found, hand, rtol=1e-3, atol=1e-3)


def test_the_network_keeps_its_parameters():
  own, two = (
    jax.eval_shape(x.init, jax.random.key(0), jnp.zeros((1, 64, 64, 3)))
    for x in (INNER, TWO)
  )
  for kind in ('params', 'batch_stats'):
    assert set(two[kind]) - set(own[kind]) == {'scale_attention'}
    for name, tree in own[kind].items():
      assert jax.tree.map(jnp.shape, two[kind][name]) == jax.tree.map(
        jnp.shape, tree
      )
  one = dataclasses.replace(OPTIONS, resolutions='one')
  assert hrda.wrap(deeplab.DeepLab(classes=3, options=one)).options == one


@pytest.mark.parametrize(
  ('backbone', 'decoder', 'attention'),
  [
    ('mit_tiny', 'aspp', 'fixed'),
    # One more row and column than there are strides in the image.
    ('resnet_tiny', 'aspp', 'classes'),
    ('vgg_tiny', 'aspp', 'single'),
    ('efficientnet_tiny', 'daformer', 'classes'),
    # Whole patches, which `patch_resize` leaves unchanged.
    ('dinov2_tiny', 'daformer', 'classes'),
  ],
)
def test_any_network_can_see_two_resolutions(backbone, decoder, attention):
  unit = 28 if backbone == 'dinov2_tiny' else 32
  window = 4 * unit, 6 * unit
  options = dataclasses.replace(
    OPTIONS,
    backbone=backbone,
    decoder=decoder,
    scale_attention=attention,
    patch_resize='round',
    detail_crop=(2 * unit, 2 * unit),
    window=window,
  )
  module = hrda.wrap(corda.CorDA(classes=5, options=options, width=8))
  image = jax.ShapeDtypeStruct((1, *window, 3), jnp.uint8)
  out, made = jax.eval_shape(module.init_with_output, jax.random.key(0), image)
  grid = options.grid_size(window)
  assert out['logits'].shape == (1, *grid, 5)
  assert out['depth'].shape == (1, *options.grid_size((2 * unit, 3 * unit)))
  seen, _ = jax.eval_shape(
    lambda *x: module.apply(
      *x,
      train=True,
      mutable=['batch_stats'],
      rngs={'dropout': jax.random.key(0)},
    ),
    made,
    image,
  )
  assert seen['logits'].shape == (1, *grid, 5)
  part = (1, *options.grid_size((2 * unit, 2 * unit)), 5)
  assert seen['detail']['logits'].shape == part


@pytest.mark.parametrize(
  ('backbone', 'decoder', 'expected'),
  [
    # 1.1 times an image of 112 pixels has 8 patches, and of 224 pixels 17.
    ('dinov2_s', 'daformer', 'network.patch_resize=round'),
    ('dinov2_b_reg', 'vfm_uda', 'network.patch_resize=round'),
    ('mit_b0', 'vfm_uda', 'one with network.backbone=mit_b0 and network.decod'),
  ],
)
def test_outputs_of_a_part_are_a_part_of_the_whole(backbone, decoder, expected):
  """VFM-UDA's network is not, or another reading of the image is needed."""
  with pytest.raises(
    errors.UserError, match=f'^network.resolutions=hrda; expected {expected}'
  ) as e:
    dataclasses.replace(
      OPTIONS,
      backbone=backbone,
      decoder=decoder,
      detail_crop=(448, 448),
      window=(896, 896),
    )
  assert '\n' not in str(e.value)


def test_sides_are_of_whole_cells():
  with pytest.raises(
    errors.UserError, match=r'detail_crop=\(30, 32\); expected multiples of 8'
  ):
    dataclasses.replace(OPTIONS, detail_crop=(30, 32))
  with pytest.raises(errors.UserError, match=r'size of an image=\(64, 70\)'):
    jax.eval_shape(TWO.apply, variables(), jnp.zeros((1, 64, 70, 3)))


@pytest.mark.parametrize(
  ('field', 'value', 'default'),
  [
    ('scale_attention', 'fixed', 'classes'),
    ('detail_overlap', False, 'True'),
    ('detail_weight', 0.0, '0.1'),
    ('context_scale', 0.25, '0.5'),
  ],
)
def test_an_ablation_of_hrda_is_refused_with_one_resolution(
  field, value, default
):
  """It would train what was to be compared with it."""
  one = dataclasses.replace(OPTIONS, resolutions='one')
  message = f'{field}={value}; expected {default} with network.resolutions=one'
  with pytest.raises(errors.UserError, match=message):
    dataclasses.replace(one, **{field: value})


@pytest.mark.parametrize('scale', [0.3, 0.4, 2 / 3, 0.8])
def test_a_cell_is_of_whole_outputs_of_the_detail(scale):
  """At 2/3 a part at pixel 6 would begin at output 1.5."""
  cell = round(4 / scale)
  with pytest.raises(errors.UserError, match=f'context_scale={scale}; expect'):
    dataclasses.replace(
      OPTIONS,
      context_scale=scale,
      detail_crop=(4 * cell, 4 * cell),
      window=(8 * cell, 8 * cell),
    )


@pytest.mark.parametrize('scale', [1.0, 1 / 3, 0.25, 1 / 7])
def test_a_scale_that_has_whole_cells(scale):
  options = dataclasses.replace(
    OPTIONS,
    context_scale=scale,
    detail_crop=(4 * round(4 / scale),) * 2,
    window=(8 * round(4 / scale),) * 2,
  )
  assert options.cell == 4 * round(1 / scale)
