"""Class sets, their colours, and the way from a dataset's ids to them.

Labels are class ids 0..C-1 of a class set; 255 is ignored everywhere. The *raw*
ids of a dataset are those in its stored labels, see `label_tables`.

Coarser class sets follow from finer ones, with two exceptions, which have
tables of their own as in DADA's code: SYNTHIA's seven classes leave out
motorcycle, rider, bus and wall, but count lane marking as flat; Cityscapes'
seven have caravan and trailer as vehicles, which no finer set knows.

A class set of the user's own is a file, see `class_tables`. Classes are mapped
to it and from it by their names.

NumPy and YAML only.
"""

from collections.abc import Mapping, Sequence
import dataclasses
import functools
import hashlib
import types
from typing import Any

import numpy as np

from jaxuda import errors
from jaxuda.data.classes import class_names
from jaxuda.data.classes import class_tables
from jaxuda.data.classes import label_tables

IGNORE = 255
_TABLES = '*' + ', *'.join(class_tables.SUFFIXES)


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class ClassSet:
  """The classes that a network distinguishes.

  Attributes:
    names: names of the C classes, in the order of their ids.
    colors: uint8 [C, 3] RGB, in which the classes are shown.
    subsets: name of a mean IoU -> ids of the classes that it is taken over.
    parts: names of the Cityscapes classes in each class; of a class of the
      user's own, its name.
  """

  names: tuple[str, ...]
  colors: np.ndarray
  subsets: Mapping[str, tuple[int, ...]]
  parts: tuple[tuple[str, ...], ...]


def _create_built_in(name: str) -> ClassSet:
  parts = class_names.PARTS[name]
  names = tuple(parts)
  colors = np.array(
    [class_names.CITYSCAPES[x[0]] for x in parts.values()], np.uint8
  )
  colors.flags.writeable = False
  subsets = {
    mean: tuple(map(names.index, over))
    for mean, over in class_names.SUBSETS[name].items()
  }
  return ClassSet(
    names=names,
    colors=colors,
    subsets=types.MappingProxyType(subsets),
    parts=tuple(map(tuple, parts.values())),
  )


CLASS_SETS: Mapping[str, ClassSet] = types.MappingProxyType(
  {name: _create_built_in(name) for name in class_names.PARTS}
)


def get_class_set(classes: str) -> ClassSet:
  """Returns a class set by its name, or the one of a class table's file.

  Raises:
    UserError: there is no such class set or file, or a mistake in the file.
  """
  if class_tables.is_table(classes):
    return _create_of_table(class_tables.read_file(classes))
  if classes not in CLASS_SETS:
    raise errors.UserError(
      f'unknown class set {classes!r}; expected one of {", ".join(CLASS_SETS)},'
      f' or a class table of your own ({_TABLES})'
    )
  return CLASS_SETS[classes]


@functools.lru_cache(maxsize=32)
def _create_of_table(table: class_tables.ClassTable) -> ClassSet:
  return create_own(table.names, table.colors)


def create_own(names: Sequence[str], colors: np.ndarray) -> ClassSet:
  """Returns a class set whose only mean IoU, 'mIoU<C>', is over all classes.

  Args:
    names: names of the C classes.
    colors: uint8 [C, 3] RGB.
  """
  subsets = {f'mIoU{len(names)}': tuple(range(len(names)))}
  return ClassSet(
    names=tuple(names),
    colors=colors,
    subsets=types.MappingProxyType(subsets),
    parts=tuple((x,) for x in names),
  )


def read_own(metadata: Mapping[str, Any]) -> ClassSet | None:
  """Returns the classes of a dataset's own that its metadata name, or None."""
  tree = metadata.get('classes')
  return create_own(*class_tables.from_json(tree)) if tree else None


def identify(classes: str) -> str:
  """Returns a class set's name; of a file, one that depends on its names alone.

  It is the same wherever the file is, and whatever its colours: for example
  'own5-1a2b3c4d'.

  Raises:
    UserError: see `get_class_set`.
  """
  names = get_class_set(classes).names
  if not class_tables.is_table(classes):
    return classes
  digest = hashlib.sha256('\n'.join(names).encode()).hexdigest()
  return f'own{len(names)}-{digest[:8]}'


def merge_map(source: str, target: str) -> np.ndarray:
  """Returns the class of `target` that each class of `source` belongs to.

  It scores a finer network on coarser classes: `merge_map(...)[prediction]`.

  Returns:
    uint8 [256]; 255 for a class without a counterpart and beyond the classes.

  Raises:
    UserError: unknown class set, or `target` has a class that `source` cannot
      give.
  """
  merged = _merge(source, target)
  if merged is None:
    possible = [x for x in CLASS_SETS if _merge(source, x) is not None]
    raise errors.UserError(
      f'{source} cannot be merged to {target}; expected one of'
      f' {", ".join(possible) or source}'
    )
  return merged


def _merge(source: str, target: str) -> np.ndarray | None:
  """Returns `merge_map`, or None where a class of `target` would be empty."""
  fine, coarse = get_class_set(source), get_class_set(target)
  if (fine.names, fine.parts) == (coarse.names, coarse.parts):
    return _fill({i: i for i in range(len(fine.names))})
  if not class_tables.is_table(target) and any(len(x) > 1 for x in fine.parts):
    return None
  entries = _match(fine.names, coarse)
  if len(set(entries.values())) < len(coarse.names):
    return None
  return _fill(entries)


