"""Samples a street: what stands where."""

import dataclasses

import numpy as np

from jaxuda.streets import furniture
from jaxuda.streets import ground
from jaxuda.streets import mesh
from jaxuda.streets import palette
from jaxuda.streets import people
from jaxuda.streets import vehicles


@dataclasses.dataclass(frozen=True, kw_only=True)
class Layout:
  """A street and the camera's place on it.

  Attributes:
    faces: the surfaces.
    fov: horizontal field of view, radians.
    position: X, Y, Z of the camera, metres.
    pitch: radians below the horizon.
    yaw: radians to the right.
    turn: how far the car turns to the right per frame, radians.
  """

  faces: mesh.Faces
  fov: float
  position: tuple[float, float, float]
  pitch: float
  yaw: float
  turn: float


class _Street:
  """The street while it is being filled."""

  def __init__(self, rng: np.random.Generator, style: palette.Style):
    self.rng = rng
    self.style = style
    self.out = mesh.Mesh()
    self.half = rng.uniform(*style.road) / 2
    self.road = ground.Road(rng.uniform(-style.curve, style.curve))
    self.walks = {s: rng.uniform(*style.sidewalk) for s in (-1, 1)}
    self.parking = self.half > 3.9
    inner = self.half - (2.1 if self.parking else 0.0)
    self.lanes = [inner / 2] if inner < 5.4 else [inner / 4, 0.75 * inner]
    self._taken = []

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

  def has(self, name: str) -> bool:
    """Whether this street gets the named thing."""
    return bool(self.rng.random() < self.style.chance[name])

  def at(self, s: float, t: float, turn: float = 0.0) -> mesh.Frame:
    """A place on the road, or on the sidewalk where t is beyond the kerb."""
    y = ground.KERB if abs(t) > self.half else 0.0
    return self.road.frame(s, t, turn=turn, y=y)


def sample(rng: np.random.Generator, style: palette.Style) -> Layout:
  """Samples a street of a domain's style."""
  street = _Street(rng, style)
  # The camera's own place; nothing may stand just in front of it.
  lane = street.lanes[-1] + rng.uniform(-0.4, 0.4)
  street.claim(3.0, lane, 12.0, 2.2)
  segments = ground.add_ground(
    street.out,
    rng,
    style=style,
    road=street.road,
    half=street.half,
    walks=street.walks,
  )
  _add_heavy(street)
  _add_two_wheelers(street)
  _add_parked(street)
  _add_traffic(street)
  _add_people(street)
  _add_furniture(street, segments)
  return Layout(
    faces=street.out.finish(),
    fov=np.radians(rng.uniform(*style.fov)),
    position=(lane, rng.uniform(*style.camera_height), 0.0),
    pitch=np.radians(rng.uniform(*style.pitch)),
    yaw=np.radians(rng.uniform(-4, 4)),
    turn=np.radians(rng.uniform(-0.4, 0.4)),
  )


def _distance(street: _Street, near: float, far: float) -> float:
  """A distance along the road, more often near than far."""
  return near + (far - near) * street.rng.random() ** 1.5


def _lane(street: _Street) -> tuple[float, float]:
  """Lateral place and heading of a moving vehicle."""
  lane = street.lanes[street.rng.integers(len(street.lanes))]
  if street.rng.random() < 0.5:
    return lane, street.rng.uniform(-0.05, 0.05)
  return -lane, np.pi + street.rng.uniform(-0.05, 0.05)


def _add_heavy(street: _Street) -> None:
  """Trucks and buses, first, since they need room."""
  for name, add, length in (
    ('truck', vehicles.add_truck, 11.0),
    ('bus', vehicles.add_bus, 13.0),
  ):
    if not street.has(name):
      continue
    for _ in range(6):
      t, heading = _lane(street)
      if street.parking and street.rng.random() < 0.4:
        t = np.sign(t) * (street.half - 1.5)
      s = _distance(street, 9, 28)
      if street.claim(s, t, length, 2.7):
        place = street.at(s, t, heading)
        add(street.out, place, street.rng, style=street.style)
        break


