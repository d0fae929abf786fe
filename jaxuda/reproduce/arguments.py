"""Parses the arguments of the command: a table, and seeds."""

import os
import pathlib
from typing import Any

from jaxuda import errors
from jaxuda.ui import config_files


def read_tables(path: str | os.PathLike) -> dict[str, Any]:
  """Returns the `TABLES` of a file such as configs/tables/__init__.py.

  Raises:
    UserError: the file does not exist, or has no `TABLES`.
  """
  path = pathlib.Path(path)
  if not path.is_file():
    raise errors.UserError(f'no file {path}; expected one such as tables.py')
  found = vars(config_files.load(path))
  if 'TABLES' not in found:
    raise errors.UserError(
      f'{path} has no TABLES; expected a dict of tables by name'
    )
  return found['TABLES']


def find_configs(path: pathlib.Path) -> pathlib.Path:
  """Returns the folder of the configs that the tables of a file name.

  They are next to the file, or next to its folder if it is an __init__.py.
  """
  return path.parent.parent if path.name == '__init__.py' else path.parent


def find_table(tables: dict[str, Any], name: str) -> str:
  """Returns the name of a table, given that or an alias.

  Raises:
    UserError: no table has that name.
  """
  owners = {
    n: known for known, t in tables.items() for n in (known, *t.other_names)
  }
  if name not in owners:
    raise errors.UserError(
      f'unknown table {name!r}; expected one of {", ".join(owners)}'
    )
  return owners[name]


def parse_seeds(text: str) -> tuple[int, ...]:
  """Parses '3' as (1, 2, 3), and '1,5,7' or '5,' as a list of seeds.

  Raises:
    UserError: the text is neither, or a seed is repeated or too large.
  """
  pieces = text.strip().removesuffix(',').split(',')
  if all(piece.strip().isdecimal() for piece in pieces):
    seeds = [int(piece) for piece in pieces]
    if ',' not in text:
      seeds = list(range(1, seeds[0] + 1))
    # A seed has 32 bits.
    if seeds and len(set(seeds)) == len(seeds) and max(seeds) < 2**32:
      return tuple(seeds)
  raise errors.UserError(
    f'--seeds={text}; expected their number (3 for 1, 2, 3), at least 1, or a'
    ' list of different seeds below 2^32 (1,5,7; for a single one: 5,)'
  )
