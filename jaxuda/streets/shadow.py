"""Shadows: the angles of the faces to the sun, and what blocks its light."""

from typing import NamedTuple

import cv2
import numpy as np

from jaxuda.streets import mesh
from jaxuda.streets import raster

# The part of the street that has shadows: ranges of X and Z, metres.
_X, _Z = (-24.0, 24.0), (-4.0, 75.0)

# Metres per texel of the shadow map.
_TEXEL = 0.18

# A surface does not shade itself within this distance, metres.
_BIAS = 0.25


def facing(
  faces: mesh.Faces, sun: np.ndarray, *, eye: np.ndarray
) -> np.ndarray:
  """Returns the share of sunlight that each face receives without shadows.

  Args:
    faces: the scene.
    sun: [3] unit vector to the sun.
    eye: [3] position of the camera, which decides which side is visible.

  Returns:
    [F] in 0..1: the cosine of the angle of incidence; for cut-outs, which
    represent round objects, a constant.
  """
  # The world is left-handed, so these normals point inwards.
  normal, offset = raster.planes(faces.corners - eye)
  normal = np.where((faces.double & (offset < 0))[:, None], -normal, normal)
  lit = np.maximum(-(normal @ sun), 0.0)
  return np.where(faces.sprite >= 0, 0.62, lit)


class Map(NamedTuple):
  """A scene as the sun sees it.

  Attributes:
    nearness: [h, w] float32, nearness to the sun of the backs of objects,
      metres.
    matrix: [3, 4] that maps world points to (column, row, nearness).
  """

  nearness: np.ndarray
  matrix: np.ndarray


def draw_map(faces: mesh.Faces, sun: np.ndarray) -> Map:
  """Draws the street between `_X` and `_Z` as the sun sees it.

  Args:
    faces: the scene.
    sun: [3] unit vector to the sun.
  """
  across = np.cross(sun, (0.0, 0.0, 1.0))
  across /= np.linalg.norm(across)
  axes = np.stack([across, np.cross(across, sun), sun])
  rim = np.array([[x, y, z] for x in _X for y in (0.0, 2.0) for z in _Z])
  flat = rim @ axes[:2].T
  low, high = flat.min(0), flat.max(0)
  width, height = np.ceil((high - low) / _TEXEL).astype(int) + 1
  matrix = np.column_stack([axes, -np.append(low, 0.0)])
  matrix /= np.array([[_TEXEL], [_TEXEL], [1.0]])
  points = faces.corners @ matrix[:, :3].T + matrix[:, 3]
  a, b = points[:, 1] - points[:, 0], points[:, 3] - points[:, 0]
  normal = np.cross(points[:, 2] - points[:, 0], points[:, 3] - points[:, 1])
  area = a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]
  xy = points[..., :2]
  # The backs of objects cast the same shadows as their fronts, but never on the
  # fronts themselves.
  keep = faces.shadow & (faces.double | (normal[:, 2] < 0))
  keep &= (abs(normal[:, 2]) > 1e-3) & (abs(area) > 1.0)
  keep &= (xy.max(1) >= 0).all(1) & (xy.min(1) < (width, height)).all(1)
  index = np.flatnonzero(keep)
  points, normal = points[index], normal[index]
  slope = -normal[:, :2] / normal[:, 2:]
  origin = points[:, 0, :2]
  plane = np.column_stack([slope, points[:, 0, 2] - (slope * origin).sum(1)])
  # u and v solve point - corner 0 = u * a + v * b in the map.
  a, b, area = a[index], b[index], area[index, None]
  u = np.stack([b[:, 1], -b[:, 0]], 1) / area
  v = np.stack([-a[:, 1], a[:, 0]], 1) / area
  axes = [np.column_stack([k, -(k * origin).sum(1)]) for k in (u, v)]
  polygons = raster.Polygons(
    face=index,
    points=np.concatenate([points, points[:, -1:]], 1)[..., :2],
    plane=plane,
  )
  drawn = raster.draw(
    polygons,
    sprite=faces.sprite[index],
    uv=np.stack(axes, 1),
    height=int(height),
    width=int(width),
    empty=-1e3,
    perspective=False,
  )
  return Map(drawn.nearness, matrix)


def cast(
  shadows: Map,
  points: list[np.ndarray],
  *,
  darkness: float = 1.0,
  softness: float = 0.0,
) -> np.ndarray:
  """Returns how much of the sunlight reaches points of the world.

  Args:
    shadows: the scene's shadow map.
    points: X, Y and Z of the points, each [h, w] float32.
    darkness: share of the sunlight that a shadow blocks.
    softness: standard deviation of the blur of shadows, as a share of w.

  Returns:
    [h, w] float32 in 0..1, 1 = full sunlight.
  """
  x, y, depth = (
    sum(np.float32(m) * p for m, p in zip(row[:3], points, strict=True))
    + np.float32(row[3])
    for row in shadows.matrix
  )
  height, width = shadows.nearness.shape
  x0, y0 = np.floor(x), np.floor(y)
  fx, fy = x - x0, y - y0
  shade = np.zeros_like(x)
  inside = (x0 >= 0) & (x0 < width - 1) & (y0 >= 0) & (y0 < height - 1)
  corner = np.where(inside, y0 * width + x0, 0).astype(np.int32)
  flat = shadows.nearness.ravel()
  limit = depth + np.float32(_BIAS)
  for dy, wy in ((0, 1 - fy), (1, fy)):
    for dx, wx in ((0, 1 - fx), (1, fx)):
      shade += wx * wy * (flat.take(corner + (dy * width + dx)) > limit)
  shade *= inside
  if softness:
    shade = cv2.GaussianBlur(shade, (0, 0), softness * x.shape[1])
  return 1 - np.float32(darkness) * shade
