"""Adds the road, the sidewalks and what stands behind them."""

from collections.abc import Callable
import dataclasses
import itertools

import numpy as np

from jaxuda.streets import furniture
from jaxuda.streets import material
from jaxuda.streets import mesh
from jaxuda.streets import site as sites
from jaxuda.streets import sprites
from jaxuda.streets import traffic

# Start and end of the street, and its extent to both sides, metres.
_START, _END, _EDGE = -12.0, 150.0, 46.0

# Label, material, height, kinds of the colours, and the two sizes of the
# pattern, where None stands for the height.
_BARRIERS = {
  'fence': (
    *(mesh.FENCE, material.BARS, (1.4, 2.5)),
    *(('fence', 'behind'), (0.18, 0.35), None),
  ),
  'wall': (
    *(mesh.WALL, material.BLOCKS, (1.8, 3.4)),
    *(('wall',), (0.4, 0.9), (0.2, 0.4)),
  ),
}


@dataclasses.dataclass(frozen=True)
class Segment:
  """A stretch of one side of the street.

  Attributes:
    kind: one of the kinds in `palette.Style.segments`.
    side: -1 on the left, 1 on the right.
    start: where it begins, metres along the road.
    stop: where it ends, metres along the road.
    kerb: distance from the middle of the road to the far side of the sidewalk,
      metres.
  """

  kind: str
  side: int
  start: float
  stop: float
  kerb: float

  @property
  def stretch(self) -> tuple[float, float]:
    """The pair (start, stop)."""
    return self.start, self.stop

  @property
  def middle(self) -> float:
    """The middle of the stretch."""
    return (self.start + self.stop) / 2

  def span(self, near: float, far: float) -> tuple[float, float]:
    """Returns two lateral positions on its side, from left to right."""
    return (near, far) if self.side > 0 else (-far, -near)


def _cuts(start: float, stop: float) -> np.ndarray:
  """Cuts a stretch into pieces short enough to follow the bend."""
  near = np.clip(abs(start) / 4, 9.0, 30.0)
  return np.linspace(start, stop, max(int((stop - start) / near), 1) + 1)


def _add_flat(site, s, t, surface, *, y=0.0) -> None:
  """Adds a flat strip from s[0] to s[1] and t[0] to t[1]."""
  point = site.road.point
  pieces = [
    [point(a, t[0], y), point(a, t[1], y), point(b, t[1], y), point(b, t[0], y)]
    for a, b in itertools.pairwise(_cuts(*s))
  ]
  site.out.add(np.array(pieces), surface._replace(shadow=False))


def _add_upright(site, segment, t, y, surface) -> None:
  """Adds upright faces along the road at t, seen from the road."""
  point, cuts = site.road.point, _cuts(*segment.stretch)
  if segment.side > 0:
    cuts = cuts[::-1]
  pieces = [
    [point(a, t, y[0]), point(b, t, y[0]), point(b, t, y[1]), point(a, t, y[1])]
    for a, b in itertools.pairwise(cuts)
  ]
  site.out.add(np.array(pieces), surface)


def add_ground(site: sites.Site) -> dict[int, list[Segment]]:
  """Adds everything that does not stand on the road or at the kerb.

  Returns:
    The segments of the left side (-1) and the right side (1).
  """
  rng, half = site.rng, site.half
  asphalt = _pave(site, mesh.ROAD, 'road')
  # Reaches a little under the sidewalks, which are cut at other places.
  edge = half + 0.06
  _add_flat(site, (_START, _END), (-edge, edge), asphalt)
  _add_markings(site, asphalt)
  _add_margins(site, asphalt)
  paving = _pave(site, mesh.SIDEWALK, 'sidewalk')
  colors = tuple(site.color('terrain') for _ in range(2))
  grass = mesh.Surface(mesh.TERRAIN, material.GRASS, colors)
  _add_median(site)
  sides = {}
  for side in (-1, 1):
    sides[side] = _sample_segments(site, side)
    verge = 0.0
    if site.has('verge'):
      verge = rng.uniform(0.35, 0.65) * site.walks[side]
    for segment in sides[side]:
      if segment.kind == 'crossing':
        across = segment.span(half, _EDGE)
        _add_flat(site, segment.stretch, across, asphalt)
      else:
        _add_strips(site, segment, verge, paving, grass)
        _BESIDE[segment.kind](site, segment)
      _add_backdrop(site, segment)
  _add_end(site, asphalt)
  return sides


