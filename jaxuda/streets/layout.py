"""Samples the layout of a street: what stands and drives where."""

import dataclasses

import numpy as np

from jaxuda.streets import furniture
from jaxuda.streets import ground
from jaxuda.streets import mesh
from jaxuda.streets import site as sites
from jaxuda.streets import traffic
from jaxuda.streets.domains import palette


@dataclasses.dataclass(frozen=True, kw_only=True)
class Layout:
  """A street and the camera's pose in it.

  Attributes:
    faces: surfaces of the street.
    fov: horizontal field of view, radians.
    position: X, Y, Z of the camera, metres.
    pitch: angle of the camera below the horizon, radians.
    yaw: angle of the camera to the right, radians.
    turn: angle by which the car turns right per frame, radians.
  """

  faces: mesh.Faces
  fov: float
  position: tuple[float, float, float]
  pitch: float
  yaw: float
  turn: float


def sample(
  rng: np.random.Generator,
  style: palette.Style,
  brush: np.random.Generator | None = None,
) -> Layout:
  """Samples a street in a domain's style; see `site.Site` for `brush`."""
  site = sites.Site(rng, style, brush)
  # The camera's own place; nothing may stand directly in front of it.
  lane = site.lanes[-1] + rng.uniform(-0.4, 0.4)
  lane = site.ahead * (lane + style.aside * (site.half - 1.2 - lane))
  site.claim(3.0, lane, 12.0, 2.2)
  segments = ground.add_ground(site)
  _add_heavy(site)
  _add_riders(site)
  _add_parked_two_wheelers(site)
  _add_parked(site)
  _add_traffic(site)
  _add_people(site)
  _add_obstacles(site)
  for side in (-1, 1):
    gaps = [x.stretch for x in segments[side] if x.kind == 'crossing']
    _add_furniture(site, side, gaps)
    _add_trees(site, side, gaps)
  return Layout(
    faces=site.out.finish(),
    fov=np.radians(rng.uniform(*style.fov)),
    position=(
      lane + site.each(style.sway),
      rng.uniform(*style.camera_height),
      0.0,
    ),
    pitch=np.radians(rng.uniform(*style.pitch)),
    yaw=np.radians(rng.uniform(*style.yaw)),
    turn=np.radians(rng.uniform(-0.4, 0.4)),
  )


def _sample_lane(site: sites.Site) -> tuple[float, float]:
  """Samples the lateral position and heading of a moving vehicle."""
  lane = site.lanes[site.rng.integers(len(site.lanes))]
  if site.style.weave:
    lane += site.rng.uniform(-1, 1) * site.style.weave
  if site.rng.random() < 0.5:
    return site.ahead * lane, site.rng.uniform(-0.05, 0.05)
  return -site.ahead * lane, np.pi + site.rng.uniform(-0.05, 0.05)


def _add_heavy(site: sites.Site) -> None:
  """Adds trucks and buses, which come first since they need space."""
  for name, add, length in (
    ('truck', traffic.add_truck, 11.0),
    ('bus', traffic.add_bus, 13.0),
  ):
    if not site.has(name):
      continue
    wanted = site.style.heavy
    for _ in range(6 * wanted):
      t, heading = _sample_lane(site)
      if site.parking and site.rng.random() < 0.4:
        t = np.sign(t) * (site.half - 1.5)
      s = site.distance(9, 28)
      if site.claim(s, t, length, 2.7):
        add(site, site.at(s, t, heading))
        wanted -= 1
        if not wanted:
          break


def _add_riders(site: sites.Site) -> None:
  rng, style = site.rng, site.style
  for name, motor in (('cyclist', False), ('motorcyclist', True)):
    has = int(site.has(name))
    for _ in range(has * int(rng.integers(1, style.most_riders + 1))):
      t, _ = _sample_lane(site)
      if not motor:
        t = np.sign(t) * (site.half - rng.uniform(0.5, 2.6))
      s = site.distance(5, style.reach)
      across = rng.random() < 0.35
      heading = rng.uniform(-0.6, 0.6) if across else rng.uniform(-0.5, 0.5)
      if site.claim(s, t, 2.4, 1.2):
        pose = {'motor': motor, 'ridden': True, 'across': across}
        traffic.add_two_wheeler(site, site.at(s, t, heading), **pose)


