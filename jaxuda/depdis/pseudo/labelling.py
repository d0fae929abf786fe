"""Pseudo-labels of the target's training images, refined by the spatial prior.

A pixel keeps its label if its largest probability is at least 0.9 and the patch
of its class is large enough (see `prior`). The official code does the same,
with one confidence threshold for all classes.
"""

import dataclasses
import functools
import hashlib
import itertools
import json
import pathlib
from typing import Any, Literal

import jax
import numpy as np

from jaxuda import errors
from jaxuda.data import pipeline
from jaxuda.data.classes import labels
from jaxuda.data.files import label_files
from jaxuda.data.store import ahead
from jaxuda.depdis.fit import fitting
from jaxuda.depdis.pseudo import precision
from jaxuda.depdis.pseudo import prior
from jaxuda.methods.parts import mixtures as mixtures_lib
from jaxuda.ops import pseudo_label
from jaxuda.run import cluster
from jaxuda.run import workdir as workdir_lib
from jaxuda.step import parallel
from jaxuda.ui import display
from jaxuda.ui import files
from jaxuda.ui import panels

# Area in pixels of the images for which the official thresholds are meant.
_AREA = 760 * 1280
_DONE = 'images.jsonl'
# Number of threads that drop patches and write while the network runs.
_THREADS = 4


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
  """`config.self_training`.

  Attributes:
    rounds: number of rounds of pseudo-labels and training; 2 in the paper.
    checkpoint: checkpoint whose network predicts the labels and is trained
      further: 'best' on the evaluation split, as in the official code, or
      'last'.
    total_steps: length of the schedules of each training; officially 90000.
    stop_step: number of steps of each training; officially 30000 (10000 for
      Cityscapes' 7 classes at full size).
    learning_rate: learning rate of each training; 0 for that of `config.optim`,
      as in the official code.
    norm: statistics of the batch norms in each training, see `deeplab.Options`;
      '' for those of `config.network`, as in the official code.
    confidence: smallest probability of a label that is kept; officially 0.9.
    spatial_prior: whether small patches are dropped.
    base: base of the prior's thresholds, see `prior.thresholds`.
    range: extent of the prior's thresholds, see `prior.thresholds`.
    scale_area: whether to scale the thresholds with the image's area. The
      official code uses those for 1280x760 at 640x320, too.
    first: number of the target's training images to label, the first ones by
      name; 0 for all. No more than `config.data.target.first` of them.
      Officially 9000 of 18000 on Mapillary, which the paper does not mention.
    share: share of these images to label; with `config.data.target.fraction`
      that share of what the other stages see.
    adversarial: folder of a completed run with the same config (`jaxuda.main`)
      that serves as the first stage of `jaxuda.depdis.run`, which otherwise
      trains its own.
  """

  rounds: int = 2
  checkpoint: Literal['best', 'last'] = 'best'
  total_steps: int = 90000
  stop_step: int = 30000
  learning_rate: float = 0.0
  norm: Literal['', 'batch', 'sync', 'frozen'] = ''
  confidence: float = 0.9
  spatial_prior: bool = True
  base: float = 50
  range: float = 4950
  scale_area: bool = False
  first: int = 0
  share: float = 1.0
  adversarial: str = ''

  def __post_init__(self):
    errors.check_choices(self, group='self_training')
    ranges = {
      'rounds': (0, None),
      'stop_step': (1, self.total_steps),
      'learning_rate': (0, None),
      'confidence': (0, 1),
      'base': (0, None),
      'range': (0, None),
      'first': (0, None),
      'share': (0, 1),
    }
    errors.check_ranges(self, ranges, group='self_training')
    if self.share == 0:
      raise errors.UserError('self_training.share=0; expected more than 0')


def read_options(config: Any) -> Options:
  """Reads `config.self_training`, using the defaults if it is missing.

  If the run sees only some of the target's images (`config.data.target.first`,
  `fraction`), no others are labelled: in the adversarial stage the given part
  of them, in a later stage all.

  Raises:
    UserError: a value is out of range, or a field is unknown.
  """
  fields = config.get('self_training', {})
  options = errors.construct(Options, fields, group='self_training')
  target = config.data.target
  first, share = target.get('first', 0), target.get('fraction', 1.0)
  if not target.get('label_dir'):
    first = min(filter(None, (options.first, first)), default=0)
    share *= options.share
  # A run that is trained on labels has those images in these fields.
  return dataclasses.replace(options, first=first, share=share)


