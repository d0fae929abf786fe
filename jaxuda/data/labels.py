"""Class sets, their colours, and the way from a dataset's ids to them.

Labels are class ids 0..C-1 of a class set; 255 is ignored everywhere. A
dataset's *raw* ids are what its stored labels hold: see `label_tables`.

Coarser class sets follow from finer ones, with two exceptions, which are tables
of their own as in DADA's code: SYNTHIA's seven classes leave out motorcycle,
rider, bus and wall, but count lane marking as flat; Cityscapes' seven have
caravan and trailer as vehicles, which no finer set knows.

NumPy only.
"""

from collections.abc import Mapping, Sequence
import dataclasses
import types

import numpy as np

from jaxuda import errors
from jaxuda.data import label_tables

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


_CITYSCAPES = {
  'road': (128, 64, 128),
  'sidewalk': (244, 35, 232),
  'building': (70, 70, 70),
  'wall': (102, 102, 156),
  'fence': (190, 153, 153),
  'pole': (153, 153, 153),
  'traffic light': (250, 170, 30),
  'traffic sign': (220, 220, 0),
  'vegetation': (107, 142, 35),
  'terrain': (152, 251, 152),
  'sky': (70, 130, 180),
  'person': (220, 20, 60),
  'rider': (255, 0, 0),
  'car': (0, 0, 142),
  'truck': (0, 0, 70),
  'bus': (0, 60, 100),
  'train': (0, 80, 100),
  'motorcycle': (0, 0, 230),
  'bicycle': (119, 11, 32),
}
_NOT_IN_16 = ('terrain', 'truck', 'train')
_NOT_IN_13 = (*_NOT_IN_16, 'wall', 'fence', 'pole')
_NAMES_19 = tuple(_CITYSCAPES)
_NAMES_16 = tuple(x for x in _NAMES_19 if x not in _NOT_IN_16)
_NAMES_13 = tuple(x for x in _NAMES_19 if x not in _NOT_IN_13)
# GIO-Ada's, on Virtual KITTI -> KITTI.
_NAMES_10 = (
  *('road', 'building', 'pole', 'traffic light', 'traffic sign'),
  *('vegetation', 'terrain', 'sky', 'car', 'truck'),
)

# Name of a coarse class -> what it holds; the first gives its colour.
_COARSE_7 = {
  'flat': ('road', 'sidewalk'),
  'construction': ('building', 'wall', 'fence'),
  'object': ('pole', 'traffic light', 'traffic sign'),
  'nature': ('vegetation', 'terrain'),
  'sky': ('sky',),
  'human': ('person', 'rider'),
  'vehicle': ('car', 'truck', 'bus', 'train', 'motorcycle', 'bicycle'),
}
_CAMVID_11 = {
  'sky': ('sky',),
  'building': ('building', 'wall'),
  'pole': ('pole',),
  'road': ('road',),
  'pavement': ('sidewalk',),
  'tree': ('vegetation', 'terrain'),
  'sign': ('traffic sign', 'traffic light'),
  'fence': ('fence',),
  'car': ('car', 'truck', 'bus', 'train'),
  'pedestrian': ('person',),
  'bicyclist': ('rider', 'bicycle', 'motorcycle'),
}


def _create_set(
  parts: Mapping[str, Sequence[str]], subsets: Mapping[str, Sequence[str]]
) -> ClassSet:
  names = tuple(parts)
  colors = np.array([_CITYSCAPES[x[0]] for x in parts.values()], np.uint8)
  colors.flags.writeable = False
  return ClassSet(
    names=names,
    colors=colors,
    subsets=types.MappingProxyType(
      {k: tuple(names.index(x) for x in v) for k, v in subsets.items()}
    ),
  )


# Name of a class set -> {name of a class: the Cityscapes classes in it}.
_PARTS: Mapping[str, Mapping[str, Sequence[str]]] = {
  'cityscapes19': {x: (x,) for x in _NAMES_19},
  'synthia16': {x: (x,) for x in _NAMES_16},
  'synthia13': {x: (x,) for x in _NAMES_13},
  'kitti10': {x: (x,) for x in _NAMES_10},
  'coarse7': _COARSE_7,
  'camvid11': _CAMVID_11,
}

