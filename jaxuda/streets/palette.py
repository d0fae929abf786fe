"""What things look like and how many there are, per domain."""

import colorsys
import dataclasses

import numpy as np

from jaxuda.streets import mesh

Range = tuple[float, float]


@dataclasses.dataclass(frozen=True)
class Tone:
  """A range of colours: hue, saturation and value, each 0..1."""

  hue: Range
  saturation: Range
  value: Range

  def draw(self, rng: np.random.Generator) -> mesh.Color:
    """One colour of the range."""
    h, s, v = (rng.uniform(*r) for r in (self.hue, self.saturation, self.value))
    return colorsys.hsv_to_rgb(h % 1.0, s, v)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Style:
  """The habits of one domain.

  Attributes:
    tones: for every kind of thing, the tones it comes in, equally often.
    fov: horizontal field of view, degrees.
    camera_height: metres.
    pitch: degrees below the horizon.
    road: width of the road, metres.
    sidewalk: width of the sidewalk, metres.
    curve: largest curvature of the road, 1/metres.
    segments: weights of what stands beside the road.
    segment_length: metres.
    building_width: metres.
    building_height: metres.
    parked: share of the kerb taken by parked cars.
    traffic: number of moving cars, about.
    people: number of people on the sidewalks, about.
    trees: distance between trees along the street, metres.
    furniture: distance between poles, lights and signs, metres.
    chance: how likely the scene has the named thing.
    texture: contrast of the textures, 1 = strong.
    ragged: whether foliage is frayed.
    car_shapes: weights of saloon, estate, van.
  """

  tones: dict[str, tuple[Tone, ...]]
  fov: Range
  camera_height: Range
  pitch: Range
  road: Range
  sidewalk: Range
  curve: float
  segments: dict[str, float]
  segment_length: Range
  building_width: Range
  building_height: Range
  parked: Range
  traffic: Range
  people: Range
  trees: Range
  furniture: Range
  chance: dict[str, float]
  texture: float
  ragged: bool
  car_shapes: tuple[float, float, float]

  def color(self, rng: np.random.Generator, kind: str) -> mesh.Color:
    """A colour for a kind of thing."""
    tones = self.tones[kind]
    return tones[rng.integers(len(tones))].draw(rng)


_CLEAN = {
  'road': (
    Tone((0.58, 0.66), (0.04, 0.12), (0.26, 0.34)),
    Tone((0.08, 0.60), (0.00, 0.06), (0.32, 0.42)),
  ),
  'marking': (Tone((0.1, 0.16), (0.0, 0.06), (0.92, 1.0)),),
  'sidewalk': (
    Tone((0.05, 0.10), (0.14, 0.28), (0.66, 0.80)),
    Tone((0.0, 0.04), (0.22, 0.34), (0.60, 0.72)),
    Tone((0.08, 0.12), (0.04, 0.14), (0.56, 0.70)),
  ),
  'building': (
    Tone((0.00, 0.04), (0.50, 0.70), (0.55, 0.75)),
    Tone((0.09, 0.14), (0.40, 0.60), (0.75, 0.92)),
    Tone((0.45, 0.55), (0.20, 0.40), (0.60, 0.80)),
    Tone((0.06, 0.10), (0.15, 0.35), (0.80, 0.95)),
    Tone((0.90, 0.97), (0.20, 0.40), (0.65, 0.85)),
    Tone((0.06, 0.12), (0.08, 0.25), (0.50, 0.72)),
  ),
  'window': (Tone((0.55, 0.60), (0.40, 0.60), (0.45, 0.65)),),
  'roof': (Tone((0.01, 0.05), (0.50, 0.60), (0.40, 0.50)),),
  'wall': (Tone((0.06, 0.10), (0.40, 0.60), (0.48, 0.62)),),
  'fence': (
    Tone((0.05, 0.09), (0.60, 0.75), (0.30, 0.42)),
    Tone((0.0, 1.0), (0.0, 0.05), (0.85, 0.95)),
  ),
  'behind': (Tone((0.27, 0.33), (0.50, 0.60), (0.25, 0.35)),),
  'pole': (Tone((0.58, 0.64), (0.10, 0.20), (0.42, 0.55)),),
  'light': (
    Tone((0.12, 0.15), (0.75, 0.90), (0.80, 0.95)),
    Tone((0.3, 0.4), (0.50, 0.60), (0.14, 0.20)),
  ),
  'vegetation': (
    Tone((0.27, 0.34), (0.65, 0.85), (0.35, 0.55)),
    Tone((0.31, 0.38), (0.60, 0.80), (0.28, 0.40)),
    Tone((0.20, 0.27), (0.45, 0.65), (0.28, 0.46)),
  ),
  'trunk': (Tone((0.06, 0.08), (0.50, 0.60), (0.30, 0.40)),),
  'terrain': (Tone((0.21, 0.27), (0.55, 0.75), (0.55, 0.72)),),
  'top': (
    Tone((0.0, 1.0), (0.60, 0.90), (0.55, 0.95)),
    Tone((0.0, 1.0), (0.20, 0.60), (0.20, 0.60)),
  ),
  'trousers': (
    Tone((0.58, 0.66), (0.50, 0.80), (0.30, 0.55)),
    Tone((0.0, 1.0), (0.30, 0.60), (0.40, 0.80)),
  ),
  'skin': (
    Tone((0.05, 0.08), (0.35, 0.50), (0.75, 0.95)),
    Tone((0.05, 0.07), (0.50, 0.60), (0.35, 0.55)),
  ),
  'hair': (Tone((0.05, 0.10), (0.40, 0.70), (0.12, 0.35)),),
  'car': (
    Tone((0.0, 1.0), (0.65, 0.90), (0.60, 0.95)),
    Tone((0.0, 1.0), (0.65, 0.90), (0.60, 0.95)),
    Tone((0.0, 1.0), (0.00, 0.15), (0.10, 0.95)),
  ),
  'truck': (Tone((0.0, 1.0), (0.50, 0.80), (0.55, 0.90)),),
  'cargo': (Tone((0.0, 1.0), (0.30, 0.60), (0.70, 0.95)),),
  'bus': (
    Tone((0.0, 0.02), (0.80, 0.95), (0.70, 0.85)),
    Tone((0.12, 0.14), (0.80, 0.95), (0.85, 0.95)),
  ),
  'train': (Tone((0.30, 0.42), (0.55, 0.75), (0.50, 0.65)),),
  'glass': (Tone((0.54, 0.58), (0.35, 0.50), (0.30, 0.45)),),
  'bike': (Tone((0.0, 1.0), (0.60, 0.90), (0.50, 0.90)),),
  'clutter': (Tone((0.0, 1.0), (0.30, 0.60), (0.30, 0.70)),),
}

