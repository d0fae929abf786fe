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


@dataclasses.dataclass(frozen=True, kw_only=True)
class Numbers:
  count: int = 1
  share: float = 0.5


def test_numbers_are_checked():
  ranges = {'count': (1, None), 'share': (0, 1)}
  errors.check_ranges(Numbers(count=9, share=1.0), ranges, group='x')
  for bad, message in (
    (Numbers(count=0), 'x.count=0; expected at least 1'),
    (Numbers(share=1.5), 'x.share=1.5; expected 0 to 1'),
    (Numbers(share=float('nan')), 'x.share=nan; expected 0 to 1'),
    (Numbers(count=float('inf')), 'x.count=inf; expected at least 1'),
  ):
    with pytest.raises(errors.UserError) as raised:
      errors.check_ranges(bad, ranges, group='x')
    assert str(raised.value) == message


@dataclasses.dataclass(frozen=True, kw_only=True)
class Vectors:
  betas: tuple = (0.9, 0.99)


def test_several_numbers_are_checked():
  errors.check_vectors(Vectors(betas=(0, 0.5)), {'betas': 2}, group='x')
  for bad in ((), (1,), ('1', 2), (None, 2), (float('nan'), 2), (1, 2, 3)):
    with pytest.raises(errors.UserError) as raised:
      errors.check_vectors(Vectors(betas=bad), {'betas': 2}, group='x')
    assert str(raised.value) == f'x.betas={bad}; expected 2 numbers'


def test_fields_of_a_group_make_a_dataclass():
  fields = {'count': 3}
  made = errors.construct(Numbers, fields, group='x', share=0.25)
  assert made == Numbers(count=3, share=0.25)
  for unknown in ('cuont', 'share'):
    with pytest.raises(errors.UserError) as raised:
      errors.construct(Numbers, {unknown: 1}, group='x', share=0.25)
    assert str(raised.value) == (
      f'unknown field x.{unknown}; expected one of count'
    )
