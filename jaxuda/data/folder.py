"""A user's own pictures, with a table of what their labels mean.

The dataset 'folder', with `manual_dir` like this:

    classes.yaml (or .yml, .json)      what the labels mean
    images/[train/|val/|test/]<name>   PNG or JPEG
    labels/[train/|val/|test/]<name>   PNG of the same name, ids or colours
    depth/[train/|val/|test/]<name>    16-bit PNG of the same name

Labels and depth may be absent; without folders for the splits, all is 'train'.
Names may have folders of their own. The table says which ids or colours of the
labels are which class of Cityscapes, so that every class set and every method
works, and how depth is to be read (see `depth_codes`):

    classes:
      road: [1, 4]
      car: '#00008e'
    ignore: [0, 255]                   # or: rest
    depth: {code: metres, unit: 0.001, missing: [0]}

An id or colour that the table does not have is an error, unless `ignore` is
'rest'. Depth by 'disparity' needs a `factor`, baseline times focal length.
"""

from collections.abc import Mapping
import functools
import hashlib
import json
import pathlib
import re
from typing import Any

import numpy as np
import yaml

from jaxuda import errors
from jaxuda.data import decoding
from jaxuda.data import depth_codes
from jaxuda.data import label_tables
from jaxuda.data import labels
from jaxuda.data import layout as layout_lib
from jaxuda.data import tree as tree_lib

_TABLES = ('classes.yaml', 'classes.yml', 'classes.json')
_FORM = 'classes: {road: [1], car: "#00008e", ...}, ignore: [0], depth: {...}'
# What is ignored gets a raw id that every table ignores.
_VOID = 0
_RAW_IDS = {
  name: raw
  for (raw, i) in label_tables.LABEL_IDS_19.items()
  for name in [labels.CLASS_SETS['cityscapes19'].names[i]]
} | {'caravan': 29, 'trailer': 30}


def describe(name: str, manual_dir: str | None = None) -> layout_lib.Spec:
  """Returns the dataset 'folder' of the table in `manual_dir`.

  Raises:
    UserError: another name, no table, or a mistake in it.
  """
  if name != 'folder':
    raise errors.UserError(f'unknown dataset {name!r}; expected folder')
  table: dict[str, Any] = {}
  text = ''
  if manual_dir:
    path = _find_table(pathlib.Path(manual_dir))
    text = path.read_text()
    table = read_table(text, where=str(path))
  depth = table.get('depth')
  factor = depth.pop('factor') if depth else None
  splits = {'': 'train', 'train': 'train', 'val': 'val', 'test': 'test'}
  return layout_lib.Spec(
    dataset=name,
    ids='folder',
    homepage='',
    get='classes.yaml, images/, labels/ and depth/',
    spellings={
      'image': (_spell('images', r'(?:png|jpg|jpeg|PNG|JPG|JPEG)'),),
      'label': (_spell('labels', 'png'),),
      'depth': (_spell('depth', 'png'),) if depth else (),
    },
    splits=splits,
    depth=depth,
    read_label=functools.partial(_read_label, table.get('codes', {})),
    factor=(lambda tree, item: factor) if factor else None,
    token=hashlib.sha256(text.encode()).hexdigest(),
  )


def _spell(folder: str, ending: str) -> layout_lib.Spelling:
  return layout_lib.Spelling(
    shown=f'{folder}/[train|val|test/]<name>',
    pattern=rf'{folder}/(?:(?P<split>train|val|test)/)?(?P<key>.+)\.{ending}',
  )


def _find_table(root: pathlib.Path) -> pathlib.Path:
  for name in _TABLES:
    if (root / name).is_file():
      return root / name
  raise errors.UserError(
    f'folder: {root} has no {_TABLES[0]} or {_TABLES[2]}; expected a table with'
    f' {_FORM}'
  )


def read_table(text: str, *, where: str) -> dict[str, Any]:
  """Reads a class table.

  Args:
    text: YAML or JSON.
    where: named in errors.

  Returns:
    'codes': {id or (r, g, b): raw id of Cityscapes, 'rest': whether others are
    ignored}; with depth, 'depth': its metadata and 'factor'.

  Raises:
    UserError: names the entry and what was expected.
  """
  try:
    table = (
      json.loads(text) if where.endswith('.json') else yaml.safe_load(text)
    )
  except (ValueError, yaml.YAMLError) as e:
    raise errors.UserError(
      f'{where} cannot be read ({tree_lib.one_line(e)}); expected {_FORM}'
    ) from e
  if not isinstance(table, Mapping) or not isinstance(
    table.get('classes'), Mapping
  ):
    raise errors.UserError(f'{where} has no classes; expected {_FORM}')
  for key in table:
    if key not in ('classes', 'ignore', 'depth'):
      raise errors.UserError(
        f'{where}: unknown entry {key!r}; expected classes, ignore or depth'
      )
  out: dict[str, Any] = {'codes': _read_codes(table, where)}
  if table.get('depth') is not None:
    out['depth'] = _read_depth(table['depth'], where)
  return out


