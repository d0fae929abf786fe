"""A run's class set: its size, and a copy of the user's own in the workdir.

With the copy, a checkpoint can be evaluated wherever its workdir is moved, and
later changes of the table do not rename the network's outputs.
"""

import pathlib

import jax
import ml_collections

from jaxuda import errors
from jaxuda.data.classes import class_tables
from jaxuda.data.classes import labels
from jaxuda.run import workdir as workdir_lib


def count(config: ml_collections.ConfigDict) -> ml_collections.ConfigDict:
  """Returns a copy of a config with the `num_classes` of its `classes`.

  Raises:
    UserError: the class set or file does not exist, or the file has a mistake;
      or the feature distance is of classes that the set does not have.
  """
  names = labels.get_class_set(config.classes).names
  features = config.get('features') or {}
  things = features.get('classes') or ()
  if features.get('weight') and not {*things} <= {*range(len(names))}:
    # Not checked by methods, so that finished runs can still be scored.
    raise errors.UserError(
      f'config.features.classes={tuple(things)}; expected numbers of classes of'
      f' {config.classes}, 0 to {len(names) - 1}, or'
      ' --config.features.weight=0'
    )
  config = config.copy_and_resolve_references()
  config.num_classes = len(names)
  return config


def keep(
  config: ml_collections.ConfigDict, workdir: pathlib.Path, *, begun: bool
) -> ml_collections.ConfigDict:
  """Copies the user's own class table to the workdir, to be read from there.

  Args:
    config: the run's config.
    workdir: the run's folder.
    begun: whether there is a checkpoint, which must have the same classes.

  Returns:
    A config whose `classes` is the path of the copy (in the first process); the
    config itself with a built-in class set.

  Raises:
    UserError: the run was started with other classes.
  """
  if not class_tables.is_table(config.classes):
    return config
  class_set = labels.get_class_set(config.classes)
  path = workdir / workdir_lib.CLASSES
  if begun and path.is_file():
    before = class_tables.read_file(path).names
    if before != class_set.names:
      raise errors.UserError(
        f'{config.classes} has the classes {", ".join(class_set.names)};'
        f' expected {", ".join(before)}, with which {workdir} started, or'
        ' another --workdir'
      )
  if jax.process_index() == 0:
    tree = class_tables.to_json(class_set.names, class_set.colors)
    if workdir_lib.read_json(path) != tree:
      workdir_lib.write_json(path, tree)
    # Other processes may not see the file yet.
    config = config.copy_and_resolve_references()
    config.classes = str(path)
  return config
