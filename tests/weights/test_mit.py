"""Files of MiT and of DAFormer, under all names of their arrays."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxuda import errors
from jaxuda.models import deeplab
from jaxuda.models import pretrained
from jaxuda.weights import conversion
from jaxuda.weights import reading
from jaxuda.weights import renaming
from jaxuda.weights import state_dict
from tests.weights import official

WIDTHS, REDUCTIONS = (4, 8, 8, 16), (8, 4, 2, 1)


def linear(name, inside, out):
  return {f'{name}.weight': (out, inside), f'{name}.bias': (out,)}


def norm(name, width):
  return {f'{name}.weight': (width,), f'{name}.bias': (width,)}


def conv(name, inside, out, side):
  return {f'{name}.weight': (out, inside, side, side), f'{name}.bias': (out,)}


def mmseg(prefix='backbone.'):
  """Shapes of 'mit_tiny' as SegFormer's and mmseg's files name them."""
  shapes, before = {}, 3
  for i, (width, side) in enumerate(zip(WIDTHS, REDUCTIONS, strict=True), 1):
    block = f'block{i}.0'
    shapes |= conv(f'patch_embed{i}.proj', before, width, 3 if i > 1 else 7)
    shapes |= norm(f'patch_embed{i}.norm', width)
    shapes |= norm(f'{block}.norm1', width) | norm(f'{block}.norm2', width)
    shapes |= linear(f'{block}.attn.q', width, width)
    shapes |= linear(f'{block}.attn.kv', width, 2 * width)
    shapes |= linear(f'{block}.attn.proj', width, width)
    if side > 1:
      shapes |= conv(f'{block}.attn.sr', width, width, side)
      shapes |= norm(f'{block}.attn.norm', width)
    shapes |= linear(f'{block}.mlp.fc1', width, 2 * width)
    shapes |= conv(f'{block}.mlp.dwconv.dwconv', 1, 2 * width, 3)
    shapes |= linear(f'{block}.mlp.fc2', 2 * width, width)
    shapes |= norm(f'norm{i}', width)
    before = width
  return {f'{prefix}{k}': v for k, v in shapes.items()}


def head(classes=5, width=6):
  """Returns the shapes of DAFormer's head."""
  place, fused = 'decode_head.fuse_layer', 4 * width
  shapes = conv('decode_head.conv_seg', width, classes, 1)
  for i, channels in enumerate(WIDTHS):
    shapes |= linear(f'decode_head.embed_layers.{i}.proj', channels, width)

  def add(name, shape):
    shapes[f'{place}.{name}.conv.weight'] = shape
    for leaf in ('weight', 'bias', 'running_mean', 'running_var'):
      shapes[f'{place}.{name}.bn.{leaf}'] = shape[:1]
    shapes[f'{place}.{name}.bn.num_batches_tracked'] = ()

  add('aspp_modules.0', (width, fused, 1, 1))
  for i in (1, 2, 3):
    add(f'aspp_modules.{i}.depthwise_conv', (fused, 1, 3, 3))
    add(f'aspp_modules.{i}.pointwise_conv', (width, fused, 1, 1))
  add('bottleneck', (width, fused, 3, 3))
  return shapes


def attention(classes=5, width=6):
  """Returns the shapes of HRDA's head: DAFormer's, and the attention."""
  shapes = {
    k.replace('decode_head.', 'decode_head.head.'): v
    for k, v in head(classes, width).items()
  }
  place = 'decode_head.scale_attention'
  for i, channels in enumerate(WIDTHS):
    shapes |= linear(f'{place}.embed_layers.{i}.proj', channels, width)
  shapes[f'{place}.fuse_layer.conv.weight'] = (width, 4 * width, 1, 1)
  for leaf in ('weight', 'bias', 'running_mean', 'running_var'):
    shapes[f'{place}.fuse_layer.bn.{leaf}'] = (width,)
  shapes[f'{place}.fuse_layer.bn.num_batches_tracked'] = ()
  return shapes | conv(f'{place}.conv_seg', width, classes, 1)


