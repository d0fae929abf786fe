r"""Scores of a checkpoint, at label resolution, every pixel once.

    python -m jaxuda.evaluate --workdir=DIR [--checkpoint=last|best|STEP] \
        [--against=OTHER_DIR] [--split=val] [--classes=coarse7] [--out=FILE] \
        [--flip] [--scales=0.75,1,1.25] [--window]
    python -m jaxuda.evaluate --weights=FILE --config=configs/dada.py:... \
        [--network=student|teacher] [--config.field=value ...]

The second scores a published checkpoint (or the folder of a conversion) as the
config of its method prepares images and labels; see configs/published.py.

--flip, --scales and --window average what several views of a picture give, see
`views`; the papers' figures are without. With --distributed several processes
share the images: docs/clusters.md.

Every figure carries its protocol: classes, subset, resolution of the labels and
of the network's input, checkpoint, network, split and dataset.
"""

import collections
from collections.abc import Callable
import dataclasses
import itertools
import pathlib
from typing import Any

from absl import flags
import jax
import ml_collections
from ml_collections import config_flags
import numpy as np

from jaxuda import errors
from jaxuda.data import pipeline
from jaxuda.data.classes import labels
from jaxuda.evaluate import counting
from jaxuda.evaluate import metrics
from jaxuda.evaluate import scores
from jaxuda.evaluate import views as views_lib
from jaxuda.run import cluster
from jaxuda.run import workdir as workdir_lib
from jaxuda.step import parallel
from jaxuda.ui import command
from jaxuda.ui import display
from jaxuda.weights import converted
from jaxuda.weights import reading
from jaxuda.weights import runs


def run(
  method: Any,
  state: Any,
  config: ml_collections.ConfigDict,
  *,
  step: int,
  split: str | None = None,
  classes: str | None = None,
  views: views_lib.Views = views_lib.ONCE,
  progress: display.Progress | None = None,
  stop: Callable[[], bool] = lambda: False,
) -> dict[str, Any] | None:
  """Evaluates a state on the target domain.

  Args:
    method: whose `predict` is scored.
    state: a training state.
    config: the run's config.
    step: steps taken, for the protocol.
    split: of the target dataset; `config.data.target.eval_split` if None.
    classes: a set that the network's classes are merged to; its own if None.
    views: how the pictures are looked at. If more than once, each is read at
      its own resolution, and no depth is scored.
    progress: the loop that this interrupts.
    stop: asked after every batch; True gives up.

  Returns:
    None if stopped, else 'checkpoint_step', 'main' (name
    of the mean IoU over the most classes), 'figures' ({name: {'value', 'unit',
    protocol ...}}; a mean IoU is in percent and null without any class), and
    'images' ({name: its own mean IoU in percent}).

  Raises:
    UserError: an unknown class set, or one that cannot be merged to.
  """
  own = config.classes
  classes = classes or own
  split = split or config.data.target.eval_split
  table = None if classes == own else counting.merge_table(own, classes)
  counted = _count(
    _count_batches(
      method,
      parallel.local(state),
      config,
      split,
      classes,
      table,
      views,
      progress,
    ),
    len(labels.get_class_set(classes).names),
    stop,
  )
  if counted is None:
    return None
  confusion, images, depth, resolutions = _merge(cluster.gather(counted))
  protocol = {
    'label_resolution': _resolution(resolutions),
    'network_input': list(config.data.target.size),
    'checkpoint_step': step,
    'network': 'teacher' if method.evaluate == 'teacher' else 'task (student)',
    'split': split,
    'dataset': config.data.target.dataset,
    'images': len(images),
  }
  if views != views_lib.ONCE:
    protocol['views'] = dataclasses.asdict(views)
  return scores.make_scores(
    confusion, classes, images=images, depth=depth, protocol=protocol
  )


def _count(counted_batches, count, stop):
  """Sums what this process scored, in JSON types; None if stopped."""
  confusion = np.zeros((count, count + 1), np.int64)
  batches, resolutions, depth = [], [], collections.Counter()
  for batch, result in counted_batches:
    per_image = np.asarray(result['confusion']).astype(np.int64)
    confusion += per_image.sum(0)
    iou = map(scores.percent, metrics.image_mean_iou(per_image))
    # Of a batch that was filled up, there are fewer names.
    batches.append(list(zip(batch['name'], iou, strict=False)))
    if batches[-1]:
      resolutions.append(batch['label'].shape[1:])
    if 'depth' in result:
      depth.update({k: float(v) for k, v in result['depth'].items()})
    if stop():
      return None
  return {
    'confusion': confusion.tolist(),
    'batches': batches,
    'depth': depth,
    'resolutions': sorted({tuple(map(int, size)) for size in resolutions}),
  }


def _merge(parts):
  """Puts together what each process has counted."""
  confusion = np.sum([x['confusion'] for x in parts], axis=0, dtype=np.int64)
  images = {}
  # Of every batch the first process has the first rows.
  for shares in zip(*(x['batches'] for x in parts), strict=True):
    for name, iou in itertools.chain(*shares):
      images[_unique(name, images)] = iou
  depth = collections.Counter()
  for part in parts:
    depth.update(part['depth'])
  resolutions = {tuple(size) for x in parts for size in x['resolutions']}
  return confusion, images, dict(depth) or None, resolutions


