"""Class sets, their colours, and the way from a dataset's ids to them.

Labels are class ids 0..C-1 of a class set; 255 is ignored everywhere. A
dataset's *raw* ids are what its stored labels hold: see `label_tables`.

Coarser class sets follow from finer ones, with two exceptions, which are tables
of their own as in DADA's code: SYNTHIA's seven classes leave out motorcycle,
rider, bus and wall, but count lane marking as flat; Cityscapes' seven have
caravan and trailer as vehicles, which no finer set knows.

A class set of the user's own is a file, see `class_tables`. To it and from it
classes are mapped by their names.

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


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class ClassSet:
  """What a network distinguishes.

  Attributes:
    names: of the C classes, in the order of their ids.
    colors: uint8 [C, 3] RGB, those of Cityscapes.
    subsets: name of a mean IoU -> ids of the classes that it is taken over.
  """

  names: tuple[str, ...]
  colors: np.ndarray
  subsets: Mapping[str, tuple[int, ...]]


def _create_set(
  parts: Mapping[str, Sequence[str]], subsets: Mapping[str, Sequence[str]]
) -> ClassSet:
  names = tuple(parts)
  colors = np.array(
    [class_names.CITYSCAPES[x[0]] for x in parts.values()], np.uint8
  )
  colors.flags.writeable = False
  return ClassSet(
    names=names,
    colors=colors,
    subsets=types.MappingProxyType(
      {k: tuple(names.index(x) for x in v) for k, v in subsets.items()}
    ),
  )


CLASS_SETS: Mapping[str, ClassSet] = types.MappingProxyType(
  {
    name: _create_set(parts, class_names.SUBSETS[name])
    for name, parts in class_names.PARTS.items()
  }
)


def _fill(entries: Mapping[int, int]) -> np.ndarray:
  table = np.full(256, IGNORE, np.uint8)
  for raw, label in entries.items():
    table[raw] = label
  return table


def get_class_set(classes: str) -> ClassSet:
  """Returns a class set by its name, or the one of a class table's file.

  Raises:
    UserError: there is no such class set or file, or a mistake in the file.
  """
  if class_tables.is_table(classes):
    return _make_own(class_tables.read_file(classes))
  if classes not in CLASS_SETS:
    raise errors.UserError(
      f'unknown class set {classes!r}; expected one of {", ".join(CLASS_SETS)},'
      f' or a class table of your own (*{", *".join(class_tables.SUFFIXES)})'
    )
  return CLASS_SETS[classes]


@functools.lru_cache(maxsize=32)
def _make_own(table: class_tables.ClassTable) -> ClassSet:
  return create_own(table.names, table.colors)


def create_own(names: Sequence[str], colors: np.ndarray) -> ClassSet:
  """Returns a class set whose one mean IoU, 'mIoU<C>', is over all classes.

  Args:
    names: of the C classes.
    colors: uint8 [C, 3] RGB.
  """
  subsets = {f'mIoU{len(names)}': tuple(range(len(names)))}
  return ClassSet(
    names=tuple(names), colors=colors, subsets=types.MappingProxyType(subsets)
  )


def read_own(metadata: Mapping[str, Any]) -> ClassSet | None:
  """Returns the classes that a dataset's metadata say it has of its own."""
  tree = metadata.get('classes')
  return create_own(*class_tables.from_json(tree)) if tree else None


def identify(classes: str) -> str:
  """Returns a class set's name; of a file one that depends on its names alone.

  Wherever the file is, and whatever its colours, e.g. 'own5-1a2b3c4d'.

  Raises:
    UserError: see `get_class_set`.
  """
  names = get_class_set(classes).names
  if not class_tables.is_table(classes):
    return classes
  digest = hashlib.sha256('\n'.join(names).encode()).hexdigest()
  return f'own{len(names)}-{digest[:8]}'


def _parts(classes: str) -> Mapping[str, Sequence[str]]:
  if class_tables.is_table(classes):
    return {x: (x,) for x in get_class_set(classes).names}
  get_class_set(classes)
  return class_names.PARTS[classes]


