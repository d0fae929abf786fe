"""How many pixels of each id every stored label has, counted once."""

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
  """Returns the counts of a split, from the file of an earlier time if any.

  Args:
    folder: folder of the prepared dataset.
    split: name of the split.
    count: number of its records.
    label_of: number of a record -> its ids, uint8 [H, W]; called in threads.

  Returns:
    int64 [count, 256], by record and raw id.

  Raises:
    UserError: the counts cannot be written beside the records.
  """
  path = pathlib.Path(folder, f'label_counts_{split}.npy')
  # A file that is damaged is made anew.
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
