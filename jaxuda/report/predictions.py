"""Predictions of all runs on the evaluation split.

All runs predict an image at the same time, so that their disagreement is known
without storing every prediction.
"""

from collections.abc import Iterator, Mapping
import dataclasses
import heapq
import json
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxuda import errors
from jaxuda.data import pipeline
from jaxuda.data.classes import labels
from jaxuda.evaluate import counting
from jaxuda.evaluate import metrics
from jaxuda.evaluate import scores
from jaxuda.run import workdir as workdir_lib
from jaxuda.ui import display


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sample:
  """An image with the predictions of each run.

  Attributes:
    name: name of the image.
    disagreement: share of its labelled pixels, see `disagreements`.
    image: uint8 [H, W, 3] RGB, at the first run's input size.
    label: int32 [h, w], 255 = ignore.
    depth: true depth [h, w] in metres, 0 where it is unknown; or None.
    predictions: run -> classes, uint8 [h, w].
    depths: run -> depth [h, w] in metres, for the runs that predict it.
    densities: run -> density [h, w] in 0..255, for the runs that predict it.
    iou: run -> mean IoU of the image in percent, None without labelled pixels.
  """

  name: str
  disagreement: float
  image: np.ndarray
  label: np.ndarray
  depth: np.ndarray | None
  predictions: Mapping[str, np.ndarray]
  depths: Mapping[str, np.ndarray]
  densities: Mapping[str, np.ndarray]
  iou: Mapping[str, float | None]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Look:
  """The predictions of all runs.

  Attributes:
    confusions: run -> int64 [C, C], rows are the ground truth.
    scores: run -> what `scores.make_scores` returns, without depth errors.
    samples: images on which the runs disagree most, in descending order.
    images: number of images predicted.
    total: number of images in the split.
  """

  confusions: Mapping[str, np.ndarray]
  scores: Mapping[str, Mapping[str, Any]]
  samples: list[Sample]
  images: int
  total: int


def disagreements(predictions: np.ndarray, label: np.ndarray) -> np.ndarray:
  """Returns the share of the labelled pixels on which the runs disagree.

  Args:
    predictions: classes [R, B, h, w] of R runs; a single run is compared with
      the ground truth.
    label: [B, h, w], 255 = ignore.

  Returns:
    float64 [B], 0 for an image without a labelled pixel.
  """
  counted = label != metrics.IGNORE
  other = predictions[0] if len(predictions) > 1 else label
  differ = (predictions != other).any(0) & counted
  number = counted.sum((1, 2))
  return differ.sum((1, 2)) / np.maximum(number, 1)


def look(
  runs: Mapping[str, workdir_lib.Run],
  *,
  count: int,
  limit: int | None = None,
) -> Look:
  """Predicts the evaluation split once with every run.

  Args:
    runs: name -> run; all have the same classes, dataset and split.
    count: number of samples to keep.
    limit: number of images to predict, from the first; None for all.

  Raises:
    UserError: the data cannot be read, or are not the same for all runs.
  """
  config = next(iter(runs.values())).config
  classes = len(labels.get_class_set(config.classes).names)
  confusions = {name: np.zeros((classes, classes), np.int64) for name in runs}
  ious, kept = {name: [] for name in runs}, []
  total = pipeline.eval_size(config.data)
  seen = min(total, limit or total)
  target = config.data.target
  with display.Progress(
    f'predict {target.dataset} {target.eval_split}', total=seen, unit='images'
  ) as progress:
    for batches in _read_batches(runs):
      number, outs = min(len(batches[0]['name']), seen - progress.done), {}
      for (name, run), batch in zip(runs.items(), batches, strict=True):
        # Without the padding rows of the last batch.
        out = {k: x[:number] for k, x in predict_batch(run, batch).items()}
        confusions[name] += out['confusion'].astype(np.int64).sum(0)
        iou = metrics.image_mean_iou(out['confusion'])
        outs[name] = {**out, 'iou': [*map(scores.percent, iou)]}
        ious[name] += outs[name]['iou']
      # Of ties, the earlier one stays.
      kept = heapq.nlargest(
        count,
        [*kept, *_make_samples(batches[0], outs)],
        key=lambda sample: sample.disagreement,
      )
      progress.update(progress.done + number)
      if progress.done >= seen:
        break
  return Look(
    confusions=confusions,
    scores={
      name: scores.make_scores(
        confusions[name],
        run.config.classes,
        # Keyed by number: two images may have the same name.
        images={str(i): iou for i, iou in enumerate(ious[name])},
        depth=None,
        protocol={'checkpoint_step': run.step, 'images': progress.done},
        absent=labels.absent(run.config.data.source.dataset),
      )
      for name, run in runs.items()
    },
    samples=kept,
    images=progress.done,
    total=total,
  )


