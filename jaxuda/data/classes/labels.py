"""Class sets, their colours, and the maps from a dataset's ids to them.

Labels are class ids 0..C-1 of a class set; 255 is ignored everywhere. The *raw*
ids of a dataset are those in its stored labels, see `label_tables`.

Coarser class sets follow from finer ones, with two exceptions, which have
tables of their own as in DADA's code: SYNTHIA's seven classes leave out
motorcycle, rider, bus and wall, but count lane marking as flat; Cityscapes'
seven include caravan and trailer, which no finer set has, as vehicles.

A user-defined class set is a file, see `class_tables`. Classes are mapped to
and from it by name.

Imports only NumPy and YAML.
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
    colors: uint8 [C, 3] RGB, the colours in which the classes are shown.
    subsets: name of a mean IoU -> ids of the classes that it averages over.
    parts: names of the Cityscapes classes in each class; for a user-defined
      class, its own name.
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
  """Returns a class set, given its name or the file of a class table.

  Raises:
    UserError: there is no such class set or file, or the file has a mistake.
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
  """Returns a class set with one mean IoU, 'mIoU<C>', over all C classes.

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
  """Returns the dataset's own classes named in its metadata, or None."""
  tree = metadata.get('classes')
  return create_own(*class_tables.from_json(tree)) if tree else None


def identify(classes: str) -> str:
  """Returns a class set's name or, for a file, one derived from its classes.

  The latter depends only on the names of the classes, not on where the file is
  or on its colours; for example 'own5-1a2b3c4d'.

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

  It is used to score a network with finer classes on coarser ones:
  `merge_map(...)[prediction]`.

  Returns:
    uint8 [256]; 255 for classes without a counterpart and for unused ids.

  Raises:
    UserError: a class set is unknown, or `target` has a class that `source`
      cannot provide.
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
  """Returns `merge_map`, or None if a class of `target` would be empty."""
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
  """Maps the index of each name to the class of `target` that matches it."""
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
    own: the classes of the raw ids 1, 2, ... if the dataset has names of its
      own; these are mapped by name.

  Returns:
    uint8 [256]: class 0..C-1 of each raw id, or 255 = ignored.

  Raises:
    UserError: the dataset or class set is unknown, or the dataset's ids cannot
      be mapped to the class set; if either side has names of its own, this
      means that the two have no class in common.
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
  """Returns a dict from the names of a dataset's classes to their raw ids.

  Args:
    dataset: a dataset of `label_tables`.
    classes: class set that decides if a dataset has several sets of names: the
      one with most classes of this set is used.
    own: as in `label_map`.

  Raises:
    UserError: the dataset or class set is unknown.
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
  """Returns the Cityscapes classes that a dataset's labels cannot teach.

  Args:
    dataset: the dataset that a network is trained on, with its variant, such as
      'gta5/mono'.

  Returns:
    Names of the classes that are in the dataset's table but not in its labels.
    A network may have outputs for them, as in DACS and CorDA on SYNTHIA.
  """
  return label_tables.ABSENT.get(dataset.split('/')[0], ())


def _check_dataset(dataset: str) -> None:
  if dataset not in label_tables.TABLES:
    raise errors.UserError(
      f'no label ids are known for {dataset!r}; expected one of'
      f' {", ".join(label_tables.TABLES)}'
    )


def raw_ids(dataset: str, *, own: ClassSet | None = None) -> tuple[int, ...]:
  """Returns the raw ids that a dataset's labels may contain, sorted.

  Raises:
    UserError: the dataset is unknown.
  """
  _check_dataset(dataset)
  if own is not None:
    return (*range(len(own.names) + 1), IGNORE)
  return label_tables.RAW_IDS[dataset]


def check_ids(
  label: np.ndarray, *, dataset: str, file: str, own: ClassSet | None = None
) -> None:
  """Checks that a raw label map contains only ids of its dataset's table.

  Args:
    label: unsigned integers of any shape.
    dataset: a dataset of `label_tables`.
    file: name of the file, for the error message.
    own: as in `label_map`.

  Raises:
    UserError: there are other ids; the message names the file and the ids.
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
