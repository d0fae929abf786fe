"""DINOv2, Depth Anything and VFM-UDA, in files of their own.

The files are Hugging Face's model.safetensors, or those of DINOv2's own code,
whose names `renaming` turns into the former's; for Depth Anything with the
config.json next to it, which alone tells whether the network is V1 or V2, and
relative or metric. Without it, `family` must tell.
"""

from collections.abc import Callable, Mapping, Sequence
import dataclasses
import json
import pathlib
import re
from typing import Any

import flax
import jax
import jax.numpy as jnp
import numpy as np

from jaxuda import errors
from jaxuda.models import deeplab
from jaxuda.models import depth_anything
from jaxuda.models import pretrained
from jaxuda.models.backbones import vit
from jaxuda.weights import families

NAMES = ('dinov2', 'depth_anything')
# What a file of Depth Anything without config.json may be -> version, and the
# greatest depth in metres of metric networks.
DEPTH_FAMILIES = {
  'depth_anything_v1': (1, None),
  'depth_anything_v2': (2, None),
  'depth_anything_v2_indoor': (2, 20.0),
  'depth_anything_v2_outdoor': (2, 80.0),
}

# Places of VFM-UDA's decoder in its list of layers; the third is GELU.
_UPSCALE = {'up0': 0, 'norm0': 1, 'up1': 3, 'norm1': 4, 'conv': 5, 'norm2': 6}
_MASK = {
  r'(token_masking|embeddings)\.mask_token$': (
    'stands for masked patches, which a segmentation network does not have'
  )
}
_LEAVES = {'kernel': 'weight', 'scale': 'weight', 'bias': 'bias'}
_TOKENS = {
  'positions': 'embeddings.position_embeddings',
  'cls_token': 'embeddings.cls_token',
  'mask_token': 'embeddings.mask_token',
  'register_tokens': 'embeddings.register_tokens',
}
_INSIDE = {
  **{x: f'attention.attention.{x}' for x in ('query', 'key', 'value')},
  **{f'layer_scale{i}': f'layer_scale{i}.lambda1' for i in (1, 2)},
  **{f'fc{i}': f'mlp.fc{i}' for i in (1, 2)},
  'out': 'attention.output.dense',
}
_REASSEMBLE = 'neck.reassemble_stage.layers'
_FUSION = 'neck.fusion_stage.layers'
_DECODER = (
  (r'project(\d)', rf'{_REASSEMBLE}.\1.projection'),
  (r'resize(\d)', rf'{_REASSEMBLE}.\1.resize'),
  (r'level(\d)', r'neck.convs.\1'),
  (r'fuse(\d)_project', rf'{_FUSION}.\1.projection'),
  (r'fuse(\d)_residual(\d)', rf'{_FUSION}.\1.residual_layer\2'),
  (r'head(\d)', r'head.conv\1'),
)
# The coarsest map is where the fusion begins.
_UNUSED = f'{_FUSION}.0.residual_layer1'
_DROPS = {
  re.escape(
    _UNUSED
  ): 'adds to a map before the coarsest one, which does not exist'
}


def torch_key(path: Sequence[str], *, family: str) -> str:
  """Returns Hugging Face's key for a parameter.

  ('backbone', 'block3', 'attention', 'query', 'kernel') of 'dinov2' is
  'encoder.layer.3.attention.attention.query.weight', and of 'depth_anything' it
  is 'backbone.encoder. ...'. The keys of VFM-UDA's decoder are its own:
  ('neck', 'up0', 'kernel') is 'upscale.0.weight'.
  """
  if path[0] == 'decoder':
    _, module, *inner, leaf = path
    for pattern, place in _DECODER:
      if re.fullmatch(pattern, module):
        module = re.sub(pattern, place, module)
        break
    inner = [x.replace('conv', 'convolution') for x in inner]
    return '.'.join([module, *inner, _LEAVES[leaf]])
  if path[0] == 'neck':
    return f'upscale.{_UPSCALE[path[1]]}.{_LEAVES[path[2]]}'
  if path[0] == 'layer6':
    return 'out.weight'
  head = 'backbone.' if family == 'depth_anything' else ''
  return head + _backbone_key(path[1:])


