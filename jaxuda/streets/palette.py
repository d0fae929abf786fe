"""What a domain consists of: distributions of colours, sizes and numbers."""

from collections.abc import Mapping, Sequence
import colorsys
import dataclasses
from typing import Any, NamedTuple

import numpy as np

from jaxuda.streets import mesh

Range = tuple[float, float]

# Hue, saturation and value in percent, from and to: (0, 4, 50, 70, 55, 75).
Tone = tuple[int, int, int, int, int, int]


class Exp(NamedTuple):
  """The exponential of a number that is uniform from low to high."""

  low: float
  high: float


def draw(rng: np.random.Generator, spread: Any) -> Any:
  """Draws one value of a distribution.

  Args:
    rng: source of randomness.
    spread: (low, high), uniform; an `Exp`; or a list or a range, whose items
      are equally likely. Anything else is a value that is always the same, and
      takes nothing from `rng`.
  """
  if isinstance(spread, Exp):
    return np.exp(rng.uniform(*spread))
  if isinstance(spread, tuple):
    return rng.uniform(*spread)
  if isinstance(spread, list | range):
    return spread[rng.integers(len(spread))]
  return spread


@dataclasses.dataclass(frozen=True, kw_only=True)
class Style:
  """The habits of one domain. A `Range` is drawn from once for each thing.

  Attributes:
    tones: for every kind of thing, the tones it comes in, equally often.
    weather: (chance, table) of every weather; see `look.sample` for the tables.
    texture: contrast of the textures, 1 = strong.
    crown: kind of the trees' crowns: 'crown' (frayed) or 'round_crown'.
    fade: how much of the paint of signs has faded, 0..1, for `draw`.
    fov: horizontal field of view, degrees.
    camera_height: height of the camera over the road, metres.
    pitch: angle of the camera below the horizon, degrees.
    road: width of the road, metres.
    sidewalk: width of the sidewalk, metres.
    curve: largest curvature of the road, 1/metres.
    segments: relative frequency of what stands beside the road.
    segment_length: length of a stretch of the same, metres.
    building_width: width of a house, metres.
    building_height: height of a house, metres.
    parked: share of the kerb taken by parked cars.
    traffic: number of moving cars, about.
    people: number of people on the sidewalks, about.
    trees: distance between trees along the street, metres.
    furniture: distance between poles, lights and signs, metres.
    chance: how likely the scene has the named thing.
    car_shapes: frequency of saloon, estate and van; they add up to 1.
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
  car_shapes: tuple[float, float, float]

  def color(self, rng: np.random.Generator, kind: str) -> mesh.Color:
    """Draws a colour for a kind of thing."""
    tones = self.tones[kind]
    tone = tones[rng.integers(len(tones))]
    h, s, v = (
      rng.uniform(low / 100, high / 100)
      for low, high in zip(tone[::2], tone[1::2], strict=True)
    )
    return colorsys.hsv_to_rgb(h % 1.0, s, v)
