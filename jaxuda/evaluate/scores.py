"""Figures with their protocol; tables and comparisons made of them."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from jaxuda import errors
from jaxuda.data.classes import labels
from jaxuda.evaluate import metrics
from jaxuda.ui import display

_DEPTH_UNITS = {'sq_rel': 'm', 'rms': 'm', 'pixels': 'pixels'}


def make_scores(
  confusion: np.ndarray,
  classes: str,
  *,
  images: Mapping[str, float | None],
  depth: Mapping[str, float] | None,
  protocol: Mapping[str, Any],
) -> dict[str, Any]:
  """Puts every figure beside its protocol.

  Args:
    confusion: int64 [C, C] or [C, C + 1] over a split, rows are true.
    classes: the set of the C classes, a name or a file.
    images: name -> mean IoU in percent.
    depth: sums of `metrics.depth_error_sums` over the split, or None.
    protocol: 'checkpoint_step' and whatever else goes with every figure.

  Returns:
    What `evaluate.run` returns.
  """
  class_set = labels.get_class_set(classes)
  iou = metrics.iou_per_class(confusion)
  figures = {}

  def add(name, value, unit, subset, classes=classes):
    figures[name] = {
      'value': value,
      'unit': unit,
      'classes': labels.identify(classes),
      'subset': list(subset),
      **protocol,
    }

  def add_means(iou, class_set, classes):
    # The mean over the most classes first: it is the main one.
    for name, ids in sorted(
      class_set.subsets.items(), key=lambda item: -len(item[1])
    ):
      if name not in figures:
        subset = [class_set.names[i] for i in ids]
        add(name, percent(metrics.mean_iou(iou, ids)), '%', subset, classes)

  add_means(iou, class_set, classes)
  main = next(iter(figures))
  for coarse, mapping in _coarser(classes):
    coarse_set = labels.get_class_set(coarse)
    merged = metrics.merge_confusion(
      confusion, mapping, num_classes=len(coarse_set.names)
    )
    add_means(metrics.iou_per_class(merged), coarse_set, coarse)
  per_class = dict(zip(class_set.names, map(percent, iou), strict=True))
  add('IoU', per_class, '%', class_set.names)
  if depth is not None:
    for name, value in metrics.depth_errors(depth).items():
      add(f'depth_{name}', float(value), _DEPTH_UNITS.get(name, ''), ())
  return {
    'checkpoint_step': protocol['checkpoint_step'],
    'main': main,
    'figures': figures,
    'images': dict(images),
  }


def best(scores: dict[str, Any]) -> float:
  """Returns the main mean IoU of the scores, -1 if there is none."""
  value = scores['figures'][scores['main']]['value']
  return -1.0 if value is None else value


def negative_transfer(
  ours: dict[str, Any], theirs: dict[str, Any], *, against: str
) -> dict[str, Any]:
  """Compares two results of `evaluate.run` image by image.

  Args:
    ours: what `evaluate.run` returned.
    theirs: the same, of the other run on the same split.
    against: name of the other run, for the protocol.

  Returns:
    A figure: the percentage of images that score lower than under the other
    run, with the protocol.

  Raises:
    UserError: the images are not the same.
  """
  if ours['images'].keys() != theirs['images'].keys():
    raise errors.UserError(
      f'{against} was scored on other images; expected the same dataset, split'
      ' and image names'
    )
  pairs = [
    (ours['images'][name], theirs['images'][name]) for name in ours['images']
  ]
  pairs = [(a, b) for a, b in pairs if a is not None and b is not None]
  rate = metrics.negative_transfer_rate(
    np.array([a for a, _ in pairs]), np.array([b for _, b in pairs])
  )
  main = ours['figures'][ours['main']]
  other = theirs['checkpoint_step']
  return {
    **main,
    'value': percent(rate),
    'against': against,
    'against_checkpoint_step': other,
  }


def print_scores(title: str, runs: dict[str, dict[str, Any]]) -> None:
  """Prints one table: a row per class and mean, a column per run."""
  first = next(iter(runs.values()))['figures']
  rows = [
    (name, *(_show(r['figures']['IoU']['value'][name]) for r in runs.values()))
    for name in first['IoU']['value']
  ]
  for kind in ('mIoU', 'depth_', 'negative_'):
    rows.append(())
    for name in first:
      if name.startswith(kind):
        figures = [r['figures'].get(name, {}) for r in runs.values()]
        rows.append((name, *(_show(f.get('value')) for f in figures)))
  display.print_table(title, ('class', *runs), rows)


def _show(value):
  return '-' if value is None else f'{value:.2f}'


def percent(x: float) -> float | None:
  """Two decimals, as the papers print; None for NaN: nothing was there."""
  return None if np.isnan(x) else round(100 * float(x), 2)


def _coarser(classes):
  """Yields the class sets that merge classes of a set, and the maps to them."""
  count = len(labels.get_class_set(classes).names)
  for name in labels.CLASS_SETS:
    try:
      mapping = labels.merge_map(classes, name)[:count]
    except errors.UserError:
      continue
    if len(set(mapping) - {labels.IGNORE}) < np.sum(mapping != labels.IGNORE):
      yield name, mapping