def _count_batches(
  method, state, config, split, classes, table, views, progress
):
  """Yields (batch, result on the host), one batch behind the device."""
  target, once = config.data.target, views == views_lib.ONCE
  with_depth = once and counting.predicts_depth(method, state, target.size)
  # A process has at least one image at a time.
  processes = jax.process_count()
  share = max(1, config.eval_batch_size // processes) if once else 1
  with cluster.first_process_first():
    total = pipeline.eval_size(config.data, split=split)
  batches = pipeline.eval_stream(
    config.data,
    classes=classes,
    split=split,
    batch_size=share * processes,
    with_depth=with_depth,
    process_index=jax.process_index(),
    process_count=processes,
    whole_images=not once,
  )
  options = {
    'method': method,
    'table': table,
    'count': len(labels.get_class_set(classes).names),
  }
  waiting = None
  with display.Progress(
    f'evaluate {target.dataset} {split}',
    total=total,
    unit='images',
    parent=progress,
  ) as shown:
    done = 0
    for batch in batches:
      if once:
        depth = None
        if with_depth and 'depth' in batch:
          depth = (batch['depth'], batch['depth_valid'])
        arrays = parallel.spread((batch['image'], batch['label'], depth))
        result = counting.count_batch(state, *arrays, **options)
      else:
        result = counting.count_views(
          state,
          batch,
          size=target.size,
          views=views,
          image_resize=target.get('image_resize', 'bicubic'),
          **options,
        )
      if waiting:
        yield waiting[0], jax.device_get(waiting[1])
      waiting = batch, result
      done = min(total, done + share * processes)
      shown.update(done)
    if waiting:
      yield waiting[0], jax.device_get(waiting[1])


def _resolution(sizes):
  """[h, w], or a list of them where the images differ."""
  sizes = sorted(list(map(int, s)) for s in sizes)
  return sizes[0] if len(sizes) == 1 else sizes


def _unique(name, taken):
  return name if name not in taken else f'{name}#{len(taken)}'


def _load_weights():
  weights = converted.read(flags.FLAGS.weights, network=flags.FLAGS.network)
  return runs.from_weights(weights, flags.FLAGS.config)


def _load(workdir, which):
  return workdir_lib.load(workdir, which=which, only=workdir_lib.predicts)


def _evaluate(loaded, views):
  data = loaded.config.data
  if flags.FLAGS.data_dir:
    data.data_dir = flags.FLAGS.data_dir
  if flags.FLAGS.manual_dir:
    data.target.manual_dir = flags.FLAGS.manual_dir
  return run(
    loaded.method,
    loaded.state,
    loaded.config,
    step=loaded.step,
    split=flags.FLAGS.split,
    classes=flags.FLAGS.classes,
    views=views,
  )


def main() -> None:
  """Runs the command line."""
  with cluster.joined(flags.FLAGS.distributed, switch='--distributed'):
    _main()


def _main():
  command.hide_accelerators()
  workdir, against = flags.FLAGS.workdir, flags.FLAGS.against
  weights, which = flags.FLAGS.weights, flags.FLAGS.checkpoint
  # Before a network is loaded.
  views = views_lib.from_flags()
  if bool(workdir) == bool(weights):
    raise errors.UserError('expected either --workdir or --weights')
  if weights and flags.FLAGS.config is None:
    raise errors.UserError('--weights needs --config=configs/<method>.py:...')
  if weights:
    ours = _evaluate(_load_weights(), views)
    for figure in ours['figures'].values():
      figure['weights'] = pathlib.Path(weights).name
  else:
    ours = _evaluate(_load(workdir, which), views)
  shown = {workdir or weights: ours}
  if against:
    theirs = _evaluate(_load(against, which), views)
    figure = scores.negative_transfer(ours, theirs, against=against)
    ours['figures']['negative_transfer_rate'] = figure
    shown['against: ' + against] = theirs
  if not cluster.is_first():
    return
  protocol = ours['figures'][ours['main']]
  size = 'x'.join(map(str, np.ravel(protocol['label_resolution'])[:2]))
  scores.print_scores(
    f'IoU in %, {protocol["dataset"]} {protocol["split"]},'
    f' {protocol["images"]} images at {size}, '
    + (protocol.get('weights') or f'step {ours["checkpoint_step"]}'),
    shown,
  )
  out = flags.FLAGS.out or (
    f'{weights.rstrip("/")}.evaluation.json'
    if weights
    else pathlib.Path(workdir) / 'evaluation.json'
  )
  workdir_lib.write_json(out, ours)
  print(f'wrote {out}')


def define_flags():
  """Only when run as a program: `main` has flags of its own."""
  config_flags.DEFINE_config_file(
    'config', None, 'With --weights: configs/<method>.py:argument=value,...'
  )
  flags.DEFINE_string('workdir', None, 'Folder of the run.')
  flags.DEFINE_string('weights', None, 'Published file, or a conversion.')
  flags.DEFINE_enum(
    'network', 'student', reading.NETWORKS, 'Which network of a file.'
  )
  flags.DEFINE_string(
    'checkpoint', 'last', 'last, best (by the main mIoU) or a step.'
  )
  flags.DEFINE_string(
    'against', None, 'Folder of another run, for the negative-transfer rate.'
  )
  flags.DEFINE_string('split', None, "The config's eval_split if unset.")
  flags.DEFINE_string(
    'classes', None, 'Class set to merge to, a name or a class table.'
  )
  flags.DEFINE_string(
    'out', None, 'JSON to write; evaluation.json beside it if unset.'
  )
  views_lib.define_flags()
  flags.DEFINE_string('data_dir', None, 'Where TFDS keeps its data.')
  flags.DEFINE_string(
    'manual_dir', None, 'Where the target dataset was downloaded to.'
  )
  flags.DEFINE_bool(
    'distributed', False, 'One of several processes: docs/clusters.md.'
  )
  cluster.define_flags()
