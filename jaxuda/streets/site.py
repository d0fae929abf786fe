"""A street while it is being filled: its shape, and what is taken of it."""

import dataclasses
import math
from typing import Any

import numpy as np

from jaxuda.streets import mesh
from jaxuda.streets.domains import palette


@dataclasses.dataclass(frozen=True)
class Road:
  """A gentle bend.

  Attributes:
    bend: curvature to the right, 1/metres.
  """

  bend: float

  def frame(
    self, s: float, t: float, *, turn: float = 0.0, y: float = 0.0
  ) -> mesh.Frame:
    """Returns the place s metres along the road and t metres to the right."""
    angle = math.atan(self.bend * s)
    x = self.bend * s * s / 2 + t * math.cos(angle)
    return mesh.Frame(x, s - t * math.sin(angle), angle + turn, y)

  def point(self, s: float, t: float, y: float = 0.0) -> list[float]:
    """Returns the same place as X, Y, Z."""
    frame = self.frame(s, t)
    return [frame.x, y, frame.z]


class Site:
  """A street that things are added to.

  Attributes:
    rng: source of all that is random, but for
    brush: source of what each thing has of its own in a style that is varied;
      see `palette.Style`.
    style: the domain.
    out: the faces so far.
    half: half the width of the road, metres.
    road: bend of the road.
    walks: width of the sidewalk on the left (-1) and the right (1), metres.
    kerb: height of the sidewalk over the road, metres.
    ahead: side of the lanes that go ahead, -1 on the left, 1 on the right.
    parking: whether there is room for parked cars.
    lanes: distances of the lanes of one direction from the middle, metres.
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
    """Draws a colour for a kind of thing."""
    if kind not in self.style.paints:
      return self.style.color(self.rng, kind)
    # What follows is the same as without paint.
    palette.skip(self.rng, self.style.tones[kind])
    return self.paint(kind)

  def paint(self, kind: str) -> mesh.Color:
    """Draws a colour among the style's `paints`."""
    return palette.pick(self.brush, self.style.paints[kind])

  def each(self, spread: Any) -> Any:
    """Draws what a thing has of its own."""
    return palette.draw(self.brush, spread)

  def has(self, name: str) -> bool:
    """Draws whether this street gets the named thing."""
    return bool(self.rng.random() < self.style.chance[name])

  def distance(self, near: float, far: float) -> float:
    """Draws a distance along the road, more often near than far."""
    return near + (far - near) * self.rng.random() ** 1.5

  def claim(self, s: float, t: float, length: float, width: float) -> bool:
    """Takes a rectangle of the street if it is free."""
    for other_s, other_t, other_length, other_width in self._taken:
      if (
        abs(s - other_s) < (length + other_length) / 2
        and abs(t - other_t) < (width + other_width) / 2
      ):
        return False
    self._taken.append((s, t, length, width))
    return True

  def at(self, s: float, t: float, turn: float = 0.0) -> mesh.Frame:
    """Returns a place on the road or, beyond the kerb, on the sidewalk."""
    y = self.kerb if abs(t) > self.half else 0.0
    return self.road.frame(s, t, turn=turn, y=y)

  def facing(self, s: float, t: float, *, y: float = 0.0) -> mesh.Frame:
    """Returns a place beside the road whose -z axis points to the road."""
    turn = math.copysign(math.pi / 2, t)
    return self.road.frame(s, t, turn=turn, y=y)