def _pave(site, label, kind) -> mesh.Surface:
  """Returns the surface of the road or the sidewalk."""
  style, color = site.style, site.color(kind)
  size = (0.2, 0.2)
  if kind == 'sidewalk':
    size = tuple(float(site.rng.uniform(0.5, 1.0)) for _ in range(2))
  size = tuple(style.tile * x for x in size)
  patch = tuple(min(style.patch * c, 1.0) for c in color)
  pattern = material.NAMES[style.patterns[kind]]
  return mesh.Surface(label, pattern, (color, patch), size=(*size, *style.wear))


def _add_end(site, asphalt) -> None:
  """Closes the view at the far end with a cross street, houses and trees."""
  rng = site.rng
  for _ in range(9):
    s, t = rng.uniform(_END - 8, _END - 1), rng.uniform(-70, 70)
    _add_block(site, site.road.frame(s, t), rng.uniform(14, 30))
  _add_flat(site, (_END - 9, _END), (-_EDGE * 2, _EDGE * 2), asphalt)
  _add_hedge(site, site.road.frame(_END, 0.0), 110.0, (4, 8))


def _sample_segments(site, side) -> list[Segment]:
  rng, style = site.rng, site.style
  kinds, weights = zip(*style.segments.items(), strict=True)
  weights = np.array(weights) / sum(weights)
  segments, s = [], _START
  while s < _END:
    kind = str(rng.choice(kinds, p=weights))
    length = rng.uniform(*style.segment_length)
    if kind == 'crossing' and s < 5:
      kind = 'building'  # No crossing under the camera.
    elif kind == 'crossing':
      length = rng.uniform(7, 11)  # The width of a street.
    if kind == 'rail':
      length = 60.0
    stop = min(s + length, _END)
    kerb = site.half + site.walks[side]
    segments.append(Segment(kind, side, s, stop, kerb))
    s = stop
  return segments


def _add_markings(site, asphalt) -> None:
  """Adds centre line, edge lines and perhaps a zebra crossing, all as road."""
  rng, half = site.rng, site.half
  color, paint = site.color('marking'), site.style.marking
  if paint < 1:
    pairs = zip(asphalt.colors[0], color, strict=True)
    color = tuple((1 - paint) * a + paint * b for a, b in pairs)
  line = mesh.Surface(mesh.ROAD, material.PLAIN, (color,))
  wide, gap = 0.09, rng.uniform(4, 7)
  for s in np.arange(-4, 80, 3 + gap):
    _add_flat(site, (s, s + 3), (-wide, wide), line)
  if rng.random() < 0.6:
    for t in (-half + 0.3, half - 0.3):
      _add_flat(site, (_START, 90), (t - 0.07, t + 0.07), line)
  if rng.random() < 0.35:
    s = rng.uniform(7, 30)
    for t in np.arange(-half + 0.7, half - 0.6, 1.0):
      _add_flat(site, (s, s + 3), (t - 0.25, t + 0.25), line)


def _add_margins(site, asphalt) -> None:
  """Adds the dust on the road along both kerbs, labelled as road."""
  wide = site.style.margin
  if not wide:
    return
  edge, dust = site.half + 0.06, [np.array(site.paint('dust')) for _ in (0, 1)]
  for part in (1.0, 0.8, 0.6):
    # The dust is thicker near the kerb.
    thick = 1.9 - 1.5 * part
    colors = [
      (1 - thick) * np.array(asphalt.colors[0]) + thick * x for x in dust
    ]
    surface = mesh.Surface(mesh.ROAD, material.GRASS, colors)
    for side in (-1, 1):
      span = sorted((side * (edge - part * wide), side * edge))
      _add_flat(site, (_START, 70), span, surface)


