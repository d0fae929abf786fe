"""Shadows: how the faces lie to the sun, and what stands in its way."""

import functools

import cv2
import numpy as np

from jaxuda.data.rendering import mesh
from jaxuda.data.rendering import raster

# The part of the street that has shadows, metres: X and Z.
_X, _Z = (-24.0, 24.0), (-4.0, 75.0)

# Metres per texel of the shadow map.
_TEXEL = 0.18

# A surface does not shade itself within this distance, metres.
_BIAS = 0.25


def facing(faces: mesh.Faces, sun: np.ndarray) -> np.ndarray:
  """Share of the sunlight that each face gets when nothing shades it.

  Args:
    faces: the scene.
    sun: [3] unit vector to the sun.

  Returns:
    [F] in 0..1: the cosine of the angle of incidence; for faces seen from
    both sides, which are stand-ins for round things, a constant.
  """
  # The world is left-handed, so normals point inwards.
  normal, _ = raster.planes(faces.corners)
  return np.where(faces.double, 0.62, np.maximum(-(normal @ sun), 0.0))


@functools.lru_cache(maxsize=2)
def _map(scene) -> tuple[np.ndarray, np.ndarray]:
  """The scene from the sun.

  Returns:
    Nearness to the sun, [h, w], and the [3, 4] that takes world points to
    (column, row, nearness).
  """
  sun = scene.look.sun
  across = np.cross(sun, (0.0, 0.0, 1.0))
  across /= np.linalg.norm(across)
  axes = np.stack([across, np.cross(across, sun), sun])
  rim = np.array([[x, y, z] for x in _X for y in (0.0, 2.0) for z in _Z])
  flat = rim @ axes[:2].T
  low, high = flat.min(0), flat.max(0)
  width, height = np.ceil((high - low) / _TEXEL).astype(int) + 1
  matrix = np.concatenate([axes, -np.append(low, 0.0)[:, None]], 1) / np.array(
    [[_TEXEL], [_TEXEL], [1.0]]
  )
  faces = scene.faces
  points = faces.corners @ matrix[:, :3].T + matrix[:, 3]
  a, b = points[:, 1] - points[:, 0], points[:, 3] - points[:, 0]
  normal = np.cross(points[:, 2] - points[:, 0], points[:, 3] - points[:, 1])
  area = a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]
  xy = points[..., :2]
  keep = faces.shadow & (faces.double | (normal[:, 2] < 0))
  keep &= (abs(normal[:, 2]) > 1e-3) & (abs(area) > 1.0)
  keep &= (xy.max(1) >= 0).all(1) & (xy.min(1) < (width, height)).all(1)
  index = np.flatnonzero(keep)
  points, normal = points[index], normal[index]
  slope = -normal[:, :2] / normal[:, 2:]
  plane = np.column_stack(
    [slope, points[:, 0, 2] - (slope * points[:, 0, :2]).sum(1)]
  )
  # u and v solve point - corner 0 = u * a + v * b in the map.
  a, b, area = a[index], b[index], area[index]
  u = np.stack([b[:, 1], -b[:, 0]], 1) / area[:, None]
  v = np.stack([-a[:, 1], a[:, 0]], 1) / area[:, None]
  uv = np.stack(
    [np.column_stack([k, -(k * points[:, 0, :2]).sum(1)]) for k in (u, v)],
    1,
  )
  polygons = raster.Polygons(
    face=index,
    points=np.concatenate([points, points[:, -1:]], 1)[..., :2],
    plane=plane,
  )
  drawn = raster.draw(
    polygons,
    sprite=faces.sprite[index],
    uv=uv,
    height=int(height),
    width=int(width),
    empty=-1e3,
    perspective=False,
  )
  return drawn.nearness, matrix


def cast(scene, points: list[np.ndarray]) -> np.ndarray:
  """How much of the sun reaches points of the world.

  Args:
    scene: a `street.Scene`.
    points: X, Y and Z, each [h, w] float32.

  Returns:
    [h, w] float32 in 0..1, 1 = full sunlight.
  """
  near, matrix = _map(scene)
  x, y, depth = (
    sum(np.float32(m) * p for m, p in zip(row[:3], points, strict=True))
    + np.float32(row[3])
    for row in matrix
  )
  height, width = near.shape
  x0, y0 = np.floor(x), np.floor(y)
  fx, fy = x - x0, y - y0
  shade = np.zeros_like(x)
  column, row = x0.astype(np.int32), y0.astype(np.int32)
  inside = (
    (column >= 0) & (column < width - 1) & (row >= 0) & (row < height - 1)
  )
  corner = np.where(inside, row * width + column, 0)
  flat = near.ravel()
  limit = depth + np.float32(_BIAS)
  for dy, wy in ((0, 1 - fy), (1, fy)):
    for dx, wx in ((0, 1 - fx), (1, fx)):
      shade += wx * wy * (flat[corner + (dy * width + dx)] > limit)
  shade *= inside
  if scene.look.softness > 2 * _TEXEL:
    # Under clouds there are no edges.
    sigma = scene.look.softness * 0.012 * x.shape[1]
    shade = cv2.GaussianBlur(shade, (0, 0), sigma)
  return 1 - np.float32(scene.look.darkness) * shade