def _read_codes(table, where):
  codes: dict[Any, Any] = {'rest': table.get('ignore') == 'rest'}
  ignored = table.get('ignore') or ()
  entries = [*table['classes'].items()]
  if ignored != 'rest':
    entries.append((None, ignored))
  for name, values in entries:
    if name is not None and name not in _RAW_IDS:
      raise errors.UserError(
        f'{where}: unknown class {name!r}; expected one of'
        f' {", ".join(_RAW_IDS)}'
      )
    for value in values if isinstance(values, list | tuple) else [values]:
      code = _read_code(value, name, where)
      if code in codes:
        raise errors.UserError(
          f'{where}: {value!r} is listed twice; expected one class for it'
        )
      codes[code] = _RAW_IDS.get(name, _VOID)
  kinds = {type(x) for x in codes if x != 'rest'}
  if len(kinds) != 1:
    raise errors.UserError(
      f'{where} has ids and colours, or neither; expected one kind'
    )
  return codes


def _read_code(value, name, where):
  if type(value) is int and 0 <= value <= 255:
    return value
  if isinstance(value, str) and re.fullmatch('#[0-9a-fA-F]{6}', value):
    return tuple(bytes.fromhex(value[1:]))
  raise errors.UserError(
    f'{where}: {name or "ignore"} has {value!r}; expected an id 0..255 or a'
    " colour '#rrggbb'"
  )


def _read_depth(entry, where):
  known = ('code', 'unit', 'missing', 'factor')
  if not isinstance(entry, Mapping) or set(entry) - set(known):
    raise errors.UserError(
      f'{where}: depth is {entry!r}; expected some of {", ".join(known)}'
    )
  code = entry.get('code', 'metres')
  unit, factor = entry.get('unit', 0.01), entry.get('factor')
  missing = entry.get('missing', [])
  if code not in depth_codes.CODES:
    raise errors.UserError(
      f'{where}: depth.code is {code!r}; expected one of'
      f' {", ".join(depth_codes.CODES)}'
    )
  for key, value, needed in (
    ('unit', unit, code == 'metres'),
    ('factor', factor, code == 'disparity'),
  ):
    if needed and not (isinstance(value, int | float) and value > 0):
      raise errors.UserError(
        f'{where}: depth.{key} is {value!r}; expected a positive number'
      )
  if not isinstance(missing, list) or not all(
    isinstance(x, int) and 0 <= x <= 65535 for x in missing
  ):
    raise errors.UserError(
      f'{where}: depth.missing is {missing!r}; expected a list of raw values'
    )
  return {
    'depth_code': code,
    'depth_unit': float(unit),
    'depth_missing': missing,
    'factor': float(factor) if code == 'disparity' else None,
  }


def _read_label(
  codes: dict[Any, Any], tree: tree_lib.Tree, item: layout_lib.Item
) -> np.ndarray:
  where = tree.where(item.label)
  data = tree.read(item.label)
  listed = {k: v for k, v in codes.items() if k != 'rest'}
  if isinstance(next(iter(listed)), tuple):
    colors = decoding.read_colors(data, where).astype(np.int32)
    values = colors[..., 0] << 16 | colors[..., 1] << 8 | colors[..., 2]
    listed = {r << 16 | g << 8 | b: v for (r, g, b), v in listed.items()}
    shown = '#{:06x}'
  else:
    values = decoding.read_ids(data, where).astype(np.int32)
    shown = '{}'
  known = np.array(sorted(listed), np.int32)
  place = np.searchsorted(known, values).clip(max=len(known) - 1)
  found = known[place] == values
  if not codes['rest'] and not found.all():
    unknown = ', '.join(shown.format(x) for x in np.unique(values[~found])[:8])
    raise errors.UserError(
      f'{where} has {unknown}, which the class table does not have; expected it'
      ' under a class or under ignore'
    )
  ids = np.array([listed[x] for x in known.tolist()], np.uint8)[place]
  return np.where(found, ids, np.uint8(_VOID))
