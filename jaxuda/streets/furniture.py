"""Trees, poles, lights, signs and what else stands on a sidewalk."""

import numpy as np

from jaxuda.streets import classes
from jaxuda.streets import material
from jaxuda.streets import mesh
from jaxuda.streets import palette
from jaxuda.streets import sprites

_BACK = (0.45, 0.45, 0.46)
_LAMPS = ((0.95, 0.1, 0.08), (0.98, 0.65, 0.1), (0.1, 0.9, 0.45))


def add_tree(
  out: mesh.Mesh,
  frame: mesh.Frame,
  rng: np.random.Generator,
  *,
  style: palette.Style,
  height: float,
) -> None:
  """Adds a tree: a trunk and a few layers of leaves."""
  color = style.color(rng, 'vegetation')
  trunk = 0.28 * height
  thick = 0.02 * height + 0.06
  out.box(
    frame,
    (-thick, 0.0, -thick),
    (thick, trunk + 0.3 * height, thick),
    faces=mesh.WALLS,
    label=classes.VEGETATION,
    material=material.BARK,
    colors=(style.color(rng, 'trunk'),),
  )
  spread = height * rng.uniform(0.26, 0.38)
  for k, z in enumerate((0.55, 0.0, -0.5)):
    shade = 0.82 + 0.09 * k
    size = spread * rng.uniform(0.8, 1.0)
    x = rng.uniform(-0.25, 0.25) * spread
    low = trunk + rng.uniform(-0.08, 0.08) * height
    out.panel(
      frame,
      (x - size, x + size),
      (low, low + (height - trunk) * rng.uniform(0.85, 1.0)),
      z=z * spread,
      label=classes.VEGETATION,
      material=material.FOLIAGE,
      colors=(tuple(shade * c for c in color),),
      sprite=find_crown(rng, style),
    )


def find_crown(rng: np.random.Generator, style: palette.Style) -> int:
  """A cut-out for a crown."""
  if style.ragged:
    return sprites.find(f'crown{rng.integers(sprites.CROWNS)}')
  return sprites.find(f'round_crown{rng.integers(sprites.ROUND_CROWNS)}')


def add_bush(
  out: mesh.Mesh,
  frame: mesh.Frame,
  rng: np.random.Generator,
  *,
  style: palette.Style,
) -> None:
  """Adds a bush."""
  size = rng.uniform(0.6, 1.3)
  out.panel(
    frame,
    (-size, size),
    (-0.25 * size, 1.35 * size),
    label=classes.VEGETATION,
    material=material.FOLIAGE,
    colors=(style.color(rng, 'vegetation'),),
    sprite=find_crown(rng, style),
  )


def _pole(out, frame, height, thick, color):
  out.box(
    frame,
    (-thick / 2, 0.0, -thick / 2),
    (thick / 2, height, thick / 2),
    label=classes.POLE,
    material=material.PLAIN,
    colors=(color,),
  )


def add_lamp_post(
  out: mesh.Mesh,
  frame: mesh.Frame,
  rng: np.random.Generator,
  *,
  style: palette.Style,
  inwards: int,
) -> None:
  """Adds a street lamp whose arm points `inwards` (-1 or 1) along x."""
  color = style.color(rng, 'pole')
  height = rng.uniform(5.5, 8.0)
  _pole(out, frame, height, rng.uniform(0.2, 0.34), color)
  reach = inwards * rng.uniform(1.0, 2.0)
  out.box(
    frame,
    (min(0.0, reach), height - 0.12, -0.07),
    (max(0.0, reach), height + 0.04, 0.07),
    label=classes.POLE,
    material=material.PLAIN,
    colors=(color,),
  )


