"""Confusion matrices, IoU, depth errors, negative transfer.

The functions over pixels are pure JAX and run under jit, one batch at a time;
they return int32 confusion matrices and float32 error sums. Add these up on the
host in int64 and float64 (float32 stops counting at 16.7 million pixels) and
pass the totals to the other functions, which are plain NumPy.

A confusion matrix has the ground truth in its rows and the prediction in its
columns. Additional columns hold predictions that no true pixel can match, all
of them errors (see `merge_confusion`).
"""

from collections.abc import Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np

IGNORE = 255
_DELTAS = ('delta1', 'delta2', 'delta3')


def confusion_matrix(
  label: jax.Array, prediction: jax.Array, *, num_classes: int
) -> jax.Array:
  """Counts the pixels of each (true class, predicted class).

  Args:
    label: [...] integers; pixels outside 0..C-1 (such as 255) are not counted.
    prediction: [...] integers of the same shape, 0..C-1; pixels outside are not
      counted either.
    num_classes: number of classes, C.

  Returns:
    int32 [C, C], rows are the ground truth.
  """
  if label.shape != prediction.shape:
    raise ValueError(
      f'label {label.shape} and prediction {prediction.shape} differ in shape'
    )
  label = label.astype(jnp.int32).ravel()
  prediction = prediction.astype(jnp.int32).ravel()
  counted = (label >= 0) & (label < num_classes)
  counted &= (prediction >= 0) & (prediction < num_classes)
  # One extra bin for the pixels that are not counted.
  cell = jnp.where(counted, num_classes * label + prediction, num_classes**2)
  counts = jnp.bincount(cell, length=num_classes**2 + 1)[:-1]
  return counts.reshape(num_classes, num_classes).astype(jnp.int32)


def image_confusion_matrices(
  label: jax.Array, prediction: jax.Array, *, num_classes: int
) -> jax.Array:
  """Applies `confusion_matrix` to each of B images: int32 [B, C, C]."""
  return jax.vmap(
    lambda one, other: confusion_matrix(one, other, num_classes=num_classes)
  )(label, prediction)


def merge_confusion(
  matrix: np.ndarray, mapping: Sequence[int], *, num_classes: int
) -> np.ndarray:
  """Rewrites a confusion matrix over a coarser class table.

  This scores a network of 19 classes on 11 or 7 without running it again.

  Args:
    matrix: integers [..., C, C], rows are the ground truth.
    mapping: new class of each of the C old ones; 255 for none.
    num_classes: number of new classes, N.

  Returns:
    int64 [..., N, N + 1]. True pixels of a class without a new one are ignored.
    Predictions of such a class are not ignored but errors, counted in the last
    column.

  Raises:
    ValueError: `mapping` does not have C entries or names a class outside
      0..N-1.
  """
  mapping = np.asarray(mapping)
  old = matrix.shape[-2]
  if mapping.shape != (old,):
    raise ValueError(f'{mapping.size} mapped classes, the matrix has {old}')
  kept = mapping != IGNORE
  if np.any(mapping[kept] < 0) or np.any(mapping[kept] >= num_classes):
    raise ValueError(f'mapping {mapping} leaves 0..{num_classes - 1}')
  to_row = (mapping[:, None] == np.arange(num_classes)).astype(np.int64)
  to_column = np.concatenate([to_row, ~kept[:, None]], axis=1, dtype=np.int64)
  # Predictions that had no class before have none afterwards.
  extra = matrix.shape[-1] - old
  rest = np.zeros((extra, num_classes + 1), np.int64)
  rest[:, -1] = 1
  to_column = np.concatenate([to_column, rest], axis=0)
  return to_row.T @ matrix.astype(np.int64) @ to_column


def iou_per_class(matrix: np.ndarray) -> np.ndarray:
  """Returns the intersection over union of each class, TP / (TP + FP + FN).

  The metric of PASCAL VOC and of Cityscapes (Cordts et al. 2016).

  Args:
    matrix: integers [..., C, C], or with additional columns.

  Returns:
    float64 [..., C] in 0..1; NaN for a class that occurs neither in the ground
    truth nor in the prediction.
  """
  matrix = np.asarray(matrix).astype(np.int64)
  classes = matrix.shape[-2]
  hits = np.diagonal(matrix, axis1=-2, axis2=-1)
  predicted = matrix[..., :classes].sum(-2)
  union = matrix.sum(-1) + predicted - hits
  return np.where(union > 0, hits / np.maximum(union, 1), np.nan)


def mean_iou(iou: np.ndarray, subset: Sequence[int] | None) -> np.ndarray:
  """Returns the mean IoU over a subset of the classes, skipping NaN.

  Args:
    iou: float64 [..., C] from `iou_per_class`.
    subset: class ids, or None for all.

  Returns:
    float64 [...]; NaN where no class of the subset occurs.
  """
  if subset is not None:
    iou = iou[..., list(subset)]
  present = ~np.isnan(iou)
  number = present.sum(-1)
  total = np.where(present, iou, 0).sum(-1)
  return np.where(number > 0, total / np.maximum(number, 1), np.nan)


