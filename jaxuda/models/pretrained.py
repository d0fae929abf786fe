"""Maps parameters' names to those in PyTorch checkpoints, and back.

One map, from our path to their key, serves the golden numbers, the reading of
published checkpoints and the writing of our own. Its inverse is built over a
network's own tree, so that every key on either side is accounted for.
"""

from collections.abc import Callable, Mapping, Sequence
import dataclasses
import re
from typing import Any

import flax
import jax
import numpy as np

from jaxuda import errors

_LEAVES = {
  'kernel': 'weight',
  'scale': 'weight',
  'bias': 'bias',
  'mean': 'running_mean',
  'var': 'running_var',
}

_MODULES = {
  'downsample_conv': 'downsample.0',
  'downsample_bn': 'downsample.1',
  'attention': 'attention.0',
}

# CorDA's modules. In its code S is the semantic task, D depth.
_INITIAL = 'initial_task_prediction_heads'
_DISTILLATION = 'multi_modal_distillation.self_attention'
_CORDA = {
  'semantic': 'heads.S',
  'depth': 'heads.D',
  'depth_source': 'heads.D_src',
  'initial_semantic': f'{_INITIAL}.conv_out.S',
  'initial_depth': f'{_INITIAL}.conv_out.D',
  'initial_depth_source': f'{_INITIAL}.conv_out.D_src',
  'bottleneck_semantic_0': f'{_INITIAL}.layers.S.0',
  'bottleneck_semantic_1': f'{_INITIAL}.layers.S.1',
  'bottleneck_depth_0': f'{_INITIAL}.layers.D.0',
  'bottleneck_depth_1': f'{_INITIAL}.layers.D.1',
  'distill_semantic': f'{_DISTILLATION}.S.D',
  'distill_depth': f'{_DISTILLATION}.D.S',
}

# Places of VGG-16's convolutions in torchvision's list of layers, and in
# AdaptSegNet's, which has neither of the last two poolings.
_VGG16 = (*(0, 2, 5, 7, 10, 12, 14, 17, 19, 21), 24, 26, 28)
_VGG16_ADAPTSEGNET = (*_VGG16[:-3], 23, 25, 27)
_VGG16_STAGES = (2, 2, 3, 3, 3)


def generator_key(path: Sequence[str], *, blocks: int) -> str:
  """Returns CycleGAN's key for a parameter of `generators.Generator`.

  ('block0_conv1', 'kernel') is 'model.10.conv_block.5.weight'. The places after
  the residual blocks depend on the number of blocks.
  """
  module, leaf = path
  block = re.fullmatch(r'block(\d+)_conv([01])', module)
  if block:
    place = f'{10 + int(block[1])}.conv_block.{1 + 4 * int(block[2])}'
  else:
    places = {'stem': 1, 'down0': 4, 'down1': 7, 'up0': 10, 'up1': 13}
    place = places.get(module, 17) + (module in ('up0', 'up1', 'head')) * blocks
  return f'model.{place}.{_LEAVES[leaf]}'


def patch_key(path: Sequence[str]) -> str:
  """Returns CycleGAN's key for a parameter of `PatchDiscriminator`.

  ('conv0', 'kernel') is 'model.0.weight'; a norm follows conv1 to conv3.
  """
  place = (0, 2, 5, 8, 11)[int(path[0].removeprefix('conv'))]
  return f'model.{place}.{_LEAVES[path[1]]}'


def vgg_key(path: Sequence[str], *, adaptsegnet: bool = False) -> str:
  """Returns torchvision's key for a parameter of VGG-16's backbone.

  ('stage5', 'conv1', 'kernel') is 'features.24.weight', in AdaptSegNet's
  network 'features.23.weight'; fc6 and fc7 are 29 and 31 there.
  """
  if path[0] in ('fc6', 'fc7'):
    return f'features.{ {"fc6": 29, "fc7": 31}[path[0]] }.{_LEAVES[path[1]]}'
  stage, conv = int(path[0][-1]) - 1, int(path[1][-1]) - 1
  places = _VGG16_ADAPTSEGNET if adaptsegnet else _VGG16
  place = places[sum(_VGG16_STAGES[:stage]) + conv]
  return f'features.{place}.{_LEAVES[path[-1]]}'


def adaptsegnet_key(path: Sequence[str]) -> str:
  """Returns AdaptSegNet's key for a parameter of its VGG-16 or its head."""
  if path[0] == 'semantic':
    key = torch_key(('layer6', *path[1:]))
    return key.replace('layer6.', 'classifier.')
  return vgg_key(path[1:], adaptsegnet=True)


