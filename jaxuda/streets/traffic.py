"""Adds cars, trucks, buses, trains, two-wheelers and people.

Vehicles are boxes with wheels and glass; people and two-wheelers are upright
cut-outs.
"""

import numpy as np

from jaxuda.streets import material
from jaxuda.streets import mesh
from jaxuda.streets import site as sites
from jaxuda.streets import sprites

_TYRE = ((0.06, 0.06, 0.065), (0.42, 0.42, 0.43))
_DARK, _WHITE = (0.05, 0.05, 0.055), (0.93, 0.93, 0.86)
_RED, _AMBER = (0.72, 0.05, 0.05), (0.95, 0.65, 0.1)
# Tyres, metal and lamp of a two-wheeler.
_BIKE = ((0.05, 0.05, 0.05), (0.5, 0.5, 0.52), (0.7, 0.1, 0.08))

# Details are left out beyond this distance in metres: a sample is larger.
_DETAIL = 40.0

# Saloon, estate, van, hatchback, three-wheeler: length, width, height of the
# bonnet, total height, rear and front end of the cabin (z at its bottom), and
# taper of the cabin.
_CARS = (
  (4.5, 1.80, 0.88, 1.44, (-1.75, 0.85), 0.50),
  (4.3, 1.82, 0.92, 1.56, (-2.05, 0.95), 0.30),
  (4.9, 1.92, 1.05, 1.98, (-2.35, 1.55), 0.16),
  (3.6, 1.66, 0.94, 1.52, (-1.70, 0.75), 0.34),
  (2.7, 1.34, 0.98, 1.74, (-1.28, 0.95), 0.22),
)


def _paint(label, color, *, shadow=True):
  return mesh.Surface(label, material.PLAIN, (color,), shadow=shadow)


def _add_wheels(out, frame, half, axles, *, radius, label):
  """Adds wheels on both sides, 2 cm outside the body."""
  sprite = sprites.find('wheel')
  wheel = mesh.Surface(label, material.PARTS, _TYRE, sprite)
  for z in axles:
    for side in (-1, 1):
      x = side * (half + 0.02)
      span = (z - radius, z + radius)
      out.side(frame, span, (0.0, 2 * radius), wheel, x=x)
      # The tread, seen from the front or from behind.
      inner = x - side * 0.24
      low = (min(x, inner), 0.0, z - 0.7 * radius)
      high = (max(x, inner), 1.4 * radius, z + 0.7 * radius)
      out.box(frame, low, high, _paint(label, _DARK), faces=(2, 3))


def _add_lamps(out, frame, half, end, *, rear, front, size, label):
  """Adds red lamps at height `rear` and white ones at height `front`."""
  wide, high = size
  for z, y, color in ((-end, rear, _RED), (end, front, _WHITE)):
    lamp = _paint(label, color, shadow=False)
    upright = (y - high / 2, y + high / 2)
    for side in (-1, 1):
      x = side * (half - wide)
      out.panel(frame, (x - wide / 2, x + wide / 2), upright, lamp, z=z)


def add_car(site: sites.Site, frame: mesh.Frame) -> None:
  """Adds a car that points along the frame's z axis."""
  out = site.out
  shares = site.style.car_shapes
  shape = _CARS[site.rng.choice(len(shares), p=shares)]
  length, width, bonnet, height, cabin, taper = shape
  color, glass = site.color('car'), site.color('glass')
  half, end = width / 2, length / 2
  body = mesh.Surface(mesh.CAR, material.PAINT, (color,))
  pane = mesh.Surface(mesh.CAR, material.GLASS, (glass, color))
  low, high = (-half + 0.12, 0.1, -end + 0.15), (half - 0.12, 0.34, end - 0.15)
  out.box(frame, low, high, _paint(mesh.CAR, _DARK), faces=mesh.WALLS)
  low, high = (-half, 0.3, -end), (half, bonnet, end)
  out.box(frame, low, high, body, taper=(0.06, 0.05))
  low, high = (-half + 0.1, bonnet, cabin[0]), (half - 0.1, height, cabin[1])
  slope, middle = (0.16, taper), (0.07, 0.05, 0.12)
  out.box(frame, low, high, body, taper=slope)
  out.box(frame, low, high, pane, taper=slope, faces=mesh.WALLS, inset=middle)
  if np.hypot(frame.x, frame.z) > _DETAIL:
    return
  axles = (-0.29 * length, 0.3 * length)
  _add_wheels(out, frame, half, axles, radius=0.33, label=mesh.CAR)
  lamps = {'rear': 0.7, 'front': 0.66, 'size': (0.3, 0.16)}
  _add_lamps(out, frame, half, end + 0.01, **lamps, label=mesh.CAR)
  plate = _paint(mesh.CAR, _WHITE, shadow=False)
  for z in (-end - 0.02, end + 0.02):
    out.panel(frame, (-0.26, 0.26), (0.46, 0.58), plate, z=z)


