"""Cars, trucks, buses and trains: boxes with wheels and glass."""

import numpy as np

from jaxuda.streets import classes
from jaxuda.streets import material
from jaxuda.streets import mesh
from jaxuda.streets import palette
from jaxuda.streets import sprites

_TYRE = ((0.06, 0.06, 0.065), (0.42, 0.42, 0.43))
_DARK = (0.05, 0.05, 0.055)
_RED = (0.72, 0.05, 0.05)
_WHITE = (0.93, 0.93, 0.86)

# Details smaller than a sample are left out beyond this, metres.
_DETAIL = 40.0


def _wheels(out, frame, half_width, axles, *, radius, label):
  """Wheels on both sides, 2 cm outside the body."""
  for z in axles:
    for side in (-1, 1):
      x = side * (half_width + 0.02)
      out.side(
        frame,
        (z - radius, z + radius),
        (0.0, 2 * radius),
        x=x,
        label=label,
        material=material.PARTS,
        colors=_TYRE,
        sprite=sprites.find('wheel'),
      )
      # The tread, seen from the front or from behind.
      inner = x - side * 0.24
      out.box(
        frame,
        (min(x, inner), 0.0, z - 0.7 * radius),
        (max(x, inner), 1.4 * radius, z + 0.7 * radius),
        faces=(2, 3),
        label=label,
        material=material.PLAIN,
        colors=(_DARK,),
      )


def _lamps(out, frame, half_width, z, y, color, *, size, label):
  """A pair of lamps on the end of a vehicle."""
  for side in (-1, 1):
    x = side * (half_width - size[0])
    out.panel(
      frame,
      (x - size[0] / 2, x + size[0] / 2),
      (y - size[1] / 2, y + size[1] / 2),
      z=z,
      label=label,
      material=material.PLAIN,
      colors=(color,),
      shadow=False,
    )


# Saloon, estate, van: length, width, height of the bonnet, height, the cabin
# from and to (z, the tail at the bottom), its taper.
_SHAPES = (
  (4.5, 1.80, 0.88, 1.44, (-1.75, 0.85), 0.50),
  (4.3, 1.82, 0.92, 1.56, (-2.05, 0.95), 0.30),
  (4.9, 1.92, 1.05, 1.98, (-2.35, 1.55), 0.16),
)


def add_car(
  out: mesh.Mesh,
  frame: mesh.Frame,
  rng: np.random.Generator,
  *,
  style: palette.Style,
) -> None:
  """Adds a car that points along the frame's z axis."""
  shape = _SHAPES[rng.choice(3, p=style.car_shapes)]
  length, width, bonnet, height, cabin, taper = shape
  color, glass = style.color(rng, 'car'), style.color(rng, 'glass')
  half, end = width / 2, length / 2
  car = {'label': classes.CAR}
  paint = {'material': material.PAINT, 'colors': (color,), **car}
  dark = {'material': material.PLAIN, 'colors': (_DARK,), **car}
  pane = {'material': material.GLASS, 'colors': (glass, color), **car}
  out.box(
    frame,
    (-half + 0.12, 0.1, -end + 0.15),
    (half - 0.12, 0.34, end - 0.15),
    faces=mesh.WALLS,
    **dark,
  )
  out.box(
    frame, (-half, 0.3, -end), (half, bonnet, end), taper=(0.06, 0.05), **paint
  )
  low = (-half + 0.10, bonnet, cabin[0])
  high = (half - 0.10, height, cabin[1])
  slope = (0.16, taper)
  out.box(frame, low, high, taper=slope, **paint)
  out.box(
    frame,
    low,
    high,
    taper=slope,
    faces=mesh.WALLS,
    inset=(0.07, 0.05, 0.12),
    **pane,
  )
  if np.hypot(frame.x, frame.z) > _DETAIL:
    return
  _wheels(
    out,
    frame,
    half,
    (-0.29 * length, 0.3 * length),
    radius=0.33,
    label=classes.CAR,
  )
  lamp = {'size': (0.3, 0.16), 'label': classes.CAR}
  _lamps(out, frame, half, -end - 0.01, 0.7, _RED, **lamp)
  _lamps(out, frame, half, end + 0.01, 0.66, _WHITE, **lamp)
  plate = {'material': material.PLAIN, 'colors': (_WHITE,), 'shadow': False}
  for z in (-end - 0.02, end + 0.02):
    out.panel(frame, (-0.26, 0.26), (0.46, 0.58), z=z, **plate, **car)


def add_truck(
  out: mesh.Mesh,
  frame: mesh.Frame,
  rng: np.random.Generator,
  *,
  style: palette.Style,
) -> None:
  """Adds a lorry: a cab, and a box, a tarpaulin or an open load."""
  color, cargo = style.color(rng, 'truck'), style.color(rng, 'cargo')
  glass = style.color(rng, 'glass')
  length = rng.uniform(6.5, 9.5)
  height = rng.uniform(2.9, 3.7)
  half, end = 1.2, length / 2
  truck = {'label': classes.TRUCK}
  dark = {'material': material.PLAIN, 'colors': (_DARK,), **truck}
  box = {'material': material.CARGO, 'colors': (cargo,), **truck}
  paint = {'material': material.PAINT, 'colors': (color,), **truck}
  out.box(
    frame, (-1.0, 0.35, -end), (1.0, 0.95, end - 0.3), faces=mesh.WALLS, **dark
  )
  out.box(
    frame,
    (-half, 0.9, -end),
    (half, height, end - 2.1),
    size=(float(rng.uniform(0.5, 1.4)), 1.0),
    **box,
  )
  out.box(
    frame,
    (-half + 0.05, 0.45, end - 1.95),
    (half - 0.05, 2.6, end),
    taper=(0.06, 0.12),
    **paint,
  )
  pane = {
    'material': material.GLASS,
    'colors': (glass, color),
    'shadow': False,
    **truck,
  }
  out.panel(frame, (-1.0, 1.0), (1.5, 2.3), z=end + 0.02, **pane)
  for x in (-half + 0.02, half - 0.02):
    out.side(frame, (end - 1.2, end - 0.3), (1.5, 2.2), x=x, **pane)
  _wheels(
    out,
    frame,
    half,
    (-end + 1.1, -end + 2.3, end - 1.1),
    radius=0.48,
    label=classes.TRUCK,
  )
  lamp = {'size': (0.34, 0.2), 'label': classes.TRUCK}
  _lamps(out, frame, half, -end - 0.02, 0.75, _RED, **lamp)
  _lamps(out, frame, half, end + 0.02, 0.75, _WHITE, **lamp)
  seam = {'shadow': False, **dark}
  out.panel(frame, (-0.02, 0.02), (0.95, height - 0.1), z=-end - 0.02, **seam)


