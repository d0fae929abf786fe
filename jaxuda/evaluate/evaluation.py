"""Scores a network on the target: every pixel once, at label resolution.

Every figure carries its protocol: classes, subset, resolution of the labels and
of the network's input, checkpoint, network, normalisation statistics, split and
dataset. The criteria of `blind` accompany the scores, or replace them if there
are no labels. With several processes, each scores its share of the images.
"""

import collections
from collections.abc import Callable
import dataclasses
import itertools
from typing import Any

import jax
import ml_collections
import numpy as np

from jaxuda import errors
from jaxuda.data import pipeline
from jaxuda.data.classes import labels
from jaxuda.data.records import units
from jaxuda.data.store import ahead
from jaxuda.evaluate import blind
from jaxuda.evaluate import counting
from jaxuda.evaluate import metrics
from jaxuda.evaluate import norm_statistics
from jaxuda.evaluate import scores
from jaxuda.evaluate import views as views_lib
from jaxuda.run import cluster
from jaxuda.step import parallel
from jaxuda.ui import display


def run(
  method: Any,
  state: Any,
  config: ml_collections.ConfigDict,
  *,
  step: int,
  split: str | None = None,
  classes: str | None = None,
  views: views_lib.Views = views_lib.ONCE,
  judge: bool = False,
  statistics: str = '',
  progress: display.Progress | None = None,
  stop: Callable[[], bool] = lambda: False,
) -> dict[str, Any] | None:
  """Evaluates a state on the target domain.

  Args:
    method: method whose `predict` is scored.
    state: training state.
    config: config of the run.
    step: steps taken, for the protocol.
    split: split of the target dataset; its `eval_split` if None.
    classes: class set that the network's classes are merged to; its own if
      None.
    views: the views of each image. If there are several, images are read at
      their own resolution, and no depth is scored.
    judge: whether the criteria of `blind` are measured, too. Labels may then be
      missing.
    statistics: the description that `norm_statistics.reestimate` returned with
      the state; '' for a state as it was trained.
    progress: progress line of the loop that this interrupts.
    stop: called after every batch; the evaluation is abandoned if it returns
      True.

  Returns:
    What `scores.make_scores` returns; None if stopped.

  Raises:
    UserError: an unknown class set, or one that cannot be merged to; no labels
      to score; or see `check_views`.
  """
  check_views(config, views)
  target, once = config.data.target, views == views_lib.ONCE
  split = split or target.eval_split
  own, classes = config.classes, classes or config.classes
  count = len(labels.get_class_set(classes).names)
  options = {
    'method': method,
    'table': None if classes == own else counting.merge_table(own, classes),
    'count': count,
  }
  with_depth = once and counting.predicts_depth(method, state, target.size)
  needed = method.needs.get('target', ())
  state = parallel.everywhere(state) if once else parallel.local(state)

  def count_batch(batch):
    if not once:
      resize = target.get('image_resize', 'bicubic')
      looking = {'size': target.size, 'views': views, 'image_resize': resize}
      return counting.count_views(state, batch, **looking, **options)
    return counting.count_once(state, batch, judge=judge, **options)

  batches = _read_batches(
    config,
    split=split,
    classes=classes,
    with_depth=with_depth,
    learnt_from='target' if 'depth' in needed else 'source',
    whole_images=not once,
    optional=('label',) if judge else (),
    progress=progress,
  )
  counted = _count(_count_behind(batches, count_batch), count, stop)
  if counted is None:
    return None
  merged, resolution = _merge(cluster.gather(counted))
  protocol = {
    'label_resolution': resolution,
    'network_input': list(target.size),
    'checkpoint_step': step,
    'network': 'teacher' if method.evaluate == 'teacher' else 'task (student)',
    'statistics': statistics or norm_statistics.describe(method, state),
    'split': split,
    'dataset': target.dataset,
    'images': len(merged['images']),
  }
  if not once:
    protocol['views'] = dataclasses.asdict(views)
  if 'label' in needed and not target.get('label_dir'):
    # Ground truth, not pseudo-labels: an upper bound, not adaptation.
    protocol['bound'] = 'trained with labels of the target'
  return scores.make_scores(
    classes=classes,
    protocol=protocol,
    absent=labels.absent(config.data.source.dataset),
    **merged,
  )


def check_views(
  config: ml_collections.ConfigDict, views: views_lib.Views
) -> None:
  """Checks that the stored images have the details that views enlarge.

  Raises:
    UserError: they are stored at the size of the network's input.
  """
  store = config.data.target.get('store') or 'raw'
  if store != 'raw' and (views.window or max(views.scales) > 1):
    raise errors.UserError(
      f'config.data.target.store={store!r} keeps images at the size of the'
      " network's input, where windows and scales above 1 show no more;"
      ' expected raw, such as by --data.target.store=raw'
    )


