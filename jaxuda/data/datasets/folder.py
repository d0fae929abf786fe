"""The user's own pictures, with a table of the classes in their labels.

The dataset 'folder', or 'folder/NAME' to tell several apart, reads a
`manual_dir` like this:

    classes.yaml (or .yml, .json)      the meaning of the labels
    images/[train/|val/|test/]<name>   PNG, JPEG, BMP, WebP, TIFF or PNM
    labels/[train/|val/|test/]<name>   PNG of the same name, ids or colours
    depth/[train/|val/|test/]<name>    16-bit PNG of the same name

`train/images/<name>` works, too, and so do other common names of splits (see
`specs.SPLITS`), in upper or lower case. Labels may be missing, and so may depth
if the table does not declare it; with neither, no table is needed. Without
folders for the splits, everything is 'train'. Names may contain folders. The
table (see `class_tables`) says which ids or colours of the labels belong to
which class, and how to read depth (see `depth_codes`):

    classes:
      road: [1, 4]
      car: '#00008e'
    ignore: [0, 255]                   # or: rest
    depth: {code: metres, unit: 0.001, missing: [0]}

If all classes are Cityscapes classes, labels are stored as Cityscapes label ids
and fit every class set. Otherwise they are stored as positions in the table,
counted from 1, and are mapped to class sets by name.

An id or colour that is not in the table is an error unless `ignore` is 'rest'.
The code 'disparity' requires a `factor`, the baseline times the focal length.
"""

from collections.abc import Mapping, Sequence
import dataclasses
import functools
import hashlib
import os
import pathlib
import re
from typing import Any

import numpy as np

from jaxuda import errors
from jaxuda.data.classes import class_names
from jaxuda.data.classes import class_tables
from jaxuda.data.classes import label_tables
from jaxuda.data.classes import labels
from jaxuda.data.files import decoding
from jaxuda.data.files import layout as layout_lib
from jaxuda.data.files import specs
from jaxuda.data.files import suspicions
from jaxuda.data.files import tree as tree_lib
from jaxuda.data.pixels import depth_codes

_GET = 'classes.yaml, images/, labels/ and depth/'
_TABLES = ('classes.yaml', 'classes.yml', 'classes.json')
# The raw id of ignored pixels; every label table ignores it.
_VOID = 0
_RAW_IDS = {
  class_names.NAMES_19[i]: raw for raw, i in label_tables.LABEL_IDS_19.items()
} | {name: ids[0] for name, ids in label_tables.LABEL_IDS_MORE.items()}


def describe(name: str, manual_dir: str | None = None) -> specs.Spec:
  """Returns the spec of the dataset 'folder', given the table in `manual_dir`.

  Raises:
    UserError: the name is unknown, labels or depth exist without a table, or
      the table has a mistake.
  """
  if not re.fullmatch('folder(/[A-Za-z0-9-]+)?', name):
    raise errors.UserError(
      f'unknown dataset {name!r}; expected folder, or folder/NAME with letters,'
      ' digits and - in the name'
    )
  text, table = '', None
  if manual_dir:
    where, text = _find_table(pathlib.Path(manual_dir))
    table = read_table(text, where=where) if where else None
  depth = dict(table.depth) if table and table.depth else None
  factor = depth.pop('factor') if depth else None
  return specs.Spec(
    dataset=name,
    ids='folder',
    homepage='',
    get=_GET,
    spellings={
      'image': _spell('images', f'({"|".join(decoding.SUFFIXES)})'),
      'label': _spell('labels', 'png'),
      'depth': _spell('depth', 'png') if depth else (),
    },
    splits=specs.SPLITS,
    tables=_TABLES,
    telltale=tuple(sorted(set(table.codes.values()) - {_VOID}))
    if table
    else (),
    depth=depth,
    needs_depth=bool(depth),
    check=None if depth else _check_undeclared,
    own=table and table.own,
    read_label=functools.partial(_read_label, table),
    read_codes=functools.partial(_read_codes, table) if table else None,
    codes=_name_codes(table) if table else {},
    factor=(lambda tree, item: factor) if factor else None,
    token=hashlib.sha256(text.encode()).hexdigest(),
  )


def _spell(folder, suffix):
  """Returns a kind's spellings: split above its folder, inside it, or none."""
  return (
    specs.Spelling(shown=f'<split>/{folder}/<name>.{suffix}', any_case=True),
    specs.Spelling(shown=f'{folder}/[<split>/]<name>.{suffix}', any_case=True),
  )


def _check_undeclared(layout: layout_lib.Layout) -> Sequence[specs.Problem]:
  """Notes depth maps of images that the table does not mention."""
  patterns = [x.compile(layout.spec.splits) for x in _spell('depth', 'png')]
  found = [x for x, _ in layout.unused if any(y.fullmatch(x) for y in patterns)]
  if not found:
    return []
  return [
    specs.Problem(
      kind='depth is not declared',
      text=f'{layout.spec.dataset}: {layout.tree.where(found[0])}'
      f'{suspicions.count_more(found)} exists but is not read; expected an'
      ' entry such as depth: {unit: 0.001} in the class table, to read it',
      fatal=False,
    )
  ]