def add_truck(site: sites.Site, frame: mesh.Frame) -> None:
  """Adds a truck: a cab and a box-shaped load."""
  out, rng, label = site.out, site.rng, mesh.TRUCK
  color, cargo = site.color('truck'), site.color('cargo')
  glass = site.color('glass')
  length, height = rng.uniform(6.5, 9.5), rng.uniform(2.9, 3.7)
  half, end = 1.2, length / 2
  low, high = (-1.0, 0.35, -end), (1.0, 0.95, end - 0.3)
  out.box(frame, low, high, _paint(label, _DARK), faces=mesh.WALLS)
  size = (float(rng.uniform(0.5, 1.4)), 1.0)
  load = mesh.Surface(label, material.CARGO, (cargo,), size=size)
  out.box(frame, (-half, 0.9, -end), (half, height, end - 2.1), load)
  low, high = (-half + 0.05, 0.45, end - 1.95), (half - 0.05, 2.6, end)
  cab = mesh.Surface(label, material.PAINT, (color,))
  out.box(frame, low, high, cab, taper=(0.06, 0.12))
  pane = mesh.Surface(label, material.GLASS, (glass, color), shadow=False)
  out.panel(frame, (-1.0, 1.0), (1.5, 2.3), pane, z=end + 0.02)
  for x in (-half + 0.02, half - 0.02):
    out.side(frame, (end - 1.2, end - 0.3), (1.5, 2.2), pane, x=x)
  axles = (-end + 1.1, -end + 2.3, end - 1.1)
  _add_wheels(out, frame, half, axles, radius=0.48, label=label)
  lamps = {'rear': 0.75, 'front': 0.75, 'size': (0.34, 0.2)}
  _add_lamps(out, frame, half, end + 0.02, **lamps, label=label)
  seam = _paint(label, _DARK, shadow=False)
  out.panel(frame, (-0.02, 0.02), (0.95, height - 0.1), seam, z=-end - 0.02)


def _add_coach(out, frame, size, *, base, windows, colors, label):
  """Adds a long box with a band of windows: the shape of a bus or a tram."""
  width, height, length = size
  half, end = width / 2, length / 2
  body, glass, trim = colors
  low, high = windows
  paint = mesh.Surface(label, material.PAINT, (body,))
  # Panels on the body cast no shadow: the body does.
  pane = mesh.Surface(label, material.PANES, (glass, body, trim), shadow=False)
  skirt = _paint(label, trim, shadow=False)
  bottom, top = (-half, base, -end), (half, height, end)
  out.box(frame, bottom, top, paint, taper=(0.05, 0.05))
  step = length / max(round(length / 1.5), 1)
  row = pane._replace(size=(step, 1.0))
  for x in (-half - 0.01, half + 0.01):
    out.side(frame, (-end + 0.1, end - 0.1), (low, high), row, x=x)
    span = (-end + 0.05, end - 0.05)
    out.side(frame, span, (base + 0.02, base + 0.3), skirt, x=x)
  span, single = (-half + 0.18, half - 0.18), pane._replace(size=(9.0, 1.0))
  for z in (-end - 0.02, end + 0.02):
    out.panel(frame, span, (low - 0.1, high), single, z=z)


