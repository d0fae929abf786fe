"""A scene as plane quadrilaterals, with what is needed to colour them."""

from collections.abc import Sequence
import dataclasses

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

# Its upright faces.
WALLS = (0, 1, 2, 3)

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
  """Collects faces; `finish` computes them all at once, which is fast."""

  def __init__(self):
    self._quads, self._quad_looks = [], []
    self._boxes, self._box_faces, self._box_looks = [], [], []

  def add(self, corners: np.ndarray, **look) -> None:
    """Adds faces by their corners in the world, [n, 4, 3].

    Args:
      corners: see `Faces`.
      **look: see `_row`.
    """
    self._quads.append(corners)
    self._quad_looks.extend([_row(**look)] * len(corners))

  def box(
    self,
    frame: Frame,
    low: tuple[float, float, float],
    high: tuple[float, float, float],
    *,
    taper: tuple[float, float] = (0.0, 0.0),
    faces: tuple[int, ...] = (0, 1, 2, 3, 4),
    inset: tuple[float, float, float] = (0.0, 0.0, 0.0),
    **look,
  ) -> None:
    """Adds a box without its bottom.

    Args:
      frame: where the object stands.
      low: smallest x, y, z, in the object's frame.
      high: largest x, y, z.
      taper: how much further in the top is than the bottom at x and z, metres.
      faces: which of -x, +x, -z, +z, +y to add: 0 to 4.
      inset: add only the middle of every face: the shares cut off at either
        side, at the bottom and at the top. It lies in the plane of the face,
        so it shows when it is added after it.
      **look: see `_row`.
    """
    place = (frame.x, frame.y, frame.z, frame.heading)
    self._boxes.append((*low, *high, *taper, *inset, *place))
    self._box_faces.append(faces)
    self._box_looks.append(_row(**look))

  def panel(
    self,
    frame: Frame,
    x: tuple[float, float],
    y: tuple[float, float],
    *,
    z: float = 0.0,
    double: bool = True,
    **look,
  ) -> None:
    """Adds an upright rectangle across the object's z axis."""
    low, high = (x[0], y[0], z), (x[1], y[1], z)
    self.box(frame, low, high, faces=(2,), double=double, **look)

  def side(
    self,
    frame: Frame,
    z: tuple[float, float],
    y: tuple[float, float],
    *,
    x: float = 0.0,
    double: bool = True,
    **look,
  ) -> None:
    """Adds an upright rectangle along the object's z axis."""
    low, high = (x, y[0], z[0]), (x, y[1], z[1])
    self.box(frame, low, high, faces=(1,), double=double, **look)

  def finish(self) -> Faces:
    """All the faces: those by corners first, else in the order of adding."""
    counts = [len(f) for f in self._box_faces]
    box = np.repeat(np.arange(len(counts)), counts)
    number = [f for faces in self._box_faces for f in faces]
    unit = _BOX[np.array(number, int)]
    # The shape holds without any box, too.
    boxes = np.array(self._boxes, float).reshape(-1, 15)[box.astype(int)]
    corners = _place(unit, boxes)
    looks = self._quad_looks + [self._box_looks[k] for k in box.tolist()]
    rows = np.array([row for row, _ in looks])
    return Faces(
      corners=np.concatenate([*self._quads, corners]),
      label=rows[:, 0].astype(np.uint8),
      material=rows[:, 1].astype(np.uint8),
      colors=np.array([colors for _, colors in looks], np.float32),
      sprite=rows[:, 2].astype(np.int64),
      size=rows[:, 3:5].astype(np.float32),
      double=rows[:, 5] > 0,
      shadow=rows[:, 6] > 0,
    )


def _row(
  *,
  label: int,
  material: int,
  colors: Sequence[Color],
  sprite: int = -1,
  size: tuple[float, float] = (1.0, 1.0),
  double: bool = False,
  shadow: bool = True,
):
  """What a face has besides its corners; see `Faces`."""
  colors = (*colors, *((colors[-1],) * (4 - len(colors))))
  return (label, material, sprite, *size, double, shadow), colors


def _place(unit: np.ndarray, boxes: np.ndarray) -> np.ndarray:
  """Corners in the world, [n, 4, 3], of faces of the unit box."""
  low, high, taper, inset, frame = np.split(boxes, (3, 6, 8, 11), axis=1)
  middle, half = (low + high)[:, None] / 2, (high - low)[:, None] / 2
  points = middle + unit * half
  top = unit[..., 1] > 0
  points[..., 0] -= np.where(top, unit[..., 0] * taper[:, :1], 0.0)
  points[..., 2] -= np.where(top, unit[..., 2] * taper[:, 1:], 0.0)
  side, bottom, above = (inset[:, k, None, None] for k in range(3))
  u = np.concatenate([side, 1 - side, 1 - side, side], 1)
  v = np.concatenate([bottom, bottom, 1 - above, 1 - above], 1)
  a, b, c, d = (points[:, k, None] for k in range(4))
  x, y, z = np.moveaxis(
    (1 - v) * ((1 - u) * a + u * b) + v * ((1 - u) * d + u * c), 2, 0
  )
  cos, sin = np.cos(frame[:, 3:]), np.sin(frame[:, 3:])
  return np.stack(
    [
      frame[:, :1] + cos * x + sin * z,
      frame[:, 1:2] + y,
      frame[:, 2:3] - sin * x + cos * z,
    ],
    2,
  )
