"""Gives keys of published files one name each, before recognition."""

from collections.abc import Mapping, Sequence
import re

import numpy as np

# What `transformers` called the parts of a MiT before version 5, and calls now.
_OLDER = {
  r'^encoder\.patch_embeddings\.(\d+)\.': r'stages.\1.patch_embeddings.',
  r'^encoder\.block\.(\d+)\.': r'stages.\1.blocks.',
  r'^encoder\.layer_norm\.(\d+)\.': r'stages.\1.layer_norm.',
  r'\.attention\.self\.query\.': '.attention.q_proj.',
  r'\.attention\.self\.key\.': '.attention.k_proj.',
  r'\.attention\.self\.value\.': '.attention.v_proj.',
  r'\.attention\.self\.sr\.': (
    '.attention.sequence_reduction.sequence_reduction.'
  ),
  r'\.attention\.self\.layer_norm\.': (
    '.attention.sequence_reduction.layer_norm.'
  ),
  r'\.attention\.output\.dense\.': '.attention.o_proj.',
  r'\.mlp\.dense([12])\.': r'.mlp.fc\1.',
  r'\.layer_norm_1\.': '.layernorm_before.',
  r'\.layer_norm_2\.': '.layernorm_after.',
}
# The same for SegFormer's own files and mmseg's, inside a stage.
_MMSEG = {
  r'\.norm1\.': '.layernorm_before.',
  r'\.norm2\.': '.layernorm_after.',
  r'\.attn\.(q|k|v)\.': r'.attention.\1_proj.',
  r'\.attn\.proj\.': '.attention.o_proj.',
  r'\.attn\.sr\.': '.attention.sequence_reduction.sequence_reduction.',
  r'\.attn\.norm\.': '.attention.sequence_reduction.layer_norm.',
}
# What Meta's code calls the parts of a DINOv2; in its files the name of the
# network precedes them if there is more.
_META = {
  r'^cls_token$': 'embeddings.cls_token',
  r'^mask_token$': 'embeddings.mask_token',
  r'^register_tokens$': 'embeddings.register_tokens',
  r'^pos_embed$': 'embeddings.position_embeddings',
  r'^patch_embed\.proj\.': 'embeddings.patch_embeddings.projection.',
  r'^norm\.': 'layernorm.',
  r'\.attn\.(query|key|value)\.': r'.attention.attention.\1.',
  r'\.attn\.proj\.': '.attention.output.dense.',
  r'\.ls([12])\.gamma$': r'.layer_scale\1.lambda1',
  r'^blocks\.': 'encoder.layer.',
}
_META_KEY = 'blocks.0.attn.qkv.weight'
_STAGE = re.compile(r'^(?:backbone\.)?(patch_embed|block|norm)([1-4])\.')


def strip_prefix(keys: Sequence[str]) -> str:
  """Returns the prefix that wrappers put before every key, such as 'module.'.

  DataParallel writes 'module.', the Caffe converter 'Scale.'.
  """
  heads = {key.partition('.')[0] for key in keys}
  inner = [key.partition('.')[2] for key in keys]
  head = heads.pop() if len(heads) == 1 else 'features'
  known = {'conv1.weight', 'features.0.weight'} & set(inner)
  if head == 'module' or (known and head != 'features'):
    return f'{head}.{strip_prefix(inner)}'
  return ''


def rename(state_dict: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
  """Gives the arrays of a MiT or a DINOv2 the names of `transformers` 5.

  Files of older versions, of SegFormer and of mmseg hold the same arrays; the
  latter two store keys and values as one, which are split here. DINOv2's own
  code, and what is built on it (VFM-UDA), stores queries, keys and values as
  one. The names of any other network stay as they are.

  Args:
    state_dict: arrays by key, see `strip_prefix`.
  """
  if {_META_KEY, f'encoder.{_META_KEY}'} & state_dict.keys():
    return _rename_meta(state_dict)
  keys = {key.removeprefix('segformer.') for key in state_dict}
  if {'encoder.patch_embeddings.0.proj.weight'} <= keys:
    name = _rename_older
  elif {'patch_embed1.proj.weight', 'backbone.patch_embed1.proj.weight'} & keys:
    name = _rename_mmseg
  elif 'stages.0.patch_embeddings.proj.weight' in keys:
    name = str
  else:
    return dict(state_dict)
  parted = {}
  for key, array in state_dict.items():
    key = key.removeprefix('segformer.')
    if '.attn.kv.' in key:
      halves = zip('kv', np.split(array, 2), strict=True)
      parted |= {key.replace('.kv.', f'.{x}.'): half for x, half in halves}
    else:
      parted[key] = array
  return {name(key): array for key, array in parted.items()}


def _rename_meta(state_dict):
  parted = {}
  for key, array in state_dict.items():
    key = key.removeprefix('encoder.')
    parts = ('query', 'key', 'value') if '.attn.qkv.' in key else ('',)
    for part, own in zip(parts, np.split(array, len(parts)), strict=True):
      name = key.replace('.qkv.', f'.{part}.')
      for pattern, new in _META.items():
        name = re.sub(pattern, new, name)
      parted[name] = own
  return parted


def _rename_older(key):
  for pattern, new in _OLDER.items():
    key = re.sub(pattern, new, key)
  return key


def _rename_mmseg(key):
  stage = _STAGE.match(key)
  if not stage:
    return key
  kind, number = stage[1], int(stage[2]) - 1
  rest = key[stage.end() :]
  if kind == 'norm':
    return f'stages.{number}.layer_norm.{rest}'
  if kind == 'patch_embed':
    rest = re.sub(r'^norm\.', 'layer_norm.', rest)
    return f'stages.{number}.patch_embeddings.{rest}'
  for pattern, new in _MMSEG.items():
    rest = re.sub(pattern, new, rest)
  return f'stages.{number}.blocks.{rest}'
