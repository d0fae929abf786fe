"""Fills the holes of a disparity map.

Stereo matching fails for what only one camera sees, and for plain walls and
mirrors. The papers' pseudo-depth of Cityscapes was filled by stereoscopic
inpainting (Wang, Jin, Yang and Gong, CVPR 2008; Sakaridis, Dai and Van Gool,
IJCV 2018), with one plane per superpixel. `fill_planes` follows that idea, but
without a second image and without minimising an energy. Uses only NumPy and
OpenCV.
"""

import cv2
import numpy as np

# Side of a superpixel, pixels.
_SIDE = 24
# Number of iterations that adapt the superpixels.
_ROUNDS = 4
# Weight of position relative to colour in a superpixel.
_COMPACTNESS = 8.0
# A plane requires known disparities in this share of its superpixel, and in
# this many pixels.
_SHARE, _LEAST = 0.15, 12
# Residual, in pixels, at which the weight of a disparity is halved.
_SOFT = 1.0


def fill_background(disparity: np.ndarray) -> np.ndarray:
  """Fills each hole of a row with the smaller of the adjacent disparities.

  What only the left camera sees is hidden from the right one by something
  nearer, so it belongs to the background (Hirschmüller 2008). Rows without any
  value are filled from the rows above or below.

  Args:
    disparity: [H, W] pixels; NaN where unknown.

  Returns:
    float32 [H, W] without NaN; all NaN if nothing is known.
  """
  from_left = _carry(disparity)
  from_right = _carry(disparity[:, ::-1])[:, ::-1]
  filled = np.fmin(from_left, from_right)
  filled = np.where(np.isnan(disparity), filled, disparity)
  # Rows without any value.
  filled = _carry(filled.T).T
  return _carry(filled[::-1].T).T[::-1].astype(np.float32)


def _carry(x):
  """Carries the last known value of each row to the right."""
  index = np.where(np.isnan(x), 0, np.arange(x.shape[1])[None])
  index = np.maximum.accumulate(index, axis=1)
  return np.take_along_axis(x, index, axis=1)


def fill_planes(disparity: np.ndarray, image: np.ndarray) -> np.ndarray:
  """Fills holes with one plane per superpixel.

  A plane a x + b y + c is fitted to the known disparities of each superpixel
  twice, the second time with less weight on outliers. A superpixel with too few
  known disparities takes the plane of the neighbour with the most similar
  colour. Known disparities are kept.

  Args:
    disparity: [H, W] pixels; NaN where unknown.
    image: uint8 [H, W] or [H, W, 3] RGB of the same view.

  Returns:
    float32 [H, W] without NaN, >= 0; all NaN if nothing is known.
  """
  known = ~np.isnan(disparity)
  if not known.any():
    return disparity.astype(np.float32)
  segments = find_superpixels(image)
  count = int(segments.max()) + 1
  planes, trusted = _fit_planes(disparity, known, segments, count)
  planes = _lend_planes(planes, trusted, segments, image, count)
  height, width = disparity.shape
  a, b, c = (planes[:, i][segments] for i in range(3))
  x, y = np.arange(width)[None] / width, np.arange(height)[:, None] / height
  plane = a * x + b * y + c
  # A plane fitted to few pixels may yield extreme values.
  low, high = np.nanmin(disparity), np.nanmax(disparity)
  filled = np.clip(plane, max(low, 0), high)
  return np.where(known, disparity, filled).astype(np.float32)


