"""The style of a domain: distributions of colours, sizes and numbers."""

from collections.abc import Mapping, Sequence
import colorsys
import dataclasses
from typing import Any, NamedTuple

import numpy as np

Range = tuple[float, float]

# Ranges of hue, saturation and value in percent: (0, 4, 50, 70, 55, 75).
Tone = tuple[int, int, int, int, int, int]


class Exp(NamedTuple):
  """The exponential of a number that is uniform from low to high."""

  low: float
  high: float


class Around(NamedTuple):
  """A `Range` around a middle that is drawn first.

  Attributes:
    middle: distribution of the middle, for `draw`.
    share: half the width of the range, as a share of the middle.
  """

  middle: Any
  share: float


class Each(NamedTuple):
  """A distribution that is drawn from later, separately for each object."""

  spread: Any


def draw(rng: np.random.Generator, spread: Any) -> Any:
  """Draws one value from a distribution.

  Args:
    rng: source of randomness.
    spread: (low, high) for a uniform distribution; an `Exp`; or a list or a
      range, whose items are equally likely and are distributions themselves. An
      `Around` yields a pair (low, high), an `Each` the distribution in it, and
      a mapping a mapping of the values drawn from its items. Anything else is a
      constant and takes nothing from `rng`.
  """
  if isinstance(spread, Exp):
    return np.exp(rng.uniform(*spread))
  if isinstance(spread, Each):
    return spread.spread
  if isinstance(spread, Around):
    middle = draw(rng, spread.middle)
    return tuple(middle * (1 + k * spread.share) for k in (-1, 1))
  if isinstance(spread, Mapping):
    return {name: draw(rng, one) for name, one in spread.items()}
  if isinstance(spread, tuple):
    return rng.uniform(*spread)
  if isinstance(spread, list | range):
    return draw(rng, spread[rng.integers(len(spread))])
  return spread


def pick(
  rng: np.random.Generator, tones: Sequence[Tone]
) -> tuple[float, float, float]:
  """Draws a colour from one of the tones: red, green and blue in 0..1."""
  tone = tones[rng.integers(len(tones))]
  h, s, v = (
    rng.uniform(low / 100, high / 100)
    for low, high in zip(tone[::2], tone[1::2], strict=True)
  )
  return colorsys.hsv_to_rgb(h % 1.0, s, v)


def skip(rng: np.random.Generator, tones: Sequence[Tone]) -> None:
  """Advances `rng` by as much as `pick` does."""
  rng.integers(len(tones))
  rng.random(3)


