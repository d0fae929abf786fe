"""The road, the sidewalks and what stands behind them."""

import dataclasses
import itertools
import math

import numpy as np

from jaxuda.streets import classes
from jaxuda.streets import furniture
from jaxuda.streets import material
from jaxuda.streets import mesh
from jaxuda.streets import palette
from jaxuda.streets import sprites
from jaxuda.streets import vehicles

# Height of the sidewalk over the road, metres.
KERB = 0.14

# The street, along it and to both sides, metres.
_START, _END, _EDGE = -12.0, 150.0, 46.0


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
    """The place s metres along the road and t metres to the right."""
    angle = math.atan(self.bend * s)
    return mesh.Frame(
      x=self.bend * s * s / 2 + t * math.cos(angle),
      z=s - t * math.sin(angle),
      heading=angle + turn,
      y=y,
    )

  def point(self, s: float, t: float, y: float = 0.0) -> list[float]:
    """The same place as X, Y, Z."""
    frame = self.frame(s, t)
    return [frame.x, y, frame.z]


@dataclasses.dataclass(frozen=True)
class Segment:
  """A stretch of one side of the street."""

  kind: str
  start: float
  stop: float


def _cuts(start: float, stop: float) -> np.ndarray:
  """Cuts a stretch into pieces short enough to follow the bend."""
  near = np.clip(abs(start) / 4, 9.0, 30.0)
  return np.linspace(start, stop, max(int((stop - start) / near), 1) + 1)


def _flat(out, road, s, t, *, y=0.0, **surface) -> None:
  """Adds a flat strip from s[0] to s[1] and t[0] to t[1]."""
  cuts = _cuts(*s)
  pieces = [
    [
      road.point(a, t[0], y),
      road.point(a, t[1], y),
      road.point(b, t[1], y),
      road.point(b, t[0], y),
    ]
    for a, b in itertools.pairwise(cuts)
  ]
  out.add(np.array(pieces), shadow=False, **surface)


def _upright(out, road, s, t, y, *, side, **surface) -> None:
  """Adds upright faces along the road at t, seen from the road."""
  cuts = _cuts(*s)
  if side > 0:
    cuts = cuts[::-1]
  pieces = [
    [
      road.point(a, t, y[0]),
      road.point(b, t, y[0]),
      road.point(b, t, y[1]),
      road.point(a, t, y[1]),
    ]
    for a, b in itertools.pairwise(cuts)
  ]
  out.add(np.array(pieces), **surface)


def add_ground(
  out: mesh.Mesh,
  rng: np.random.Generator,
  *,
  style: palette.Style,
  road: Road,
  half: float,
  walks: dict[int, float],
) -> dict[int, list[Segment]]:
  """Adds everything that does not stand on the road or at the kerb.

  Args:
    out: the scene.
    rng: source of it all.
    style: the domain.
    road: its bend.
    half: half the width of the road, metres.
    walks: width of the sidewalk on the left (-1) and the right (1), metres.

  Returns:
    What stands on both sides.
  """
  asphalt = {
    'label': classes.ROAD,
    'material': material.ASPHALT,
    'colors': (style.color(rng, 'road'),),
  }
  # A little under the sidewalks, which are cut in other places.
  edge = half + 0.06
  _flat(out, road, (_START, _END), (-edge, edge), **asphalt)
  _add_markings(out, rng, style, road, half)
  paving = {
    'label': classes.SIDEWALK,
    'material': material.PAVING,
    'colors': (style.color(rng, 'sidewalk'),),
    'size': (float(rng.uniform(0.5, 1.0)), float(rng.uniform(0.5, 1.0))),
  }
  grass = {
    'label': classes.TERRAIN,
    'material': material.GRASS,
    'colors': tuple(style.color(rng, 'terrain') for _ in range(2)),
  }
  sides = {}
  for side in (-1, 1):
    sides[side] = _sample_segments(rng, style)
    verge = (
      rng.uniform(0.35, 0.65) * walks[side] if rng.random() < 0.35 else 0.0
    )
    for segment in sides[side]:
      kerb = half + walks[side]
      _add_strips(out, road, segment, side, half, kerb, verge, paving, grass)
      if segment.kind == 'crossing':
        stretch = (segment.start, segment.stop)
        _flat(out, road, stretch, _span(side, half, _EDGE), **asphalt)
      else:
        _BESIDE[segment.kind](out, rng, style, road, segment, side, kerb)
      _add_backdrop(out, rng, style, road, segment, side)
  _add_end(out, rng, style, road, asphalt)
  return sides


