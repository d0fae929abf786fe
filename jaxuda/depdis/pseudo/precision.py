"""Precision of the pseudo-labels, if the target has true labels.

This is for evaluation only: the true labels are read after all pseudo-labels
have been written, and no training uses the counts. For a target without true
labels, these figures do not exist.
"""

from collections.abc import Mapping
import itertools
import os
from typing import Any

import numpy as np

from jaxuda.data import pipeline
from jaxuda.data.classes import labels
from jaxuda.data.files import label_files
from jaxuda.ui import display


def count(config: Any, folder: str | os.PathLike) -> np.ndarray | None:
  """Counts the pixels of each pair (true class, pseudo-label).

  Args:
    config: config of the run; those training images of its target that are
      labelled are compared.
    folder: folder of the pseudo-labels, see `data.files.label_files`.

  Returns:
    int64 [C, C + 1] with one row per true class; the last column counts the
    pixels without a pseudo-label. None if the target has no true labels.
  """
  classes = len(labels.get_class_set(config.classes).names)
  config = config.copy_and_resolve_references()
  with config.unlocked():
    # The config of a run trained on pseudo-labels names the pseudo-labels.
    config.data.target.label_dir = ''
  images, total = pipeline.image_stream(
    config.data,
    fields=('label',),
    optional=('label',),
    classes=config.classes,
  )
  counts = np.zeros((classes, classes + 1), np.int64)
  first = next(images)
  if 'label' not in first:
    return None
  images = itertools.chain([first], images)
  for image in display.track(images, name='true labels', total=total):
    given = np.asarray(label_files.read(folder, image['name']))
    given = np.where(given == labels.IGNORE, classes, given)
    known = image['label'] < classes
    cells = (classes + 1) * image['label'][known] + given[known]
    counts += np.bincount(cells, minlength=counts.size).reshape(counts.shape)
  return counts


def describe(counts: np.ndarray) -> dict[str, Any]:
  """Computes how much is labelled, and how much of that correctly.

  Args:
    counts: result of `count`.

  Returns:
    'labelled': share of the pixels with a known true class that have a
    pseudo-label; 'precision': share of the latter that are correct; 'recall':
    share of the former that have the correct pseudo-label; and 'per_class', a
    list of the same shares for each class, where 'labelled' and 'recall' refer
    to the pixels of the true class, and 'precision' to those with its
    pseudo-label. Shares are in 0..1, or None if there are no pixels.
  """
  right, given = np.diagonal(counts), counts[:, :-1]
  true, labelled, predicted = counts.sum(1), given.sum(1), given.sum(0)
  return {
    'labelled': _divide(given.sum(), counts.sum()),
    'precision': _divide(right.sum(), given.sum()),
    'recall': _divide(right.sum(), counts.sum()),
    'per_class': [
      {
        'labelled': _divide(labelled[c], true[c]),
        'precision': _divide(right[c], predicted[c]),
        'recall': _divide(right[c], true[c]),
      }
      for c in range(len(counts))
    ],
  }


def _divide(part, whole):
  return float(part / whole) if whole else None


def show(rounds: Mapping[str, Mapping[str, Any]]) -> None:
  """Prints the precision of the pseudo-labels of one or more rounds.

  Args:
    rounds: name of a round -> contents of its summary.json; rounds without
      these figures are left out.
  """
  rounds = {k: x for k, x in rounds.items() if x.get('precision') is not None}
  if not rounds:
    return
  header = [
    f'{k} {x}'.strip() for k in rounds for x in ('labelled', 'precision')
  ]
  tables = [summary['per_class'] for summary in rounds.values()]
  rows = [(name, *_cells(x[name] for x in tables)) for name in tables[0]]
  rows += [(), ('all', *_cells(rounds.values()))]
  display.print_table(
    'pseudo-labels against true labels, which are not trained on, in %',
    ('class', *header),
    rows,
  )


def _cells(shares):
  for x in shares:
    for field in ('labelled', 'precision'):
      yield '-' if x[field] is None else f'{100 * x[field]:.1f}'