def _read_batches(
  config,
  *,
  split,
  classes,
  with_depth,
  learnt_from,
  whole_images,
  optional,
  progress,
):
  """Yields this process's share of the batches, under a progress line."""
  processes, devices = jax.process_count(), jax.local_device_count()
  share = 1
  if not whole_images:
    # The same number of images, at least one, on each device: none is idle.
    share = -(-config.eval_batch_size // (processes * devices)) * devices
  with cluster.first_process_first():
    total = pipeline.eval_size(config.data, split=split, optional=optional)
  if with_depth:
    with_depth = units.scores_depth(
      config.data, learnt_from=learnt_from, split=split
    )
  batches = pipeline.eval_stream(
    config.data,
    classes=classes,
    split=split,
    batch_size=share * processes,
    process_index=jax.process_index(),
    process_count=processes,
    whole_images=whole_images,
    many_sizes=not whole_images,
    optional=optional,
    with_depth=with_depth,
  )
  with cluster.progress(
    f'evaluate {config.data.target.dataset} {split}',
    total=total,
    unit='images',
    parent=progress,
  ) as shown:
    for number, batch in enumerate(batches, 1):
      yield batch
      shown.update(min(total, number * share * processes))


def _count_behind(batches, count_batch):
  """Yields (batch, result on the host), one batch behind the device."""
  counted = ((batch, count_batch(batch)) for batch in batches)
  for batch, result in ahead.one_behind(counted):
    yield batch, jax.device_get(result)


def _count(counted_batches, count, stop):
  """Sums the scores of this process, in JSON types; None if stopped."""
  confusion = np.zeros((count, count + 1), np.int64)
  batches, sizes, depth = [], set(), collections.Counter()
  judged, labelled = collections.defaultdict(list), False
  for batch, result in counted_batches:
    # A padded batch has fewer names than rows.
    names = batch['name']
    iou = [None] * len(names)
    if 'confusion' in result:
      labelled = True
      per_image = np.asarray(result['confusion']).astype(np.int64)
      confusion += per_image.sum(0)
      iou = map(scores.percent, metrics.image_mean_iou(per_image))
    batches.append(list(zip(names, iou, strict=False)))
    # An array of images of one size iterates over its rows, too.
    scored = batch['label' if 'label' in batch else 'image'][: len(names)]
    sizes |= {tuple(map(int, x.shape[:2])) for x in scored}
    for name, values in result.get('blind', {}).items():
      judged[name] += np.asarray(values)[: len(names)].tolist()
    depth.update({k: float(v) for k, v in result.get('depth', {}).items()})
    if stop():
      return None
  return {
    'confusion': confusion.tolist() if labelled else None,
    'batches': batches,
    'depth': depth,
    'blind': judged,
    'sizes': sorted(sizes),
  }


def _merge(parts):
  """Adds up the counts of all processes; also returns the label size."""
  counts = [x['confusion'] for x in parts if x['confusion'] is not None]
  confusion = np.sum(counts, axis=0, dtype=np.int64) if counts else None
  images, depth = {}, collections.Counter()
  judged = collections.defaultdict(list)
  rest = [{k: iter(x) for k, x in part['blind'].items()} for part in parts]
  # The first process holds the first rows of every batch.
  for shares in zip(*(x['batches'] for x in parts), strict=True):
    for name, iou in itertools.chain(*shares):
      images[name if name not in images else f'{name}#{len(images)}'] = iou
    for share, values in zip(shares, rest, strict=True):
      for name, found in values.items():
        judged[name] += itertools.islice(found, len(share))
  for part in parts:
    depth.update(part['depth'])
  sizes = sorted({tuple(size) for x in parts for size in x['sizes']})
  sizes = [list(size) for size in sizes]
  resolution = sizes[0] if len(sizes) == 1 else sizes
  merged = {
    'confusion': confusion,
    'images': images,
    'depth': dict(depth) or None,
    'judged': blind.finish(judged) if judged else {},
  }
  return merged, resolution


def set_folders(
  config: ml_collections.ConfigDict,
  *,
  data_dir: str | None = None,
  manual_dir: str | None = None,
) -> None:
  """Points a run's config to other data folders, such as on this machine.

  `data_dir` is the folder of TFDS, `manual_dir` that of the target's download;
  None keeps the folder of the config.
  """
  if data_dir:
    config.data.data_dir = data_dir
  if manual_dir:
    config.data.target.manual_dir = manual_dir