def _add_end(out, rng, style, road, asphalt) -> None:
  """Closes the view at the far end: a cross street, houses, a wood."""
  for _ in range(9):
    s, t = rng.uniform(_END - 8, _END - 1), rng.uniform(-70, 70)
    _add_block(out, rng, style, road.frame(s, t), rng.uniform(14, 30))
  _flat(out, road, (_END - 9, _END), (-_EDGE * 2, _EDGE * 2), **asphalt)
  color = style.color(rng, 'vegetation')
  _add_hedge_row(out, color, road.frame(_END, 0.0), 110.0, rng.uniform(4, 8))


def _span(side: int, near: float, far: float) -> tuple[float, float]:
  return (near, far) if side > 0 else (-far, -near)


def _sample_segments(rng, style) -> list[Segment]:
  kinds, weights = zip(*style.segments.items(), strict=True)
  weights = np.array(weights) / sum(weights)
  segments, s = [], _START
  while s < _END:
    kind = str(rng.choice(kinds, p=weights))
    length = rng.uniform(*style.segment_length)
    if kind == 'crossing':
      # Not under the camera, and no wider than a street.
      kind = 'building' if s < 5 else kind
      length = rng.uniform(7, 11) if s >= 5 else length
    if kind == 'rail':
      length = 60.0
    stop = min(s + length, _END)
    segments.append(Segment(kind, s, stop))
    s = stop
  return segments


def _add_markings(out, rng, style, road, half) -> None:
  """Centre line, edge lines and perhaps a zebra crossing: labelled road."""
  line = {
    'label': classes.ROAD,
    'material': material.PLAIN,
    'colors': (style.color(rng, 'marking'),),
  }
  wide, gap = 0.09, rng.uniform(4, 7)
  for s in np.arange(-4, 80, 3 + gap):
    _flat(out, road, (s, s + 3), (-wide, wide), **line)
  if rng.random() < 0.6:
    for t in (-half + 0.3, half - 0.3):
      _flat(out, road, (_START, 90), (t - 0.07, t + 0.07), **line)
  if rng.random() < 0.35:
    s = rng.uniform(7, 30)
    for t in np.arange(-half + 0.7, half - 0.6, 1.0):
      _flat(out, road, (s, s + 3), (t - 0.25, t + 0.25), **line)


def _add_strips(
  out, road, segment, side, half, kerb, verge, paving, grass
) -> None:
  """The sidewalk with its kerb, and the land behind it."""
  stretch = (segment.start, segment.stop)
  if segment.kind == 'crossing':
    return
  _flat(out, road, stretch, _span(side, half, kerb), y=KERB, **paving)
  if verge > 0:
    strip = _span(side, half + 0.25, half + 0.25 + verge)
    _flat(out, road, stretch, strip, y=KERB, **grass)
  _upright(out, road, stretch, side * half, (0.0, KERB), side=side, **paving)
  for s in stretch:
    # Kerbs of the crossing streets, seen along the road.
    ends = road.point(s, side * half), road.point(s, side * _EDGE)
    left, right = ends if side > 0 else ends[::-1]
    top = [[x, KERB, z] for x, _, z in (right, left)]
    out.add(np.array([[left, right, *top]]), double=True, **paving)
  beyond = _span(side, kerb, _EDGE)
  if segment.kind == 'building':
    _flat(out, road, stretch, beyond, y=KERB, **paving)
  else:
    _flat(out, road, stretch, beyond, y=KERB, **grass)


def _house_colors(rng, style) -> tuple[mesh.Color, ...]:
  wall, window = style.color(rng, 'building'), style.color(rng, 'window')
  light = rng.uniform(0.75, 1.25)
  trim = tuple(min(light * c + 0.06, 1.0) for c in wall)
  curtain = tuple(0.5 * c + 0.35 for c in wall)
  return wall, window, trim, curtain


def _add_block(out, rng, style, frame, width, depth=12.0) -> None:
  """Adds a building whose front is in the middle of its frame's -z side."""
  height = rng.uniform(*style.building_height)
  storey = rng.uniform(2.9, 3.6)
  height = max(round(height / storey), 2) * storey
  house = {
    'label': classes.BUILDING,
    'material': material.FACADE,
    'colors': _house_colors(rng, style),
    'size': (float(rng.uniform(2.0, 3.4)), float(storey)),
  }
  low, high = (-width / 2, 0.0, 0.0), (width / 2, height, depth)
  out.box(frame, low, high, faces=mesh.WALLS, **house)
  roof = {
    'label': classes.BUILDING,
    'material': material.PLAIN,
    'colors': (style.color(rng, 'roof'),),
  }
  if rng.random() < 0.5:
    low = (-width / 2 - 0.3, height, -0.3)
    high = (width / 2 + 0.3, height + rng.uniform(1.5, 3.5), depth + 0.3)
    out.box(frame, low, high, taper=(0.5, depth * 0.35), **roof)
  else:
    low, high = (-width / 2, height, -0.1), (width / 2, height + 0.5, depth)
    out.box(frame, low, high, **roof)


