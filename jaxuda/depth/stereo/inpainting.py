"""Holes of a disparity map, filled.

Stereo matching knows nothing about what only one camera sees, nor about plain
walls and mirrors. The papers' pseudo depth of Cityscapes was filled by
stereoscopic inpainting (Wang, Jin, Yang and Gong, CVPR 2008; Sakaridis, Dai and
Van Gool, IJCV 2018): superpixels, each a plane. `fill_planes` follows that idea
and not its letter: no second image, no energy to minimise. NumPy and OpenCV.
"""

import cv2
import numpy as np

# Pixels along the side of a superpixel.
_SIDE = 24
_ROUNDS = 4
# Weight of the place against the colour in a superpixel.
_COMPACTNESS = 8.0
# A plane needs this share of its superpixel, and so many pixels.
_SHARE, _LEAST = 0.15, 12
# Pixels: a residual that is believed half.
_SOFT = 1.0


def fill_background(disparity: np.ndarray) -> np.ndarray:
  """Fills each hole of a row with the smaller disparity beside it.

  What only the left camera sees is hidden from the right one by something
  nearer, so it belongs to the background (Hirschmüller 2008). Rows without any
  value take those of the rows above or below.

  Args:
    disparity: [H, W] pixels; NaN where unknown.

  Returns:
    float32 [H, W] without NaN; all NaN if nothing is known.
  """
  if np.isnan(disparity).all():
    return disparity.astype(np.float32)
  from_left = _carry(disparity)
  from_right = _carry(disparity[:, ::-1])[:, ::-1]
  filled = np.fmin(from_left, from_right)
  filled = np.where(np.isnan(disparity), filled, disparity)
  # Rows without any value.
  filled = _carry(filled.T).T
  return _carry(filled[::-1].T).T[::-1].astype(np.float32)


def _carry(x):
  """Carries the last known value of each row on to the right."""
  index = np.where(np.isnan(x), 0, np.arange(x.shape[1])[None])
  index = np.maximum.accumulate(index, axis=1)
  return np.take_along_axis(x, index, axis=1)


def fill_planes(disparity: np.ndarray, image: np.ndarray) -> np.ndarray:
  """Fills holes with a plane for each superpixel.

  A plane a x + b y + c is fitted to the known disparities of its superpixel,
  twice, the second time with outliers weighing less. A superpixel that has too
  few of them takes the plane of the one beside it that is most like it in
  colour. Known disparities are kept.

  Args:
    disparity: [H, W] pixels; NaN where unknown.
    image: uint8 [H, W] or [H, W, 3] RGB, of the same view.

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
  # A plane may shoot off where it was fitted to little.
  low, high = np.nanmin(disparity), np.nanmax(disparity)
  filled = np.clip(plane, max(low, 0), high)
  return np.where(known, disparity, filled).astype(np.float32)


def find_superpixels(image: np.ndarray, *, side: int = _SIDE) -> np.ndarray:
  """Cuts an image into patches of like colour (SLIC, Achanta et al. 2012).

  Args:
    image: uint8 [H, W] or [H, W, 3] RGB.
    side: of a patch, pixels, about.

  Returns:
    int [H, W], 0..N-1; a patch may be in pieces.
  """
  if image.ndim == 2:
    image = np.repeat(image[..., None], 3, -1)
  lab = cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2LAB)
  lab = lab.astype(np.float32)
  height, width = lab.shape[:2]
  rows, columns = max(1, height // side), max(1, width // side)
  y, x = np.mgrid[:height, :width].astype(np.float32)
  cell_y = np.minimum(y * rows / height, rows - 1).astype(np.int32)
  cell_x = np.minimum(x * columns / width, columns - 1).astype(np.int32)
  segments = cell_y * columns + cell_x
  features = [lab[..., 0], lab[..., 1], lab[..., 2], x, y]
  scale = (_COMPACTNESS / side) ** 2
  for _ in range(_ROUNDS):
    centres = _mean(features, segments, rows * columns)
    best = np.full((height, width), np.inf, np.float32)
    for dy in (-1, 0, 1):
      for dx in (-1, 0, 1):
        near_y = np.clip(cell_y + dy, 0, rows - 1)
        near_x = np.clip(cell_x + dx, 0, columns - 1)
        candidate = near_y * columns + near_x
        distance = sum(
          (f - c[candidate]) ** 2 * (1 if i < 3 else scale)
          for i, (f, c) in enumerate(zip(features, centres, strict=True))
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
  """Weighted least squares of all segments at once."""
  height, width = disparity.shape
  row, column = np.nonzero(known)
  segment = segments[row, column]
  terms = np.stack([column / width, row / height, np.ones(len(row))], 1)
  value = disparity[row, column].astype(np.float64)
  weight = np.ones_like(value)
  for _ in range(2):
    normal = np.empty((count, 3, 3))
    right = np.empty((count, 3))
    for i in range(3):
      right[:, i] = _sum(segment, weight * terms[:, i] * value, count)
      for j in range(3):
        product = weight * terms[:, i] * terms[:, j]
        normal[:, i, j] = _sum(segment, product, count)
    # A little of a level plane, so that three pixels in a row are enough.
    normal += np.diag([1e-4, 1e-4, 1e-9])
    planes = np.linalg.solve(normal, right[..., None])[..., 0]
    residual = value - (terms * planes[segment]).sum(1)
    weight = 1 / (1 + (residual / _SOFT) ** 2)
  measured = np.bincount(segment, minlength=count)
  area = np.bincount(segments.ravel(), minlength=count)
  return planes, (measured >= _LEAST) & (measured >= _SHARE * area)


def _sum(segment, values, count):
  return np.bincount(segment, values, minlength=count)


def _lend_planes(planes, trusted, segments, image, count):
  """Gives segments without a plane that of the most alike neighbour."""
  planes, trusted = planes.copy(), trusted.copy()
  if not trusted.any():
    trusted[:] = True
  pixels = image.reshape(*image.shape[:2], -1).astype(np.float32)
  channels = [pixels[..., i] for i in range(pixels.shape[-1])]
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
  """Pairs [N, 2] of segments that touch, both ways."""
  across = np.stack([segments[:, :-1].ravel(), segments[:, 1:].ravel()], 1)
  down = np.stack([segments[:-1].ravel(), segments[1:].ravel()], 1)
  pairs = np.concatenate([across, down])
  pairs = np.unique(pairs[pairs[:, 0] != pairs[:, 1]], axis=0)
  return np.unique(np.concatenate([pairs, pairs[:, ::-1]]), axis=0)