def image_mean_iou(matrices: np.ndarray) -> np.ndarray:
  """Returns the mean IoU of each image, over the classes that occur in it.

  Args:
    matrices: integers [N, C, C] from `image_confusion_matrices`, or with
      additional columns.

  Returns:
    float64 [N] in 0..1; NaN for an image without a labelled pixel.
  """
  return mean_iou(iou_per_class(matrices), None)


def negative_transfer_rate(image_iou: np.ndarray, other: np.ndarray) -> float:
  """Returns the share of the images that one run segments worse than another.

  DADA (Vu et al. 2019) speaks of negative transfer when an image has a lower
  mIoU after adaptation than with the network trained on the source only.

  Args:
    image_iou: float [N], `image_mean_iou` of the adapted network.
    other: float [N], the same for the network that it is compared with, for the
      same images in the same order.

  Returns:
    The share, 0..1, of the images with image_iou < other. Images without a
    labelled pixel (NaN) do not count; NaN if no image counts.
  """
  image_iou, other = np.asarray(image_iou), np.asarray(other)
  if image_iou.shape != other.shape:
    raise ValueError(f'{image_iou.shape} images against {other.shape}')
  counted = ~(np.isnan(image_iou) | np.isnan(other))
  if not counted.any():
    return float('nan')
  return float(np.mean(image_iou[counted] < other[counted]))


def depth_error_sums(
  prediction: jax.Array,
  depth: jax.Array,
  valid: jax.Array,
  *,
  min_depth: float = 1e-3,
  max_depth: float = 80.0,
) -> dict[str, jax.Array]:
  """Sums the depth errors of one batch, for `depth_errors`.

  As in the KITTI benchmark's tools, true depths count strictly between
  `min_depth` and `max_depth`, and predictions are clipped to that range.

  Args:
    prediction: [...] float, predicted depth in metres.
    depth: [...] float, true depth in metres.
    valid: [...] bool, True where the true depth is known.
    min_depth: lower end of the range in metres, above 0.
    max_depth: upper end in metres; the default leaves out the sky, which is at
      655.35 m.

  Returns:
    Scalars: float32 sums of |p - d| / d, (p - d)^2 / d, (p - d)^2 and
    (log p - log d)^2, and int32 counts of the pixels and of those with
    max(p / d, d / p) < 1.25^k.
  """
  counted = valid & (depth > min_depth) & (depth < max_depth)
  depth = jnp.where(counted, depth, 1).astype(jnp.float32)
  prediction = jnp.clip(prediction.astype(jnp.float32), min_depth, max_depth)
  # Pixels that do not count have 1 for both, so that no sum is infinite.
  prediction = jnp.where(counted, prediction, 1)
  error = prediction - depth
  ratio = jnp.maximum(prediction / depth, depth / prediction)
  sums = {
    'abs_rel': jnp.sum(jnp.abs(error) / depth),
    'sq_rel': jnp.sum(error**2 / depth),
    'rms': jnp.sum(error**2),
    'log_rms': jnp.sum(jnp.log(prediction / depth) ** 2),
    'pixels': jnp.sum(counted, dtype=jnp.int32),
  }
  for k, name in enumerate(_DELTAS, 1):
    close = counted & (ratio < 1.25**k)
    sums[name] = jnp.sum(close, dtype=jnp.int32)
  return sums


def depth_errors(sums: Mapping[str, float]) -> dict[str, float]:
  """Returns the depth errors of Eigen et al. (2014), given their sums.

  The mean is over all pixels of the split, not over images:
  |Rel| = mean |p - d| / d, Rel^2 = mean (p - d)^2 / d,
  RMS = sqrt(mean (p - d)^2), LRMS = sqrt(mean (log p - log d)^2), and
  delta_k = share of pixels with max(p / d, d / p) < 1.25^k.

  Args:
    sums: `depth_error_sums` added up over the batches, on the host.

  Returns:
    `abs_rel`, `sq_rel` (metres), `rms` (metres), `log_rms`, `delta1..3` (0..1)
    and `pixels`; all but the last are NaN if no pixel counted.
  """
  pixels = int(sums['pixels'])
  result: dict[str, float] = {}
  # Named in the papers' order: a dict that jit returns is sorted.
  for name in ('abs_rel', 'sq_rel', 'rms', 'log_rms', *_DELTAS):
    mean = float(sums[name]) / pixels if pixels else float('nan')
    result[name] = float(np.sqrt(mean)) if name.endswith('rms') else mean
  result['pixels'] = pixels
  return result
