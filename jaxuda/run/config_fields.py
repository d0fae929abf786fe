"""Fields of configs: flattens, shows and compares them."""

from collections.abc import Mapping
import json
from typing import Any

from flax import traverse_util
import jax
import ml_collections

from jaxuda import errors
from jaxuda.data.classes import class_tables

# Locations of data. They may differ between the processes of one run.
_PLACES = (
  *('data.data_dir', 'data.manual_dir', 'data.workers'),
  *('data.source.manual_dir', 'data.source.depth_dir'),
  *('data.target.manual_dir', 'data.target.depth_dir', 'data.target.label_dir'),
  *('initial', 'generator'),
)
# Fields that may change between two starts of one run: the parameters after any
# given step do not depend on them.
_FREE = (
  *_PLACES,
  *('log_every', 'eval_every', 'checkpoint_every', 'picture_every'),
  *('data.eval_split', 'data.target.eval_split', 'eval_batch_size'),
  *('stop_step', 'keep_last', 'initial_checkpoint', 'distributed'),
)
# Of these locations it matters whether there is one at all: with another folder
# a run may go on, but not with depth, labels or weights that it did without.
_GIVEN = (
  *('data.source.depth_dir', 'data.target.depth_dir', 'data.target.label_dir'),
  *('initial', 'generator'),
)
# What stands for weights from nowhere, and for those of a package.
_NONE, _OWN = (None, '', 'scratch'), 'imagenet'
# Rewrites of the compiled program. Runs from before 'auto' existed have true
# instead, which on a CPU, where all of them pay off, is the same program.
_SWITCHES = tuple(
  f'network.{x}'
  for x in ('dot_1x1', 'dot_wgrad', 'barriers', 'aspp_dot', 'shift_depthwise')
)

# What runs from before these fields existed were trained with.
_ADDED = {f'data.{x}.scale_range': [1.0, 1.0] for x in ('source', 'target')}


def flatten(tree: Mapping[str, Any]) -> dict[str, Any]:
  """Flattens a nested config to {'data.source.size': value, ...}."""
  return traverse_util.flatten_dict(tree, sep='.')


def move_data(
  config: ml_collections.ConfigDict, given: ml_collections.ConfigDict
) -> None:
  """Points a run's config to where another one finds the data, in place.

  Its pseudo-labels and the runs that it starts from stay its own. The number of
  images per evaluation batch, which depends on the machine, too, is also taken.

  Args:
    config: config of the run.
    given: config of the command.
  """
  flat = flatten(given.to_dict())
  taken = {x for x in _PLACES if x.startswith('data.')} | {'eval_batch_size'}
  taken = (taken - {'data.target.label_dir'}) & flat.keys()
  with config.unlocked(), config.ignore_type():
    config.update_from_flattened_dict({x: flat[x] for x in taken})


def show(flat: Mapping[str, Any], field: str) -> str:
  """Returns a field of a flat config as JSON, or 'absent'.

  1 and 1.0 look the same, as do a tuple and a list.
  """
  if field not in flat:
    return 'absent'
  value = flat[field]
  if isinstance(value, float) and value.is_integer():
    value = int(value)
  return json.dumps(value)


def check_config(
  old: Mapping[str, Any], new: Mapping[str, Any], *, workdir: str
) -> None:
  """Checks that a run can be resumed with a config.

  Args:
    old: the config that the run was started with, in JSON types.
    new: the config to resume it with, in JSON types.
    workdir: the run's folder, for the message.

  Raises:
    UserError: fields that affect the results differ; names all of them.
  """
  old, new = flatten(old), flatten(new)
  if all(class_tables.is_table(x.get('classes')) for x in (old, new)):
    # The location of the file does not matter: see `own_classes`.
    new['classes'] = old['classes']
  if old.get('name') != new.get('name'):
    # All fields of the methods differ, too, which says no more.
    old, new = ({'name': x.get('name')} for x in (old, new))
  for field in _SWITCHES:
    if old.get(field) is True and new.get(field) == 'auto':
      new[field] = True
  for field in _ADDED.keys() & new.keys():
    old.setdefault(field, _ADDED[field])
  if not old.get('features.weight') and not new.get('features.weight'):
    # Of a loss that is left out; configs of older runs do not name them then.
    for config in (old, new):
      config.pop('features.classes', None)
  differ = _differing(old, new, _choose_free(old, new))
  if differ:
    raise errors.UserError(
      f'{workdir} holds a run with another config; differing:'
      f' {differ}; expected the same fields or another --workdir'
    )


def _choose_free(old, new):
  """Returns the fields that may differ between two flat configs."""

  def kind(config, field):
    value = config.get(field)
    return value if value == _OWN else value not in _NONE

  strict = {x for x in _GIVEN if kind(old, x) != kind(new, x)}
  if kind(new, 'initial') is True:  # A run, perhaps, with checkpoints.
    strict.add('initial_checkpoint')
  return [x for x in _FREE if x not in strict]


def check_command(first: Mapping[str, Any], mine: Mapping[str, Any]) -> None:
  """Checks that this process was started with the command of process 0.

  Args:
    first: the config of process 0, in JSON types.
    mine: the config of this process, in JSON types.

  Raises:
    UserError: fields other than locations differ; names all of them.
  """
  differ = _differing(flatten(first), flatten(mine), _PLACES)
  if differ:
    raise errors.UserError(
      f'process {jax.process_index()} has a different config from process 0;'
      f' differing: {differ}; expected the same command for all'
    )


def _differing(old, new, free):
  """Lists the fields that differ although they must not; '' if none does."""
  return ', '.join(
    f'{field} ({show(old, field)} there, {show(new, field)} here)'
    for field in sorted({*old, *new})
    if field not in free and show(old, field) != show(new, field)
  )
