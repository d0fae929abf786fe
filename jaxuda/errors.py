"""The exception for mistakes that a user can mend, and a check of choices."""

import dataclasses
import typing
from typing import Any


class UserError(Exception):
  """A mistake in a command, a config, a file or a folder.

  The message is one line that names the thing, says what was expected and,
  where there are few, lists the alternatives. Command-line tools print it and
  exit with 1; nothing else is caught.
  """


def check_choices(options: Any, *, group: str = '') -> None:
  """Checks the fields of a dataclass that are annotated with `Literal`.

  Annotate a field as `align: Literal['none', 'seg'] = 'none'` and call
  `errors.check_choices(self, group='method')` in `__post_init__`. The message
  is then "method.align='x'; expected one of none, seg".

  Args:
    options: an instance of a dataclass.
    group: what stands before the field's name in a config; '' for nothing.

  Raises:
    UserError: a value is none of its field's choices.
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
