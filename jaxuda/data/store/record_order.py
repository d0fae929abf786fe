"""The order of stored records, and their names.

Records are stored in random order; `names.json` next to them holds {split:
names in the stored order}.
"""

from collections.abc import Mapping, Sequence
import hashlib
import json
import os
import pathlib

import numpy as np

NAMES = 'names.json'


def hash_name(name: str, split: str) -> bytes:
  """Returns a sort key that puts examples in a random but reproducible order.

  A fraction of a split, that is its first records, is then a fair sample.
  """
  del split
  return hashlib.sha256(name.encode()).digest()


def write_names(
  folder: str | os.PathLike[str], names: Mapping[str, Sequence[str]]
) -> None:
  """Writes the names of the examples of each split, in the stored order."""
  tree = {split: list(x) for split, x in names.items()}
  pathlib.Path(folder, NAMES).write_text(json.dumps(tree))


def read_names(
  folder: str | os.PathLike[str], split: str, *, count: int
) -> list[str] | None:
  """Returns the names of a split's examples, in the stored order.

  Args:
    folder: folder of a prepared dataset.
    split: name of the split.
    count: number of records in the split.

  Returns:
    The names, or None if they are unknown: the dataset was prepared by an older
    version, or `count` is not that of the whole split.
  """
  try:
    names = json.loads(pathlib.Path(folder, NAMES).read_text())[split]
  except (OSError, ValueError, KeyError):
    return None
  return names if len(names) == count else None


def choose_first(names: Sequence[str], count: int) -> np.ndarray:
  """Returns the numbers of the records whose names sort first.

  Args:
    names: names in the stored order.
    count: number of records to choose; all if there are fewer.

  Returns:
    int64 [count], ascending, so that the stored, random order is kept.
  """
  order = sorted(range(len(names)), key=names.__getitem__)
  return np.sort(np.array(order[:count], np.int64))
