"""Draws faces into a z-buffer, exactly at the sample points.

There is no anti-aliasing or approximation: a sample belongs to a face if its
point lies inside the projected polygon, and its depth is that of the face's
plane at this point.
"""

from typing import NamedTuple

import cv2
import numpy as np

from jaxuda.streets import camera as cameras
from jaxuda.streets import mesh
from jaxuda.streets import sprites

# Nothing is drawn nearer than this, metres.
NEAR = 0.3

# A later face wins over an earlier one within this relative distance, so that
# markings can lie on the road itself.
_TIE = 1e-5


class Polygons(NamedTuple):
  """Convex polygons on the sample grid.

  Attributes:
    face: [P] index of the face that each polygon is a part of.
    points: [P, V, 2] corners as (column, row) of the grid; unused corners
      repeat the last one.
    plane: [P, 3] coefficients a, b, c with nearness = a * column + b * row + c,
      exact on the whole face.
  """

  face: np.ndarray
  points: np.ndarray
  plane: np.ndarray


def project(
  faces: mesh.Faces, camera: cameras.Camera, *, height: int, width: int
) -> Polygons:
  """Returns the faces that a camera may see; nearness is 1 / z, in 1/metres.

  Args:
    faces: the scene.
    camera: the camera, in samples of the grid.
    height: number of rows of the sample grid.
    width: number of columns of the sample grid.

  Returns:
    The front sides within the picture, clipped at `NEAR`, in the order of the
    faces.
  """
  focal, cx, cy, matrix = camera.focal, camera.cx, camera.cy, camera.extrinsic
  points = faces.corners @ matrix[:3, :3].T + matrix[:3, 3]
  normal, offset = planes(points)
  facing = np.where(faces.double, abs(offset) > 1e-6, offset < -1e-6)
  z = points[..., 2]
  index = np.flatnonzero(facing & (z.max(1) > NEAR))
  points, z = points[index], z[index]
  # One spare corner for faces that the near plane cuts.
  points = np.concatenate([points, points[:, -1:]], 1)
  for k in np.flatnonzero(z.min(1) < NEAR):
    points[k] = _clip(points[k, :4])
  x = focal * points[..., 0] / points[..., 2] + cx
  y = focal * points[..., 1] / points[..., 2] + cy
  inside = (x.max(1) >= 0) & (x.min(1) <= width - 1)
  inside &= (y.max(1) >= 0) & (y.min(1) <= height - 1)
  index = index[inside]
  plane = normal[index] / offset[index, None]
  plane[:, :2] /= focal
  plane[:, 2] -= plane[:, 0] * cx + plane[:, 1] * cy
  return Polygons(index, np.stack([x, y], -1)[inside], plane)


