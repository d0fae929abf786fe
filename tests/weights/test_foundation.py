"""Files of DINOv2 and Depth Anything like the hub's, in miniature."""

import json

import jax
import numpy as np
import pytest

from jaxuda import errors
from jaxuda.models import deeplab
from jaxuda.run import checkpoint
from jaxuda.weights import conversion
from jaxuda.weights import converted
from jaxuda.weights import foundation
from jaxuda.weights import reading
from jaxuda.weights import state_dict
from jaxuda.weights import writing
from tests.models import foundation as golden

V2 = {
  'model_type': 'depth_anything',
  'depth_estimation_type': 'metric',
  'max_depth': 20,
  'backbone_config': {'out_indices': [1, 2, 3, 4]},
}
STAGES = ['stage1', 'stage2', 'stage3', 'stage4']


def save(folder, name, *, description=None, **changes):
  """Writes a network's file, with entries replaced or, by None, removed."""
  arrays = {k: x.astype('f4') for k, x in golden.state_dict(name).items()}
  arrays = {k: x for k, x in {**arrays, **changes}.items() if x is not None}
  path = folder / 'model.safetensors'
  writing.write(path, {'': arrays})
  if description:
    (folder / 'config.json').write_text(json.dumps(description))
  return path, arrays


def convert(path, **options):
  return conversion.convert(reading.read(path), **options)


@pytest.mark.parametrize('name', ['dinov2', 'registers', 'depth'])
def test_there_and_back(tmp_path, name):
  path, arrays = save(tmp_path, name)
  network = convert(path, family='depth_anything_v1')
  unused = [x for x in arrays if x.startswith(foundation._UNUSED)]
  assert len(unused) == 4 * (name == 'depth')
  assert len(network.arrays) == len(arrays) - len(unused)
  counted = [r for r in network.report if r.status in ('matched', 'dropped')]
  assert sum(len(r.keys) for r in counted) == len(arrays)
  assert not network.record['random']
  converted.write(tmp_path / 'dir', network)
  again = converted.read(tmp_path / 'dir')
  back = state_dict.from_network(again)
  assert back.keys() == arrays.keys()
  for key, x in arrays.items():
    expected = np.zeros_like(x) if key in unused else x
    np.testing.assert_array_equal(back[key], expected, err_msg=key)


def test_what_was_recognised(tmp_path):
  plain = convert(save(tmp_path, 'dinov2')[0]).record
  assert (plain['family'], plain['title']) == ('dinov2', 'DINOv2 tiny')
  assert plain['structure'] == {'size': 'dinov2_tiny', 'mask_token': True}
  assert plain['network']['image_order'] == 'rgb'
  path, _ = save(tmp_path, 'registers')
  structure = convert(path).record['structure']
  assert structure['registers'] == 4
  assert structure['positions'] == 'antialias'
  # Some files have no token for masked patches.
  path, _ = save(tmp_path, 'dinov2', **{'embeddings.mask_token': None})
  assert not convert(path).record['structure']['mask_token']


def variables(backbone):
  options = deeplab.Options(backbone=backbone, decoder='vfm_uda')
  module = deeplab.DeepLab(classes=3, options=options)
  image = jax.ShapeDtypeStruct((1, 28, 28, 3), np.uint8)
  return checkpoint.flatten(
    jax.eval_shape(module.init, jax.random.key(0), image)
  )


def test_a_training_begins_with_them(tmp_path):
  plain, registers = variables('dinov2_tiny'), variables('dinov2_tiny_reg')
  weights = convert(save(tmp_path, 'dinov2')[0])
  fit = conversion.fit(weights, plain)
  # A backbone masks no patches.
  assert fit.unused == ['params/backbone/mask_token']
  assert conversion.modules(fit.random) == ['layer6', 'neck']
  with pytest.raises(errors.UserError, match=r'nothing for .*register_tokens'):
    conversion.fit(weights, registers)
  weights = convert(save(tmp_path, 'registers')[0])
  assert weights.record['network']['backbone'] == 'dinov2_tiny_reg'
  fit = conversion.fit(weights, registers)
  assert conversion.modules(fit.unused) == ['mask_token']
  fit = conversion.fit(weights, plain)
  assert conversion.modules(fit.unused) == ['mask_token', 'register_tokens']


