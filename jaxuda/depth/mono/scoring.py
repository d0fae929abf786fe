"""Depth of a network against the truth: errors and panels."""

from typing import Any

import cv2
import jax
import numpy as np

from jaxuda import errors
from jaxuda.data import sequences as sequences_lib
from jaxuda.depth.mono import self_supervised
from jaxuda.ui import display
from jaxuda.ui import panels

# Rows of a panel.
_PICTURES = 3


def open_scored(
  config: Any,
) -> sequences_lib.Sequences | None:
  """Opens the evaluation split; None where there is no true depth.

  Raises:
    UserError: there is no such dataset or split.
  """
  if config.data.dataset == 'folder':
    return None
  return sequences_lib.Sequences(
    config.data, config.data.eval_split, needs=('image', 'depth')
  )


def evaluate(
  method: self_supervised.Method,
  state: Any,
  scored: sequences_lib.Sequences,
  *,
  batch_size: int,
  progress: display.Progress | None = None,
) -> dict[str, float]:
  """Errors against true depth, the prediction scaled by the ratio of medians.

  As Monodepth2: every image is scaled by itself and clipped to 1e-3..80 m; the
  errors are means over its pixels, and then over the images.

  Args:
    method: whose `predict` is scored.
    state: a training state.
    scored: a split with 'image' and 'depth'.
    batch_size: images at once.
    progress: the loop that this interrupts.

  Returns:
    'abs_rel', 'sq_rel', 'rms', 'log_rms', 'delta1', 'delta2', 'delta3', and
    'images'.
  """
  results = []
  with display.Progress(
    'evaluate', total=len(scored), unit='images', parent=progress
  ) as shown:
    for first in range(0, len(scored), batch_size):
      numbers = range(first, min(first + batch_size, len(scored)))
      rows = [scored.read(i) for i in numbers]
      inverse = predict_disparity(method, state, [x['image'] for x in rows])
      for row, one in zip(rows, inverse, strict=True):
        truth = row['depth'].astype(np.float64).squeeze() * scored.unit
        results.append(depth_errors(one, truth))
      shown.update(len(results))
  results = [x for x in results if x]
  if not results:
    raise errors.UserError('no image has true depth between 0.001 and 80 m')
  means = {k: float(np.mean([x[k] for x in results])) for k in results[0]}
  return {**means, 'images': len(results)}


def depth_errors(
  inverse: np.ndarray,
  truth: np.ndarray,
  *,
  min_depth: float = 1e-3,
  max_depth: float = 80.0,
) -> dict[str, float]:
  """Errors of one image, scaled by the ratio of medians.

  Args:
    inverse: [h, w], the predicted 1 / depth in any unit, > 0.
    truth: [H, W] metres; counts strictly between the two depths.
    min_depth: metres.
    max_depth: metres.

  Returns:
    The errors of Eigen et al. (2014), see `metrics.depth_errors`; {} if no
    pixel counts.
  """
  size = truth.shape[::-1]
  resized = cv2.resize(
    np.float64(inverse), size, interpolation=cv2.INTER_LINEAR
  )
  counted = (truth > min_depth) & (truth < max_depth)
  if not counted.any():
    return {}
  true, depth = truth[counted], 1 / np.maximum(resized[counted], 1e-12)
  depth = depth * (np.median(true) / np.median(depth))
  depth = np.clip(depth, min_depth, max_depth)
  error, ratio = depth - true, np.maximum(depth / true, true / depth)
  return {
    'abs_rel': float(np.mean(np.abs(error) / true)),
    'sq_rel': float(np.mean(error**2 / true)),
    'rms': float(np.sqrt(np.mean(error**2))),
    'log_rms': float(np.sqrt(np.mean(np.log(depth / true) ** 2))),
    **{f'delta{k}': float(np.mean(ratio < 1.25**k)) for k in (1, 2, 3)},
  }


def predict_disparity(
  method: self_supervised.Method, state: Any, images: list[np.ndarray]
) -> np.ndarray:
  """Returns 1 / depth, float32 [B, h, w], of images uint8 [H, W, 3]."""
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
  """Image, predicted and true depth of the first examples.

  Returns:
    uint8 [height, width, 3] RGB.
  """
  rows = [shown.read(i) for i in range(min(_PICTURES, len(shown)))]
  predicted = predict_disparity(method, state, [x['image'] for x in rows])
  lines = []
  for row, inverse in zip(rows, predicted, strict=True):
    height, width = row['image'].shape[:2]
    inverse = cv2.resize(inverse, (width, height))
    cells = [row['image'], paint_disparity(inverse)]
    if 'depth' in row:
      truth = row['depth'].squeeze()
      truth = cv2.resize(truth, (width, height), interpolation=0)
      metres = np.maximum(truth * shown.unit, 0.01)
      cells.append(paint_disparity(1 / metres))
    lines.append(np.concatenate(cells, 1))
  return panels.stack(lines)


def paint_disparity(inverse: np.ndarray) -> np.ndarray:
  """Paints 1 / depth [H, W] by its own 95th percentile: uint8 [H, W, 3]."""
  top = max(float(np.percentile(inverse, 95)), 1e-12)
  level = np.round(255 * np.clip(inverse / top, 0, 1)).astype(np.uint8)
  painted = cv2.applyColorMap(level, cv2.COLORMAP_INFERNO)[..., ::-1]
  return np.ascontiguousarray(painted)
