import dataclasses
from typing import ClassVar, Literal

import pytest

from jaxuda import errors


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
  kind: ClassVar[str] = 'x'
  align: Literal['none', 'seg'] = 'none'
  level: Literal[1, 2] = 1
  name: str = 'anything'


def test_choices_of_literal_fields_are_checked():
  errors.check_choices(Options(align='seg', level=2, name='x'), group='method')
  with pytest.raises(errors.UserError) as raised:
    errors.check_choices(Options(align='x'), group='method')
  assert str(raised.value) == "method.align='x'; expected one of none, seg"
  with pytest.raises(errors.UserError) as raised:
    errors.check_choices(Options(level=3))
  assert str(raised.value) == 'level=3; expected one of 1, 2'
