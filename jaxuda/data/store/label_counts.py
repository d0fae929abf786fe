"""Counts the pixels of each id in every stored label, and keeps the counts."""

from collections.abc import Callable
import contextlib
import os
import pathlib

import numpy as np

from jaxuda.data.store import ahead
from jaxuda.ui import display
from jaxuda.ui import files


def read(
  folder: str | os.PathLike[str],
  split: str,
  *,
  count: int,
  label_of: Callable[[int], np.ndarray],
) -> np.ndarray:
  """Returns the counts of a split, from the file of an earlier run if any.

  Args:
    folder: folder of the prepared dataset.
    split: name of the split.
    count: number of records in the split.
    label_of: function from a record's number to its ids, uint8 [H, W]; called
      in threads.

  Returns:
    int64 [count, 256], number of pixels by record and raw id.

  Raises:
    UserError: the counts cannot be written next to the records.
  """
  path = pathlib.Path(folder, f'label_counts_{split}.npy')
  # A damaged file is recreated.
  with contextlib.suppress(OSError, ValueError, EOFError):
    counts = np.load(path, allow_pickle=False)
    if counts.shape == (count, 256):
      return counts
  counts = np.zeros((count, 256), np.int64)
  name = f'counting the labels of {split}'
  with display.Progress(name, total=count, unit='images') as progress:
    counted = ahead.map_ahead(
      lambda i: np.bincount(label_of(i).ravel(), minlength=256), range(count)
    )
    for number, row in enumerate(counted):
      counts[number] = row
      progress.update(number + 1)
  with files.atomic(path) as part:
    np.save(part, counts)
  return counts
