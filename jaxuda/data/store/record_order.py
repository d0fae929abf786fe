"""The order of stored records, and their names.

Records are stored in a random order; `names.json` beside them says which is
which: {split: names in the stored order}.
"""

from collections.abc import Mapping, Sequence
import hashlib
import json
import os
import pathlib

import numpy as np

NAMES = 'names.json'


def hash_name(name: str, split: str) -> bytes:
  """Returns a key by which examples have a random order, known by their names.

  A fraction of a split, which is its first records, is then a fair one.
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
    count: number of its records.

  Returns:
    None if they are not known: an older preparation, or a part of a split.
  """
  try:
    names = json.loads(pathlib.Path(folder, NAMES).read_text())[split]
  except (OSError, ValueError, KeyError):
    return None
  return names if len(names) == count else None


def choose_first(names: Sequence[str], count: int) -> np.ndarray:
  """Returns which records are the first in the order of their names.

  Args:
    names: names in the stored order.
    count: number of records that are wanted; all if there are fewer.

  Returns:
    int64 [count], ascending: the stored, random order stays.
  """
  order = sorted(range(len(names)), key=names.__getitem__)
  return np.sort(np.array(order[:count], np.int64))
