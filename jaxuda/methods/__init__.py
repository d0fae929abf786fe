"""Methods, one file each, registered by the name of their module."""

import dataclasses
import importlib
import pkgutil
from typing import Any

import jax.numpy as jnp

from jaxuda import errors

# Groups of options that methods share. A method has the groups that it uses.
GROUPS = ('network', 'optim', 'mixing', 'masking', 'features')


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
    with its own overrides of their defaults. Fields without a default are left
    out.

  Raises:
    UserError: there is no such method.
  """
  found = {'method': {}}
  for field in dataclasses.fields(_find(name)):
    if field.name in GROUPS:
      found[field.name] = dataclasses.asdict(field.default)
    elif field.default is not dataclasses.MISSING:
      found['method'][field.name] = field.default
  return found


def create(config: Any) -> Any:
  """Builds the method that a config names.

  Args:
    config: `name`, `num_classes`, `total_steps`, and the fields of the method
      (`method`), of its networks (`network`), of its optimizers (`optim`) and
      of self-training (`mixing`, `masking`, `features`); omitted fields keep
      their defaults.

  Returns:
    An instance of the module's `Method`; see `methods.base.Method`.

  Raises:
    UserError: there is no such method, or it has no such field, or it is to
      compute in float64, which JAX has not been told to have.
  """
  method = _find(config.name)
  given = {'num_classes': config.num_classes, 'total_steps': config.total_steps}
  own = dict(config.get('method', {}))
  moved = {k: own.pop(k) for k in method.moved if k in own}
  for field in dataclasses.fields(method):
    if field.name in GROUPS:
      values = {**vars(field.default), **config.get(field.name, {})}
      if field.name == 'network':
        values |= moved
      given[field.name] = errors.construct(
        type(field.default), values, group=field.name
      )
  method = errors.construct(method, own, group='method', **given)
  # JAX would compute in float32, and only warn.
  if method.network.dtype == 'float64' and jnp.result_type(float) != 'float64':
    raise errors.UserError(
      'network.dtype=float64, which JAX does not compute in by default;'
      ' expected JAX_ENABLE_X64=1 in the environment, or another type'
    )
  return method


def _find(name):
  """Returns the class of a method."""
  if name not in names():
    raise errors.UserError(
      f'unknown method {name!r}; expected one of {", ".join(names())}'
    )
  return importlib.import_module(f'jaxuda.methods.{name}').Method