def write_labels(
  run: workdir_lib.Run, out: pathlib.Path, options: Options
) -> dict[str, Any]:
  """Labels every image that has not been labelled by an earlier call.

  Writes NAME.png for every image (class ids at the network's size, 255 = not
  trusted), summary.json and, while it runs, images.jsonl. It uses all devices,
  with `config.eval_batch_size` images at a time; several processes share the
  images.

  Args:
    run: the run returned by `workdir.load`.
    out: the folder to write to.
    options: see `Options`.

  Returns:
    The contents of summary.json: mainly the number of confident pixels and of
    kept pixels of each class and, if the target has true labels, how correct
    the pseudo-labels are (see `precision.describe`), which is only displayed.

  Raises:
    UserError: the folder holds labels of another network or of other options.
  """
  config = run.config.copy_and_resolve_references()
  with config.unlocked():
    config.data.target.fraction = options.share
    config.data.target.first = options.first
  names = labels.get_class_set(config.classes).names
  with cluster.first_process_first():  # If the prior has yet to be fitted.
    least = _thresholds(config, options, len(names))
    images, total = pipeline.image_stream(
      config.data, share=(jax.process_index(), jax.process_count())
    )
  state = parallel.everywhere(run.state)
  origin = _origin(run, state, options, least)
  first = cluster.is_first()
  done = cluster.gather(_claim(out, origin) if first else {})[0]
  write = functools.partial(
    *(_write_label, out, options, least), classes=len(names)
  )
  with cluster.progress(
    'pseudo-labels', total=total, start=len(done), unit='images'
  ) as progress:
    todo = (x for x in images if x['name'].decode() not in done)
    predicted = _predict_all(todo, run, state)
    mine = {}
    for name, counts in ahead.map_ahead(write, predicted, workers=_THREADS):
      mine[name] = counts
      files.append_line(_log(out), json.dumps({'name': name, **counts}))
      step = len(done) + len(mine) * jax.process_count()
      progress.update(min(step, total))
    progress.update(total)
  for more in cluster.gather(mine):
    done |= more
  if first:
    summary = _summarize(config, options, least, done, names)
    _add_precision(summary, precision.count(config, out))
    workdir_lib.write_json(out / label_files.SUMMARY, summary)
  return cluster.gather(summary if first else None)[0]