def _light_head(out, frame, x, low, rng, style):
  lit = int(rng.integers(3))
  housing = style.color(rng, 'light')
  colors = (housing, _LAMPS[lit], tuple(0.3 * c for c in housing))
  out.box(
    frame,
    (x - 0.26, low, -0.4),
    (x + 0.26, low + 1.26, -0.1),
    label=classes.LIGHT,
    material=material.PLAIN,
    colors=(housing,),
  )
  out.panel(
    frame,
    (x - 0.28, x + 0.28),
    (low - 0.04, low + 1.3),
    z=-0.42,
    label=classes.LIGHT,
    material=material.PARTS,
    colors=colors,
    sprite=sprites.find(f'light{lit}'),
  )


def add_traffic_light(
  out: mesh.Mesh,
  frame: mesh.Frame,
  rng: np.random.Generator,
  *,
  style: palette.Style,
  inwards: int,
) -> None:
  """Adds a light on a pole, sometimes with a second one over the road."""
  color = style.color(rng, 'pole')
  mast = rng.random() < 0.35
  height = 5.6 if mast else 3.4
  _pole(out, frame, height, 0.26, color)
  _light_head(out, frame, 0.0, 2.3, rng, style)
  if mast:
    reach = inwards * rng.uniform(2.5, 4.0)
    out.box(
      frame,
      (min(0.0, reach), height - 0.2, 0.0),
      (max(0.0, reach), height - 0.06, 0.14),
      label=classes.POLE,
      material=material.PLAIN,
      colors=(color,),
    )
    _light_head(out, frame, reach, height - 1.2, rng, style)


_SIGNS = (
  # cut-out, face, rim, symbol, width, height
  ('round_sign', (0.92, 0.92, 0.90), (0.80, 0.06, 0.08), (0.1, 0.1, 0.1), 0.95),
  ('round_sign', (0.06, 0.22, 0.62), (0.85, 0.85, 0.9), (0.9, 0.9, 0.9), 0.95),
  (
    'warning_sign',
    (0.94, 0.92, 0.86),
    (0.8, 0.08, 0.08),
    (0.1, 0.1, 0.1),
    1.05,
  ),
  ('panel_sign', (0.05, 0.20, 0.58), (0.9, 0.9, 0.9), (0.92, 0.92, 0.92), 0.9),
  ('panel_sign', (0.92, 0.75, 0.10), (0.1, 0.1, 0.1), (0.1, 0.1, 0.1), 0.9),
)


def add_sign(
  out: mesh.Mesh,
  frame: mesh.Frame,
  rng: np.random.Generator,
  *,
  style: palette.Style,
) -> None:
  """Adds a traffic sign on its pole, sometimes a large direction board."""
  color = style.color(rng, 'pole')
  name, face, rim, symbol, size = _SIGNS[rng.integers(len(_SIGNS))]
  low, width, height = rng.uniform(1.9, 2.3), size, size
  if name == 'panel_sign' and rng.random() < 0.4:
    width, height, low = 1.7, 1.1, 2.2
  # Worn paint in the target, fresh paint in the source.
  fade = rng.uniform(0.15, 0.45) if style.ragged else 0.0
  colors = [
    tuple(c * (1 - fade) + 0.36 * fade for c in x) for x in (face, rim, symbol)
  ]
  _pole(out, frame, low + 0.8 * height, 0.15, color)
  out.panel(
    frame,
    (-width / 2, width / 2),
    (low, low + height),
    z=-0.09,
    label=classes.SIGN,
    material=material.PARTS,
    colors=colors,
    sprite=sprites.find(name),
  )


def add_clutter(
  out: mesh.Mesh,
  frame: mesh.Frame,
  rng: np.random.Generator,
  *,
  style: palette.Style,
) -> None:
  """Adds a bin or a box: none of the classes."""
  width, height = rng.uniform(0.25, 0.6), rng.uniform(0.6, 1.2)
  out.box(
    frame,
    (-width, 0.0, -width),
    (width, height, width),
    label=classes.IGNORE,
    material=material.PLAIN,
    colors=(style.color(rng, 'clutter'),),
  )
