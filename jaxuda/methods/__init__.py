"""Methods, one file each. The module's name is the registry."""

import importlib
import pkgutil
from typing import Any

from jaxuda import errors
from jaxuda import optim
from jaxuda.models import deeplab


def names() -> list[str]:
  """Returns the names of all methods."""
  found = (m.name for m in pkgutil.iter_modules(__path__))
  return sorted(name for name in found if name != 'base')


def create(config: Any) -> Any:
  """Builds the method that a config names.

  Args:
    config: `name`, `num_classes`, `total_steps`, and the fields of the method
      (`method`), of its networks (`network`) and of its optimizers (`optim`).

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
  return _construct(
    module.Method,
    'method',
    config.get('method', {}),
    num_classes=config.num_classes,
    total_steps=config.total_steps,
    network=_construct(deeplab.Options, 'network', config.get('network', {})),
    optim=_construct(optim.Options, 'optim', config.get('optim', {})),
  )


def _construct(cls, group, fields, **given):
  """Calls a dataclass; an unknown field is an error that names it."""
  known = sorted(set(cls.__dataclass_fields__) - set(given))
  unknown = sorted(set(fields) - set(known))
  if unknown:
    raise errors.UserError(
      f'unknown field {group}.{unknown[0]}; expected one of {", ".join(known)}'
    )
  return cls(**given, **dict(fields))