def _add_two_wheelers(street: _Street) -> None:
  rng, style = street.rng, street.style
  for name, motor in (('cyclist', False), ('motorcyclist', True)):
    for _ in range(int(street.has(name)) * int(rng.integers(1, 3))):
      t, heading = _lane(street)
      if not motor:
        t = np.sign(t) * (street.half - rng.uniform(0.5, 2.6))
      s = _distance(street, 5, 16)
      across = rng.random() < 0.35
      heading = rng.uniform(-0.6, 0.6) if across else rng.uniform(-0.5, 0.5)
      if street.claim(s, t, 2.4, 1.2):
        people.add_two_wheeler(
          street.out,
          street.at(s, t, heading),
          rng,
          style=style,
          motor=motor,
          ridden=True,
          across=across,
        )
  for name, motor in (('bicycle', False), ('motorcycle', True)):
    if not street.has(name):
      continue
    side, s = rng.choice((-1, 1)), _distance(street, 5, 14)
    for _ in range(int(rng.integers(1, 4))):
      t = side * (street.half + rng.uniform(-0.9, 0.9))
      if street.claim(s, t, 0.9, 1.4):
        people.add_two_wheeler(
          street.out,
          street.at(s, t, rng.uniform(-0.9, 0.9)),
          rng,
          style=style,
          motor=motor,
          ridden=False,
          across=rng.random() < 0.75,
        )
      s += rng.uniform(0.9, 1.6)


def _add_parked(street: _Street) -> None:
  rng = street.rng
  if not street.parking:
    return
  for side in (-1, 1):
    share = rng.uniform(*street.style.parked)
    s = rng.uniform(4, 9)
    while s < 75:
      t = side * (street.half - 1.1)
      if rng.random() < share and street.claim(s, t, 5.2, 1.9):
        heading = (0.0 if side > 0 else np.pi) + rng.uniform(-0.04, 0.04)
        place = street.at(s, t, heading)
        vehicles.add_car(street.out, place, rng, style=street.style)
      s += rng.uniform(5.3, 6.6)


def _add_traffic(street: _Street) -> None:
  for _ in range(round(street.rng.uniform(*street.style.traffic))):
    t, heading = _lane(street)
    s = _distance(street, 7, 50)
    if street.claim(s, t, 6.5, 1.9):
      place = street.at(s, t, heading)
      vehicles.add_car(street.out, place, street.rng, style=street.style)


def _add_people(street: _Street) -> None:
  rng, style = street.rng, street.style
  for _ in range(round(rng.uniform(*style.people))):
    side = rng.choice((-1, 1))
    s = _distance(street, 4.5, 24)
    t = side * (street.half + rng.uniform(0.4, street.walks[side] - 0.3))
    for _ in range(1 + int(rng.random() < 0.3)):
      if street.claim(s, t, 0.5, 0.6):
        place = street.at(s, t, rng.uniform(-0.5, 0.5))
        people.add_person(street.out, place, rng, style=style)
      t += side * 0.65
  if street.has('crossing_person'):
    s = _distance(street, 6.5, 18)
    for _ in range(int(rng.integers(1, 4))):
      t = rng.uniform(-0.9, 0.9) * street.half
      if street.claim(s, t, 0.5, 0.7):
        place = street.at(s, t, rng.uniform(-0.3, 0.3))
        people.add_person(street.out, place, rng, style=style)


def _add_furniture(
  street: _Street, segments: dict[int, list[ground.Segment]]
) -> None:
  """Poles, lights, signs, clutter and trees along both kerbs."""
  rng, style, out = street.rng, street.style, street.out
  for side in (-1, 1):
    gaps = [x for x in segments[side] if x.kind == 'crossing']
    s = rng.uniform(5, 9)
    while s < 65:
      t = side * (street.half + rng.uniform(0.3, 0.6))
      blocked = any(g.start - 1 < s < g.stop + 1 for g in gaps)
      if not blocked and street.claim(s, t, 0.6, 0.5):
        place = street.at(s, t, rng.uniform(-0.15, 0.15))
        pick = rng.random()
        if pick < 0.30:
          furniture.add_lamp_post(out, place, rng, style=style, inwards=-side)
        elif pick < 0.56:
          furniture.add_traffic_light(
            out, place, rng, style=style, inwards=-side
          )
        elif pick < 0.90:
          furniture.add_sign(out, place, rng, style=style)
        else:
          furniture.add_clutter(out, place, rng, style=style)
      s += rng.uniform(*style.furniture)
    if rng.random() < 0.55:
      s = rng.uniform(7, 16)
      while s < 80:
        t = side * (street.half + rng.uniform(0.7, 1.1))
        blocked = any(g.start - 1 < s < g.stop + 1 for g in gaps)
        if not blocked and street.claim(s, t, 0.8, 0.8):
          height = rng.uniform(4.5, 8.5)
          place = street.at(s, t, rng.uniform(-0.4, 0.4))
          furniture.add_tree(out, place, rng, style=style, height=height)
        s += rng.uniform(*style.trees)
