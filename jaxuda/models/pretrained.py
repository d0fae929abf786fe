"""Names of parameters in PyTorch checkpoints of these networks, and back.

One map serves the golden numbers, the reading of published checkpoints and the
writing of our own. It goes from our path to their key; the reverse is the
inversion of that over a network's own tree, so that every key on either side is
accounted for.
"""

from collections.abc import Mapping, Sequence
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


def torch_key(path: Sequence[str]) -> str:
  """Returns the PyTorch key of one of our parameters or statistics.

  Examples: ('backbone', 'layer1_0', 'downsample_bn', 'mean') is
  'layer1.0.downsample.1.running_mean'; ('layer6', 'conv2_kernel') is
  'layer6.conv2d_list.2.weight'; CorDA's ('semantic', 'conv2_kernel') is
  'heads.S.conv2d_list.2.weight'; a discriminator's ('conv3', 'bias') is
  '6.bias'.

  Args:
    path: keys from the root of the network's parameters or statistics.
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
      parts += module.split('_')
    elif module == 'downsample_conv':
      parts += ['downsample', '0']
    elif module == 'downsample_bn':
      parts += ['downsample', '1']
    elif module == 'attention':
      parts += ['attention', '0']
    else:
      parts.append(module)
  return '.'.join([*parts, _LEAVES[leaf]])


def _transpose(path, array, axes):
  return np.transpose(array, axes) if path[-1].endswith('kernel') else array


def from_torch(
  state_dict: Mapping[str, np.ndarray], variables: Any
) -> dict[str, Any]:
  """Fills a network's variables from a PyTorch state dict.

  Kernels go from OIHW to HWIO. `num_batches_tracked` is dropped on purpose:
  running statistics here have a constant momentum.

  Args:
    state_dict: arrays by PyTorch key.
    variables: {'params': ..., 'batch_stats': ...} of arrays or
      ShapeDtypeStructs, as `jax.eval_shape(module.init, ...)` gives.

  Returns:
    The same tree with numpy arrays in the dtypes of `variables`.

  Raises:
    UserError: a key is missing or unexpected, or a shape differs.
  """
  left = {k for k in state_dict if not k.endswith('num_batches_tracked')}
  filled = {}
  for path, leaf in flax.traverse_util.flatten_dict(variables).items():
    key = torch_key(path[1:])
    if key not in state_dict:
      raise errors.UserError(
        f'checkpoint has no {key}, which the network needs'
      )
    array = _transpose(path, np.asarray(state_dict[key]), (2, 3, 1, 0))
    if array.shape != leaf.shape:
      raise errors.UserError(
        f'checkpoint has {key} of shape {array.shape} (HWIO); the network'
        f' expects {leaf.shape}'
      )
    filled[path] = array.astype(leaf.dtype)
    left.discard(key)
  if left:
    raise errors.UserError(
      f'checkpoint has {len(left)} keys that the network does not, such as'
      f' {sorted(left)[0]}'
    )
  return flax.traverse_util.unflatten_dict(filled)


def to_torch(variables: Any) -> dict[str, np.ndarray]:
  """Returns a network's variables as a PyTorch state dict of numpy arrays."""
  flat = flax.traverse_util.flatten_dict(jax.device_get(variables))
  return {
    torch_key(path[1:]): _transpose(path, np.asarray(leaf), (3, 2, 0, 1))
    for path, leaf in flat.items()
  }
