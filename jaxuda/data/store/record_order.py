"""Records by the names of their examples.

Records are stored in a random order; `names.json` beside them says which is
which: {split: names in the stored order}.
"""

from collections.abc import Mapping, Sequence
import json
import os
import pathlib

import numpy as np

NAMES = 'names.json'


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
    folder: of a prepared dataset.
    split: its name.
    count: how many records there are.

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
    names: in the stored order.
    count: how many are wanted; all if there are fewer.

  Returns:
    int64 [count], ascending: the stored, random order stays.
  """
  order = sorted(range(len(names)), key=names.__getitem__)
  return np.sort(np.array(order[:count], np.int64))
