"""The exception for mistakes that a user can fix, and checks of options."""

from collections.abc import Mapping
import dataclasses
import math
import sys
import typing
from typing import Any


class UserError(Exception):
  """A mistake in a command, a config, a file or a folder.

  The message is one line that names the thing, says what was expected and,
  where there are few, lists the alternatives. Command-line tools print it and
  exit with status 1; they catch nothing else.
  """


def check_choices(options: Any, *, group: str = '') -> None:
  """Checks the fields of a dataclass that are annotated with `Literal`.

  Annotate a field as `align: Literal['none', 'seg'] = 'none'` and call
  `errors.check_choices(self, group='method')` in `__post_init__`. The message
  is then "method.align='x'; expected one of none, seg".

  Args:
    options: an instance of a dataclass.
    group: prefix of the field's name in a config; '' for none.

  Raises:
    UserError: a value is not one of its field's choices.
  """
  hints = typing.get_type_hints(type(options))
  for field in dataclasses.fields(options):
    kind, value = hints[field.name], getattr(options, field.name)
    if typing.get_origin(kind) is not typing.Literal:
      continue
    choices = typing.get_args(kind)
    if value not in choices:
      name = f'{group}.{field.name}' if group else field.name
      raise UserError(
        f'{name}={value!r}; expected one of {", ".join(map(str, choices))}'
      )


def check_ranges(
  options: Any,
  ranges: Mapping[str, tuple[float, float | None]],
  *,
  group: str = '',
) -> None:
  """Checks the ranges of numeric fields of a dataclass.

  Args:
    options: an instance of a dataclass.
    ranges: field -> its lowest and its highest allowed value; None as the
      highest allows any finite value.
    group: prefix of the field's name in a config; '' for none.

  Raises:
    UserError: a value is out of its range, such as "optim.hold=2; expected 0 to
      1" or "mixtures.samples=0; expected at least 1".
  """
  for field, (low, high) in ranges.items():
    value = getattr(options, field)
    most = sys.float_info.max if high is None else high
    if not low <= value <= most:
      expected = f'at least {low}' if high is None else f'{low} to {high}'
      name = f'{group}.{field}' if group else field
      raise UserError(f'{name}={value}; expected {expected}')


def check_vectors(
  options: Any, lengths: Mapping[str, int], *, group: str
) -> None:
  """Checks fields of a dataclass that hold several numbers.

  Args:
    options: an instance of a dataclass.
    lengths: field -> how many numbers it must hold.
    group: prefix of the field's name in a config.

  Raises:
    UserError: a field has another length or holds something other than finite
      numbers, such as "optim.betas=(0.9,); expected 2 numbers".
  """
  for field, length in lengths.items():
    values = getattr(options, field)
    right = all(isinstance(x, int | float) and math.isfinite(x) for x in values)
    if not right or len(values) != length:
      raise UserError(f'{group}.{field}={values}; expected {length} numbers')


def construct(
  cls: type, fields: Mapping[str, Any], *, group: str, **given: Any
) -> Any:
  """Builds a dataclass from a group of a config.

  Args:
    cls: the dataclass.
    fields: the group's values by field name.
    group: name of the group, for the message.
    **given: fields that a config cannot set.

  Raises:
    UserError: the dataclass has no such field, or refuses a value.
  """
  known = sorted({x.name for x in dataclasses.fields(cls)} - set(given))
  unknown = sorted(set(fields) - set(known))
  if unknown:
    raise UserError(
      f'unknown field {group}.{unknown[0]}; expected one of {", ".join(known)}'
    )
  return cls(**given, **dict(fields))