_WORN = {
  'road': (
    Tone((0.08, 0.14), (0.02, 0.10), (0.30, 0.46)),
    Tone((0.55, 0.65), (0.00, 0.06), (0.34, 0.48)),
  ),
  'marking': (Tone((0.1, 0.14), (0.02, 0.12), (0.62, 0.86)),),
  'sidewalk': (
    Tone((0.07, 0.12), (0.02, 0.14), (0.42, 0.60)),
    Tone((0.02, 0.06), (0.08, 0.22), (0.38, 0.52)),
  ),
  'building': (
    Tone((0.05, 0.11), (0.08, 0.30), (0.40, 0.68)),
    Tone((0.02, 0.06), (0.20, 0.42), (0.32, 0.50)),
    Tone((0.50, 0.65), (0.00, 0.10), (0.36, 0.60)),
    Tone((0.09, 0.13), (0.10, 0.28), (0.60, 0.80)),
  ),
  'window': (
    Tone((0.55, 0.65), (0.05, 0.22), (0.14, 0.30)),
    Tone((0.10, 0.60), (0.02, 0.12), (0.40, 0.60)),
  ),
  'roof': (Tone((0.02, 0.10), (0.10, 0.35), (0.22, 0.36)),),
  'wall': (
    Tone((0.06, 0.14), (0.04, 0.20), (0.34, 0.56)),
    Tone((0.02, 0.05), (0.25, 0.40), (0.32, 0.44)),
  ),
  'fence': (
    Tone((0.05, 0.12), (0.10, 0.35), (0.22, 0.44)),
    Tone((0.25, 0.45), (0.10, 0.40), (0.16, 0.30)),
    Tone((0.0, 1.0), (0.00, 0.06), (0.40, 0.62)),
  ),
  'behind': (Tone((0.12, 0.26), (0.15, 0.40), (0.14, 0.30)),),
  'pole': (
    Tone((0.10, 0.40), (0.02, 0.15), (0.20, 0.40)),
    Tone((0.50, 0.65), (0.00, 0.10), (0.38, 0.56)),
  ),
  'light': (Tone((0.2, 0.6), (0.05, 0.30), (0.07, 0.16)),),
  'vegetation': (
    Tone((0.19, 0.28), (0.32, 0.58), (0.20, 0.38)),
    Tone((0.12, 0.18), (0.30, 0.55), (0.24, 0.42)),
    Tone((0.24, 0.36), (0.18, 0.40), (0.12, 0.26)),
  ),
  'trunk': (Tone((0.06, 0.12), (0.15, 0.35), (0.14, 0.28)),),
  'terrain': (
    Tone((0.16, 0.24), (0.28, 0.52), (0.32, 0.52)),
    Tone((0.08, 0.13), (0.22, 0.40), (0.34, 0.48)),
  ),
  'top': (
    Tone((0.0, 1.0), (0.02, 0.30), (0.07, 0.36)),
    Tone((0.0, 1.0), (0.25, 0.65), (0.30, 0.65)),
    Tone((0.05, 0.15), (0.02, 0.15), (0.55, 0.85)),
  ),
  'trousers': (
    Tone((0.58, 0.68), (0.15, 0.50), (0.10, 0.32)),
    Tone((0.05, 0.15), (0.05, 0.30), (0.08, 0.40)),
  ),
  'skin': (
    Tone((0.04, 0.08), (0.30, 0.45), (0.55, 0.85)),
    Tone((0.04, 0.07), (0.45, 0.60), (0.22, 0.45)),
  ),
  'hair': (Tone((0.05, 0.10), (0.20, 0.55), (0.05, 0.25)),),
  'car': (
    Tone((0.0, 1.0), (0.00, 0.12), (0.06, 0.18)),
    Tone((0.55, 0.65), (0.02, 0.12), (0.40, 0.66)),
    Tone((0.08, 0.16), (0.00, 0.06), (0.72, 0.92)),
    Tone((0.58, 0.66), (0.45, 0.75), (0.18, 0.42)),
    Tone((0.98, 1.02), (0.60, 0.85), (0.32, 0.58)),
  ),
  'truck': (
    Tone((0.0, 1.0), (0.00, 0.10), (0.60, 0.85)),
    Tone((0.55, 0.65), (0.30, 0.60), (0.25, 0.50)),
  ),
  'cargo': (
    Tone((0.0, 1.0), (0.02, 0.12), (0.50, 0.82)),
    Tone((0.0, 1.0), (0.25, 0.50), (0.25, 0.50)),
  ),
  'bus': (
    Tone((0.98, 1.02), (0.50, 0.75), (0.40, 0.60)),
    Tone((0.08, 0.15), (0.02, 0.20), (0.60, 0.80)),
    Tone((0.40, 0.60), (0.25, 0.50), (0.30, 0.55)),
  ),
  'train': (
    Tone((0.98, 1.03), (0.45, 0.70), (0.35, 0.55)),
    Tone((0.1, 0.2), (0.05, 0.25), (0.55, 0.75)),
  ),
  'glass': (Tone((0.45, 0.65), (0.05, 0.25), (0.08, 0.26)),),
  'bike': (
    Tone((0.0, 1.0), (0.05, 0.30), (0.08, 0.30)),
    Tone((0.0, 1.0), (0.30, 0.60), (0.25, 0.50)),
  ),
  'clutter': (Tone((0.0, 1.0), (0.05, 0.35), (0.15, 0.50)),),
}

