"""A street while it is being filled: its shape and its occupied places."""

import dataclasses
import math
from typing import Any

import numpy as np

from jaxuda.streets import mesh
from jaxuda.streets.domains import palette


@dataclasses.dataclass(frozen=True)
class Road:
  """A gently curved road.

  Attributes:
    bend: curvature to the right, 1/metres.
  """

  bend: float

  def frame(
    self, s: float, t: float, *, turn: float = 0.0, y: float = 0.0
  ) -> mesh.Frame:
    """Returns the frame s metres along the road and t metres to the right."""
    angle = math.atan(self.bend * s)
    x = self.bend * s * s / 2 + t * math.cos(angle)
    return mesh.Frame(x, s - t * math.sin(angle), angle + turn, y)

  def point(self, s: float, t: float, y: float = 0.0) -> list[float]:
    """Returns the same place as [X, Y, Z], at height y."""
    frame = self.frame(s, t)
    return [frame.x, y, frame.z]


class Site:
  """A street to which objects are added.

  Attributes:
    rng: source of randomness for everything but the draws from `brush`.
    brush: source of randomness for the individual features of objects in a
      varied style; see `palette.Style`.
    style: style of the domain.
    out: the faces so far.
    half: half the width of the road, metres.
    road: the curve of the road.
    walks: width of the sidewalk on the left (-1) and the right (1), metres.
    kerb: height of the sidewalk above the road, metres.
    ahead: side of the lanes that lead ahead, -1 = left, 1 = right.
    parking: whether there is room for parked cars.
    lanes: distances of one direction's lanes from the middle, metres.
  """

  def __init__(
    self,
    rng: np.random.Generator,
    style: palette.Style,
    brush: np.random.Generator | None = None,
  ):
    self.rng, self.style, self.out = rng, style, mesh.Mesh()
    self.brush, self.kerb = brush or rng, style.kerb
    self.ahead = -1 if style.left else 1
    self.half = rng.uniform(*style.road) / 2
    self.road = Road(rng.uniform(-style.curve, style.curve))
    self.walks = {s: rng.uniform(*style.sidewalk) for s in (-1, 1)}
    self.parking = self.half > 3.9
    inner = self.half - (2.1 if self.parking else 0.0)
    self.lanes = [inner / 2] if inner < 5.4 else [inner / 4, 0.75 * inner]
    self._taken = []

  def color(self, kind: str) -> mesh.Color:
    """Draws a colour for a kind of object."""
    if kind not in self.style.paints:
      return self.style.color(self.rng, kind)
    # Keeps the following draws the same as without `paints`.
    palette.skip(self.rng, self.style.tones[kind])
    return self.paint(kind)

  def paint(self, kind: str) -> mesh.Color:
    """Draws a colour from the style's `paints`."""
    return palette.pick(self.brush, self.style.paints[kind])

  def each(self, spread: Any) -> Any:
    """Draws an individual feature of one object."""
    return palette.draw(self.brush, spread)

  def has(self, name: str) -> bool:
    """Draws whether this street has the named feature."""
    return bool(self.rng.random() < self.style.chance[name])

  def distance(self, near: float, far: float) -> float:
    """Draws a distance along the road, more often near than far."""
    return near + (far - near) * self.rng.random() ** 1.5

  def claim(self, s: float, t: float, length: float, width: float) -> bool:
    """Occupies a rectangle of the street if it is free; returns whether so."""
    for other_s, other_t, other_length, other_width in self._taken:
      if (
        abs(s - other_s) < (length + other_length) / 2
        and abs(t - other_t) < (width + other_width) / 2
      ):
        return False
    self._taken.append((s, t, length, width))
    return True

  def at(self, s: float, t: float, turn: float = 0.0) -> mesh.Frame:
    """Returns a frame on the road or, beyond the kerb, on the sidewalk."""
    y = self.kerb if abs(t) > self.half else 0.0
    return self.road.frame(s, t, turn=turn, y=y)

  def facing(self, s: float, t: float, *, y: float = 0.0) -> mesh.Frame:
    """Returns a frame next to the road whose -z axis points to the road."""
    turn = math.copysign(math.pi / 2, t)
    return self.road.frame(s, t, turn=turn, y=y)