def merge_map(source: str, target: str) -> np.ndarray:
  """Returns the class of `target` that each class of `source` belongs to.

  To score a finer network on coarser classes: `merge_map(...)[prediction]`.

  Returns:
    uint8 [256]; 255 for a class without a counterpart and for what is no class.

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
  fine, coarse = _parts(source), _parts(target)
  if fine == coarse and list(fine) == list(coarse):
    return _fill({i: i for i in range(len(fine))})
  own = class_tables.is_table(source) or class_tables.is_table(target)
  if not own and any(len(parts) > 1 for parts in fine.values()):
    return None
  entries = _match(tuple(fine), target)
  if len(set(entries.values())) < len(coarse):
    return None
  return _fill(entries)


def _match(names: Sequence[str], target: str) -> dict[int, int]:
  """Returns {index of a name: class of `target` of that name, or with it}."""
  place = {}
  for i, parts in enumerate(_parts(target).values()):
    place |= dict.fromkeys(parts, i)
  place |= {name: i for i, name in enumerate(_parts(target))}
  return {i: place[x] for i, x in enumerate(names) if x in place}


def label_map(
  dataset: str, classes: str, *, own: ClassSet | None = None
) -> np.ndarray:
  """Returns the class of each raw id of a dataset.

  Args:
    dataset: whose ids, e.g. 'synthia' (see the top of this file).
    classes: a class set's name or file.
    own: the classes of the raw ids 1, 2, ... of a dataset with names of its
      own; they are mapped by name.

  Returns:
    uint8 [256]: class 0..C-1 of each raw id, or 255 = ignored.

  Raises:
    UserError: unknown dataset or class set, or the dataset's ids do not tell
      the classes of the set apart; with names of one's own on either side, no
      class of the dataset is in the set.
  """
  _check_dataset(dataset)
  get_class_set(classes)
  if own is not None or class_tables.is_table(classes):
    return _map_names(dataset, classes, own)
  tables = label_tables.TABLES[dataset]
  if classes in tables:
    return _fill(tables[classes])
  merged = None
  if _merges(dataset):
    merged = _merge('cityscapes19', classes)
  if merged is None:
    possible = [x for x in CLASS_SETS if x in tables or _merges(dataset)]
    raise errors.UserError(
      f'the labels of {dataset} have no map to {classes}; expected one of'
      f' {", ".join(possible)}'
    )
  return merged[_fill(tables['cityscapes19'])]


def _map_names(dataset, classes, own):
  names = name_ids(dataset, classes, own=own)
  place = _match(list(names), classes)
  if not place:
    raise errors.UserError(
      f'the labels of {dataset} have the classes {", ".join(names)}, and none'
      f' of them is in {classes}; expected config.classes to be a class table'
      f' (*{", *".join(class_tables.SUFFIXES)}) with some of these names'
    )
  ids = list(names.values())
  return _fill({raw: c for i, c in place.items() for raw in ids[i]})


def name_ids(
  dataset: str, classes: str, *, own: ClassSet | None = None
) -> dict[str, tuple[int, ...]]:
  """Returns {name of a class: its raw ids} of a dataset.

  Args:
    dataset: whose ids.
    classes: of a dataset that is known by several sets of names, those are
      taken that this class set has most of.
    own: as of `label_map`.

  Raises:
    UserError: unknown dataset or class set.
  """
  if own is not None:
    return {name: (i,) for i, name in enumerate(own.names, 1)}
  _check_dataset(dataset)
  found = []
  for known, table in label_tables.TABLES[dataset].items():
    ids = {
      name: tuple(raw for raw, c in table.items() if c == i)
      for i, name in enumerate(CLASS_SETS[known].names)
    }
    if table is label_tables.LABEL_IDS_19:
      ids |= label_tables.LABEL_IDS_MORE
    found.append({name: raw for name, raw in ids.items() if raw})
  return max(found, key=lambda ids: len(_match(list(ids), classes)))


def _merges(dataset: str) -> bool:
  tables = label_tables.TABLES[dataset]
  return 'cityscapes19' in tables and dataset not in label_tables.NOT_MERGED


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
    dataset: whose table.
    file: named in the error.
    own: as of `label_map`.

  Raises:
    UserError: names the file and the ids.
  """
  known = raw_ids(dataset, own=own)
  unknown = np.setdiff1d(label, known)
  if unknown.size:
    shown = ', '.join(str(x) for x in unknown[:8])
    more = f' and {unknown.size - 8} more' if unknown.size > 8 else ''
    raise errors.UserError(
      f'{file}: label ids {shown}{more} are not in the table of {dataset};'
      f' expected {_show_ids(known)}'
    )


def _show_ids(ids: Sequence[int]) -> str:
  run = f'{ids[0]}..{max(x for x in ids if x != IGNORE)}'
  return f'{run} or {IGNORE}' if IGNORE in ids else run


def to_colors(label: np.ndarray, classes: str) -> np.ndarray:
  """Paints a label.

  Args:
    label: integers [...], 0..C-1; anything else (255) becomes black.
    classes: a class set's name or file.

  Returns:
    uint8 [..., 3] RGB.
  """
  colors = get_class_set(classes).colors
  label = np.asarray(label)
  known = (label >= 0) & (label < len(colors))
  return np.where(
    known[..., None], colors[np.where(known, label, 0)], np.uint8(0)
  )