def _backbone_key(path):
  module = path[0]
  if module in _TOKENS:
    return _TOKENS[module]
  leaf = _LEAVES.get(path[-1], '')
  if module in ('patch_embed', 'norm'):
    places = {
      'patch_embed': 'embeddings.patch_embeddings.projection',
      'norm': 'layernorm',
    }
    return f'{places[module]}.{leaf}'
  inner = [_INSIDE.get(x, x) for x in path[1:] if x not in _LEAVES]
  # The attention's module is already in the names of what is in it.
  inner = [x for x in inner if x != 'attention']
  return '.'.join(
    [f'encoder.layer.{module.removeprefix("block")}', *inner, leaf]
  ).rstrip('.')


@dataclasses.dataclass(frozen=True, kw_only=True)
class Foundation(families.Family):
  """A family whose layers may also be matrices, see `families.Family`."""

  @property
  def key(self) -> Callable[[Sequence[str]], str]:
    """The map from our paths, without the collection, to official keys."""
    return lambda path: torch_key(path, family=self.name)

  def variables(self) -> dict[str, Any]:
    """Returns the shapes of all arrays that the state dict must fill."""
    example = jax.ShapeDtypeStruct(tuple(self.example), jnp.float32)
    tree = jax.eval_shape(self.module.init, jax.random.key(0), example)
    if self.whole:
      return tree
    return {'params': {'backbone': tree['params']}}

  def match(
    self, state_dict: Mapping[str, np.ndarray], variables: Any
  ) -> pretrained.Match:
    """Does as `pretrained.match`, taking matrices for 1x1 convolutions."""
    flat = flax.traverse_util.flatten_dict(variables)
    matrices = {
      path
      for path, x in flat.items()
      if path[-1] == 'kernel' and len(x.shape) == 2
    }
    for path in matrices:
      shape, dtype = (1, 1, *flat[path].shape), flat[path].dtype
      flat[path] = jax.ShapeDtypeStruct(shape, dtype)
    found = pretrained.match(
      {
        key: x[..., None, None] if _is_matrix(key, x) else x
        for key, x in state_dict.items()
      },
      flax.traverse_util.unflatten_dict(flat),
      naming=self.key,
    )
    filled = {
      path: x[0, 0] if path in matrices else x
      for path, x in found.filled.items()
    }
    return dataclasses.replace(found, filled=filled)


def _is_matrix(key, array):
  return key.endswith('.weight') and array.ndim == 2


def to_torch(arrays: Mapping[str, np.ndarray], family: str) -> dict[str, Any]:
  """Returns a network under Hugging Face's names.

  Args:
    arrays: 'params/backbone/block0/fc1/kernel' -> array.
    family: one of `NAMES`.
  """
  result = {}
  for path, x in arrays.items():
    _, *parts = path.split('/')
    if parts[-1] == 'kernel':
      x = x.T if x.ndim == 2 else x.transpose(3, 2, 0, 1)
    result[torch_key(parts, family=family)] = x
  if family == 'depth_anything':
    # It is saved there, but read by nothing.
    like = f'{_FUSION}.0.residual_layer2'
    for key in [x for x in result if x.startswith(like)]:
      unused = key.replace(like, _UNUSED)
      result[unused] = np.zeros_like(result[key])
  return result


def read_description(path: pathlib.Path) -> dict[str, Any]:
  """Returns the config.json next to a file; {} if not of these networks.

  Raises:
    UserError: it is not JSON.
  """
  file = path.parent / 'config.json'
  if not file.is_file():
    return {}
  try:
    tree = json.loads(file.read_text())
  except ValueError as e:
    raise errors.UserError(f'{file} is not JSON ({e})') from e
  known = isinstance(tree, dict) and tree.get('model_type') == 'depth_anything'
  return tree if known else {}