META = (
  ('embeddings.patch_embeddings.projection', 'patch_embed.proj'),
  ('embeddings.position_embeddings', 'pos_embed'),
  ('embeddings.', ''),
  ('encoder.layer.', 'blocks.'),
  ('layernorm.', 'norm.'),
  ('layer_scale', 'ls'),
  ('lambda1', 'gamma'),
  ('attention.output.dense', 'attn.proj'),
)


def meta(arrays):
  """Returns the same arrays under the names of DINOv2's own code."""
  named = {}
  for key, x in arrays.items():
    for old, new in META:
      key = key.replace(old, new)
    named[key] = x
  for i in range(4):
    head = f'blocks.{i}.attention.attention'
    for leaf in ('weight', 'bias'):
      parts = [f'{head}.{x}.{leaf}' for x in ('query', 'key', 'value')]
      joined = np.concatenate([named.pop(x) for x in parts])
      named[f'blocks.{i}.attn.qkv.{leaf}'] = joined
  return named


@pytest.mark.parametrize('name', ['dinov2', 'registers'])
def test_metas_own_files(tmp_path, name):
  path, arrays = save(tmp_path, name)
  first = convert(path)
  theirs = meta(arrays)
  assert {'cls_token', 'pos_embed', 'patch_embed.proj.weight'} <= theirs.keys()
  assert {'blocks.3.ls2.gamma', 'blocks.0.attn.proj.bias'} <= theirs.keys()
  writing.write(path, {'': theirs})
  found = convert(path)
  assert found.record['network'] == first.record['network']
  assert found.arrays.keys() == first.arrays.keys()
  for key, x in first.arrays.items():
    np.testing.assert_array_equal(found.arrays[key], x, err_msg=key)


def test_a_file_of_vfm_uda(tmp_path):
  """A Lightning file: student and teacher, the mask token twice."""
  _, arrays = save(tmp_path, 'dinov2')
  rng = np.random.default_rng(0)
  shapes = {
    'upscale.0.weight': (16, 8, 2, 2),
    'upscale.1.weight': (8,),
    'upscale.1.bias': (8,),
    'upscale.3.weight': (8, 4, 2, 2),
    'upscale.4.weight': (4,),
    'upscale.4.bias': (4,),
    'upscale.5.weight': (4, 4, 3, 3),
    'upscale.6.weight': (4,),
    'upscale.6.bias': (4,),
    'out.weight': (3, 4, 1, 1),
  }
  net = {f'encoder.{k}': x for k, x in meta(arrays).items()}
  net |= {k: rng.normal(size=s).astype('f4') for k, s in shapes.items()}
  net['token_masking.mask_token'] = net['encoder.mask_token']
  path = tmp_path / 'vfm.safetensors'
  nets = {'network': net, 'network_ema': {k: 2 * x for k, x in net.items()}}
  whole = {f'{n}.{k}': x for n, tree in nets.items() for k, x in tree.items()}
  writing.write(path, {'': whole})
  for role, factor in (('student', 1), ('teacher', 2)):
    found = convert(path, network=role)
    assert found.record['family'] == 'vfm_uda'
    assert found.record['title'] == 'VFM-UDA, dinov2_tiny, 3 classes'
    assert found.record['network']['decoder'] == 'vfm_uda'
    assert not found.record['random']
    # Every parameter, and nothing is left over except the mask token.
    fit = conversion.fit(found, variables('dinov2_tiny'), whole=True)
    assert not fit.unused
    (dropped,) = (x.keys for x in found.report if x.status == 'dropped')
    assert len(dropped) == 2
    for place, key in (
      ('backbone/block1/fc1/kernel', 'encoder.blocks.1.mlp.fc1.weight'),
      ('neck/norm2/scale', 'upscale.6.weight'),
    ):
      ours, theirs = found.arrays[f'params/{place}'], factor * net[key]
      np.testing.assert_array_equal(ours, theirs.T)
    # Their transposed convolutions are [in, out, y, x], ours [y, x, out, in].
    np.testing.assert_array_equal(
      found.arrays['params/neck/up1/kernel'],
      factor * net['upscale.3.weight'].transpose(2, 3, 1, 0),
    )
  with pytest.raises(
    errors.UserError, match='files of VFM-UDA can be read, but not writ'
  ):
    state_dict.from_network(found)


