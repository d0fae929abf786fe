"""People, bicycles and motorcycles: cut-outs that stand in the world."""

import numpy as np

from jaxuda.streets import classes
from jaxuda.streets import material
from jaxuda.streets import mesh
from jaxuda.streets import palette
from jaxuda.streets import sprites

_TYRE, _METAL, _LAMP = (0.05, 0.05, 0.05), (0.5, 0.5, 0.52), (0.7, 0.1, 0.08)


def _clothes(rng, style):
  return tuple(style.color(rng, k) for k in ('top', 'trousers', 'skin', 'hair'))


def add_person(
  out: mesh.Mesh,
  frame: mesh.Frame,
  rng: np.random.Generator,
  *,
  style: palette.Style,
) -> None:
  """Adds a standing or walking person."""
  height = rng.uniform(1.55, 1.95) if rng.random() < 0.85 else 1.25
  half = height / 4 * rng.uniform(0.9, 1.15)
  span = (-half, half) if rng.random() < 0.5 else (half, -half)
  out.panel(
    frame,
    span,
    (0.0, height),
    label=classes.PERSON,
    material=material.PARTS,
    colors=_clothes(rng, style),
    sprite=sprites.find(f'person{rng.integers(sprites.PEOPLE)}'),
  )


def add_two_wheeler(
  out: mesh.Mesh,
  frame: mesh.Frame,
  rng: np.random.Generator,
  *,
  style: palette.Style,
  motor: bool,
  ridden: bool,
  across: bool,
) -> None:
  """Adds a bicycle or motorcycle, with or without its rider.

  Args:
    out: the scene.
    frame: where it stands.
    rng: source of its looks.
    style: the domain.
    motor: a motorcycle rather than a bicycle.
    ridden: whether someone rides it.
    across: seen from its side (along x) rather than from behind.
  """
  name = 'motorcycle' if motor else 'bicycle'
  label = classes.MOTORCYCLE if motor else classes.BICYCLE
  colors = (style.color(rng, 'bike'), _TYRE, _METAL, _LAMP)
  clothes = _clothes(rng, style)
  tall = 1.95
  if across:
    half, rider_half = tall / 2, tall / 2
    span = (-half, half) if rng.random() < 0.5 else (half, -half)
    pose = 'side'
  else:
    half = tall / 4 if motor else tall * 48 / 256
    span, rider_half, pose = (-half, half), tall / 4, 'back'
  parts = {'material': material.PARTS}
  out.panel(
    frame,
    span,
    (0.0, tall),
    label=label,
    colors=colors,
    sprite=sprites.find(f'{name}_{pose}'),
    **parts,
  )
  if ridden:
    sign = 1 if span[1] > 0 else -1
    out.panel(
      frame,
      (-sign * rider_half, sign * rider_half),
      (0.0, tall),
      z=-0.03,
      label=classes.RIDER,
      colors=clothes,
      sprite=sprites.find(f'rider_{pose}'),
      **parts,
    )
