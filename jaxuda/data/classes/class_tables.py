"""Class tables: files in which users define their own classes.

A table is YAML or JSON. The table of a dataset says what is in its labels; for
a class set, names alone suffice:

    classes: {wall: [1, 4], door: '#00008e'}    # or: [wall, door]
    colors: {wall: '#808080'}                   # or a list; may be left out
    ignore: [0, 255]                            # or: rest
    depth: {code: metres}                       # see `folder`

A name has an id or a list of ids, or colours if the labels are colour pictures.
A class is shown in its colour under `colors`, else in its (first) colour in the
labels, else in one that no other class has.

Imports only the standard library, NumPy and YAML.
"""

from collections.abc import Iterator, Mapping, Sequence
import dataclasses
import functools
import json
import os
import pathlib
import re
from typing import Any, ClassVar
import unicodedata

import numpy as np
import yaml

from jaxuda import errors

SUFFIXES = ('.yaml', '.yml', '.json')
FORM = 'classes: {road: [1], car: "#00008e", ...}, ignore: [0], depth: {...}'
# Maximum number of classes: ids are bytes, 0 is void in stored labels, and 255
# is ignored.
MOST = 254
_ENTRIES = ('classes', 'colors', 'ignore', 'depth')

Code = int | tuple[int, ...]


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class ClassTable:
  """Contents of a class table.

  Attributes:
    names: names of the C classes, in the order of the file.
    colors: uint8 [C, 3] RGB, the colours in which the classes are shown.
    codes: id 0..255 or colour (r, g, b) -> name, or None if it is ignored; the
      keys are either all ids or all colours, or none if the table has only
      names.
    rest: whether ids and colours that are not listed are ignored, too.
    depth: the unparsed entry `depth`, or None.
  """

  names: tuple[str, ...]
  colors: np.ndarray
  codes: Mapping[Code, str | None]
  rest: bool
  depth: Any


def is_table(classes: str) -> bool:
  """Returns whether the name of a class set is the name of a file."""
  return str(classes).lower().endswith(SUFFIXES)


def read_file(path: str | os.PathLike[str]) -> ClassTable:
  """Reads a class table; the same content is parsed only once.

  Raises:
    UserError: the file does not exist or has a mistake; the message names the
      file and the entry.
  """
  return parse(read_text(path), where=str(path))


def read_text(path: str | os.PathLike[str]) -> str:
  """Returns the text of a class table.

  Raises:
    UserError: the file does not exist or is not text.
  """
  try:
    data = pathlib.Path(path).expanduser().read_bytes()
  except (OSError, ValueError) as e:
    reason = 'no such file' if isinstance(e, FileNotFoundError) else e
    raise errors.UserError(
      f'class table {path} cannot be read ({reason}); expected a file with'
      ' classes: [name, ...]'
    ) from e
  return decode(data, where=str(path))


def decode(data: bytes, *, where: str) -> str:
  """Returns the text of a class table, given its bytes; its lines end in LF.

  Args:
    data: bytes in UTF-8.
    where: name of the file, for the error message.

  Raises:
    UserError: it is not UTF-8.
  """
  try:
    # Editors on Windows put a byte order mark in front.
    text = data.decode('utf-8-sig')
  except ValueError as e:
    raise errors.UserError(
      f'class table {where} cannot be read ({e}); expected text in UTF-8 with'
      ' classes: [name, ...]'
    ) from e
  return text.replace('\r\n', '\n').replace('\r', '\n')


