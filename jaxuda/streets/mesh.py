"""A scene as labelled planar quadrilaterals with their surfaces."""

from collections.abc import Sequence
import dataclasses
from typing import NamedTuple

import numpy as np

# The Cityscapes train ids with which faces are labelled.
ROAD, SIDEWALK, BUILDING, WALL, FENCE = 0, 1, 2, 3, 4
POLE, LIGHT, SIGN, VEGETATION, TERRAIN = 5, 6, 7, 8, 9
SKY, PERSON, RIDER, CAR, TRUCK = 10, 11, 12, 13, 14
BUS, TRAIN, MOTORCYCLE, BICYCLE = 15, 16, 17, 18
# Street clutter that belongs to none of the classes.
IGNORE = 255

# Corners of the five visible faces of a box: -x, +x, -z, +z, +y. Coordinates
# (x, y, z) are -1 or 1; y = -1 is the bottom. Seen from outside, the order of
# the corners is bottom left, bottom right, top right, top left.
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

# The upright faces of a box.
WALLS = (0, 1, 2, 3)

Color = tuple[float, float, float]


class Frame(NamedTuple):
  """The position and heading of an object.

  Attributes:
    x: world X of its origin, metres.
    z: world Z of its origin, metres.
    heading: angle of its z axis to the right of the world's Z axis, radians.
    y: world Y of its origin, metres.
  """

  x: float = 0.0
  z: float = 0.0
  heading: float = 0.0
  y: float = 0.0


class Surface(NamedTuple):
  """The properties of a face other than its corners.

  Attributes:
    label: train id.
    material: index of the pattern in `material.PATTERNS`.
    colors: one to four albedos in 0..1, whose use depends on the material; the
      last one stands for those left out.
    sprite: index of the cut-out stretched over the face, -1 = none.
    size: two or more sizes of the material's pattern, mostly metres.
    shadow: whether the face casts a shadow.
  """

  label: int
  material: int
  colors: Sequence[Color]
  sprite: int = -1
  size: tuple[float, ...] = (1.0, 1.0)
  shadow: bool = True


@dataclasses.dataclass(frozen=True, kw_only=True)
class Faces:
  """The quadrilaterals of a scene, in drawing order (a later one wins a tie).

  Attributes:
    corners: [F, 4, 3] in the world, metres. Corner 0 is the origin of the
      surface coordinates (u, v), corner 1 lies along u, corner 3 along v.
    label: uint8 [F], see `Surface`, also for the following ones.
    material: uint8 [F].
    colors: float32 [F, 4, 3].
    sprite: int64 [F].
    size: float32 [F, S], padded with 0 if a face has fewer sizes than another.
    shadow: bool [F].
    double: bool [F], whether the face is visible from both sides.
  """

  corners: np.ndarray
  label: np.ndarray
  material: np.ndarray
  colors: np.ndarray
  sprite: np.ndarray
  size: np.ndarray
  shadow: np.ndarray
  double: np.ndarray


class Mesh:
  """Collects faces; `finish` computes them all at once, for speed."""

  def __init__(self):
    self._quads, self._boxes = [], []

  def add(
    self, corners: np.ndarray, surface: Surface, *, double: bool = False
  ) -> None:
    """Adds faces, given their corners in the world, [n, 4, 3]; see `Faces`."""
    self._quads.append((len(corners), surface, double, corners))

  def box(
    self,
    frame: Frame,
    low: tuple[float, float, float],
    high: tuple[float, float, float],
    surface: Surface,
    *,
    taper: tuple[float, float] = (0.0, 0.0),
    faces: tuple[int, ...] = (0, 1, 2, 3, 4),
    inset: tuple[float, float, float] = (0.0, 0.0, 0.0),
    double: bool = False,
  ) -> None:
    """Adds a box without its bottom.

    Args:
      frame: position and heading of the object.
      low: smallest x, y, z in the object's frame, metres.
      high: largest x, y, z in the object's frame, metres.
      surface: surface of all faces.
      taper: how far the top is inset from the bottom along x and z, metres.
      faces: which of the faces -x, +x, -z, +z, +y to add, as numbers 0 to 4.
      inset: shares to cut off each face at either side, at the bottom and at
        the top, so that only its middle is added. The middle lies in the plane
        of the whole face and is visible if it is added after it.
      double: whether the faces are visible from both sides.
    """
    place = (frame.x, frame.y, frame.z, frame.heading)
    numbers = (*low, *high, *taper, *inset, *place)
    self._boxes.append((len(faces), surface, double, faces, numbers))

  def panel(
    self,
    frame: Frame,
    x: tuple[float, float],
    y: tuple[float, float],
    surface: Surface,
    *,
    z: float = 0.0,
  ) -> None:
    """Adds an upright, two-sided rectangle across the object's z axis."""
    low, high = (x[0], y[0], z), (x[1], y[1], z)
    self.box(frame, low, high, surface, faces=(2,), double=True)

  def side(
    self,
    frame: Frame,
    z: tuple[float, float],
    y: tuple[float, float],
    surface: Surface,
    *,
    x: float = 0.0,
  ) -> None:
    """Adds an upright, two-sided rectangle along the object's z axis."""
    low, high = (x, y[0], z[0]), (x, y[1], z[1])
    self.box(frame, low, high, surface, faces=(1,), double=True)

  def finish(self) -> Faces:
    """Returns all faces in the order of adding, those of `add` first."""
    unit = _BOX[np.array([f for box in self._boxes for f in box[3]], int)]
    # This shape also holds if there are no boxes.
    boxes = np.array([box[4] for box in self._boxes]).reshape(-1, 15)
    counts = np.array([box[0] for box in self._boxes], int)
    corners = _place(unit, np.repeat(boxes, counts, axis=0))
    added = [item[:3] for item in (*self._quads, *self._boxes)]
    counts, surfaces, double = zip(*added, strict=True)
    label, material, colors, sprite, size, shadow = zip(*surfaces, strict=True)
    colors = [(*c, *(c[-1:] * (4 - len(c)))) for c in map(tuple, colors)]
    most = max(map(len, size))
    size = [(*s, *(0.0,) * (most - len(s))) for s in size]

    def spread(values, dtype):
      return np.repeat(np.array(values, dtype), counts, axis=0)

    return Faces(
      corners=np.concatenate([*(quads[3] for quads in self._quads), corners]),
      label=spread(label, np.uint8),
      material=spread(material, np.uint8),
      colors=spread(colors, np.float32),
      sprite=spread(sprite, np.int64),
      size=spread(size, np.float32),
      shadow=spread(shadow, bool),
      double=spread(double, bool),
    )


def _place(unit: np.ndarray, boxes: np.ndarray) -> np.ndarray:
  """Returns the corners in the world, [n, 4, 3], of faces of the unit box."""
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
  x0, y0, z0, heading = (frame[:, k, None] for k in range(4))
  cos, sin = np.cos(heading), np.sin(heading)
  return np.stack([x0 + cos * x + sin * z, y0 + y, z0 - sin * x + cos * z], 2)