def arrays_of(shapes, seed=0):
  rng = np.random.default_rng(seed)
  return {k: np.float32(rng.normal(size=v)) for k, v in shapes.items()}


def convert(arrays, tmp_path, **options):
  path = tmp_path / 'file.pth'
  official.save(arrays, path, 'zip')
  return conversion.convert(reading.read(path), **options)


OLDER = (
  (r'^stages\.(\d)\.patch_embeddings', r'encoder.patch_embeddings.\1'),
  (r'^stages\.(\d)\.blocks', r'encoder.block.\1'),
  (r'^stages\.(\d)\.layer_norm', r'encoder.layer_norm.\1'),
  (r'attention\.q_proj', 'attention.self.query'),
  (r'attention\.k_proj', 'attention.self.key'),
  (r'attention\.v_proj', 'attention.self.value'),
  (r'attention\.o_proj', 'attention.output.dense'),
  (r'sequence_reduction\.sequence_reduction', 'self.sr'),
  (r'sequence_reduction\.layer_norm', 'self.layer_norm'),
  (r'mlp\.fc', 'mlp.dense'),
  ('layernorm_before', 'layer_norm_1'),
  ('layernorm_after', 'layer_norm_2'),
)


def older(key):
  for pattern, name in OLDER:
    key = re.sub(pattern, name, key)
  return key


def test_all_names_are_of_the_same_network(tmp_path):
  theirs = arrays_of(mmseg(''))
  first = convert(theirs, tmp_path)
  assert first.record['family'] == 'mit'
  assert first.record['network']['backbone'] == 'mit_tiny'
  assert first.record['network']['image_mean'] == (123.675, 116.28, 103.53)
  block = 'params/backbone/stage2_block0'
  fused = theirs['block2.0.attn.kv.weight']
  for name, half in (('key', fused[:8]), ('value', fused[8:])):
    found = first.arrays[f'{block}/attention/{name}/kernel']
    np.testing.assert_array_equal(found[0, 0].T, half)
  np.testing.assert_array_equal(
    first.arrays['params/backbone/stage3_embed/norm/scale'],
    theirs['patch_embed3.norm.weight'],
  )
  np.testing.assert_array_equal(
    first.arrays[f'{block}/mlp/depthwise_conv/kernel'][..., 0, :],
    theirs['block2.0.mlp.dwconv.dwconv.weight'][:, 0].transpose(1, 2, 0),
  )
  new = renaming.rename(theirs)
  for names in (
    new,
    {f'segformer.{k}': x for k, x in new.items()},
    {older(k): x for k, x in new.items()},
    {
      **{f'segformer.{older(k)}': x for k, x in new.items()},
      **arrays_of({'decode_head.linear_c.0.proj.weight': (7, 4)}),
    },
    {**theirs, **arrays_of(linear('head', 16, 9))},
  ):
    assert len(names) >= len(theirs) + 8 or names.keys() >= theirs.keys()
    found = convert(names, tmp_path)
    assert found.arrays.keys() == first.arrays.keys()
    for key, array in found.arrays.items():
      np.testing.assert_array_equal(array, first.arrays[key])