def _predict_all(images, run, state):
  """Yields (name, label [H, W], confidence [H, W]), computed in batches."""
  devices = jax.local_device_count()
  count = -(-run.config.eval_batch_size // (jax.process_count() * devices))
  batches = iter(lambda: list(itertools.islice(images, count * devices)), [])

  def predict(batch):
    # The last batch is padded to avoid another compilation.
    rows = parallel.pad_rows([x['image'] for x in batch], count=count)
    seen = parallel.spread(np.stack(rows))
    names = [x['name'].decode() for x in batch]
    return names, _predict(state, seen, method=run.method)

  for names, found in ahead.one_behind(map(predict, batches)):
    yield from zip(names, *jax.device_get(found), strict=False)


def _write_label(out, options, least, found, *, classes):
  """Writes the kept labels of an image; returns its name and the counts."""
  name, label, confidence = found
  believed = confidence >= options.confidence
  sure = np.where(believed, label, labels.IGNORE).astype(np.uint8)
  kept = prior.keep_patches(sure, least) if least is not None else sure
  panels.write_png(_path(out, name), kept)
  counts = {'confident': _count(sure, classes), 'kept': _count(kept, classes)}
  return name, counts


def _add_precision(summary, counts):
  """Adds the precision of the labels, if it is known."""
  if counts is None:
    return
  right = precision.describe(counts)
  shares = right.pop('per_class')
  for of_class, more in zip(summary['per_class'].values(), shares, strict=True):
    of_class |= more
  summary |= right


@functools.partial(jax.jit, static_argnames='method')
def _predict(state, image, *, method):
  return pseudo_label.pseudo_label(method.predict(state, image)['logits'])


def _thresholds(config, options, classes):
  """Returns the prior's thresholds int [C], or None without the prior."""
  if not options.spatial_prior:
    return None
  given = config.method.get('mixtures') or config.get('mixtures_file')
  path = given or fitting.find_or_fit(config)
  counts = mixtures_lib.read(path, classes=classes).counts
  height, width = config.data.target.size
  return prior.thresholds(
    counts,
    base=options.base,
    extent=options.range,
    scale=height * width / _AREA if options.scale_area else 1.0,
  )


def _origin(run, state, options, least):
  """Returns everything on which the labels depend, in JSON types."""
  digest = hashlib.sha256()
  net = state.nets['task']
  for leaf in jax.tree.leaves((net.params, net.batch_stats)):
    digest.update(np.asarray(leaf).tobytes())
  target = run.config.data.target
  return {
    'step': run.step,
    'network': digest.hexdigest()[:16],
    'dataset': f'{target.dataset} {target.split}',
    'size': list(target.size),
    'classes': labels.identify(run.config.classes),
    'confidence': options.confidence,
    'share': options.share,
    **({'first': options.first} if options.first else {}),
    'thresholds': None if least is None else least.tolist(),
  }


def _claim(out, origin):
  """Claims a folder; returns {name: counts} of the images already done."""
  path = files.check_folder(out) / label_files.ORIGIN
  if not path.is_file():
    if not files.is_empty(out):
      raise errors.UserError(f'{out} is not empty; expected a new folder')
    workdir_lib.write_json(path, origin)
  found = workdir_lib.read_json(path)
  wrong = [k for k in origin if found.get(k) != origin[k]]
  if wrong:
    raise errors.UserError(
      f'{out} has labels with {wrong[0]}={found.get(wrong[0])}; expected'
      f' {origin[wrong[0]]}, or a new folder'
    )
  # Images with an incomplete line or a missing file are labelled again.
  logs = sorted(out.glob(f'{_DONE}*'))
  lines = [x for log in logs for x in workdir_lib.read_lines(log)]
  lines = [x for x in lines if _path(out, x['name']).is_file()]
  workdir_lib.write_lines(out / _DONE, lines)
  for log in logs:  # Those of other processes, of which there may be fewer now.
    if log.name != _DONE:
      log.unlink()
  return {x.pop('name'): x for x in lines}


def _log(out):
  """Returns the file in which this process records what it has done."""
  return out / (
    _DONE if cluster.is_first() else f'{_DONE}.{jax.process_index()}'
  )


def _path(out, name):
  """Returns the label file of an image, which must be inside the folder."""
  path = out / f'{name}.png'
  if not path.resolve().is_relative_to(out.resolve()):
    raise errors.UserError(f'image name {name!r} leaves {out}')
  return path


def _count(label, classes):
  return np.bincount(label.ravel(), minlength=256)[:classes].tolist()


def _summarize(config, options, least, done, names):
  height, width = config.data.target.size
  confident, kept = (
    np.sum([x[key] for x in done.values()], axis=0).tolist()
    for key in ('confident', 'kept')
  )
  least = [None] * len(names) if least is None else least.tolist()
  columns = {'confident': confident, 'kept': kept, 'threshold': least}
  return {
    'classes': labels.identify(config.classes),
    'images': len(done),
    'pixels': len(done) * height * width,
    'confidence': options.confidence,
    'per_class': {
      name: {key: column[i] for key, column in columns.items()}
      for i, name in enumerate(names)
    },
  }


def show(summary: dict[str, Any]) -> None:
  """Prints a summary as tables."""
  rows, kept = [], 0
  for name, x in summary['per_class'].items():
    least = '-' if x['threshold'] is None else str(x['threshold'])
    rows.append((name, f'{x["confident"]:,}', f'{x["kept"]:,}', least))
    kept += x['kept']
  display.print_table(
    f'{summary["images"]} images, {kept / summary["pixels"]:.1%} of the pixels'
    f' kept at confidence {summary["confidence"]}',
    ('class', 'confident', 'kept', 'smallest patch'),
    rows,
  )
  precision.show({'': summary})