def add_bus(site: sites.Site, frame: mesh.Frame) -> None:
  """Adds a town bus, sometimes with two decks."""
  out, rng, label = site.out, site.rng, mesh.BUS
  body, glass = site.color('bus'), site.color('glass')
  double = rng.random() < 0.25
  height = 4.2 if double else rng.uniform(2.9, 3.2)
  length = rng.uniform(9.5, 12.0)
  colors = (body, glass, tuple(0.45 * c for c in body))
  size = (2.5, height, length)
  shape = {'base': 0.32, 'windows': (1.25, 2.3), 'colors': colors}
  _add_coach(out, frame, size, **shape, label=label)
  half, end = 1.25, length / 2
  if double:
    colors = (glass, body, colors[2])
    pane = mesh.Surface(label, material.PANES, colors, shadow=False)
    row = pane._replace(size=(1.5, 1.0))
    for x in (-half - 0.02, half + 0.02):
      out.side(frame, (-end + 0.2, end - 0.2), (2.75, 3.75), row, x=x)
    for z in (-end - 0.03, end + 0.03):
      out.panel(frame, (-1, 1), (2.75, 3.75), pane, z=z)
  sign = _paint(label, _AMBER, shadow=False)
  for z in (-end - 0.04, end + 0.04):
    out.panel(frame, (-0.7, 0.7), (2.4, 2.65), sign, z=z)
  axles = (-0.28 * length, 0.32 * length)
  _add_wheels(out, frame, half, axles, radius=0.48, label=label)
  lamps = {'rear': 0.8, 'front': 0.7, 'size': (0.28, 0.3)}
  _add_lamps(out, frame, half, end + 0.02, **lamps, label=label)
  low, high = (-1.1, 0.08, -end + 0.3), (1.1, 0.36, end - 0.3)
  out.box(frame, low, high, _paint(label, _DARK), faces=mesh.WALLS)


def add_train(site: sites.Site, frame: mesh.Frame) -> None:
  """Adds a tram of two to four coaches."""
  label, length = mesh.TRAIN, 11.0
  colors = site.color('train'), site.color('glass'), (0.85, 0.85, 0.82)
  shape = {'base': 0.4, 'windows': (1.5, 2.6), 'colors': colors}
  for k in range(int(site.rng.integers(2, 5))):
    z = k * (length + 0.5)
    here = frame._replace(
      x=frame.x + z * np.sin(frame.heading),
      z=frame.z + z * np.cos(frame.heading),
    )
    _add_coach(site.out, here, (2.6, 3.6, length), **shape, label=label)
    bellows, z = _paint(label, _DARK), length / 2 + 0.25
    site.out.panel(here, (-1.1, 1.1), (0.2, 3.3), bellows, z=z)


def _clothes(site):
  return tuple(site.color(k) for k in ('top', 'trousers', 'skin', 'hair'))


def add_person(site: sites.Site, frame: mesh.Frame) -> None:
  """Adds a standing or walking person."""
  rng = site.rng
  height = rng.uniform(1.55, 1.95) if rng.random() < 0.85 else 1.25
  half = height / 4 * rng.uniform(0.9, 1.15)
  span = (-half, half) if rng.random() < 0.5 else (half, -half)
  clothes, sprite = _clothes(site), sprites.choose(rng, 'person')
  person = mesh.Surface(mesh.PERSON, material.PARTS, clothes, sprite)
  site.out.panel(frame, span, (0.0, height), person)


def add_two_wheeler(
  site: sites.Site,
  frame: mesh.Frame,
  *,
  motor: bool,
  ridden: bool,
  across: bool,
) -> None:
  """Adds a bicycle or motorcycle, with or without its rider.

  Args:
    site: the street.
    frame: its position and heading.
    motor: whether it is a motorcycle rather than a bicycle.
    ridden: whether someone rides it.
    across: whether it shows its side (along x) rather than its back.
  """
  name = 'motorcycle' if motor else 'bicycle'
  label = mesh.MOTORCYCLE if motor else mesh.BICYCLE
  colors, clothes = (site.color('bike'), *_BIKE), _clothes(site)
  tall, pose, sign = 1.95, 'side' if across else 'back', 1
  half = rider = tall / 2 if across else tall / 4
  if across:
    sign = 1 if site.rng.random() < 0.5 else -1
  elif not motor:
    half = tall * 48 / 256
  sprite = sprites.find(f'{name}_{pose}')
  bike = mesh.Surface(label, material.PARTS, colors, sprite)
  site.out.panel(frame, (-sign * half, sign * half), (0.0, tall), bike)
  if ridden:
    sprite = sprites.find(f'rider_{pose}')
    person = mesh.Surface(mesh.RIDER, material.PARTS, clothes, sprite)
    span = (-sign * rider, sign * rider)
    site.out.panel(frame, span, (0.0, tall), person, z=-0.03)