@pytest.mark.parametrize(
  ('changes', 'taps', 'far'),
  [
    ({}, (1, 2, 3, 4), 20.0),
    ({'max_depth': 80, 'backbone_config': None}, (1, 2, 3, 4), 80.0),
    ({'depth_estimation_type': 'relative'}, (1, 2, 3, 4), None),
    ({'backbone_config': {'out_features': STAGES}}, (1, 2, 3, 4), 20.0),
  ],
)
def test_config_json_says_what_keys_do_not(tmp_path, changes, taps, far):
  path, _ = save(tmp_path, 'depth', description={**V2, **changes})
  structure = convert(path).record['structure']
  assert tuple(structure['taps']) == taps
  assert structure['metric'] == (far is not None)
  assert structure.get('max_depth') == far


def test_a_family_says_it_where_there_is_none(tmp_path):
  path, _ = save(tmp_path, 'depth')
  with pytest.raises(
    errors.UserError, match=r'config\.json next to it, or --f'
  ):
    convert(path)
  for family, (_, far) in foundation.DEPTH_FAMILIES.items():
    structure = convert(path, family=family).record['structure']
    assert structure.get('max_depth') == far
  # A misspelt one is not passed over for what config.json says.
  path, _ = save(tmp_path, 'depth', description=V2)
  with pytest.raises(errors.UserError, match=r'unknown family .*_outdor'):
    convert(path, family='depth_anything_v2_outdor')


def test_keys_are_accounted_for(tmp_path):
  shapes = {'more.weight': np.zeros((2, 2), 'f4'), 'layernorm.bias': None}
  path, _ = save(tmp_path, 'dinov2', **shapes)
  with pytest.raises(errors.UserError) as e:
    convert(path)
  assert 'unexpected    1  more.weight' in str(e.value)
  assert 'missing       1  layernorm.bias' in str(e.value)
  # A transposed matrix.
  key = 'encoder.layer.2.mlp.fc1.weight'
  path, arrays = save(tmp_path, 'dinov2')
  path, _ = save(tmp_path, 'dinov2', **{key: arrays[key].T})
  with pytest.raises(errors.UserError, match=rf'mismatched +1  {key}'):
    convert(path)
  network = convert(path, partial=True)
  assert network.record['random'] == ['params/backbone/block2/fc1/kernel']


def test_mistakes(tmp_path):
  wide = {
    f'encoder.layer.0.layer_scale{i}.lambda1': np.ones(1536, 'f4')
    for i in (1, 2)
  }
  path, _ = save(tmp_path, 'dinov2', **wide)
  with pytest.raises(errors.UserError, match='4 blocks of width 1536; expect'):
    convert(path)
  for backbone in (
    {'out_indices': [1, 2, 3]},
    {'out_indices': [1, 2, 3, 5]},
    {'out_features': [*STAGES[:3], 'stage5']},
  ):
    tree = {**V2, 'backbone_config': backbone}
    path, _ = save(tmp_path, 'depth', description=tree)
    with pytest.raises(errors.UserError, match='expected four blocks of 1 to'):
      convert(path)
  (tmp_path / 'config.json').write_text('{')
  with pytest.raises(errors.UserError, match=r'config\.json is not JSON'):
    convert(path)
