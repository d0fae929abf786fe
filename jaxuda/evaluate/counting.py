"""Confusion matrices and depth errors of evaluation batches. Needs no TF."""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxuda.data.classes import labels
from jaxuda.evaluate import blind
from jaxuda.evaluate import metrics
from jaxuda.evaluate import views
from jaxuda.step import parallel


def merge_table(source: str, target: str) -> tuple[int, ...]:
  """Returns the class in the set `target` of each class of `source`.

  Classes without a counterpart get an extra class that no label has, so that
  predictions of them are errors and not ignored pixels.
  """
  table = np.asarray(labels.merge_map(source, target))
  return tuple(
    len(labels.get_class_set(target).names) if x == labels.IGNORE else int(x)
    for x in table[: len(labels.get_class_set(source).names)]
  )


@jax.jit(static_argnames=('method', 'depth', 'judge'))
def look(
  state: Any,
  image: jax.Array,
  *,
  method: Any,
  depth: bool = False,
  judge: bool = False,
) -> dict[str, Any]:
  """Runs the network on a batch, for `count_batch`.

  Compiled once, whatever the sizes of the labels: compiling a large network
  takes tens of seconds.

  Args:
    state: training state.
    image: uint8 [B, H, W, 3] RGB.
    method: method whose `predict` is scored; hashable.
    depth: whether depth will be scored.
    judge: whether the criteria of `blind` will be measured.

  Returns:
    'out', the outputs of `predict` at the network's resolution; with `judge`
    also 'again', see `blind.look_again`.
  """
  out = method.predict(state, image, size='grid')
  if not (depth or judge):
    out = {'logits': out['logits']}
  again = {'again': blind.look_again(method, state, image)} if judge else {}
  return {'out': out, **again}


@jax.jit(static_argnames=('method', 'size', 'table', 'count'))
def count_batch(
  seen: Mapping[str, Any],
  label: jax.Array | None,
  depth: tuple[jax.Array, jax.Array] | None,
  *,
  method: Any,
  size: tuple[int, int],
  table: tuple[int, ...] | None,
  count: int,
) -> dict[str, Any]:
  """Scores one batch on the device.

  Args:
    seen: what `look` returned for B images.
    label: int32 [B, h, w], 255 = ignore; None if there are no labels.
    depth: true depth [B, h, w] in metres and its bool mask [B, h, w], or None.
    method: method that the outputs are from; hashable.
    size: (h, w) of the labels, or of the images if there are no labels.
    table: scored class of each class of the network; None if they are the same.
    count: number of scored classes.

  Returns:
    With labels, 'confusion', int32 [B, count, count + 1], rows are the ground
    truth; with depth, 'depth', the sums of `metrics.depth_error_sums`; and, if
    `look` was asked to judge, 'blind', what `blind.measure` returns.
  """
  out, result = method.enlarge(seen['out'], size), {}
  if label is not None:
    prediction = jnp.argmax(out['logits'], axis=-1)
    result['confusion'] = _confusion(label, prediction, table, count)
  if 'again' in seen:
    again = {
      name: method.enlarge({'logits': logits}, size)['logits']
      for name, logits in seen['again'].items()
    }
    result['blind'] = blind.measure(out, again)
  if depth is not None:
    true, valid = depth
    result['depth'] = metrics.depth_error_sums(out['depth'], true, valid)
  return result


def count_once(
  state: Any,
  batch: Mapping[str, Any],
  *,
  method: Any,
  judge: bool,
  **options: Any,
) -> dict[str, Any]:
  """Scores a batch with one view of each image, on all devices.

  Args:
    state: training state, on all devices of the process.
    batch: an evaluation batch of `pipeline.eval_stream`; its depth, if it has
      any, is scored.
    method: method whose `predict` is scored; hashable.
    judge: whether the criteria of `blind` are measured.
    **options: 'table' and 'count' of `count_batch`.

  Returns:
    What `count_batch` returns.
  """
  image, label, depth = batch['image'], batch.get('label'), None
  if 'depth' in batch:
    depth = (batch['depth'], batch['depth_valid'])
  seen = look(
    *(state, parallel.spread(image)),
    method=method,
    depth=depth is not None,
    judge=judge,
  )
  options['method'] = method
  if isinstance(label, list):
    return _count_rows(seen, label, depth, **options)
  size = (image if label is None else label).shape[1:3]
  truth = parallel.spread((label, depth))
  return count_batch(seen, *truth, size=size, **options)


def _count_rows(seen, label, depth, **options):
  """Scores a batch whose labels differ in size, image by image."""
  # Rows that are spread over several devices would be gathered one by one.
  seen, counted = jax.device_get(seen), []
  for i, one in enumerate(label):
    row = jax.tree.map(lambda x, i=i: x[i : i + 1], seen)
    true = None if depth is None else tuple(x[i][None] for x in depth)
    counted.append(count_batch(row, one[None], true, size=one.shape, **options))
  counted = jax.device_get(counted)
  joined = {
    name: jax.tree.map(lambda *rows: np.concatenate(rows), *parts)
    for name in ('confusion', 'blind')
    if (parts := [x[name] for x in counted if name in x])
  }
  if depth is not None:
    sums = [x['depth'] for x in counted]
    joined['depth'] = jax.tree.map(lambda *rows: np.sum(rows), *sums)
  return joined


def predicts_depth(method: Any, state: Any, size: Sequence[int]) -> bool:
  """Returns whether `method.predict` gives depth; nothing is computed."""
  image = jax.ShapeDtypeStruct((1, *size, 3), jnp.uint8)
  return 'depth' in jax.eval_shape(method.predict, state, image)


def count_views(
  state: Any,
  batch: Mapping[str, Any],
  *,
  method: Any,
  table: tuple[int, ...] | None,
  count: int,
  **looking: Any,
) -> dict[str, Any]:
  """Scores a batch with several views of each image.

  Args:
    state: training state.
    batch: 'image' uint8 [B, H, W, 3] at its own size, 'label' int32 [B, h, w],
      255 = ignore.
    method: method whose `predict` is scored; hashable.
    table: as in `count_batch`.
    count: number of scored classes.
    **looking: 'size', 'views' and 'image_resize' of `mean_probabilities`.

  Returns:
    'confusion' as in `count_batch`. The probabilities of all views are averaged
    at the label's resolution.
  """
  label, looking = batch['label'], {'out': batch['label'].shape[1:], **looking}
  predictions = [
    views.mean_probabilities(image, state, method=method, **looking).argmax(-1)
    for image in batch['image']
  ]
  label, prediction = jnp.asarray(label), jnp.asarray(predictions)
  return {'confusion': _confusion(label, prediction, table, count)}


def _confusion(label, prediction, table, count):
  """Returns [B, count, count + 1]; the last column is for merging to none."""
  if table is not None:
    prediction = jnp.asarray(table, jnp.int32)[prediction]
  confusion = metrics.image_confusion_matrices(
    label, prediction, num_classes=count + 1
  )
  return confusion[:, :count]
