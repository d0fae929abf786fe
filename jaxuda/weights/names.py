"""A network of ours as PyTorch state dicts, under the official names."""

from collections.abc import Callable, Mapping, Sequence
import functools
from typing import Any

import flax
import numpy as np

from jaxuda import errors
from jaxuda.models import pretrained
from jaxuda.weights import conversion
from jaxuda.weights import families

# What the official code looks for in its files; the others are flat.
_WRAPPERS = {
  'depdis': 'model',
  'corda': 'model',
  'dacs': 'model',
  'ctrl': 'model_state_dict',
}
_FULL_WIDTH = 2048


def key_of(record: Mapping[str, Any]) -> Callable[[Sequence[str]], str]:
  """Returns the map from our paths to the keys of a record's family."""
  structure = record['structure']
  name = record['family']
  if name == 'cyclegan':
    return functools.partial(
      pretrained.generator_key, blocks=structure['blocks']
    )
  return {
    'dacs': families.as_layer5,
    'ctrl': lambda path: f'backbone.{pretrained.torch_key(path)}',
    'patch_discriminator': pretrained.patch_key,
    'vgg16': families.vgg_path,
    'adaptsegnet_vgg': functools.partial(families.vgg_path, adaptsegnet=True),
  }.get(name, pretrained.torch_key)


def to_state_dict(network: conversion.Network) -> dict[str, np.ndarray]:
  """Returns a network under the names of its family, sorted by them.

  Beside what we have: `num_batches_tracked`, which newer PyTorch asks for, and
  zeros for what the official code saves and does not use, so that it loads the
  file with `strict=True`.
  """
  record = network.record
  if record['family'] == 'gio_ada':
    raise errors.UserError(
      f'{record["title"]} has no published checkpoints, so no names for its'
      ' weights; expected a folder to write to'
    )
  flat = {tuple(path.split('/')): x for path, x in network.arrays.items()}
  tree = flax.traverse_util.unflatten_dict(flat)
  state_dict = pretrained.to_torch(tree, naming=key_of(record))
  if record.get('batches_tracked', True):
    for key in list(state_dict):
      if key.endswith('.running_mean'):
        name = key.replace('running_mean', 'num_batches_tracked')
        state_dict[name] = np.zeros((), np.int64)
  for key, shape in _unused(record, state_dict).items():
    state_dict[key] = np.zeros(shape, np.float32)
  return dict(sorted(state_dict.items()))


def _unused(record, state_dict):
  """What the official network also has; its width may be ours."""
  if 'unused' in record:
    return record['unused']
  shapes = families.UNUSED.get(record['family'], {})
  last = state_dict.get('enc4_3.weight')
  if last is None:
    return shapes
  wide = {_FULL_WIDTH: 16 * len(last), _FULL_WIDTH // 16: len(last)}
  return {k: [wide.get(n, n) for n in shape] for k, shape in shapes.items()}


def wrap(
  family: str, state_dicts: Mapping[str, Mapping[str, np.ndarray]]
) -> dict[str, Mapping[str, np.ndarray]]:
  """Names state dicts as the official code's files do.

  Args:
    family: see `families.Family`.
    state_dicts: 'student' or another network, and perhaps 'teacher'.

  Returns:
    What `writing.write` takes.
  """
  first = next(iter(state_dicts))
  wrapper = _WRAPPERS.get(family, '')
  if 'teacher' in state_dicts and first != 'teacher':
    return {
      wrapper or 'model': state_dicts[first],
      'ema_model': state_dicts['teacher'],
    }
  return {wrapper: state_dicts[first]}