def efficientnet_key(path: Sequence[str]) -> str:
  """Returns the key that PyTorch's EfficientNets give a backbone's parameter.

  ('block3', 'depthwise_conv', 'kernel') is '_blocks.3._depthwise_conv.weight',
  ('conv_stem', 'kernel') is '_conv_stem.weight'.
  """
  *modules, leaf = path
  places = (re.sub(r'^block(\d+)$', r'blocks.\1', x) for x in modules)
  return '.'.join([*(f'_{x}' for x in places), _LEAVES[leaf]])


# MiT's modules, and what `transformers` calls them.
_MIT = {
  'embed.conv': 'patch_embeddings.proj',
  'embed.norm': 'patch_embeddings.layer_norm',
  'norm': 'layer_norm',
  'norm1': 'layernorm_before',
  'norm2': 'layernorm_after',
  'attention.query': 'attention.q_proj',
  'attention.key': 'attention.k_proj',
  'attention.value': 'attention.v_proj',
  'attention.project': 'attention.o_proj',
  'attention.reduce': 'attention.sequence_reduction.sequence_reduction',
  'attention.reduce_norm': 'attention.sequence_reduction.layer_norm',
  'mlp.depthwise_conv': 'mlp.dwconv.dwconv',
}


def mit_key(path: Sequence[str]) -> str:
  """Returns the key that `transformers` gives a parameter of a MiT.

  ('stage1_block2', 'attention', 'query', 'kernel') is
  'stages.0.blocks.2.attention.q_proj.weight'.
  """
  (stage, part), *modules, leaf = path[0].split('_'), *path[1:]
  block = re.fullmatch(r'block(\d+)', part)
  name = '.'.join([*([] if block else [part]), *modules])
  place = f'blocks.{block[1]}.' if block else ''
  number = int(stage.removeprefix('stage')) - 1
  return f'stages.{number}.{place}{_MIT.get(name, name)}.{_LEAVES[leaf]}'


def daformer_key(path: Sequence[str]) -> str:
  """Returns the key that DAFormer's files give a parameter of its network.

  A backbone's parameters have the key of `mit_key`. ('neck', 'aspp1_point_bn',
  'scale') is 'decode_head.fuse_layer.aspp_modules.1.pointwise_conv.bn.weight',
  and ('layer6', 'conv', 'kernel') is 'decode_head.conv_seg.weight'.
  """
  part, module = path[:2]
  if part == 'backbone':
    return mit_key(path[1:])
  leaf = _LEAVES[path[-1]]
  if part == 'layer6':
    return f'decode_head.conv_seg.{leaf}'
  embed = re.fullmatch(r'embed(\d)', module)
  if embed:
    return f'decode_head.embed_layers.{embed[1]}.proj.{leaf}'
  last = 'bn' if module.endswith('_bn') else 'conv'
  module = module.removesuffix('_bn')
  if module != 'bottleneck':
    number, kind = re.fullmatch(r'aspp(\d)_(depth|point)', module).groups()
    # The first has no depthwise convolution, and its only one is not wrapped.
    wrapped = f'.{kind}wise_conv' if number != '0' else ''
    module = f'aspp_modules.{number}{wrapped}'
  return f'decode_head.fuse_layer.{module}.{last}.{leaf}'


def hrda_key(path: Sequence[str]) -> str:
  """Returns the key that HRDA's and MIC's files give a parameter.

  It is that of `daformer_key`, with 'decode_head.head' as the head; for the
  attention's ('scale_attention', 'fuse', 'kernel') it is
  'decode_head.scale_attention.fuse_layer.conv.weight'.
  """
  if path[0] != 'scale_attention':
    return daformer_key(path).replace('decode_head.', 'decode_head.head.')
  module = path[1]
  name = {
    'fuse': 'fuse_layer.conv',
    'fuse_bn': 'fuse_layer.bn',
    'classifier': 'conv_seg',
  }.get(module, f'embed_layers.{module.removeprefix("embed")}.proj')
  return f'decode_head.scale_attention.{name}.{_LEAVES[path[-1]]}'


