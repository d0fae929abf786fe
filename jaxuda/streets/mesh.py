"""A scene as labelled plane quadrilaterals, with all that colours them."""

from collections.abc import Sequence
import dataclasses
from typing import NamedTuple

import numpy as np

# The train ids of Cityscapes that faces are labelled with.
ROAD, SIDEWALK, BUILDING, WALL, FENCE = 0, 1, 2, 3, 4
POLE, LIGHT, SIGN, VEGETATION, TERRAIN = 5, 6, 7, 8, 9
SKY, PERSON, RIDER, CAR, TRUCK = 10, 11, 12, 13, 14
BUS, TRAIN, MOTORCYCLE, BICYCLE = 15, 16, 17, 18
# Street clutter that is none of the classes.
IGNORE = 255

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


class Frame(NamedTuple):
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


class Surface(NamedTuple):
  """What a face has besides its corners.

  Attributes:
    label: train id.
    material: index of the pattern in `material.PATTERNS`.
    colors: one to four albedos in 0..1; the last stands for those left out.
      What each is for, the material knows.
    sprite: index of the cut-out stretched over the face, -1 = none.
    size: two or more sizes of the material's pattern, mostly metres.
    shadow: whether it casts one.
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
    corners: [F, 4, 3] world metres. Corner 0 is the origin of the surface
      coordinates (u, v), corner 1 lies along u, corner 3 along v.
    label: uint8 [F], see `Surface`, as the next ones.
    material: uint8 [F].
    colors: float32 [F, 4, 3].
    sprite: int64 [F].
    size: float32 [F, S], 0 where a face has fewer than another.
    shadow: bool [F].
    double: bool [F], whether it is seen from both sides.
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
  """Collects faces; `finish` computes them all at once, which is fast."""

  def __init__(self):
    self._quads, self._boxes = [], []

  def add(
    self, corners: np.ndarray, surface: Surface, *, double: bool = False
  ) -> None:
    """Adds faces by their corners in the world, [n, 4, 3]; see `Faces`."""
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
      frame: where the object stands.
      low: smallest x, y, z, in the object's frame.
      high: largest x, y, z.
      surface: look of all its faces.
      taper: how much further in the top is than the bottom at x and z, metres.
      faces: which of -x, +x, -z, +z, +y to add: 0 to 4.
      inset: add only the middle of every face: the shares cut off at either
        side, at the bottom and at the top. It lies in the plane of the face,
        so it shows when it is added after it.
      double: whether the faces are seen from both sides.
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
    """Adds an upright rectangle across the object's z axis, seen from both."""
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
    """Adds an upright rectangle along the object's z axis, seen from both."""
    low, high = (x, y[0], z[0]), (x, y[1], z[1])
    self.box(frame, low, high, surface, faces=(1,), double=True)

  def finish(self) -> Faces:
    """Returns all faces: those added by corners first, in order of adding."""
    unit = _BOX[np.array([f for box in self._boxes for f in box[3]], int)]
    # The shape holds without any box, too.
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
  x0, y0, z0, heading = (frame[:, k, None] for k in range(4))
  cos, sin = np.cos(heading), np.sin(heading)
  return np.stack([x0 + cos * x + sin * z, y0 + y, z0 - sin * x + cos * z], 2)