def test_a_file_of_daformer(tmp_path):
  nets = [arrays_of(mmseg() | head(), seed) for seed in (1, 2)]
  names = ('model', 'ema_model')
  whole = {
    f'{name}.{k}': x
    for name, net in zip(names, nets, strict=True)
    for k, x in net.items()
  }
  whole |= {f'imnet_model.{k}': x for k, x in arrays_of(mmseg()).items()}
  for role, theirs in zip(('student', 'teacher'), nets, strict=True):
    found = convert({'state_dict': whole}, tmp_path, network=role)
    assert found.record['family'] == 'daformer'
    assert found.record['of'] == role
    assert found.record['random'] == []
    network = found.record['network']
    assert (network['decoder'], network['decoder_width']) == ('daformer', 6)
    options = deeplab.Options(**network)
    module = deeplab.DeepLab(classes=5, options=options)
    image = jax.ShapeDtypeStruct((1, 64, 64, 3), jnp.uint8)
    shapes = jax.eval_shape(module.init, jax.random.key(0), image)
    fit = conversion.fit(
      found,
      {
        jax.tree_util.keystr(k, simple=True, separator='/'): x
        for k, x in jax.tree_util.tree_leaves_with_path(shapes)
      },
      whole=True,
    )
    assert (fit.random, fit.unused) == ([], [])
    for path, key in (
      ('params/neck/embed2/kernel', 'embed_layers.2.proj.weight'),
      (
        'params/neck/aspp3_point/kernel',
        'fuse_layer.aspp_modules.3.pointwise_conv.conv.weight',
      ),
      ('params/layer6/conv/kernel', 'conv_seg.weight'),
    ):
      array = theirs[f'decode_head.{key}']
      ours = found.arrays[path][0, 0].T
      np.testing.assert_array_equal(ours, array.reshape(ours.shape))
    np.testing.assert_array_equal(
      found.arrays['batch_stats/neck/aspp2_depth_bn/var'],
      theirs[
        'decode_head.fuse_layer.aspp_modules.2.depthwise_conv.bn.running_var'
      ],
    )
  with pytest.raises(errors.UserError, match='DAFormer, HRDA and MIC can be'):
    state_dict.from_network(found)


def test_a_file_of_hrda_fills_both_resolutions(tmp_path):
  nets = [arrays_of(mmseg() | attention(), seed) for seed in (1, 2)]
  whole = {
    f'{name}.{k}': x
    for name, net in zip(('model', 'ema_model'), nets, strict=True)
    for k, x in net.items()
  }
  for role, theirs in zip(('student', 'teacher'), nets, strict=True):
    found = convert({'state_dict': whole}, tmp_path, network=role)
    assert found.record['family'] == 'hrda'
    assert found.record['random'] == []
    network = found.record['network']
    assert network['resolutions'] == 'hrda'
    assert network['scale_attention'] == 'classes'
    for path, key in (
      ('scale_attention/embed2/kernel', 'scale_attention.embed_layers.2.proj'),
      ('scale_attention/fuse/kernel', 'scale_attention.fuse_layer.conv'),
      ('scale_attention/classifier/conv/kernel', 'scale_attention.conv_seg'),
      ('layer6/conv/kernel', 'head.conv_seg'),
    ):
      array = theirs[f'decode_head.{key}.weight']
      ours = found.arrays[f'params/{path}'][0, 0].T
      np.testing.assert_array_equal(ours, array.reshape(ours.shape))
    np.testing.assert_array_equal(
      found.arrays['batch_stats/scale_attention/fuse_bn/var'],
      theirs['decode_head.scale_attention.fuse_layer.bn.running_var'],
    )
  # Every array has its place.
  count = sum('num_batches' not in k for k in theirs)
  fused = sum('.kv.' in k for k in theirs)
  assert len(found.arrays) == count + fused
  with pytest.raises(errors.UserError, match='DAFormer, HRDA and MIC can be'):
    state_dict.from_network(found)


def test_what_does_not_fit_is_named(tmp_path):
  short = arrays_of(mmseg())
  del short['backbone.block2.0.mlp.fc1.bias']
  with pytest.raises(errors.UserError, match=r'missing .*blocks\.0\.mlp\.fc1'):
    convert(short, tmp_path)
  with pytest.raises(errors.UserError, match=r'unexpected .*pos_embed'):
    convert(arrays_of(mmseg() | {'backbone.pos_embed': (3,)}), tmp_path)
  deep = {k.replace('block4.0', 'block4.1'): v for k, v in mmseg().items()}
  with pytest.raises(errors.UserError, match=r'MiT of \(1, 1, 1, 2\) blocks'):
    convert(arrays_of(mmseg() | deep), tmp_path)


def test_keys_of_a_path():
  assert pretrained.mit_key(('stage4_norm', 'bias')) == (
    'stages.3.layer_norm.bias'
  )
  path = ('neck', 'aspp0_point_bn', 'mean')
  assert pretrained.daformer_key(path) == (
    'decode_head.fuse_layer.aspp_modules.0.bn.running_mean'
  )
