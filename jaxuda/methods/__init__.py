"""Methods, one file each. The module's name is the registry."""

from collections.abc import Mapping
import dataclasses
import importlib
import pkgutil
from typing import Any

from jaxuda import errors

# Groups of options that methods share. A method has those that it uses.
_GROUPS = ('network', 'optim', 'mixing', 'masking', 'features')


def names() -> list[str]:
  """Returns the names of all methods."""
  found = (m.name for m in pkgutil.iter_modules(__path__) if not m.ispkg)
  return sorted(name for name in found if name != 'base')


def defaults(name: str) -> dict[str, dict[str, Any]]:
  """Returns the defaults of a method and of its options.

  Args:
    name: name of the method.

  Returns:
    Group -> field -> value, where the groups are 'method' and those of
    'network', 'optim', 'mixing', 'masking' and 'features' that the method has,
    with its own changes of their defaults. A field without a default is left
    out.

  Raises:
    UserError: no such method.
  """
  found = {'method': {}}
  for field in dataclasses.fields(_find(name)):
    if field.name in _GROUPS:
      found[field.name] = dataclasses.asdict(field.default)
    elif field.default is not dataclasses.MISSING:
      found['method'][field.name] = field.default
  return found


def create(config: Any) -> Any:
  """Builds the method that a config names.

  Args:
    config: `name`, `num_classes`, `total_steps`, and the fields of the method
      (`method`), of its networks (`network`), of its optimizers (`optim`) and
      of self-training (`mixing`, `masking`, `features`); those that are left
      out have their defaults.

  Returns:
    An instance of the module's `Method`; see `methods.base.Method`.

  Raises:
    UserError: no such method, or a field that it does not have.
  """
  method = _find(config.name)
  given = {'num_classes': config.num_classes, 'total_steps': config.total_steps}
  own = []
  for field in dataclasses.fields(method):
    if field.name in _GROUPS:
      fields = config.get(field.name, {})
      known = [x.name for x in dataclasses.fields(field.default)]
      _check_fields(field.name, fields, known)
      given[field.name] = dataclasses.replace(field.default, **fields)
    elif field.name not in given:
      own.append(field.name)
  fields = config.get('method', {})
  _check_fields('method', fields, own)
  return method(**given, **fields)


def _find(name):
  """Returns the class of a method."""
  if name not in names():
    raise errors.UserError(
      f'unknown method {name!r}; expected one of {", ".join(names())}'
    )
  return importlib.import_module(f'jaxuda.methods.{name}').Method


def _check_fields(group: str, fields: Mapping[str, Any], known: list[str]):
  """An unknown field is an error that names it."""
  unknown = sorted(set(fields) - set(known))
  if unknown:
    raise errors.UserError(
      f'unknown field {group}.{unknown[0]}; expected one of'
      f' {", ".join(sorted(known))}'
    )
