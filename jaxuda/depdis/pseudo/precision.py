"""How right pseudo-labels are, where the target has true labels.

Evaluation alone: the truth is read after all pseudo-labels are written, and
nothing that trains reads what is counted here. A target without true labels has
none of these figures.
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
  """Counts the pixels of each (true class, pseudo-label).

  Args:
    config: config of the run; the training images of its target are compared,
      as many as are labelled.
    folder: folder of the pseudo-labels, see `data.files.label_files`.

  Returns:
    int64 [C, C + 1] with the truth in the rows; the last column has the pixels
    without a pseudo-label. None if the target has no true labels.
  """
  classes = len(labels.get_class_set(config.classes).names)
  config = config.copy_and_resolve_references()
  with config.unlocked():
    # A run that was itself trained on pseudo-labels names those.
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
  """Says how much is labelled, and how much of that rightly.

  Args:
    counts: what `count` returned.

  Returns:
    'labelled': of the pixels whose true class is known, the share that has a
    pseudo-label; 'precision': the share of these that is right; 'recall': the
    share of all that has the right one; and 'per_class', a list of {'labelled':
    of the pixels of this true class, 'precision': of the pixels with this
    pseudo-label, 'recall': of the pixels of this true class}. Shares are 0..1,
    None of no pixels.
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
  """Prints the shares of pseudo-labels of one or more rounds.

  Args:
    rounds: name of a round -> content of its summary.json; those without
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
    'pseudo-labels beside the true labels, which nothing is trained on, in %',
    ('class', *header),
    rows,
  )


def _cells(shares):
  for x in shares:
    for field in ('labelled', 'precision'):
      yield '-' if x[field] is None else f'{100 * x[field]:.1f}'