def _match(names: Sequence[str], target: ClassSet) -> dict[int, int]:
  """Returns {index of a name: class of `target` of that name, or with it}."""
  place = {x: i for i, parts in enumerate(target.parts) for x in parts}
  place |= {name: i for i, name in enumerate(target.names)}
  return {i: place[x] for i, x in enumerate(names) if x in place}


def _fill(entries: Mapping[int, int]) -> np.ndarray:
  table = np.full(256, IGNORE, np.uint8)
  table[list(entries)] = list(entries.values())
  return table


def label_map(
  dataset: str, classes: str, *, own: ClassSet | None = None
) -> np.ndarray:
  """Returns the class of each raw id of a dataset.

  Args:
    dataset: a dataset of `label_tables`, such as 'synthia'.
    classes: name or file of a class set.
    own: the classes of the raw ids 1, 2, ... of a dataset with names of its
      own, which are mapped by name.

  Returns:
    uint8 [256]: class 0..C-1 of each raw id, or 255 = ignored.

  Raises:
    UserError: unknown dataset or class set, or the dataset's ids do not tell
      the classes of the set apart; if either side has names of its own, no
      class of the dataset is in the set.
  """
  _check_dataset(dataset)
  class_set = get_class_set(classes)
  if own is not None or class_tables.is_table(classes):
    names = name_ids(dataset, classes, own=own)
    place = _match(list(names), class_set)
    if not place:
      raise errors.UserError(
        f'the labels of {dataset} have the classes {", ".join(names)}, and none'
        f' of them is in {classes}; expected config.classes to be a class table'
        f' ({_TABLES}) with some of these names'
      )
    ids = list(names.values())
    return _fill({raw: c for i, c in place.items() for raw in ids[i]})
  tables = label_tables.TABLES[dataset]
  if classes in tables:
    return _fill(tables[classes])
  merges = 'cityscapes19' in tables and dataset not in label_tables.NOT_MERGED
  merged = _merge('cityscapes19', classes) if merges else None
  if merged is None:
    possible = [x for x in CLASS_SETS if x in tables or merges]
    raise errors.UserError(
      f'the labels of {dataset} have no map to {classes}; expected one of'
      f' {", ".join(possible)}'
    )
  return merged[_fill(tables['cityscapes19'])]


def name_ids(
  dataset: str, classes: str, *, own: ClassSet | None = None
) -> dict[str, tuple[int, ...]]:
  """Returns {name of a class: its raw ids} of a dataset.

  Args:
    dataset: a dataset of `label_tables`.
    classes: class set that decides between several sets of names of a dataset:
      the one with most classes of this set is taken.
    own: as in `label_map`.

  Raises:
    UserError: unknown dataset or class set.
  """
  if own is not None:
    return {name: (i,) for i, name in enumerate(own.names, 1)}
  _check_dataset(dataset)
  found = []
  for known, table in label_tables.TABLES[dataset].items():
    ids: dict[str, tuple[int, ...]] = {}
    for raw, c in table.items():
      name = CLASS_SETS[known].names[c]
      ids[name] = (*ids.get(name, ()), raw)
    if table is label_tables.LABEL_IDS_19:
      ids |= label_tables.LABEL_IDS_MORE
    found.append(ids)
  target = get_class_set(classes)
  return max(found, key=lambda ids: len(_match(list(ids), target)))


def absent(dataset: str) -> tuple[str, ...]:
  """Returns the classes of Cityscapes that a network cannot learn from labels.

  Args:
    dataset: the dataset whose labels it learns from, with its variant, such as
      'gta5/mono'.

  Returns:
    Names of classes that the dataset's table has and its labels do not. A
    network may have outputs for them; DACS and CorDA do, of SYNTHIA.
  """
  return label_tables.ABSENT.get(dataset.split('/')[0], ())


def _check_dataset(dataset: str) -> None:
  if dataset not in label_tables.TABLES:
    raise errors.UserError(
      f'no label ids are known for {dataset!r}; expected one of'
      f' {", ".join(label_tables.TABLES)}'
    )


def raw_ids(dataset: str, *, own: ClassSet | None = None) -> tuple[int, ...]:
  """Returns the raw ids that a dataset's labels may hold, sorted.

  Raises:
    UserError: unknown dataset.
  """
  _check_dataset(dataset)
  if own is not None:
    return (*range(len(own.names) + 1), IGNORE)
  return label_tables.RAW_IDS[dataset]


def check_ids(
  label: np.ndarray, *, dataset: str, file: str, own: ClassSet | None = None
) -> None:
  """Checks that a raw label has only ids of its dataset's table.

  Args:
    label: unsigned integers of any shape.
    dataset: a dataset of `label_tables`.
    file: name of the file for the error.
    own: as in `label_map`.

  Raises:
    UserError: names the file and the ids.
  """
  known = raw_ids(dataset, own=own)
  unknown = np.setdiff1d(label, known)
  if unknown.size:
    shown = ', '.join(str(x) for x in unknown[:8])
    more = f' and {unknown.size - 8} more' if unknown.size > 8 else ''
    expected = f'{known[0]}..{max(x for x in known if x != IGNORE)}'
    if IGNORE in known:
      expected += f' or {IGNORE}'
    raise errors.UserError(
      f'{file}: label ids {shown}{more} are not in the table of {dataset};'
      f' expected {expected}'
    )