def _add_parked_two_wheelers(site: sites.Site) -> None:
  rng = site.rng
  for name, motor in (('bicycle', False), ('motorcycle', True)):
    if not site.has(name):
      continue
    side, s = rng.choice((-1, 1)), site.distance(5, 14)
    for _ in range(int(rng.integers(1, site.style.most_bikes + 1))):
      t = side * (site.half + rng.uniform(-0.9, 0.9))
      if site.claim(s, t, 0.9, 1.4):
        place = site.at(s, t, rng.uniform(-0.9, 0.9))
        pose = {'motor': motor, 'ridden': False, 'across': rng.random() < 0.75}
        traffic.add_two_wheeler(site, place, **pose)
      s += rng.uniform(0.9, 1.6)


def _add_parked(site: sites.Site) -> None:
  rng = site.rng
  if not site.parking:
    return
  for side in (-1, 1):
    share = rng.uniform(*site.style.parked)
    s = rng.uniform(4, 9)
    while s < 75:
      t = side * (site.half - 1.1)
      if rng.random() < share and site.claim(s, t, 5.2, 1.9):
        heading = 0.0 if side == site.ahead else np.pi
        heading += rng.uniform(-0.04, 0.04)
        traffic.add_car(site, site.at(s, t, heading))
      s += rng.uniform(5.3, 6.6)


def _add_traffic(site: sites.Site) -> None:
  for _ in range(round(site.rng.uniform(*site.style.traffic))):
    t, heading = _sample_lane(site)
    s = site.distance(7, 50)
    if site.claim(s, t, 6.5, 1.9):
      traffic.add_car(site, site.at(s, t, heading))


def _add_people(site: sites.Site) -> None:
  rng = site.rng
  for _ in range(round(rng.uniform(*site.style.people))):
    side = rng.choice((-1, 1))
    s = site.distance(4.5, 24)
    t = side * (site.half + rng.uniform(0.4, site.walks[side] - 0.3))
    for _ in range(1 + int(rng.random() < 0.3)):
      if site.claim(s, t, 0.5, 0.6):
        traffic.add_person(site, site.at(s, t, rng.uniform(-0.5, 0.5)))
      t += side * 0.65
  if site.has('crossing_person'):
    s = site.distance(6.5, 18)
    for _ in range(int(rng.integers(1, site.style.most_crossing + 1))):
      t = rng.uniform(-0.9, 0.9) * site.half
      if site.claim(s, t, 0.5, 0.7):
        traffic.add_person(site, site.at(s, t, rng.uniform(-0.3, 0.3)))


def _add_obstacles(site: sites.Site) -> None:
  """Adds obstacles on the sidewalks."""
  for _ in range(round(site.style.clutter)):
    side, s = site.rng.choice((-1, 1)), site.distance(5, 40)
    t = side * (site.half + site.rng.uniform(0.4, site.walks[side]))
    if site.claim(s, t, 1.0, 1.0):
      turn = site.rng.uniform(-0.8, 0.8)
      furniture.add_clutter(site, site.at(s, t, turn))


def _is_open(s: float, gaps: list[tuple[float, float]]) -> bool:
  """Returns whether there is a sidewalk at s."""
  return not any(start - 1 < s < stop + 1 for start, stop in gaps)


def _add_furniture(site, side, gaps) -> None:
  """Adds poles, lights, signs and clutter along a kerb."""
  rng = site.rng
  lamps, lights, signs = site.style.furniture_mix
  s = rng.uniform(5, 9)
  while s < 65:
    t = side * (site.half + rng.uniform(0.3, 0.6))
    if _is_open(s, gaps) and site.claim(s, t, 0.6, 0.5):
      place = site.at(s, t, rng.uniform(-0.15, 0.15))
      pick = rng.random()
      if pick < lamps:
        furniture.add_lamp_post(site, place, inwards=-side)
      elif pick < lights:
        furniture.add_traffic_light(site, place, inwards=-side)
      elif pick < signs:
        furniture.add_sign(site, place)
      else:
        furniture.add_clutter(site, place)
    s += rng.uniform(*site.style.furniture)


def _add_trees(site, side, gaps) -> None:
  """Adds a row of trees along a kerb, or none."""
  rng = site.rng
  if not site.has('street_trees'):
    return
  s = rng.uniform(7, 16)
  while s < 80:
    t = side * (site.half + rng.uniform(0.7, 1.1))
    if _is_open(s, gaps) and site.claim(s, t, 0.8, 0.8):
      height = rng.uniform(*site.style.street_tree)
      place = site.at(s, t, rng.uniform(-0.4, 0.4))
      furniture.add_tree(site, place, height=height)
    s += rng.uniform(*site.style.trees)