def torch_key(path: Sequence[str]) -> str:
  """Returns the PyTorch key for one of our parameters or statistics.

  A path holds the keys from the root of the network's parameters or statistics.
  ('backbone', 'layer1_0', 'downsample_bn', 'mean') is
  'layer1.0.downsample.1.running_mean'; ('layer6', 'conv2_kernel') is
  'layer6.conv2d_list.2.weight'; CorDA's ('semantic', 'conv2_kernel') is
  'heads.S.conv2d_list.2.weight'; a discriminator's ('conv3', 'bias') is
  '6.bias'.
  """
  *modules, leaf = path
  if '_' in leaf:  # Aspp: conv2_kernel.
    name, leaf = leaf.split('_')
    index = name.removeprefix('conv')
    head = _CORDA.get(modules[0], modules[0])
    return f'{head}.conv2d_list.{index}.{_LEAVES[leaf]}'
  if len(modules) == 1 and modules[0].startswith('conv'):
    # A discriminator alternates convolutions and activations.
    return f'{2 * int(modules[0].removeprefix("conv"))}.{_LEAVES[leaf]}'
  parts = []
  if modules[0] in ('backbone', 'depth', 'density'):  # enc4 and enc5.
    modules = modules[1:]
  elif modules[0] in _CORDA:
    parts, modules = [_CORDA[modules[0]]], modules[1:]
  for module in modules:
    if module.startswith('layer'):
      module = module.replace('_', '.')
    parts.append(_MODULES.get(module, module))
  return '.'.join([*parts, _LEAVES[leaf]])


def _transpose(path, array, axes):
  return np.transpose(array, axes) if path[-1].endswith('kernel') else array


@dataclasses.dataclass(frozen=True, kw_only=True)
class Match:
  """The entries of a state dict that a network takes.

  Attributes:
    filled: path -> array in our layout and the network's dtype.
    missing: path -> key that the state dict lacks.
    mismatched: path -> (key, shape there, shape here), both in our layout.
    unexpected: keys that the network has no place for.
    dropped: keys that are left out on purpose: `num_batches_tracked`, because
      running statistics here have a constant momentum.
  """

  filled: dict[tuple[str, ...], np.ndarray]
  missing: dict[tuple[str, ...], str]
  mismatched: dict[tuple[str, ...], tuple[str, tuple, tuple]]
  unexpected: tuple[str, ...]
  dropped: tuple[str, ...]


def match(
  state_dict: Mapping[str, np.ndarray],
  variables: Any,
  *,
  naming: Callable[[Sequence[str]], str] = torch_key,
) -> Match:
  """Looks up every entry of a network in a PyTorch state dict.

  Kernels are transposed from OIHW to HWIO. A linear layer's, [out, in], may be
  that of a 1x1 convolution here.

  Args:
    state_dict: arrays by PyTorch key.
    variables: {'params': ..., 'batch_stats': ...} of arrays or
      ShapeDtypeStructs, as `jax.eval_shape(module.init, ...)` returns.
    naming: path -> PyTorch key.
  """
  dropped = {k for k in state_dict if k.endswith('num_batches_tracked')}
  left = set(state_dict) - dropped
  filled, missing, mismatched = {}, {}, {}
  for path, leaf in flax.traverse_util.flatten_dict(variables).items():
    name = naming(path[1:])
    if name not in state_dict:
      missing[path] = name
      continue
    left.discard(name)
    array = np.asarray(state_dict[name])
    if array.ndim == 2 and path[-1] == 'kernel' and len(leaf.shape) == 4:
      array = array[..., None, None]
    if array.ndim == len(leaf.shape):
      array = _transpose(path, array, (2, 3, 1, 0))
    if array.shape != leaf.shape:
      mismatched[path] = name, array.shape, tuple(leaf.shape)
    else:
      filled[path] = array.astype(leaf.dtype)
  return Match(
    filled=filled,
    missing=missing,
    mismatched=mismatched,
    unexpected=tuple(sorted(left)),
    dropped=tuple(sorted(dropped)),
  )


def from_torch(
  state_dict: Mapping[str, np.ndarray],
  variables: Any,
  *,
  naming: Callable[[Sequence[str]], str] = torch_key,
) -> dict[str, Any]:
  """Fills a network's variables from a PyTorch state dict, see `match`.

  Returns:
    The same tree with numpy arrays in the dtypes of `variables`.

  Raises:
    UserError: a key is missing or unexpected, or a shape differs.
  """
  found = match(state_dict, variables, naming=naming)
  for name in found.missing.values():
    raise errors.UserError(f'checkpoint has no {name}, which the network needs')
  for name, there, here in found.mismatched.values():
    raise errors.UserError(
      f'checkpoint has {name} of shape {there} (HWIO); the network expects'
      f' {here}'
    )
  if found.unexpected:
    raise errors.UserError(
      f'checkpoint has {len(found.unexpected)} keys that the network does not,'
      f' such as {found.unexpected[0]}'
    )
  return flax.traverse_util.unflatten_dict(found.filled)


def to_torch(
  variables: Any, *, naming: Callable[[Sequence[str]], str] = torch_key
) -> dict[str, np.ndarray]:
  """Returns a network's variables as a PyTorch state dict of numpy arrays."""
  flat = flax.traverse_util.flatten_dict(jax.device_get(variables))
  return {
    naming(path[1:]): _transpose(path, np.asarray(leaf), (3, 2, 0, 1))
    for path, leaf in flat.items()
  }
