"""State dicts of our networks under the official names."""

from collections.abc import Mapping
import types

import flax
import numpy as np

from jaxuda import errors
from jaxuda.models import pretrained
from jaxuda.models.backbones import resnet
from jaxuda.weights import conversion
from jaxuda.weights import families
from jaxuda.weights import foundation

# The entry in which the official code looks for a network; others are flat.
_WRAPPERS = {
  'depdis': 'model',
  'corda': 'model',
  'dacs': 'model',
  'ctrl': 'model_state_dict',
}

_NAMELESS = 'it has no published checkpoints, so no names for its weights'


def from_network(network: conversion.Network) -> dict[str, np.ndarray]:
  """Returns a network under the names of its family, sorted by name.

  Adds `num_batches_tracked`, which newer PyTorch expects, and zeros for what
  the official code saves and does not use, so that it loads the file with
  `strict=True`.

  Raises:
    UserError: the network was never published, so its weights have no names;
      files of its family can only be read; or they would be read as a network
      that is built in another way.
  """
  record = network.record
  if reason := _refuse(network):
    raise errors.UserError(
      f'{record["title"]}: {reason}; expected a folder to write to'
    )
  if record['family'] in foundation.NAMES:
    named = foundation.to_torch(network.arrays, record['family'])
    return dict(sorted(named.items()))
  flat = {tuple(path.split('/')): x for path, x in network.arrays.items()}
  naming = families.key_of(record['family'], record['structure'])
  tree = flax.traverse_util.unflatten_dict(flat)
  state_dict = pretrained.to_torch(tree, naming=naming)
  if record.get('batches_tracked', True):
    state_dict |= {
      key.replace('running_mean', 'num_batches_tracked'): np.zeros((), np.int64)
      for key in state_dict
      if key.endswith('.running_mean')
    }
  if record['family'] == 'depdis':
    width = len(state_dict['enc4_3.weight'])
    for name, size in (('enc4_4', 16), ('dec4', 16 * width)):
      state_dict[f'{name}.weight'] = np.zeros((size, width, 1, 1), np.float32)
      state_dict[f'{name}.bias'] = np.zeros(size, np.float32)
  return dict(sorted(state_dict.items()))


def _refuse(network):
  """Returns why a network cannot be written under foreign names; '' if it can.

  A run of ours has its method's family; an initialisation goes back under its
  own names. A file does not say how its network is built: who reads it takes it
  for the published one.
  """
  record = network.record
  family, backbone = record['family'], record['network'].get('backbone', '')
  if backbone.startswith('mit'):
    return 'files of MiT, DAFormer, HRDA and MIC can be read, but not written'
  if backbone.startswith('dinov2') and family not in foundation.NAMES:
    return 'files of VFM-UDA can be read, but not written'
  lite = backbone.startswith('efficientnet') and family != 'efficientnet'
  if lite or family in ('gio_ada', 'hrda'):
    return _NAMELESS
  needed = families.required(family, backbone)
  if needed is None:
    return ''
  options = {**needed, 'decoder': 'aspp', **record['network']}
  if backbone not in resnet.SIZES or options['decoder'] != 'aspp':
    return _NAMELESS
  other = conversion.compare(needed, types.SimpleNamespace(**options))
  if other:
    shown = ', '.join(f'network.{k}={v}' for k, v in other.items())
    return f'files of {family} are read with {shown}'
  if not any(path.startswith('batch_stats/') for path in network.arrays):
    return (
      f'files of {family} have running statistics, and network.norm=none has'
      ' none'
    )
  return ''


def wrap(
  networks: Mapping[str, conversion.Network],
) -> dict[str, dict[str, np.ndarray]]:
  """Arranges networks as in the official code's files.

  Args:
    networks: 'student' or another network, and perhaps 'teacher'.

  Returns:
    The argument of `writing.write`.
  """
  first, *others = networks
  wrapper = _WRAPPERS.get(networks[first].record['family'], '')
  if 'teacher' not in others:
    return {wrapper: from_network(networks[first])}
  return {
    wrapper or 'model': from_network(networks[first]),
    'ema_model': from_network(networks['teacher']),
  }