def predict_batch(
  run: workdir_lib.Run, batch: Mapping[str, Any]
) -> dict[str, np.ndarray]:
  """Predicts an evaluation batch of `pipeline.eval_stream`.

  Returns:
    Arrays on the host: 'prediction' uint8 [B, h, w], 'confusion' int32
    [B, C, C] and, if the network predicts them, 'depth' [B, h, w] in metres and
    'density' [B, h, w] in 0..255.
  """
  return jax.device_get(
    _predict(run.state, batch['image'], batch['label'], method=run.method)
  )


def _predict(state, image, label, *, method):
  # The network is compiled once, whatever the sizes of the labels.
  seen = counting.look(state, image, method=method, depth=True)
  return _finish(seen['out'], label, method=method)


@jax.jit(static_argnames='method')
def _finish(out, label, *, method):
  out = method.enlarge(out, label.shape[1:])
  prediction = jnp.argmax(out['logits'], axis=-1)
  result = {
    'prediction': prediction.astype(jnp.uint8),
    'confusion': metrics.image_confusion_matrices(
      label, prediction, num_classes=out['logits'].shape[-1]
    ),
  }
  return result | {k: out[k] for k in ('depth', 'density') if k in out}


def _read_batches(runs) -> Iterator[list[dict[str, Any]]]:
  """Yields a batch for each run, the same one for runs with the same input."""
  configs = [run.config for run in runs.values()]
  # Depth is shown if any run predicts it; the first stream reads the true one.
  with_depth = any(
    counting.predicts_depth(r.method, r.state, r.config.data.target.size)
    for r in runs.values()
  )
  size = min(config.eval_batch_size for config in configs)
  streams, places = {}, []
  for config in configs:
    data = workdir_lib.config_to_dict(config.data)
    seen = json.dumps(
      [{k: v for k, v in data.items() if k != 'source'}], sort_keys=True
    )
    if seen not in streams:
      stream = pipeline.eval_stream(
        config.data,
        classes=config.classes,
        batch_size=size,
        with_depth=with_depth and not streams,
        many_sizes=True,
      )
      streams[seen] = _cut_by_size(stream)
    places.append(list(streams).index(seen))
  for batches in zip(*streams.values(), strict=True):
    for batch in batches[1:]:
      if batch['name'] != batches[0]['name'] or not np.array_equal(
        batch['label'], batches[0]['label']
      ):
        raise errors.UserError(
          f'the runs see different images or labels from {next(iter(runs))},'
          f' e.g. {batch["name"][0]}; expected the same dataset for all of them'
        )
    yield [batches[i] for i in places]


def _cut_by_size(batches):
  """Yields batches of one size: images whose labels differ come one by one."""
  for batch in batches:
    if not isinstance(batch['label'], list):
      yield batch
      continue
    for i, name in enumerate(batch['name']):
      row = {k: np.asarray(x[i])[None] for k, x in batch.items() if k != 'name'}
      yield {'name': [name], **row}


def _make_samples(batch, outs):
  predictions = np.stack([out['prediction'] for out in outs.values()])
  label = batch['label'][: predictions.shape[1]]
  for i, share in enumerate(disagreements(predictions, label)):
    depth = None
    if 'depth' in batch:
      depth = np.where(batch['depth_valid'][i], batch['depth'][i], 0)
    yield Sample(
      name=batch['name'][i],
      disagreement=float(share),
      image=batch['image'][i],
      label=label[i],
      depth=depth,
      predictions={run: out['prediction'][i] for run, out in outs.items()},
      **{
        field: {k: x[name][i] for k, x in outs.items() if name in x}
        for field, name in (('depths', 'depth'), ('densities', 'density'))
      },
      iou={run: out['iou'][i] for run, out in outs.items()},
    )