def _add_median(site) -> None:
  """Separates the two directions by a wall, a fence or a green strip."""
  kind, rng = site.style.median, site.rng
  if not kind or site.half < 5:
    return
  start, stop, half = rng.uniform(7, 14), 90.0, rng.uniform(0.15, 0.4)
  site.claim((start + stop) / 2, 0.0, stop - start, 2 * half)
  if kind == 'terrain':
    colors = tuple(site.color('terrain') for _ in range(2))
    surface, high = (
      mesh.Surface(mesh.TERRAIN, material.GRASS, colors),
      site.kerb,
    )
  else:
    label, pattern, _, kinds, *sizes = _BARRIERS[kind]
    high = rng.uniform(0.5, 1.3)
    colors = tuple(site.color(x) for x in kinds)
    size = tuple(float(rng.uniform(*x)) if x else high for x in sizes)
    surface = mesh.Surface(label, pattern, colors, size=size)
  for side in (-1, 1):
    strip = Segment(kind, side, start, stop, half)
    _add_upright(site, strip, -side * half, (0.0, high), surface)
  _add_flat(site, (start, stop), (-half, half), surface, y=high)
  place = site.road.frame(start, 0.0)
  site.out.panel(place, (-half, half), (0.0, high), surface)


def _add_strips(site, segment, verge, paving, grass) -> None:
  """Adds the sidewalk with its kerb, and the ground behind it."""
  half, side, high = site.half, segment.side, site.kerb
  stretch, point = segment.stretch, site.road.point
  _add_flat(site, stretch, segment.span(half, segment.kerb), paving, y=high)
  if verge > 0:
    strip = segment.span(half + 0.25, half + 0.25 + verge)
    _add_flat(site, stretch, strip, grass, y=high)
  _add_upright(site, segment, side * half, (0.0, high), paving)
  for s in stretch:
    # Kerbs of the crossing streets, seen along the road.
    ends = point(s, side * half), point(s, side * _EDGE)
    left, right = ends if side > 0 else ends[::-1]
    top = [[x, high, z] for x, _, z in (right, left)]
    site.out.add(np.array([[left, right, *top]]), paving, double=True)
  land = paving if segment.kind == 'building' else grass
  _add_flat(site, stretch, segment.span(segment.kerb, _EDGE), land, y=high)


def _add_block(site, frame, width, depth=12.0) -> None:
  """Adds a building whose front is in the middle of its frame's -z side."""
  out, rng = site.out, site.rng
  height = rng.uniform(*site.style.building_height)
  storey = rng.uniform(2.9, 3.6)
  height = max(round(height / storey), 2) * storey
  wall, window = site.color('building'), site.color('window')
  light = rng.uniform(0.75, 1.25)
  trim = tuple(min(light * c + 0.06, 1.0) for c in wall)
  curtain = tuple(0.5 * c + 0.35 for c in wall)
  size = (float(rng.uniform(2.0, 3.4)), float(storey))
  colors = (wall, window, trim, curtain)
  bay = site.each(site.style.bay)
  more = (site.each(spread) for spread in site.style.windows.values())
  size = (bay * size[0], size[1], *more)
  pattern = material.NAMES[site.style.patterns['building']]
  front = mesh.Surface(mesh.BUILDING, pattern, colors, size=size)
  low, high = (-width / 2, 0.0, 0.0), (width / 2, height, depth)
  out.box(frame, low, high, front, faces=mesh.WALLS)
  roof = mesh.Surface(mesh.BUILDING, material.PLAIN, (site.color('roof'),))
  if rng.random() < 0.5:
    low = (-width / 2 - 0.3, height, -0.3)
    high = (width / 2 + 0.3, height + rng.uniform(1.5, 3.5), depth + 0.3)
    out.box(frame, low, high, roof, taper=(0.5, depth * 0.35))
  else:
    low, high = (-width / 2, height, -0.1), (width / 2, height + 0.5, depth)
    out.box(frame, low, high, roof)