def find_superpixels(image: np.ndarray) -> np.ndarray:
  """Segments an image into superpixels (SLIC, Achanta et al. 2012).

  Args:
    image: uint8 [H, W] or [H, W, 3] RGB.

  Returns:
    int [H, W], 0..N-1; a superpixel has about 24 x 24 pixels and may consist of
    several pieces.
  """
  if image.ndim == 2:
    image = np.repeat(image[..., None], 3, -1)
  lab = cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2LAB)
  lab = lab.astype(np.float32)
  height, width = lab.shape[:2]
  rows, columns = max(1, height // _SIDE), max(1, width // _SIDE)
  y, x = np.mgrid[:height, :width].astype(np.float32)
  cell_y = np.minimum(y * rows / height, rows - 1).astype(np.int32)
  cell_x = np.minimum(x * columns / width, columns - 1).astype(np.int32)
  segments = cell_y * columns + cell_x
  features = [*np.moveaxis(lab, 2, 0), x, y]
  weights = [1, 1, 1, *2 * [(_COMPACTNESS / _SIDE) ** 2]]
  for _ in range(_ROUNDS):
    centres = _mean(features, segments, rows * columns)
    best = np.full((height, width), np.inf, np.float32)
    for dy in (-1, 0, 1):
      for dx in (-1, 0, 1):
        near_y = np.clip(cell_y + dy, 0, rows - 1)
        near_x = np.clip(cell_x + dx, 0, columns - 1)
        candidate = near_y * columns + near_x
        distance = sum(
          (f - c[candidate]) ** 2 * w
          for f, c, w in zip(features, centres, weights, strict=True)
        )
        closer = distance < best
        best = np.where(closer, distance, best)
        segments = np.where(closer, candidate, segments)
  return segments


def _mean(features, segments, count):
  flat = segments.ravel()
  number = np.maximum(np.bincount(flat, minlength=count), 1)
  return [
    (np.bincount(flat, f.ravel(), minlength=count) / number).astype(np.float32)
    for f in features
  ]


def _fit_planes(disparity, known, segments, count):
  """Fits the planes of all segments at once, by weighted least squares."""
  height, width = disparity.shape
  row, column = np.nonzero(known)
  segment = segments[row, column]
  terms = np.stack([column / width, row / height, np.ones(len(row))])
  value = disparity[row, column].astype(np.float64)
  weight = np.ones_like(value)

  def add(values):
    return np.bincount(segment, values, minlength=count)

  for _ in range(2):
    weighted = weight * terms
    right = np.stack([add(w * value) for w in weighted], -1)
    normal = np.stack([[add(w * t) for t in terms] for w in weighted])
    # Slightly biased towards a level plane, so that collinear pixels suffice.
    normal = np.moveaxis(normal, 2, 0) + np.diag([1e-4, 1e-4, 1e-9])
    planes = np.linalg.solve(normal, right[..., None])[..., 0]
    residual = value - (terms.T * planes[segment]).sum(1)
    weight = 1 / (1 + (residual / _SOFT) ** 2)
  measured = np.bincount(segment, minlength=count)
  area = np.bincount(segments.ravel(), minlength=count)
  return planes, (measured >= _LEAST) & (measured >= _SHARE * area)


def _lend_planes(planes, trusted, segments, image, count):
  """Gives segments without a plane that of the most similar neighbour."""
  planes, trusted = planes.copy(), trusted.copy()
  if not trusted.any():
    trusted[:] = True
  channels = np.moveaxis(np.atleast_3d(image).astype(np.float32), 2, 0)
  colors = np.stack(_mean(channels, segments, count), 1)
  pairs = _find_neighbours(segments)
  present = np.bincount(segments.ravel(), minlength=count) > 0
  while True:
    from_, to = pairs[:, 0], pairs[:, 1]
    usable = trusted[from_] & ~trusted[to]
    if not usable.any() or trusted[present].all():
      return planes
    from_, to = from_[usable], to[usable]
    far = np.linalg.norm(colors[from_] - colors[to], axis=1)
    order = np.lexsort((far, to))
    to, first = np.unique(to[order], return_index=True)
    planes[to] = planes[from_[order][first]]
    trusted[to] = True


def _find_neighbours(segments):
  """Returns pairs [N, 2] of touching segments, in both orders."""
  across = np.stack([segments[:, :-1].ravel(), segments[:, 1:].ravel()], 1)
  down = np.stack([segments[:-1].ravel(), segments[1:].ravel()], 1)
  pairs = np.concatenate([across, down])
  pairs = pairs[pairs[:, 0] != pairs[:, 1]]
  return np.unique(np.concatenate([pairs, pairs[:, ::-1]]), axis=0)