CLASS_SETS: Mapping[str, ClassSet] = types.MappingProxyType(
  {
    'cityscapes19': _create_set(
      _PARTS['cityscapes19'],
      {'mIoU19': _NAMES_19, 'mIoU16': _NAMES_16, 'mIoU13': _NAMES_13},
    ),
    'synthia16': _create_set(
      _PARTS['synthia16'], {'mIoU16': _NAMES_16, 'mIoU13': _NAMES_13}
    ),
    'synthia13': _create_set(_PARTS['synthia13'], {'mIoU13': _NAMES_13}),
    'kitti10': _create_set(_PARTS['kitti10'], {'mIoU10': _NAMES_10}),
    'coarse7': _create_set(_PARTS['coarse7'], {'mIoU7': tuple(_COARSE_7)}),
    'camvid11': _create_set(_PARTS['camvid11'], {'mIoU11': tuple(_CAMVID_11)}),
  }
)


def _fill(entries: Mapping[int, int]) -> np.ndarray:
  table = np.full(256, IGNORE, np.uint8)
  for raw, label in entries.items():
    table[raw] = label
  return table


def get_class_set(classes: str) -> ClassSet:
  """Returns a class set by its name.

  Raises:
    UserError: there is no such class set.
  """
  if classes not in CLASS_SETS:
    raise errors.UserError(
      f'unknown class set {classes!r}; expected one of {", ".join(CLASS_SETS)}'
    )
  return CLASS_SETS[classes]


def merge_map(source: str, target: str) -> np.ndarray:
  """Returns the class of `target` that each class of `source` belongs to.

  To score a finer network on coarser classes: `merge_map(...)[prediction]`.

  Returns:
    uint8 [256]; 255 for a class without a counterpart and for what is no class.

  Raises:
    UserError: unknown class set, or `target` has a class that `source` cannot
      give.
  """
  get_class_set(source)
  get_class_set(target)
  possible = [x for x in CLASS_SETS if _merge(source, x) is not None]
  if target not in possible:
    raise errors.UserError(
      f'{source} cannot be merged to {target}; expected one of'
      f' {", ".join(possible)}'
    )
  return _merge(source, target)


def _merge(source: str, target: str) -> np.ndarray | None:
  """Returns `merge_map`, or None where a class of `target` would be empty."""
  if source == target:
    return _fill({i: i for i in range(len(_PARTS[source]))})
  coarse = {
    name: i for i, parts in enumerate(_PARTS[target].values()) for name in parts
  }
  fine = list(_PARTS[source].values())
  if any(len(parts) > 1 for parts in fine):
    return None
  entries = {
    i: coarse[parts[0]] for i, parts in enumerate(fine) if parts[0] in coarse
  }
  if len(set(entries.values())) < len(_PARTS[target]):
    return None
  return _fill(entries)


def label_map(dataset: str, classes: str) -> np.ndarray:
  """Returns the class of each raw id of a dataset.

  Args:
    dataset: whose ids, e.g. 'synthia' (see the top of this file).
    classes: name of a class set.

  Returns:
    uint8 [256]: class 0..C-1 of each raw id, or 255 = ignored.

  Raises:
    UserError: unknown dataset or class set, or the dataset's ids do not tell
      the classes of the set apart.
  """
  _check_dataset(dataset)
  get_class_set(classes)
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


def _merges(dataset: str) -> bool:
  tables = label_tables.TABLES[dataset]
  return 'cityscapes19' in tables and dataset not in label_tables.NOT_MERGED


def _check_dataset(dataset: str) -> None:
  if dataset not in label_tables.TABLES:
    raise errors.UserError(
      f'no label ids are known for {dataset!r}; expected one of'
      f' {", ".join(label_tables.TABLES)}'
    )


def check_ids(label: np.ndarray, *, dataset: str, file: str) -> None:
  """Checks that a raw label has only ids of its dataset's table.

  Args:
    label: unsigned integers of any shape.
    dataset: whose table.
    file: named in the error.

  Raises:
    UserError: names the file and the ids.
  """
  _check_dataset(dataset)
  known = label_tables.RAW_IDS[dataset]
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
    classes: name of a class set.

  Returns:
    uint8 [..., 3] RGB.
  """
  colors = get_class_set(classes).colors
  label = np.asarray(label)
  known = (label >= 0) & (label < len(colors))
  return np.where(
    known[..., None], colors[np.where(known, label, 0)], np.uint8(0)
  )