@functools.lru_cache(maxsize=32)
def parse(text: str, *, where: str) -> ClassTable:
  """Parses a class table.

  Args:
    text: YAML, or JSON if `where` ends in .json.
    where: name of the file, for error messages.

  Raises:
    UserError: the table has a mistake; the message names the file, the entry
      and what was expected.
  """
  # Names are compared, and editors may store letters and accents separately.
  text = unicodedata.normalize('NFC', text)
  try:
    if where.lower().endswith('.json'):
      table = json.loads(text, object_pairs_hook=_make_mapping)
    else:
      table = yaml.load(text, _Loader)
    if isinstance(table, Mapping):
      table = {key: _unify(entry) for key, entry in table.items()}
  # A wrong tag makes YAML raise the last two.
  except (
    *(ValueError, yaml.YAMLError, RecursionError),
    *(AttributeError, KeyError),
  ) as e:
    reason = ' '.join(str(e).split())
    text = f'{where} cannot be read ({reason}); expected {FORM}'
    raise errors.UserError(text) from e
  classes = table.get('classes') if isinstance(table, Mapping) else None
  if not classes or not isinstance(classes, Mapping | list):
    raise errors.UserError(f'{where} has no classes; expected {FORM}')
  for key in table:
    if key not in _ENTRIES:
      expected = f'some of {", ".join(_ENTRIES)}'
      raise _mistake(where, f'unknown entry {key!r}', expected)
  names = _read_names(classes, where)
  if not isinstance(classes, Mapping):
    classes = dict.fromkeys(names, ())
  codes = _read_codes(classes, table.get('ignore'), where)
  return ClassTable(
    names=names,
    colors=_choose_colors(names, table.get('colors'), codes, where),
    codes=codes,
    rest=table.get('ignore') == 'rest',
    depth=table.get('depth'),
  )


_REPLACED = tuple(f'tag:yaml.org,2002:{x}' for x in ('bool', 'int', 'float'))


class _Loader(yaml.SafeLoader):
  """Loads YAML without its surprises.

  Plain YAML would take the last of equal keys, and read 010 as 8, 1:30 as 90,
  1_0 as 10, and the classes `yes` and `on` as True. Here only digits form a
  number, 010 is 10, equal keys are an error, and anything else is text.
  """

  yaml_implicit_resolvers: ClassVar = {
    first: [(tag, x) for tag, x in resolvers if tag not in _REPLACED]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
  }

  def construct_mapping(self, node: Any, deep: bool = False) -> Any:
    _check_unique(
      [k.value for k, _ in node.value if isinstance(k, yaml.ScalarNode)]
    )
    return super().construct_mapping(node, deep)


_DIGITS = list('-0123456789')
_Loader.add_implicit_resolver(_REPLACED[1], re.compile('-?[0-9]+$'), _DIGITS)
_Loader.add_implicit_resolver(
  _REPLACED[2],
  re.compile(
    r'-?(?:[0-9]+\.[0-9]*|\.[0-9]+|[0-9]+(?=e))(?:e[-+]?[0-9]+)?$', re.I
  ),
  [*_DIGITS, '.'],
)
_Loader.add_constructor(
  _REPLACED[1], lambda loader, node: int(loader.construct_scalar(node))
)
_Loader.add_constructor(
  _REPLACED[2], lambda loader, node: float(loader.construct_scalar(node))
)


def _unify(entry):
  r"""Returns an entry with its names in NFC, also those written as \u0308."""

  def unify(name):
    return unicodedata.normalize('NFC', name) if isinstance(name, str) else name

  if isinstance(entry, Mapping):
    return _make_mapping([(unify(k), v) for k, v in entry.items()])
  return [unify(x) for x in entry] if isinstance(entry, list) else entry


def _make_mapping(pairs):
  _check_unique([key for key, _ in pairs])
  return dict(pairs)


def _check_unique(keys):
  twice = [x for x in keys if keys.count(x) > 1]
  if twice:
    raise ValueError(f'{twice[0]!r} appears twice')


