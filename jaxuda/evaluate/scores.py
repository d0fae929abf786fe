"""The scores of a run: every figure with its protocol."""

from collections.abc import Collection, Mapping
import os
import types
from typing import Any

import numpy as np

from jaxuda import errors
from jaxuda.data.classes import labels
from jaxuda.evaluate import blind
from jaxuda.evaluate import metrics
from jaxuda.evaluate import tables
from jaxuda.ui import display

_DEPTH_UNITS = {'sq_rel': 'm', 'rms': 'm', 'pixels': 'pixels'}


def make_scores(
  confusion: np.ndarray | None,
  classes: str,
  *,
  images: Mapping[str, float | None],
  depth: Mapping[str, float] | None,
  protocol: Mapping[str, Any],
  absent: Collection[str] = (),
  judged: Mapping[str, float] = types.MappingProxyType({}),
) -> dict[str, Any]:
  """Records every figure together with its protocol.

  Args:
    confusion: int64 [C, C] or [C, C + 1] over a split, rows are the ground
      truth; None if there are no labels.
    classes: set of the C classes, a name or a file.
    images: name -> mean IoU of the image in percent.
    depth: sums of `metrics.depth_error_sums` over the split, or None.
    protocol: 'checkpoint_step' and whatever else goes with every figure.
    absent: names of classes that the network could not learn, `labels.absent`.
      Their pixels and predictions count in every IoU, as in the official
      evaluation of DACS and CorDA on SYNTHIA (a mean over 16 of 19 classes).
    judged: criteria of `blind` by name.

  Returns:
    'checkpoint_step', 'main' (name of the mean IoU over the most classes, none
    of them absent if possible, or `blind.CHOICE` if there are no labels),
    'figures' ({name: {'value', 'unit', protocol ...}}, the main one first; a
    mean IoU is in percent, or None if no class occurs) and 'images'.
  """
  class_set = labels.get_class_set(classes)
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
    subsets = {
      name: [class_set.names[i] for i in ids]
      for name, ids in class_set.subsets.items()
    }
    # The mean over the most classes first: it is the main one.
    for name, subset in sorted(
      subsets.items(),
      key=lambda item: (not set(item[1]).isdisjoint(absent), -len(item[1])),
    ):
      if name not in figures:
        value = percent(metrics.mean_iou(iou, class_set.subsets[name]))
        add(name, value, '%', subset, classes)

  if confusion is not None:
    iou = metrics.iou_per_class(confusion)
    add_means(iou, class_set, classes)
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
  for name, value in judged.items():
    add(name, value, '', ())
  return {
    'checkpoint_step': protocol['checkpoint_step'],
    'main': blind.CHOICE if confusion is None else next(iter(figures)),
    'figures': figures,
    'images': dict(images),
  }


def rank(scores: Mapping[str, Any], newest: Mapping[str, Any]) -> float | None:
  """Returns the figure by which the best checkpoint is chosen: high is good.

  Args:
    scores: what `make_scores` returned.
    newest: the same for the run's last evaluation, whose main figure is used.

  Returns:
    The main mean IoU in percent, -1 if no class has one; without labels the
    value of `blind.CHOICE`. None if the figure was not measured (labels were
    added since, or an older version chose by another criterion) or cannot be
    compared with the newest one, e.g. as it is of another split.
  """
  figure = scores['figures'].get(newest['main'])
  if figure is None:
    return None
  now, fields = newest['figures'][newest['main']], {*tables.PROTOCOL}
  if newest['main'] == blind.CHOICE:
    fields.remove('label_resolution')  # It may have been measured with labels.
  if any(figure.get(x, now.get(x)) != now.get(x) for x in fields):
    return None
  return -1.0 if figure['value'] is None else figure['value']


def check_split(
  scores: Mapping[str, Any], asked: str, *, workdir: str | os.PathLike
) -> None:
  """Checks that a run that is done was scored on the split that is asked for.

  Nothing is left to do for it, so that another split would be ignored.

  Args:
    scores: what `make_scores` returned for the last step of the run; {} or one
      without a split passes.
    asked: name of the split.
    workdir: the run's folder, for the message.

  Raises:
    UserError: it was scored on another split.
  """
  figures = scores.get('figures', {})
  split = figures.get(scores.get('main'), {}).get('split')
  if split and split != asked:
    raise errors.UserError(
      f'{workdir} is done and was scored on the split {split}, not on {asked};'
      f' expected --config.data.target.eval_split={split}, another --workdir,'
      f' or `jaxuda evaluate --workdir={workdir} --split={asked}`'
    )


def negative_transfer(
  ours: dict[str, Any], theirs: dict[str, Any], *, against: str
) -> dict[str, Any]:
  """Compares two runs image by image.

  Args:
    ours: what `make_scores` returned.
    theirs: the same for the other run on the same split. The 'data' of both,
      see `other_data.describe`, are compared, too, if they are there.
    against: name of the other run, for the protocol.

  Returns:
    A figure: the percentage of images that score lower than under the other
    run, with the protocol.

  Raises:
    UserError: the images are not the same, or were scored in another way.
  """
  if ours['images'].keys() != theirs['images'].keys():
    raise errors.UserError(
      f'{against} was scored on other images; expected the same dataset, split'
      ' and image names'
    )
  _check_alike(ours, theirs, against)
  # An image without labelled pixels has None, which becomes NaN.
  rate = metrics.negative_transfer_rate(
    np.array([*ours['images'].values()], float),
    np.array([theirs['images'][name] for name in ours['images']], float),
  )
  return {
    **ours['figures'][ours['main']],
    'value': percent(rate),
    'against': against,
    'against_checkpoint_step': theirs['checkpoint_step'],
  }


def _check_alike(ours, theirs, against):
  """Checks that scores of single images of the same names can be compared."""

  def describe(run):
    figure = run['figures'][run['main']]
    fields = ('classes', 'split', 'label_resolution')
    place = run.get('data', {}).get('manual_dir')
    known = {x: figure.get(x) for x in fields}
    return {**known, 'manual_dir': place and os.path.realpath(place)}

  here, there = describe(ours), describe(theirs)
  if None in (here['manual_dir'], there['manual_dir']):
    here['manual_dir'] = there['manual_dir']  # Prepared data have no folder.
  for field, value in here.items():
    if value != there[field]:
      raise errors.UserError(
        f'{against} was scored with {field}={there[field]}, the run that is'
        f' compared with it with {value}; expected the same'
      )


def print_scores(title: str, runs: Mapping[str, Mapping[str, Any]]) -> None:
  """Prints a table with a row for each class and mean, a column for each run.

  `runs` maps a name to what `make_scores` returned.
  """
  columns = {name: {0: run['figures']} for name, run in runs.items()}
  rows = tables.make_table(columns, counts=True)
  display.print_table(title, ('class', *runs), tables.show_rows(rows))


def percent(x: float) -> float | None:
  """Returns a share in percent with two decimals; None for NaN."""
  return None if np.isnan(x) else round(100 * float(x), 2)


def _coarser(classes):
  """Yields the sets that merge classes of a set, with the mappings to them."""
  count = len(labels.get_class_set(classes).names)
  for name in labels.CLASS_SETS:
    try:
      mapping = labels.merge_map(classes, name)[:count]
    except errors.UserError:
      continue
    if len(set(mapping) - {labels.IGNORE}) < np.sum(mapping != labels.IGNORE):
      yield name, mapping