def _coach(out, frame, size, *, base, windows, colors, label):
  """A long box with a band of windows; the shape of a bus or a tram."""
  width, height, length = size
  half, end = width / 2, length / 2
  body, glass, trim = colors
  low, high = windows
  thing = {'label': label}
  # What lies on the body leaves the shadow to it.
  flat = {'shadow': False, **thing}
  pane = {'material': material.PANES, 'colors': (glass, body, trim), **flat}
  out.box(
    frame,
    (-half, base, -end),
    (half, height, end),
    taper=(0.05, 0.05),
    material=material.PAINT,
    colors=(body,),
    **thing,
  )
  step = length / max(round(length / 1.5), 1)
  for x in (-half - 0.01, half + 0.01):
    out.side(
      frame, (-end + 0.1, end - 0.1), (low, high), x=x, size=(step, 1.0), **pane
    )
    out.side(
      frame,
      (-end + 0.05, end - 0.05),
      (base + 0.02, base + 0.3),
      x=x,
      material=material.PLAIN,
      colors=(trim,),
      **flat,
    )
  for z in (-end - 0.02, end + 0.02):
    span = (-half + 0.18, half - 0.18)
    out.panel(frame, span, (low - 0.1, high), z=z, size=(9.0, 1.0), **pane)


def add_bus(
  out: mesh.Mesh,
  frame: mesh.Frame,
  rng: np.random.Generator,
  *,
  style: palette.Style,
) -> None:
  """Adds a town bus, sometimes with two decks."""
  body, glass = style.color(rng, 'bus'), style.color(rng, 'glass')
  double = rng.random() < 0.25
  height = 4.2 if double else rng.uniform(2.9, 3.2)
  length = rng.uniform(9.5, 12.0)
  trim = tuple(0.45 * c for c in body)
  label = classes.BUS
  _coach(
    out,
    frame,
    (2.5, height, length),
    base=0.32,
    windows=(1.25, 2.3),
    colors=(body, glass, trim),
    label=label,
  )
  half, end = 1.25, length / 2
  flat = {'label': label, 'shadow': False}
  pane = {'material': material.PANES, 'colors': (glass, body, trim), **flat}
  if double:
    for x in (-half - 0.02, half + 0.02):
      out.side(
        frame,
        (-end + 0.2, end - 0.2),
        (2.75, 3.75),
        x=x,
        size=(1.5, 1.0),
        **pane,
      )
    for z in (-end - 0.03, end + 0.03):
      out.panel(frame, (-1, 1), (2.75, 3.75), z=z, **pane)
  sign = {'material': material.PLAIN, 'colors': ((0.95, 0.65, 0.1),), **flat}
  for z in (-end - 0.04, end + 0.04):
    out.panel(frame, (-0.7, 0.7), (2.4, 2.65), z=z, **sign)
  axles = (-0.28 * length, 0.32 * length)
  _wheels(out, frame, half, axles, radius=0.48, label=label)
  lamp = {'size': (0.28, 0.3), 'label': label}
  _lamps(out, frame, half, -end - 0.02, 0.8, _RED, **lamp)
  _lamps(out, frame, half, end + 0.02, 0.7, _WHITE, **lamp)
  dark = {'material': material.PLAIN, 'colors': (_DARK,), 'label': label}
  out.box(
    frame,
    (-1.1, 0.08, -end + 0.3),
    (1.1, 0.36, end - 0.3),
    **dark,
    faces=mesh.WALLS,
  )


def add_train(
  out: mesh.Mesh,
  frame: mesh.Frame,
  rng: np.random.Generator,
  *,
  style: palette.Style,
) -> None:
  """Adds a tram of two to four coaches."""
  body, glass = style.color(rng, 'train'), style.color(rng, 'glass')
  trim = (0.85, 0.85, 0.82)
  length = 11.0
  for k in range(int(rng.integers(2, 5))):
    z = k * (length + 0.5)
    here = mesh.Frame(
      frame.x + z * np.sin(frame.heading),
      frame.z + z * np.cos(frame.heading),
      frame.heading,
      frame.y,
    )
    _coach(
      out,
      here,
      (2.6, 3.6, length),
      base=0.4,
      windows=(1.5, 2.6),
      colors=(body, glass, trim),
      label=classes.TRAIN,
    )
    out.panel(
      here,
      (-1.1, 1.1),
      (0.2, 3.3),
      z=length / 2 + 0.25,
      label=classes.TRAIN,
      material=material.PLAIN,
      colors=(_DARK,),
    )
