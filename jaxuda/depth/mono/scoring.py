"""Scores a depth network against ground truth, and draws its predictions."""

import itertools
from typing import Any

import cv2
import jax
import numpy as np

from jaxuda import errors
from jaxuda.data import sequences as sequences_lib
from jaxuda.data.pixels import resizing
from jaxuda.depth.mono import self_supervised
from jaxuda.evaluate import metrics
from jaxuda.run import cluster
from jaxuda.run import workdir as workdir_lib
from jaxuda.ui import display
from jaxuda.ui import panels

# Number of rows of a panel.
_PICTURES = 3
# Range of the ground-truth depths that count, metres.
_NEAR, _FAR = 1e-3, 80.0


def open_scored(config: Any) -> sequences_lib.Sequences | None:
  """Opens the evaluation split; returns None if there is no true depth.

  Raises:
    UserError: the dataset or split does not exist.
  """
  if config.data.dataset == 'folder':
    return None
  return sequences_lib.Sequences(
    config.data, config.data.eval_split, needs=('image', 'depth')
  )


def evaluate_run(run: workdir_lib.Run) -> dict[str, float]:
  """Scores a run that `training.load` returned, see `evaluate`.

  Raises:
    UserError: its data has no ground-truth depth.
  """
  scored = open_scored(run.config)
  if scored is None:
    raise errors.UserError(
      'a folder of frames has no true depth to evaluate against; expected a'
      ' run on a prepared dataset'
    )
  batch_size = run.config.eval_batch_size
  return evaluate(run.method, run.state, scored, batch_size=batch_size)


def evaluate(
  method: self_supervised.Method,
  state: Any,
  scored: sequences_lib.Sequences,
  *,
  batch_size: int,
  progress: display.Progress | None = None,
) -> dict[str, float]:
  """Computes the errors against true depth, after scaling by medians.

  As in Monodepth2, the prediction of every image is scaled separately, by the
  ratio of the medians, and clipped to 1e-3..80 m; the errors are averaged over
  its pixels and then over the images, which are divided among all processes.

  Args:
    method: method whose `predict` is scored.
    state: a training state, on this process's devices.
    scored: a split with 'image' and 'depth'.
    batch_size: number of images per batch.
    progress: progress display of the loop that this interrupts.

  Returns:
    'abs_rel', 'sq_rel', 'rms', 'log_rms', 'delta1', 'delta2', 'delta3', and
    'images'.

  Raises:
    UserError: no image has true depth between 0.001 and 80 m.
  """
  count, processes = len(scored), jax.process_count()
  numbers = range(jax.process_index(), count, processes)
  results = []
  with cluster.progress(
    'evaluate', total=count, unit='images', parent=progress
  ) as shown:
    for first in range(0, len(numbers), batch_size):
      rows = [scored.read(i) for i in numbers[first : first + batch_size]]
      inverse = predict_disparity(method, state, [x['image'] for x in rows])
      for row, one in zip(rows, inverse, strict=True):
        truth = row['depth'].astype(np.float64).squeeze() * scored.unit
        results.append(depth_errors(one, truth))
      shown.update(min(count, len(results) * processes))
  # In the order of the images, so that the means are bit-identical.
  shares = itertools.zip_longest(*cluster.gather(results))
  results = [x for x in itertools.chain(*shares) if x]
  if not results:
    raise errors.UserError('no image has true depth between 0.001 and 80 m')
  means = {k: float(np.mean([x[k] for x in results])) for k in results[0]}
  return {**means, 'images': len(results)}


def depth_errors(inverse: np.ndarray, truth: np.ndarray) -> dict[str, float]:
  """Computes the errors of one image, scaled by the ratio of medians.

  Args:
    inverse: [h, w], the predicted 1 / depth in any unit, > 0.
    truth: [H, W] metres; only values strictly between 0.001 and 80 m count.

  Returns:
    The result of `evaluate.metrics.depth_errors` without the number of pixels,
    or {} if no pixel counts.
  """
  resized = cv2.resize(np.float64(inverse), truth.shape[::-1])
  counted = (truth > _NEAR) & (truth < _FAR)
  if not counted.any():
    return {}
  depth = 1 / np.maximum(resized, 1e-12)
  depth = depth * (np.median(truth[counted]) / np.median(depth[counted]))
  sums = _error_sums(depth, truth, counted, min_depth=_NEAR, max_depth=_FAR)
  result = metrics.depth_errors(sums)
  del result['pixels']
  return result


_error_sums = jax.jit(
  metrics.depth_error_sums, static_argnames=('min_depth', 'max_depth')
)


def predict_disparity(
  method: self_supervised.Method, state: Any, images: list[np.ndarray]
) -> np.ndarray:
  """Predicts 1 / depth, float32 [B, h, w], for B images uint8 [H, W, 3]."""
  depth = _predict(state, np.stack(images), method=method)['depth']
  return 1 / np.asarray(depth)


@jax.jit(static_argnames='method')
def _predict(state, image, *, method):
  return method.predict(state, image)


def draw_panel(
  method: self_supervised.Method,
  state: Any,
  shown: sequences_lib.Sequences,
) -> np.ndarray:
  """Draws image, predicted and true depth of some examples: uint8 RGB."""
  rows = [shown.read(i) for i in range(min(_PICTURES, len(shown)))]
  predicted = predict_disparity(method, state, [x['image'] for x in rows])
  lines = []
  for row, inverse in zip(rows, predicted, strict=True):
    size = row['image'].shape[:2]
    cells = [row['image'], paint_disparity(cv2.resize(inverse, size[::-1]))]
    if 'depth' in row:
      truth = resizing.resize_depth(row['depth'].squeeze(), size)
      metres = np.maximum(truth * shown.unit, 0.01)
      cells.append(paint_disparity(1 / metres))
    lines.append(np.concatenate(cells, 1))
  return panels.stack(lines)


def paint_disparity(inverse: np.ndarray) -> np.ndarray:
  """Paints 1 / depth [H, W], scaled by its 95th percentile: uint8 [H, W, 3]."""
  top = max(float(np.percentile(inverse, 95)), 1e-12)
  return panels.apply_colormap(inverse / top, cv2.COLORMAP_INFERNO)