def planes(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  """Returns the planes of quadrilaterals [F, 4, 3].

  Returns:
    (unit normals [F, 3], which point outwards if the corners run anticlockwise
    as seen from outside; normal . point [F], which is negative if a camera at
    the origin is outside).
  """
  # Of the diagonals, so that it also works if two corners coincide.
  a, b = points[:, 2] - points[:, 0], points[:, 3] - points[:, 1]
  normal = np.cross(a, b)
  length = np.linalg.norm(normal, axis=1, keepdims=True)
  normal = normal / np.maximum(length, 1e-12)
  return normal, (normal * points.mean(1)).sum(1)


def _clip(points: np.ndarray) -> np.ndarray:
  """Clips a quadrilateral [4, 3] at z = NEAR: [5, 3] with spare corners."""
  out = []
  for a, b in zip(points, np.roll(points, -1, 0), strict=True):
    if a[2] >= NEAR:
      out.append(a)
    if (a[2] >= NEAR) != (b[2] >= NEAR):
      out.append(a + (b - a) * ((NEAR - a[2]) / (b[2] - a[2])))
  return np.array(out + [out[-1]] * (5 - len(out)))


def _edges(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  """Returns the left and right edges of polygons [P, V, 2], as lines.

  Returns:
    Two arrays [P, V, 2] of lines column = slope * row + intercept. A row is
    inside from the largest column of the first to the smallest of the second.
  """
  x, y = points[..., 0], points[..., 1]
  next_x, next_y = np.roll(x, -1, 1), np.roll(y, -1, 1)
  dx, dy = next_x - x, next_y - y
  area = (x * next_y - next_x * y).sum(1)
  slanted = abs(dy) > 1e-9
  slope = np.where(slanted, dx / np.where(slanted, dy, 1.0), 0.0)
  intercept = x - slope * y
  # If the corners run with positive area (rows grow downwards), edges that go
  # up are on the left.
  left = slanted & ((dy < 0) == (area > 0)[:, None])
  right = slanted & ~left
  return tuple(
    np.stack([np.where(side, slope, 0.0), np.where(side, intercept, far)], -1)
    for side, far in ((left, -1e9), (right, 1e9))
  )


class Buffers(NamedTuple):
  """The result of a drawing at every sample.

  Attributes:
    polygon: [h, w] int32, index of the polygon, -1 = nothing.
    nearness: [h, w] float32.
    part: [h, w] uint8, part of the cut-out, 0 = no cut-out.
  """

  polygon: np.ndarray
  nearness: np.ndarray
  part: np.ndarray


def draw(
  polygons: Polygons,
  *,
  sprite: np.ndarray,
  uv: np.ndarray,
  height: int,
  width: int,
  empty: float,
  perspective: bool = True,
  gaps: bool = False,
) -> Buffers:
  """Draws polygons; the largest nearness wins.

  Args:
    polygons: the polygons to draw.
    sprite: [P] index of the cut-out of each polygon, -1 = none.
    uv: [P, 2, 3] u and v of the cut-out as affine functions of (column, row),
      to be divided by the nearness if `perspective`.
    height: number of rows of the sample grid.
    width: number of columns of the sample grid.
    empty: nearness of samples without a polygon.
    perspective: whether the polygons come from a perspective projection.
    gaps: whether to draw the gaps of the cut-outs instead of their parts.

  Returns:
    The buffers. Where a polygon has no cut-out, its part is undefined.
  """
  buffers = Buffers(
    polygon=np.full((height, width), -1, np.int32),
    nearness=np.full((height, width), empty, np.float32),
    part=np.zeros((height, width), np.uint8),
  )
  boxes, start, stop, first_near = _find_spans(polygons, height, width)
  atlas = sprites.gaps() if gaps else sprites.atlas()
  warps = _find_warps(polygons, atlas, sprite, uv, perspective)
  columns = np.arange(width, dtype=np.float32)
  slopes = polygons.plane[:, 0].tolist()
  keep = np.float32(1 - _TIE)
  # One iteration per polygon, so every call counts.
  for k, x0, x1, y0, y1, i0, i1 in boxes:
    column = columns[x0:x1]
    near = first_near[i0:i1] + np.float32(slopes[k]) * column
    old = buffers.nearness[y0:y1, x0:x1]
    mask = column >= start[i0:i1]
    mask &= column <= stop[i0:i1]
    mask &= near >= old * keep
    if k in warps:
      cut = _cut_out(*warps[k], x0, x1, y0, y1)
      mask &= cut > 0
      np.copyto(buffers.part[y0:y1, x0:x1], cut, where=mask)
    np.copyto(old, near, where=mask)
    np.copyto(buffers.polygon[y0:y1, x0:x1], k, where=mask)
  return buffers


def fill_gaps(
  polygons: Polygons,
  drawn: Buffers,
  *,
  sprite: np.ndarray,
  uv: np.ndarray,
  first: int,
  step: int,
) -> np.ndarray:
  """Fills the gaps of cut-outs in a drawing, as annotators would label it.

  Args:
    polygons: the polygons of the drawing.
    drawn: the drawing, seen through the gaps; it is not modified.
    sprite: see `draw`.
    uv: see `draw`.
    first: row and column of the first sample to return.
    step: distance between the samples to return.

  Returns:
    int32, index of the polygon at [first::step, first::step] with the gaps
    filled, -1 = nothing.
  """
  here = (slice(first, None, step),) * 2
  polygon, nearness = drawn.polygon[here], drawn.nearness[here]
  which = np.flatnonzero(sprites.have_gaps()[sprite])
  if not len(which):
    return polygon
  # Affine functions of (column, row), converted to the coarser grid.
  scale = np.array([[step, 0, 0], [0, step, 0], [first, first, 1]]).T
  filled = draw(
    Polygons(
      polygons.face[which],
      (polygons.points[which] - first) / step,
      polygons.plane[which] @ scale,
    ),
    sprite=sprite[which],
    uv=uv[which] @ scale,
    height=polygon.shape[0],
    width=polygon.shape[1],
    empty=0.0,
    gaps=True,
  )
  nearer = filled.nearness > nearness
  return np.where(nearer, which.astype(np.int32)[filled.polygon], polygon)


def _find_spans(polygons: Polygons, height: int, width: int):
  """Finds the rows of polygons, one polygon after the other.

  Returns:
    (polygon, x0, x1, y0, y1, i0, i1) of every polygon: its bounding box, and
    the range of its rows in the following arrays, each [N, 1]: first column,
    not rounded; last column; and nearness at column 0.
  """
  points = polygons.points
  top = np.ceil(points[..., 1].min(1)).clip(0, height).astype(int)
  bottom = np.floor(points[..., 1].max(1)).clip(-1, height - 1).astype(int) + 1
  number = (bottom - top).clip(0)
  index = np.repeat(np.arange(len(number)), number)
  first = np.cumsum(number) - number
  row = np.arange(len(index)) - first[index] + top[index]
  low, high = _edges(points)
  start = (low[index, :, 0] * row[:, None] + low[index, :, 1]).max(1)
  stop = (high[index, :, 0] * row[:, None] + high[index, :, 1]).min(1)
  near = polygons.plane[index, 1] * row + polygons.plane[index, 2]
  # Bounding boxes of the rows are tighter than those of the corners where a
  # polygon leaves the picture.
  seen = np.flatnonzero(number)
  left = np.ceil(np.minimum.reduceat(start, first[seen])).clip(0, width)
  right = np.floor(np.maximum.reduceat(stop, first[seen])).clip(-1, width - 1)
  last = first + number
  boxes = np.stack(
    [seen, left, right + 1, *(x[seen] for x in (top, bottom, first, last))], 1
  ).astype(int)
  boxes = [tuple(b) for b in boxes[right >= left].tolist()]
  return boxes, *(x.astype(np.float32)[:, None] for x in (start, stop, near))


def _find_warps(polygons, atlas, sprite, uv, perspective):
  """Returns, by polygon, its cut-out and the homography from the grid to it."""
  warps = {}
  for k in np.flatnonzero(sprite >= 0).tolist():
    image = atlas[sprite[k]]
    last = polygons.plane[k] if perspective else np.array([0.0, 0.0, 1.0])
    # v grows upwards, rows downwards; the centre of texel 0 is at 0.5.
    columns = uv[k, 0] * image.shape[1] - 0.5 * last
    rows = (last - uv[k, 1]) * image.shape[0] - 0.5 * last
    warps[k] = image, np.stack([columns, rows, last])
  return warps


def _cut_out(image, warp, x0, x1, y0, y1) -> np.ndarray:
  """Returns the part of a cut-out at every sample of a box."""
  warp = warp.copy()
  warp[:, 2] += warp[:, 0] * x0 + warp[:, 1] * y0
  flags = cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP
  return cv2.warpPerspective(image, warp, (x1 - x0, y1 - y0), flags=flags)