def _mapping(**items: Any) -> Any:
  """Returns a dataclass field whose default is a mapping of these items."""
  return dataclasses.field(default_factory=lambda: dict(items))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Style:
  """The style of one domain.

  A `Range` is drawn from once per object. Attributes with a default are varied
  only by `wide`. An attribute of type `Any` is a distribution that is drawn
  from for each object, by a separate generator, so that the rest of the street
  does not depend on it.

  Attributes:
    tones: kind of object -> its possible tones, equally likely.
    weather: (chance, table) of every weather; see `look.sample` for the tables.
    texture: contrast of the textures, 1 = strong.
    crown: kind of the trees' crowns: 'crown' (frayed) or 'round_crown'.
    fade: how much the paint of signs has faded, 0..1, for `draw`.
    fov: horizontal field of view, degrees.
    camera_height: height of the camera above the road, metres.
    pitch: angle of the camera below the horizon, degrees.
    road: width of the road, metres.
    sidewalk: width of the sidewalk, metres.
    curve: largest curvature of the road, 1/metres.
    segments: kind of segment along the road -> relative frequency.
    segment_length: length of a segment, metres.
    building_width: width of a house, metres.
    building_height: height of a house, metres.
    parked: share of the kerb taken by parked cars.
    traffic: approximate number of moving cars.
    people: approximate number of people on the sidewalks.
    trees: distance between trees along the street, metres.
    furniture: distance between poles, lights and signs, metres.
    chance: name of a feature -> probability that a scene has it.
    car_shapes: probabilities of the shapes of cars, see `traffic`; they add up
      to 1.
    look: fields of `look.Look` that are not left to the weather.
    paints: tones that replace `tones` for some kinds of objects.
    textures: contrast of the textures of some patterns, by name.
    patterns: name of the pattern of 'road', 'sidewalk' and 'building'.
    windows: sizes of the windows and stones of a house, see
      `material.PATTERNS`.
    bay: factor of the distance between windows.
    tile: factor of the size of a pavement's slabs.
    patch: brightness of patches on a road, relative to the road.
    wear: size of patches, metres, their share of the road, and the width of
      cracks, metres.
    marking: strength of the road markings, 0..1, 0 = none.
    margin: width of the dust along a kerb, metres.
    crowns: kinds of crowns, equally likely, instead of `crown`.
    hedge: kind of hedges and distant woods, an `Any`.
    spread: factor of the width of crowns, an `Any`.
    deep: metres from shade to light in a crown, an `Any`.
    yaw: angle of the camera to the right of the road, degrees.
    sway: distance of the camera from its lane, metres, an `Any`.
    kerb: height of the sidewalk above the road, metres.
    most_riders: maximum number of cyclists, and of motorcyclists, if there are
      any.
    most_bikes: maximum number of parked bicycles, and of parked motorcycles.
    most_crossing: maximum size of a group that crosses the road.
    heavy: number of trucks, and of buses, if there are any.
    clutter: approximate number of obstacles on the sidewalks.
    left: whether traffic drives on the left.
    aside: how far the camera's car is from its lane towards the kerb, 0..1.
    reach: maximum distance of riders, metres.
    weave: maximum distance of vehicles from the middle of a lane, metres.
    median: what separates the two directions: '', 'wall', 'fence' or 'terrain'.
    street_tree: height of a tree at the kerb, metres.
    park_tree: height of a tree away from the street, metres.
    furniture_mix: cumulative probabilities of lamp posts, traffic lights and
      signs; the rest is clutter.
  """

  tones: Mapping[str, Sequence[Tone]]
  weather: Sequence[tuple[float, Mapping[str, Any]]]
  texture: float
  crown: str
  fade: float | Range
  fov: Range
  camera_height: Range
  pitch: Range
  road: Range
  sidewalk: Range
  curve: float
  segments: Mapping[str, float]
  segment_length: Range
  building_width: Range
  building_height: Range
  parked: Range
  traffic: Range
  people: Range
  trees: Range
  furniture: Range
  chance: Mapping[str, float]
  car_shapes: Sequence[float]

  look: Mapping[str, Any] = _mapping()
  paints: Mapping[str, Sequence[Tone]] = _mapping()
  textures: Mapping[str, float] = _mapping()
  patterns: Mapping[str, str] = _mapping(
    road='asphalt', sidewalk='paving', building='facade'
  )
  windows: Mapping[str, Any] = _mapping()
  bay: Any = 1.0
  tile: float = 1.0
  patch: float = 1.0
  wear: Sequence[float] = ()
  marking: float = 1.0
  margin: float = 0.0
  crowns: Sequence[str] = ()
  hedge: Any = 'hedge'
  spread: Any = 1.0
  deep: Any = 1.0
  yaw: Range = (-4.0, 4.0)
  sway: Any = 0.0
  kerb: float = 0.14
  most_riders: int = 2
  most_bikes: int = 3
  most_crossing: int = 3
  heavy: int = 1
  clutter: float = 0.0
  left: bool = False
  aside: float = 0.0
  reach: float = 16.0
  weave: float = 0.0
  median: str = ''
  street_tree: Range = (4.5, 8.5)
  park_tree: Range = (4.5, 10.0)
  furniture_mix: tuple[float, float, float] = (0.30, 0.56, 0.90)

  def color(
    self, rng: np.random.Generator, kind: str
  ) -> tuple[float, float, float]:
    """Draws a colour for a kind of object: red, green and blue in 0..1."""
    return pick(rng, self.tones[kind])