def _add_buildings(out, rng, style, road, segment, side, kerb) -> None:
  s = segment.start
  while s < segment.stop - 3:
    width = min(rng.uniform(*style.building_width), segment.stop - s)
    t = side * (kerb + rng.choice((0.0, 0.0, rng.uniform(0.3, 2.5))))
    frame = road.frame(s + width / 2, t, turn=side * np.pi / 2)
    _add_block(out, rng, style, frame, width)
    s += width


def _add_trees(out, rng, style, road, segment, t, number) -> None:
  if segment.start > 100:
    # Hidden by what is nearer.
    return
  for _ in range(number):
    s = rng.uniform(segment.start + 1, segment.stop - 1)
    place = road.frame(
      s, t * rng.uniform(1.0, 1.6), turn=rng.uniform(-0.4, 0.4)
    )
    height = rng.uniform(4.5, 10.0)
    furniture.add_tree(out, place, rng, style=style, height=height)


def _add_green(out, rng, style, road, segment, side, kerb) -> None:
  number = int((segment.stop - segment.start) / 4.5)
  _add_trees(out, rng, style, road, segment, side * (kerb + 3), number)
  for _ in range(number // 2):
    s = rng.uniform(segment.start, segment.stop)
    t = side * (kerb + rng.uniform(0.8, 6))
    furniture.add_bush(out, road.frame(s, t, y=KERB), rng, style=style)
  if rng.random() < 0.4:
    middle = road.frame(
      (segment.start + segment.stop) / 2,
      side * (kerb + 0.5),
      turn=side * np.pi / 2,
      y=KERB,
    )
    length = segment.stop - segment.start
    color = style.color(rng, 'vegetation')
    _add_hedge_row(out, color, middle, length, rng.uniform(1.0, 1.8))


def _add_hedge_row(out, color, frame, length, height) -> None:
  out.panel(
    frame,
    (-length / 2, length / 2),
    (0.0, height),
    label=classes.VEGETATION,
    material=material.FOLIAGE,
    colors=(color,),
    sprite=sprites.find('hedge'),
    size=(1.0, height),
  )


def _add_barrier(
  out, rng, style, road, segment, side, kerb, *, fence: bool
) -> None:
  height = rng.uniform(1.4, 2.5) if fence else rng.uniform(1.8, 3.4)
  t, stretch = side * (kerb + 0.1), (segment.start, segment.stop)
  y = (KERB, KERB + height)
  if fence:
    colors = (style.color(rng, 'fence'), style.color(rng, 'behind'))
    surface = {
      'label': classes.FENCE,
      'material': material.BARS,
      'colors': colors,
      'size': (float(rng.uniform(0.18, 0.35)), height),
    }
  else:
    surface = {
      'label': classes.WALL,
      'material': material.BLOCKS,
      'colors': (style.color(rng, 'wall'),),
      'size': (float(rng.uniform(0.4, 0.9)), float(rng.uniform(0.2, 0.4))),
    }
  _upright(out, road, stretch, t, y, side=side, **surface)
  # Round the corner, seen where the segment before is open.
  across = _span(side, abs(t), _EDGE)
  out.panel(road.frame(segment.start, 0.0), across, y, **surface)
  if not fence:
    _flat(
      out, road, stretch, _span(side, abs(t), abs(t) + 0.3), y=y[1], **surface
    )
  number = int((segment.stop - segment.start) / 8)
  _add_trees(out, rng, style, road, segment, side * (kerb + 4), number)


def _add_wall(out, rng, style, road, segment, side, kerb) -> None:
  _add_barrier(out, rng, style, road, segment, side, kerb, fence=False)


def _add_fence(out, rng, style, road, segment, side, kerb) -> None:
  _add_barrier(out, rng, style, road, segment, side, kerb, fence=True)


def _add_rail(out, rng, style, road, segment, side, kerb) -> None:
  start = segment.start + rng.uniform(0, 18)
  frame = road.frame(start, side * (kerb + 2.2), y=KERB)
  vehicles.add_train(out, frame, rng, style=style)


_BESIDE = {
  'building': _add_buildings,
  'green': _add_green,
  'wall': _add_wall,
  'fence': _add_fence,
  'rail': _add_rail,
}


def _add_backdrop(out, rng, style, road, segment, side) -> None:
  """Closes the view to the side: houses or a wood."""
  length = segment.stop - segment.start
  middle = (segment.start + segment.stop) / 2
  near = rng.uniform(20, 34)
  frame = road.frame(middle, side * near, turn=side * np.pi / 2)
  if segment.kind != 'crossing' and rng.random() < 0.5:
    _add_block(out, rng, style, frame, length * rng.uniform(0.4, 0.9))
  frame = road.frame(middle, side * (_EDGE - 0.5), turn=side * np.pi / 2)
  color = style.color(rng, 'vegetation')
  _add_hedge_row(out, color, frame, length * 1.1, rng.uniform(4, 9))