STYLES = {
  'source': Style(
    tones=_CLEAN,
    fov=(58.0, 76.0),
    camera_height=(1.5, 2.2),
    pitch=(0.0, 6.0),
    road=(9.0, 14.0),
    sidewalk=(2.0, 3.8),
    curve=0.002,
    segments={
      'building': 0.38,
      'green': 0.16,
      'wall': 0.17,
      'fence': 0.18,
      'rail': 0.03,
      'crossing': 0.08,
    },
    segment_length=(16.0, 40.0),
    building_width=(10.0, 24.0),
    building_height=(8.0, 30.0),
    parked=(0.0, 0.45),
    traffic=(1.0, 5.0),
    people=(3.0, 9.0),
    trees=(9.0, 22.0),
    furniture=(7.0, 16.0),
    chance={
      'truck': 0.5,
      'bus': 0.5,
      'motorcycle': 0.6,
      'bicycle': 0.65,
      'cyclist': 0.65,
      'motorcyclist': 0.6,
      'crossing_person': 0.25,
      'overcast': 0.0,
    },
    texture=0.22,
    ragged=False,
    car_shapes=(0.7, 0.2, 0.1),
  ),
  'target': Style(
    tones=_WORN,
    fov=(48.0, 62.0),
    camera_height=(1.2, 1.5),
    pitch=(-1.0, 3.0),
    road=(7.0, 10.5),
    sidewalk=(1.5, 2.8),
    curve=0.004,
    segments={
      'building': 0.42,
      'green': 0.18,
      'wall': 0.14,
      'fence': 0.16,
      'rail': 0.03,
      'crossing': 0.07,
    },
    segment_length=(12.0, 32.0),
    building_width=(8.0, 18.0),
    building_height=(7.0, 19.0),
    parked=(0.2, 0.9),
    traffic=(2.0, 6.0),
    people=(5.0, 14.0),
    trees=(7.0, 18.0),
    furniture=(6.0, 14.0),
    chance={
      'truck': 0.45,
      'bus': 0.45,
      'motorcycle': 0.6,
      'bicycle': 0.8,
      'cyclist': 0.75,
      'motorcyclist': 0.5,
      'crossing_person': 0.4,
      'overcast': 0.4,
    },
    texture=0.75,
    ragged=True,
    car_shapes=(0.35, 0.4, 0.25),
  ),
}