def _add_buildings(site, segment) -> None:
  rng, s = site.rng, segment.start
  while s < segment.stop - 3:
    width = min(rng.uniform(*site.style.building_width), segment.stop - s)
    back = (0.0, 0.0, rng.uniform(0.3, 2.5))[rng.integers(3)]
    t = segment.side * (segment.kerb + back)
    _add_block(site, site.facing(s + width / 2, t), width)
    s += width


def _add_trees(site, segment, near, number) -> None:
  if segment.start > 100:
    # Hidden by nearer objects.
    return
  rng, t = site.rng, segment.side * (segment.kerb + near)
  for _ in range(number):
    s = rng.uniform(segment.start + 1, segment.stop - 1)
    t_tree, turn = t * rng.uniform(1.0, 1.6), rng.uniform(-0.4, 0.4)
    place = site.road.frame(s, t_tree, turn=turn)
    height = rng.uniform(*site.style.park_tree)
    furniture.add_tree(site, place, height=height)


def _add_green(site, segment) -> None:
  rng, length = site.rng, segment.stop - segment.start
  number = int(length / 4.5)
  _add_trees(site, segment, 3, number)
  for _ in range(number // 2):
    s = rng.uniform(segment.start, segment.stop)
    t = segment.side * (segment.kerb + rng.uniform(0.8, 6))
    furniture.add_bush(site, site.road.frame(s, t, y=site.kerb))
  if rng.random() < 0.4:
    t = segment.side * (segment.kerb + 0.5)
    place = site.facing(segment.middle, t, y=site.kerb)
    _add_hedge(site, place, length, (1.0, 1.8))


def _add_hedge(site, frame, length, heights) -> None:
  color, height = site.color('vegetation'), site.rng.uniform(*heights)
  sprite = sprites.choose(site.brush, site.each(site.style.hedge))
  leaves = mesh.Surface(
    *(mesh.VEGETATION, material.FOLIAGE, (color,), sprite),
    size=(1.0, height),
  )
  site.out.panel(frame, (-length / 2, length / 2), (0.0, height), leaves)


def _add_barrier(site, segment) -> None:
  """Adds a wall or a fence with trees behind it."""
  rng = site.rng
  label, pattern, heights, kinds, *sizes = _BARRIERS[segment.kind]
  height = rng.uniform(*heights)
  colors = tuple(site.color(kind) for kind in kinds)
  size = tuple(float(rng.uniform(*x)) if x else height for x in sizes)
  surface = mesh.Surface(label, pattern, colors, size=size)
  near, y = segment.kerb + 0.1, (site.kerb, site.kerb + height)
  _add_upright(site, segment, segment.side * near, y, surface)
  # Around the corner, visible where the segment before is open.
  corner = site.road.frame(segment.start, 0.0)
  site.out.panel(corner, segment.span(near, _EDGE), y, surface)
  if segment.kind == 'wall':
    top = segment.span(near, near + 0.3)
    _add_flat(site, segment.stretch, top, surface, y=y[1])
  _add_trees(site, segment, 4, int((segment.stop - segment.start) / 8))


def _add_rail(site, segment) -> None:
  s = segment.start + site.rng.uniform(0, 18)
  t = segment.side * (segment.kerb + 2.2)
  traffic.add_train(site, site.road.frame(s, t, y=site.kerb))


_BESIDE: dict[str, Callable[[sites.Site, Segment], None]] = {
  'building': _add_buildings,
  'green': _add_green,
  'wall': _add_barrier,
  'fence': _add_barrier,
  'rail': _add_rail,
}


def _add_backdrop(site, segment) -> None:
  """Closes the view to the side with houses or trees."""
  rng, length = site.rng, segment.stop - segment.start
  frame = site.facing(segment.middle, segment.side * rng.uniform(20, 34))
  if segment.kind != 'crossing' and rng.random() < 0.5:
    _add_block(site, frame, length * rng.uniform(0.4, 0.9))
  frame = site.facing(segment.middle, segment.side * (_EDGE - 0.5))
  _add_hedge(site, frame, length * 1.1, (4, 9))
