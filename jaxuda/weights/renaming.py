"""Keys of published files under one name each, before they are recognised."""

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
# The same of SegFormer's own files and of mmseg's, inside of a stage.
_MMSEG = {
  r'\.norm1\.': '.layernorm_before.',
  r'\.norm2\.': '.layernorm_after.',
  r'\.attn\.(q|k|v)\.': r'.attention.\1_proj.',
  r'\.attn\.proj\.': '.attention.o_proj.',
  r'\.attn\.sr\.': '.attention.sequence_reduction.sequence_reduction.',
  r'\.attn\.norm\.': '.attention.sequence_reduction.layer_norm.',
}
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
  """Gives the arrays of a MiT the names of `transformers` since version 5.

  Files of older versions, of SegFormer and of mmseg hold the same arrays; the
  latter two keys and values as one, which are parted here. Those of any other
  network stay as they are.

  Args:
    state_dict: arrays by key, see `strip_prefix`.
  """
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