def recognise(
  shapes: Mapping[str, tuple[int, ...]],
  *,
  description: Mapping[str, Any] | None = None,
  family: str = '',
) -> Foundation | None:
  """Finds the network that a state dict holds; None if it is none of these.

  Args:
    shapes: PyTorch key -> shape.
    description: the config.json of Depth Anything, see `read_description`.
    family: one of `DEPTH_FAMILIES`, if there is no description.

  Raises:
    UserError: the size is unknown, or nothing tells what a file of Depth
      Anything is.
  """
  depth = 'neck.convs.0.weight' in shapes
  head = 'backbone.' if depth else ''
  if f'{head}encoder.layer.0.layer_scale1.lambda1' not in shapes:
    return None
  size = _size(shapes, head)
  fields = {
    'size': size,
    'mask_token': f'{head}embeddings.mask_token' in shapes,
  }
  registers = shapes.get('embeddings.register_tokens', (1, 0))[1]
  name = vit.backbone_name(size, registers=registers)
  network = {'backbone': name, **families.TORCHVISION_INPUT}
  if depth:
    return _depth(fields, network, description or {}, family)
  if 'upscale.0.weight' in shapes and 'out.weight' in shapes:
    return _vfm_uda(network, shapes['out.weight'][0])
  if registers:
    fields |= {'registers': registers, 'positions': 'antialias'}
  words = f', {registers} registers' if registers else ''
  return Foundation(
    name='dinov2',
    title=f'DINOv2 {size.removeprefix("dinov2_")}{words}',
    module=vit.ViT(**fields),
    example=(1, vit.PATCH, vit.PATCH, 3),
    whole=False,
    network=network,
    structure=fields,
  )


def _vfm_uda(network, classes):
  network = {**network, 'decoder': 'vfm_uda', 'patch_resize': 'grow'}
  return Foundation(
    name='vfm_uda',
    title=f'VFM-UDA, {network["backbone"]}, {classes} classes',
    module=deeplab.DeepLab(classes=classes, options=deeplab.Options(**network)),
    example=(1, vit.PATCH, vit.PATCH, 3),
    network=network,
    structure={'classes': classes},
    drops=_MASK,
  )


def _depth(fields, network, description, family):
  """Depth Anything, as its config.json, or else `family`, says."""
  size = fields['size']
  if family and description and family not in DEPTH_FAMILIES:
    raise errors.UserError(
      f'unknown family {family!r} of a file of Depth Anything; expected one of'
      f' {", ".join(DEPTH_FAMILIES)}, or none: its config.json tells'
    )
  if family in DEPTH_FAMILIES:
    version, far = DEPTH_FAMILIES[family]
    taps = depth_anything.default_taps(size, version)
  elif description:
    taps = _described_taps(description, size)
    metric = description.get('depth_estimation_type') == 'metric'
    far = float(description.get('max_depth') or 1) if metric else None
  else:
    raise errors.UserError(
      'a file of Depth Anything, whose keys do not tell V1 from V2, nor metres'
      ' from relative depth; expected its config.json next to it, or --family='
      f'{", ".join(DEPTH_FAMILIES)}'
    )
  fields |= {'taps': taps, 'metric': far is not None}
  if far is not None:
    fields['max_depth'] = far
  unit = 'relative' if far is None else f'metric, up to {far:g} m'
  blocks = ', '.join(map(str, taps))
  return Foundation(
    name='depth_anything',
    title=f'Depth Anything {size.removeprefix("dinov2_")} of blocks {blocks},'
    f' {unit}',
    module=depth_anything.DepthAnything(**fields),
    example=(1, vit.PATCH, vit.PATCH, 3),
    network=network,
    structure=fields,
    drops=_DROPS,
  )


def _described_taps(description, size):
  backbone = description.get('backbone_config') or {}
  named = backbone.get('out_features') or []
  numbers = backbone.get('out_indices') or [
    int(x.removeprefix('stage')) for x in named
  ]
  taps = tuple(numbers) or depth_anything.default_taps(size, 1)
  last = vit.size(size).blocks
  if len(taps) != 4 or not all(0 < x <= last for x in taps):
    raise errors.UserError(
      f'config.json has out_indices={list(taps)}; expected four blocks of 1 to'
      f' {last}'
    )
  return taps


def _size(shapes, head):
  """Returns the name of the transformer that the entries belong to."""
  width = shapes[f'{head}encoder.layer.0.layer_scale1.lambda1'][0]
  pattern = re.compile(rf'{head}encoder\.layer\.(\d+)\.')
  blocks = len({m[1] for m in map(pattern.match, shapes) if m})
  for name, size in vit.SIZES.items():
    if (size.width, size.blocks) == (width, blocks):
      return name
  raise errors.UserError(
    f'a DINOv2 of {blocks} blocks of width {width}; expected ViT-S (12, 384), B'
    ' (12, 768) or L (24, 1024)'
  )
