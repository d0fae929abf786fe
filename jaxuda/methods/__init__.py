"""Methods, one file each. The module's name is the registry."""

import dataclasses
import importlib
import pkgutil
from typing import Any

from jaxuda import errors
from jaxuda.models import deeplab
from jaxuda.ops import mixing
from jaxuda.step import optim

# Groups of options that methods share. A method has those that it uses.
_GROUPS = {
  'network': deeplab.Options,
  'optim': optim.Options,
  'mixing': mixing.Options,
}


def names() -> list[str]:
  """Returns the names of all methods."""
  found = (m.name for m in pkgutil.iter_modules(__path__) if not m.ispkg)
  return sorted(name for name in found if name != 'base')


def create(config: Any) -> Any:
  """Builds the method that a config names.

  Args:
    config: `name`, `num_classes`, `total_steps`, and the fields of the method
      (`method`), of its networks (`network`), of its optimizers (`optim`) and
      of self-training (`mixing`).

  Returns:
    An instance of the module's `Method`; see `methods.base.Method`.

  Raises:
    UserError: no such method, or a field that it does not have.
  """
  if config.name not in names():
    raise errors.UserError(
      f'unknown method {config.name!r}; expected one of {", ".join(names())}'
    )
  module = importlib.import_module(f'jaxuda.methods.{config.name}')
  given = {'num_classes': config.num_classes, 'total_steps': config.total_steps}
  for group, options in _GROUPS.items():
    if group in module.Method.__dataclass_fields__:
      given[group] = _construct(options, group, config.get(group, {}))
  return _construct(module.Method, 'method', config.get('method', {}), **given)


def _construct(cls, group, fields, **given):
  """Calls a dataclass; an unknown field is an error that names it."""
  known = sorted({x.name for x in dataclasses.fields(cls)} - set(given))
  unknown = sorted(set(fields) - set(known))
  if unknown:
    raise errors.UserError(
      f'unknown field {group}.{unknown[0]}; expected one of {", ".join(known)}'
    )
  return cls(**given, **dict(fields))
