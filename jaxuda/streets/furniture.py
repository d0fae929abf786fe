"""Adds trees, poles, lights, signs and whatever else stands on a sidewalk."""

from jaxuda.streets import material
from jaxuda.streets import mesh
from jaxuda.streets import site as sites
from jaxuda.streets import sprites
from jaxuda.streets.domains import palette

_LAMPS = ((0.95, 0.1, 0.08), (0.98, 0.65, 0.1), (0.1, 0.9, 0.45))

# Cut-out; colours of face, rim and symbol; width, which is also the height.
_SIGNS = (
  ('round_sign', (0.92, 0.92, 0.9), (0.8, 0.06, 0.08), (0.1, 0.1, 0.1), 0.95),
  ('round_sign', (0.06, 0.22, 0.62), (0.85, 0.85, 0.9), (0.9, 0.9, 0.9), 0.95),
  ('warning_sign', (0.94, 0.92, 0.86), (0.8, 0.08, 0.08), (0.1,) * 3, 1.05),
  ('panel_sign', (0.05, 0.20, 0.58), (0.9, 0.9, 0.9), (0.92,) * 3, 0.9),
  ('panel_sign', (0.92, 0.75, 0.10), (0.1, 0.1, 0.1), (0.1,) * 3, 0.9),
)


def _leaves(site, color, kind='') -> mesh.Surface:
  """Returns the leaves of a kind of crown; '' stands for that of the style."""
  crown = sprites.choose(site.rng, site.style.crown)
  if kind:
    crown = sprites.choose(site.brush, kind)
  size = (1.0, site.each(site.style.deep))
  return mesh.Surface(
    mesh.VEGETATION, material.FOLIAGE, (color,), crown, size=size
  )


def _sample_crown(site) -> str:
  """Samples the kind of one tree's crown."""
  return str(site.each(list(site.style.crowns))) if site.style.crowns else ''


def add_tree(site: sites.Site, frame: mesh.Frame, *, height: float) -> None:
  """Adds a tree: a trunk and a few layers of leaves."""
  rng, color = site.rng, site.color('vegetation')
  trunk, thick = 0.28 * height, 0.02 * height + 0.06
  brown, kind = site.color('trunk'), _sample_crown(site)
  bark = mesh.Surface(mesh.VEGETATION, material.BARK, (brown,))
  low, high = (-thick, 0.0, -thick), (thick, trunk + 0.3 * height, thick)
  site.out.box(frame, low, high, bark, faces=mesh.WALLS)
  if kind == sprites.BARE:
    color = brown
  spread = height * rng.uniform(0.26, 0.38) * site.each(site.style.spread)
  for k, z in enumerate((0.55, 0.0, -0.5)):
    shade = 0.82 + 0.09 * k
    size = spread * rng.uniform(0.8, 1.0)
    x = rng.uniform(-0.25, 0.25) * spread
    low = trunk + rng.uniform(-0.08, 0.08) * height
    top = low + (height - trunk) * rng.uniform(0.85, 1.0)
    leaves = _leaves(site, tuple(shade * c for c in color), kind)
    site.out.panel(
      frame, (x - size, x + size), (low, top), leaves, z=z * spread
    )


def add_bush(site: sites.Site, frame: mesh.Frame) -> None:
  """Adds a bush."""
  size = site.rng.uniform(0.6, 1.3)
  leaves = _leaves(site, site.color('vegetation'), _sample_crown(site))
  site.out.panel(frame, (-size, size), (-0.25 * size, 1.35 * size), leaves)


def _add_pole(site, frame, height, thick, color):
  """Adds a pole and returns its surface."""
  paint = mesh.Surface(mesh.POLE, material.PLAIN, (color,))
  low, high = (-thick / 2, 0.0, -thick / 2), (thick / 2, height, thick / 2)
  site.out.box(frame, low, high, paint)
  return paint


def add_lamp_post(site: sites.Site, frame: mesh.Frame, *, inwards: int) -> None:
  """Adds a street lamp whose arm points `inwards` (-1 or 1) along x."""
  rng, color = site.rng, site.color('pole')
  height = rng.uniform(5.5, 8.0)
  paint = _add_pole(site, frame, height, rng.uniform(0.2, 0.34), color)
  reach = inwards * rng.uniform(1.0, 2.0)
  low = (min(0.0, reach), height - 0.12, -0.07)
  site.out.box(frame, low, (max(0.0, reach), height + 0.04, 0.07), paint)


def _add_light_head(site, frame, x, low):
  lit, housing = int(site.rng.integers(3)), site.color('light')
  colors = (housing, _LAMPS[lit], tuple(0.3 * c for c in housing))
  box = mesh.Surface(mesh.LIGHT, material.PLAIN, (housing,))
  corner, top = (x - 0.26, low, -0.4), (x + 0.26, low + 1.26, -0.1)
  site.out.box(frame, corner, top, box)
  face = sprites.find(f'light{lit}')
  lamps = mesh.Surface(mesh.LIGHT, material.PARTS, colors, face)
  span = (x - 0.28, x + 0.28)
  site.out.panel(frame, span, (low - 0.04, low + 1.3), lamps, z=-0.42)


def add_traffic_light(
  site: sites.Site, frame: mesh.Frame, *, inwards: int
) -> None:
  """Adds a traffic light, sometimes with a second one over the road."""
  color = site.color('pole')
  mast = site.rng.random() < 0.35
  height = 5.6 if mast else 3.4
  paint = _add_pole(site, frame, height, 0.26, color)
  _add_light_head(site, frame, 0.0, 2.3)
  if mast:
    reach = inwards * site.rng.uniform(2.5, 4.0)
    low = (min(0.0, reach), height - 0.2, 0.0)
    site.out.box(frame, low, (max(0.0, reach), height - 0.06, 0.14), paint)
    _add_light_head(site, frame, reach, height - 1.2)


def add_sign(site: sites.Site, frame: mesh.Frame) -> None:
  """Adds a traffic sign on a pole, sometimes a large direction sign."""
  rng, color = site.rng, site.color('pole')
  name, *paints, size = _SIGNS[rng.integers(len(_SIGNS))]
  low, width, height = rng.uniform(1.9, 2.3), size, size
  if name == 'panel_sign' and rng.random() < 0.4:
    width, height, low = 1.7, 1.1, 2.2
  fade = palette.draw(rng, site.style.fade)
  colors = [tuple(c * (1 - fade) + 0.36 * fade for c in x) for x in paints]
  _add_pole(site, frame, low + 0.8 * height, 0.15, color)
  board = mesh.Surface(mesh.SIGN, material.PARTS, colors, sprites.find(name))
  span = (-width / 2, width / 2)
  site.out.panel(frame, span, (low, low + height), board, z=-0.09)


def add_clutter(site: sites.Site, frame: mesh.Frame) -> None:
  """Adds a bin or a box, which belongs to none of the classes."""
  width, height = site.rng.uniform(0.25, 0.6), site.rng.uniform(0.6, 1.2)
  paint = mesh.Surface(mesh.IGNORE, material.PLAIN, (site.color('clutter'),))
  low, high = (-width, 0.0, -width), (width, height, width)
  site.out.box(frame, low, high, paint)