def _find_table(root: pathlib.Path) -> tuple[str, str]:
  """Returns a folder's table, (name, text); ('', '') if it has images only.

  It may be in an archive, as if that had been unpacked in the folder.
  """
  names = os.listdir(root) if root.is_dir() else []
  there = [x for x in names if x.lower() in _TABLES and (root / x).is_file()]
  tree = None
  if not there:
    tree = tree_lib.Tree(root, dataset='folder', get=_GET)
    there = [x for x in tree.entries if x.lower() in _TABLES]
  there.sort(key=lambda x: _TABLES.index(x.lower()))
  if len(there) > 1:
    raise errors.UserError(
      f'folder: {root} has {" and ".join(there)}; expected one table'
    )
  if there and not tree:
    return str(root / there[0]), class_tables.read_text(root / there[0])
  if there:
    where = tree.where(there[0])
    return where, class_tables.decode(tree.read(there[0]), where=where)
  folders = {specs.fold(y) for x in tree.entries for y in x.split('/')[:-1]}
  if 'images' in folders and not folders & {'labels', 'depth'}:
    return '', ''
  raise errors.UserError(
    f'folder: {root} has no {_TABLES[0]} or {_TABLES[2]}; expected a table with'
    f' {class_tables.FORM}'
  )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Table:
  """Contents of a folder's class table.

  Attributes:
    codes: id or colour (r, g, b) in the labels -> raw id; the keys are either
      all ids or all colours.
    names: id or colour -> name of the class, or None if it is ignored.
    rest: whether ids and colours that are not listed are ignored.
    own: the classes of the raw ids 1, 2, ... if not all are Cityscapes classes.
    depth: metadata of depth, plus 'factor'; None without depth.
  """

  codes: Mapping[class_tables.Code, int]
  names: Mapping[class_tables.Code, str | None]
  rest: bool
  own: labels.ClassSet | None
  depth: Mapping[str, Any] | None


def read_table(text: str, *, where: str) -> Table:
  """Reads the table of a folder.

  Args:
    text: YAML, or JSON if `where` ends in .json.
    where: name of the file, for error messages.

  Raises:
    UserError: the table has a mistake; the message names the entry and what was
      expected.
  """
  table = class_tables.parse(text, where=where)
  if not table.codes:
    raise errors.UserError(
      f'{where} has only names; expected the ids or colours that the classes'
      f' have in the labels, as in {class_tables.FORM}'
    )
  raw_ids, own = _RAW_IDS, None
  if not set(table.names) <= set(_RAW_IDS):
    raw_ids = {name: i for i, name in enumerate(table.names, 1)}
    own = labels.create_own(table.names, table.colors)
  return Table(
    codes={
      code: raw_ids.get(name, _VOID) for code, name in table.codes.items()
    },
    names=table.codes,
    rest=table.rest,
    own=own,
    depth=None if table.depth is None else _read_depth(table.depth, where),
  )


def _read_depth(entry, where):
  known = ('code', 'unit', 'missing', 'factor')

  def require(right, name, value, expected):
    if not right:
      raise errors.UserError(
        f'{where}: {name} is {value!r}; expected {expected}'
      )

  fits = isinstance(entry, Mapping) and not set(entry) - set(known)
  require(fits, 'depth', entry, f'some of {", ".join(known)}')
  code = entry.get('code', 'metres')
  unit, factor = entry.get('unit', 0.01), entry.get('factor')
  missing = entry.get('missing', [])
  codes = depth_codes.CODES
  require(code in codes, 'depth.code', code, f'one of {", ".join(codes)}')
  for key, value, of in (
    ('unit', unit, 'metres'),
    ('factor', factor, 'disparity'),
  ):
    positive = depth_codes.is_positive(value)
    require(positive or code != of, f'depth.{key}', value, 'a positive number')
    # It would be ignored, and the numbers would be read as something else.
    alone = code == of or key not in entry
    require(alone, f'depth.{key}', value, f'none with the code {code}')
  listed = isinstance(missing, list) and all(
    type(x) is int and 0 <= x <= 65535 for x in missing
  )
  require(listed, 'depth.missing', missing, 'a list of raw values')
  return {
    'depth_code': code,
    'depth_unit': float(unit) if code == 'metres' else 0.01,
    'depth_missing': missing,
    'factor': float(factor) if code == 'disparity' else None,
  }


def _pack(code: class_tables.Code) -> int:
  """Returns an id as it is, and a colour as one number."""
  return code if isinstance(code, int) else decoding.pack_colors(code).item()


def _name_codes(table: Table) -> dict[int, tuple[str, str]]:
  """Returns a dict from packed ids or colours to (user's spelling, class)."""
  form = '{}' if isinstance(next(iter(table.codes)), int) else '#{:06x}'
  return {
    _pack(code): (form.format(_pack(code)), name or 'ignored')
    for code, name in table.names.items()
  }


def _read_codes(
  table: Table, tree: tree_lib.Tree, item: specs.Item
) -> np.ndarray:
  where, data = tree.where(item.label), tree.read(item.label)
  if isinstance(next(iter(table.codes)), int):
    return decoding.read_ids(data, where).astype(np.int32)
  return decoding.pack_colors(decoding.read_colors(data, where))


def _read_label(
  table: Table,
  tree: tree_lib.Tree,
  item: specs.Item,
  values: np.ndarray | None = None,
) -> np.ndarray:
  if values is None:
    values = _read_codes(table, tree, item)
  listed = {_pack(code): raw for code, raw in table.codes.items()}
  ids, known = decoding.look_up(values, listed)
  if not table.rest and not known.all():
    form = '{}' if isinstance(next(iter(table.codes)), int) else '#{:06x}'
    unknown = ', '.join(form.format(x) for x in np.unique(values[~known])[:8])
    raise errors.UserError(
      f'{tree.where(item.label)} has {unknown}, which the class table does not'
      ' have; expected it under a class or under ignore'
    )
  return np.where(known, ids, np.uint8(_VOID))
