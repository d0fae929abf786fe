"""A scene as plane quadrilaterals, with what is needed to colour them."""

from collections.abc import Sequence
import dataclasses
import math

import numpy as np

# Corners of the five visible faces of a box: -x, +x, -z, +z, +y. Coordinates
# are (x, y, z) in -1, 1; y = -1 is the bottom. Seen from outside, the corners
# run bottom left, bottom right, top right, top left.
_BOX = np.array(
  [
    [(-1, -1, 1), (-1, -1, -1), (-1, 1, -1), (-1, 1, 1)],
    [(1, -1, -1), (1, -1, 1), (1, 1, 1), (1, 1, -1)],
    [(-1, -1, -1), (1, -1, -1), (1, 1, -1), (-1, 1, -1)],
    [(1, -1, 1), (-1, -1, 1), (-1, 1, 1), (1, 1, 1)],
    [(-1, 1, -1), (1, 1, -1), (1, 1, 1), (-1, 1, 1)],
  ],
  float,
)

Color = tuple[float, float, float]


@dataclasses.dataclass(frozen=True)
class Frame:
  """Where an object stands.

  Attributes:
    x: world X of its origin, metres.
    z: world Z of its origin, metres.
    heading: angle of its z axis to the right of the world's, radians.
    y: world Y of its origin, metres.
  """

  x: float = 0.0
  z: float = 0.0
  heading: float = 0.0
  y: float = 0.0

  def place(self, points: np.ndarray) -> np.ndarray:
    """Takes points [..., 3] of the object to the world."""
    cos, sin = math.cos(self.heading), math.sin(self.heading)
    x, y, z = points[..., 0], points[..., 1], points[..., 2]
    out = np.empty_like(points)
    out[..., 0] = self.x + cos * x + sin * z
    out[..., 1] = self.y + y
    out[..., 2] = self.z - sin * x + cos * z
    return out


@dataclasses.dataclass(frozen=True, kw_only=True)
class Faces:
  """The quadrilaterals of a scene, in drawing order (a later one wins a tie).

  Attributes:
    corners: [F, 4, 3] world metres. Corner 0 is the origin of the surface
      coordinates (u, v), corner 1 lies along u, corner 3 along v.
    label: [F] train ids.
    material: [F] indices of `material.KINDS`.
    colors: [F, 4, 3] albedos in 0..1; what each is for, the material knows.
    sprite: [F] index of the cut-out stretched over the face, -1 = none.
    size: [F, 2] sizes of the material's pattern, metres.
    double: [F] bool, seen from both sides.
    shadow: [F] bool, casts a shadow.
  """

  corners: np.ndarray
  label: np.ndarray
  material: np.ndarray
  colors: np.ndarray
  sprite: np.ndarray
  size: np.ndarray
  double: np.ndarray
  shadow: np.ndarray


class Mesh:
  """Collects faces."""

  def __init__(self):
    self._corners = []
    self._rows = []
    self._colors = []

  def add(
    self,
    corners: np.ndarray,
    *,
    label: int,
    material: int,
    colors: Sequence[Color],
    sprite: int = -1,
    size: tuple[float, float] = (1.0, 1.0),
    double: bool = False,
    shadow: bool = True,
  ) -> None:
    """Adds faces that share everything but their corners, [n, 4, 3]."""
    n = len(corners)
    row = (label, material, sprite, *size, double, shadow)
    palette = [*colors, *([colors[-1]] * (4 - len(colors)))]
    self._corners.append(corners)
    self._rows.extend([row] * n)
    self._colors.extend([palette] * n)

  def box(
    self,
    frame: Frame,
    low: tuple[float, float, float],
    high: tuple[float, float, float],
    *,
    taper: tuple[float, float] = (0.0, 0.0),
    faces: slice | list[int] = slice(None),
    inset: tuple[float, float, float] | None = None,
    **surface,
  ) -> None:
    """Adds a box without its bottom.

    Args:
      frame: where the object stands.
      low: smallest x, y, z, in the object's frame.
      high: largest x, y, z.
      taper: how much further in the top is than the bottom at x and z, metres.
      faces: which of -x, +x, -z, +z, +y to add.
      inset: add only the middle of every face: the shares cut off at either
        side, at the bottom and at the top. It lies in the plane of the face,
        so it shows when it is added after it.
      **surface: see `add`.
    """
    low, high = np.array(low, float), np.array(high, float)
    unit = _BOX[faces]
    points = (low + high) / 2 + unit * (high - low) / 2
    if taper != (0.0, 0.0):
      top = unit[..., 1] > 0
      points[..., 0] -= np.where(top, unit[..., 0] * taper[0], 0.0)
      points[..., 2] -= np.where(top, unit[..., 2] * taper[1], 0.0)
    if inset is not None:
      side, bottom, top = inset
      u = np.array([side, 1 - side, 1 - side, side])[:, None]
      v = np.array([bottom, bottom, 1 - top, 1 - top])[:, None]
      a, b, c, d = (points[:, k, None] for k in range(4))
      points = (1 - v) * ((1 - u) * a + u * b) + v * ((1 - u) * d + u * c)
    self.add(frame.place(points), **surface)

  def panel(
    self,
    frame: Frame,
    x: tuple[float, float],
    y: tuple[float, float],
    *,
    z: float = 0.0,
    **surface,
  ) -> None:
    """Adds an upright rectangle across the object's z axis."""
    points = np.array(
      [(x[0], y[0], z), (x[1], y[0], z), (x[1], y[1], z), (x[0], y[1], z)]
    )
    self.add(frame.place(points)[None], **{'double': True, **surface})

  def side(
    self,
    frame: Frame,
    z: tuple[float, float],
    y: tuple[float, float],
    *,
    x: float = 0.0,
    **surface,
  ) -> None:
    """Adds an upright rectangle along the object's z axis."""
    points = np.array(
      [(x, y[0], z[0]), (x, y[0], z[1]), (x, y[1], z[1]), (x, y[1], z[0])]
    )
    self.add(frame.place(points)[None], **{'double': True, **surface})

  def finish(self) -> Faces:
    """All the faces."""
    rows = np.array(self._rows)
    return Faces(
      corners=np.concatenate(self._corners),
      label=rows[:, 0].astype(np.uint8),
      material=rows[:, 1].astype(np.uint8),
      colors=np.array(self._colors, np.float32),
      sprite=rows[:, 2].astype(np.int64),
      size=rows[:, 3:5].astype(np.float32),
      double=rows[:, 5] > 0,
      shadow=rows[:, 6] > 0,
    )