def _read_names(classes, where) -> tuple[str, ...]:
  names = tuple(classes)
  for name in names:
    if not isinstance(name, str) or not name.strip():
      what = f'{name!r} is not a class name'
      raise _mistake(where, what, 'text, in quotes if necessary')
    # Control characters and halves of surrogates.
    if any(unicodedata.category(x) in ('Cc', 'Cs') for x in name):
      what = f'class {name!r} has a character that cannot be printed'
      raise _mistake(where, what, 'one line of text')
    if names.count(name) > 1:
      raise _mistake(where, f'class {name!r} appears twice', 'each name once')
  if len(names) > MOST:
    raise errors.UserError(
      f'{where} has {len(names)} classes; expected at most {MOST}'
    )
  return names


def _read_codes(classes, ignored, where) -> dict[Code, str | None]:
  codes: dict[Code, str | None] = {}
  entries = [*classes.items()]
  if ignored is not None and ignored != 'rest':
    entries.append((None, ignored))
  for name, values in entries:
    for value in values if isinstance(values, list | tuple) else [values]:
      code = value
      if type(value) is not int or not 0 <= value <= 255:
        what = f'{name or "ignore"} has {_show(value)}'
        code = _read_color(value, where, what, 'an id 0..255 or')
      if code in codes:
        raise _mistake(where, f'{value!r} is listed twice', 'one class for it')
      codes[code] = name
  if len({type(x) for x in codes}) > 1:
    raise errors.UserError(
      f'{where} has both ids and colours; expected only one kind'
    )
  return codes


def _show(value):
  # YAML treats an unquoted #00008e as a comment.
  return 'nothing' if value is None else repr(value)


def _read_color(value, where, what, other='') -> tuple[int, ...]:
  if isinstance(value, str) and re.fullmatch('#[0-9a-fA-F]{6}', value):
    return tuple(bytes.fromhex(value[1:]))
  raise _mistake(where, what, f"{other} a colour '#rrggbb'".lstrip())


def _mistake(where, what, expected):
  return errors.UserError(f'{where}: {what}; expected {expected}')


def _choose_colors(names, given, codes, where) -> np.ndarray:
  """Returns the colours of the classes: uint8 [C, 3]."""
  if isinstance(given, list):
    if len(given) != len(names):
      expected = f'one for each of the {len(names)} classes'
      raise _mistake(where, f'colors has {len(given)} entries', expected)
    given = dict(zip(names, given, strict=True))
  if given is not None and not isinstance(given, Mapping):
    raise _mistake(where, f'colors is {given!r}', "name: '#rrggbb', ...")
  chosen: dict[str, tuple[int, ...]] = {}
  for name, value in (given or {}).items():
    if name not in names:
      what = f'colors has {name!r}, which is not a class'
      raise _mistake(where, what, f'some of {", ".join(names)}')
    what = f'colors has {_show(value)} for {name}'
    chosen[name] = _read_color(value, where, what)
  for code, name in codes.items():
    if name is not None and isinstance(code, tuple):
      chosen.setdefault(name, code)
  unused = (x for x in _generate_colors() if x not in chosen.values())
  colors = np.array([chosen.get(x) or next(unused) for x in names], np.uint8)
  colors.flags.writeable = False
  return colors


def _generate_colors() -> Iterator[tuple[int, int, int]]:
  """Yields PASCAL VOC's 255 colours after black: 128 0 0, 0 128 0, ..."""
  for number in range(1, 256):
    rgb = [0, 0, 0]
    for bit in range(8):
      rgb[bit % 3] |= (number >> bit & 1) << (7 - bit // 3)
    yield rgb[0], rgb[1], rgb[2]


def to_json(names: Sequence[str], colors: np.ndarray) -> dict[str, Any]:
  """Returns the table of a class set, in JSON types."""
  return {
    'classes': list(names),
    'colors': ['#' + bytes(x).hex() for x in np.asarray(colors, np.uint8)],
  }


def from_json(tree: Mapping[str, Any]) -> tuple[tuple[str, ...], np.ndarray]:
  """Reads what `to_json` returns: names and uint8 [C, 3]."""
  colors = [tuple(bytes.fromhex(x[1:])) for x in tree['colors']]
  return tuple(tree['classes']), np.array(colors, np.uint8)
