"""Draws faces into a z-buffer, exactly at the sample points.

No anti-aliasing and no approximation here: a sample belongs to a face when its
point lies inside the projected polygon, and its depth is that of the face's
plane there.
"""

import dataclasses

import numpy as np

from jaxuda.data.rendering import mesh
from jaxuda.data.rendering import sprites

# Nothing is drawn nearer than this, metres.
NEAR = 0.3

# A later face wins against an earlier one within this relative distance, so
# that markings can lie on the road itself.
_TIE = 1e-5


@dataclasses.dataclass(frozen=True, kw_only=True)
class Polygons:
  """Convex polygons on the sample grid.

  Attributes:
    face: [P] which face each is a part of.
    points: [P, V, 2] corners as (column, row) of the grid; spare corners
      repeat the last one.
    plane: [P, 3] a, b, c with nearness = a * column + b * row + c, exact on
      the whole face.
  """

  face: np.ndarray
  points: np.ndarray
  plane: np.ndarray


def project(
  faces: mesh.Faces,
  *,
  extrinsic: np.ndarray,
  focal: float,
  cx: float,
  cy: float,
  height: int,
  width: int,
) -> Polygons:
  """The faces that a pinhole camera may see; nearness is 1 / z, 1/metres.

  Args:
    faces: the scene.
    extrinsic: [4, 4] from the world to the camera.
    focal: focal length, samples.
    cx: column of the principal point.
    cy: row of the principal point.
    height: rows of the sample grid.
    width: columns of the sample grid.

  Returns:
    Front sides within the picture, cut at `NEAR`, in the order of the faces.
  """
  points = faces.corners @ extrinsic[:3, :3].T + extrinsic[:3, 3]
  normal, offset = planes(points)
  facing = np.where(faces.double, abs(offset) > 1e-6, offset < -1e-6)
  z = points[..., 2]
  index = np.flatnonzero(facing & (z.max(1) > NEAR))
  points, z = points[index], z[index]
  # One spare corner for those that the near plane cuts.
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
  points = np.stack([x, y], -1)[inside]
  return Polygons(face=index, points=points, plane=plane)


def planes(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  """Planes of quadrilaterals.

  Args:
    points: [F, 4, 3].

  Returns:
    Unit normals [F, 3], outwards where the corners run anticlockwise as seen
    from outside, and normal . point [F], negative for a camera at the origin
    outside.
  """
  # Diagonals, so that a quadrilateral with two equal corners has one too.
  a, b = points[:, 2] - points[:, 0], points[:, 3] - points[:, 1]
  normal = np.cross(a, b)
  length = np.linalg.norm(normal, axis=1, keepdims=True)
  normal = normal / np.maximum(length, 1e-12)
  return normal, (normal * points.mean(1)).sum(1)


def _clip(points: np.ndarray) -> np.ndarray:
  """Cuts a quadrilateral [4, 3] at z = NEAR; [5, 3] with spare corners."""
  out = []
  for a, b in zip(points, np.roll(points, -1, 0), strict=True):
    if a[2] >= NEAR:
      out.append(a)
    if (a[2] >= NEAR) != (b[2] >= NEAR):
      out.append(a + (b - a) * ((NEAR - a[2]) / (b[2] - a[2])))
  return np.array(out + [out[-1]] * (5 - len(out)))


def _edges(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  """Bounds of a row inside polygons [P, V, 2].

  Returns:
    Two [P, V, 2] of (slope, intercept): a row is inside from the largest of
    the first to the smallest of the second, as column = slope * row +
    intercept.
  """
  x, y = points[..., 0], points[..., 1]
  next_x, next_y = np.roll(x, -1, 1), np.roll(y, -1, 1)
  dx, dy = next_x - x, next_y - y
  area = (x * next_y - next_x * y).sum(1)
  slanted = abs(dy) > 1e-9
  slope = np.where(slanted, dx / np.where(slanted, dy, 1.0), 0.0)
  intercept = x - slope * y
  # Going round with positive area (rows grow downwards), edges that go up are
  # on the left.
  left = slanted & ((dy < 0) == (area > 0)[:, None])
  right = slanted & ~left
  far = 1e9
  bounds = []
  for side, sign in ((left, -1), (right, 1)):
    m = np.where(side, slope, 0.0)
    c = np.where(side, intercept, sign * far)
    bounds.append(np.stack([m, c], -1))
  return bounds[0], bounds[1]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Buffers:
  """What a drawing leaves at every sample.

  Attributes:
    polygon: [h, w] int32, index of the polygon, -1 = nothing.
    nearness: [h, w] float32.
    part: [h, w] uint8, part of the cut-out, 0 without one.
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
) -> Buffers:
  """Draws polygons; the largest nearness wins.

  Args:
    polygons: what to draw.
    sprite: [P] index of the cut-out of each, -1 = none.
    uv: [P, 2, 3]: u and v of the cut-out as affine functions of (column, row),
      to be divided by the nearness if `perspective`.
    height: rows.
    width: columns.
    empty: nearness of nothing.
    perspective: whether the polygons come from a perspective projection.

  Returns:
    The buffers.
  """
  polygon = np.full((height, width), -1, np.int32)
  nearness = np.full((height, width), empty, np.float32)
  part = np.zeros((height, width), np.uint8)
  low, high = _edges(polygons.points)
  size = np.array([width, height])
  first = np.ceil(polygons.points.min(1)).clip(0, size).astype(int)
  last = np.floor(polygons.points.max(1)).clip(-1, size - 1).astype(int) + 1
  columns, rows = np.arange(width, dtype=float), np.arange(height, dtype=float)
  atlas = sprites.atlas()
  for k in np.flatnonzero((last > first).all(1)).tolist():
    (x0, y0), (x1, y1) = first[k].tolist(), last[k].tolist()
    row, m, n = rows[y0:y1], low[k], high[k]
    start = (m[:, :1] * row + m[:, 1:]).max(0)
    stop = (n[:, :1] * row + n[:, 1:]).min(0)
    if sprite[k] < 0:
      # The bounding box of a slanted polygon is mostly empty: tighten it.
      x0 = max(x0, int(min(start.min(), width)))
      x1 = min(x1, int(max(stop.max(), -1)) + 1)
      if x1 <= x0:
        continue
    column = columns[x0:x1]
    a, b, c = polygons.plane[k].tolist()
    near = np.add.outer(b * row + c, a * column).astype(np.float32)
    old = nearness[y0:y1, x0:x1]
    mask = column >= start[:, None]
    mask &= column <= stop[:, None]
    mask &= near >= old - abs(old) * _TIE
    if sprite[k] >= 0:
      u, v = (
        np.add.outer(q[1] * row + q[2], q[0] * column) for q in uv[k].tolist()
      )
      if perspective:
        u, v = u / near, v / near
      image = atlas[sprite[k]]
      u = (u * image.shape[1]).clip(0, image.shape[1] - 1).astype(int)
      v = ((1 - v) * image.shape[0]).clip(0, image.shape[0] - 1).astype(int)
      cut = image[v, u]
      mask &= cut > 0
      np.copyto(part[y0:y1, x0:x1], cut, where=mask)
    else:
      np.copyto(part[y0:y1, x0:x1], 0, where=mask)
    np.copyto(old, near, where=mask)
    np.copyto(polygon[y0:y1, x0:x1], k, where=mask)
  return Buffers(polygon=polygon, nearness=nearness, part=part)
