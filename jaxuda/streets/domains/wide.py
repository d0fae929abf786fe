"""The source, deliberately varied: all ranges from which a scene is drawn.

`streets/wide` is for networks that must work where no labels exist: each scene
has another sky, light, foliage, surfaces, camera, content, shadows and sensor.
The ranges reflect what streets may look like, not the statistics of any
dataset: they are wide, and uniform unless there is a reason against it.

Each kind of variation is a table of its own, which `palette.draw` samples once
per scene; `widening` turns the result into a style. A name without a comment is
that of an attribute of `palette.Style` or `look.Look`. With a single kind, as
in `streets/wide-foliage`, everything else is the scene of `streets/source` with
the same number: the same street in another light, or with other trees.
"""

import numpy as np

from jaxuda.streets.domains import palette

_Around, _Each = palette.Around, palette.Each


def _log(low, high):
  """Returns a distribution that is uniform in the logarithm."""
  return palette.Exp(np.log(low), np.log(high))


def _once(spread):
  """Returns a range that is a single number, drawn once per scene."""
  return _Around(spread, 0.0)


# Tones are ranges of (hue, saturation, value) in percent. Those of the sky are
# partly brighter than white, that is, overexposed.
SKY = {
  'tones': {
    'zenith': [
      (52, 66, 25, 80, 35, 110),  # Blue.
      (0, 100, 0, 10, 80, 150),  # Pale and bright.
      (52, 66, 0, 25, 35, 90),  # Grey.
    ],
    'horizon': [
      (48, 62, 0, 35, 60, 130),
      (0, 100, 0, 8, 70, 150),
      (3, 16, 5, 40, 70, 120),  # Evening and dust.
    ],
  },
  'clouds': [0.0, 0.0, (0.02, 0.15), (0.02, 0.45)],
  'cloud_scale': _log(15, 150),
  'climb': _log(0.8, 7),
  'glow': [0.0, (0.0, 0.8)],
}

LIGHT = {
  # Direction of the sun, radians.
  'azimuth': (0, 6.28),
  'elevation': (0.2, 1.5),
  # Share of the light that comes from the sun.
  'direct': (0.0, 0.75),
  'tones': {
    'sun': [(4, 15, 0, 35, 100, 100)],
    'shade': [(50, 66, 0, 20, 100, 100), (5, 15, 0, 12, 100, 100)],
  },
  # Exposure, and white balance.
  'exposure': _log(0.55, 1.9),
  'red': (0.85, 1.18),
  'green': (0.93, 1.07),
  'blue': (0.78, 1.18),
  'gamma': _log(0.65, 1.4),
  # Stray light, as a share of white.
  'stray': (0.0, 0.1),
  'saturation': (0.35, 1.15),
  'haze': _log(0.0004, 0.01),
  # Relative to the sky at the horizon.
  'haze_light': (0.75, 1.0),
}

FOLIAGE = {
  # Number of tones of leaves in a scene, and variation around them, percent.
  'number': [1, 2, 3],
  'variety': (1, 9),
  'tones': {
    'vegetation': [
      (20, 38, 5, 70, 10, 60),  # Green.
      (8, 20, 5, 60, 12, 60),  # Yellow to brown.
      (0, 100, 0, 12, 10, 55),  # Grey.
    ],
    'trunk': [(4, 14, 5, 50, 8, 50), (0, 100, 0, 10, 8, 60)],
  },
  # Contrast of the leaves.
  'leaves': (0.05, 1.6),
  # Kinds of crowns, of which a scene has `mixed`; see `sprites`.
  'mixed': [1, 2, 3],
  'kinds': _Each(
    ['round_crown', 'crown', 'lace', 'torn', 'bare', 'cone', 'palm']
  ),
  'hedge': [
    'hedge',
    _Each(['hedge', 'thin_hedge']),
    _Each(['thin_hedge']),
  ],
  'spread': _Each((0.7, 1.4)),
  'deep': _Each((1.0, 8.0)),
}

SURFACES = {
  'number': [2, 3, 4, 6],
  'variety': (1, 8),
  'tones': {
    'road': [
      (3, 18, 0, 14, 10, 62),
      (48, 68, 0, 14, 10, 62),
      (4, 14, 5, 35, 20, 60),  # Earth.
    ],
    'sidewalk': [
      (3, 18, 0, 16, 12, 85),
      (48, 68, 0, 16, 12, 85),
      (2, 14, 5, 40, 20, 80),  # Brick and earth.
    ],
    'dust': [(4, 13, 12, 55, 28, 72)],
    'marking': [(8, 15, 0, 10, 55, 100), (11, 15, 40, 85, 55, 95)],
    'terrain': [
      (18, 32, 15, 75, 18, 70),
      (6, 14, 10, 50, 22, 65),
    ],
    'building': [
      (0, 100, 0, 30, 15, 98),
      (0, 14, 5, 60, 18, 92),
      (0, 100, 10, 60, 20, 90),
    ],
    'window': [
      (50, 66, 0, 55, 6, 40),
      (0, 100, 0, 12, 4, 35),
      (50, 64, 0, 35, 40, 95),
    ],
    'roof': [(0, 14, 5, 60, 12, 60), (0, 100, 0, 15, 12, 60)],
    'wall': [(0, 100, 0, 25, 15, 85), (2, 12, 10, 60, 20, 75)],
    'fence': [(0, 100, 0, 15, 10, 95), (4, 40, 10, 75, 12, 60)],
    'behind': [(5, 38, 5, 60, 8, 50)],
    'pole': [(0, 100, 0, 15, 8, 75), (0, 100, 15, 60, 15, 60)],
    'light': [(0, 100, 0, 25, 5, 30), (10, 16, 50, 90, 50, 95)],
    'car': [(0, 100, 0, 12, 4, 98), (0, 100, 25, 95, 12, 95)],
    'truck': [(0, 100, 0, 15, 10, 95), (0, 100, 25, 85, 20, 90)],
    'cargo': [(0, 100, 0, 15, 20, 98), (0, 100, 20, 70, 15, 85)],
    'bus': [(0, 100, 0, 15, 30, 98), (0, 100, 30, 95, 25, 95)],
    'train': [(0, 100, 0, 15, 30, 95), (0, 100, 25, 80, 25, 85)],
    'glass': [(45, 66, 0, 50, 4, 50)],
    'bike': [(0, 100, 0, 20, 5, 60), (0, 100, 25, 90, 10, 85)],
    'clutter': [(0, 100, 0, 70, 8, 85)],
    'top': [(0, 100, 0, 20, 5, 95), (0, 100, 20, 90, 10, 95)],
    'trousers': [(0, 100, 0, 25, 5, 60), (55, 68, 15, 70, 8, 60)],
    'skin': [(3, 8, 25, 60, 18, 95)],
    'hair': [(3, 10, 5, 70, 3, 50)],
  },
  # Whether the sidewalk has the tone of the road, apart from a step in value.
  'same': [True, False, False],
  'step': (-8, 8),
  'patterns': {
    'road': ['asphalt', 'worn', 'worn', 'blocks'],
    'sidewalk': ['paving', 'paving', 'worn', 'grass', 'blocks'],
    'building': 'masonry',
  },
  # Contrast of the textures of the ground, of houses, and of everything else.
  'ground': (0.05, 1.6),
  'houses': (0.05, 1.6),
  'others': (0.05, 1.0),
  'tile': _log(0.4, 2.5),
  'patch': (0.7, 1.3),
  # Size of patches, their share, and the width of cracks.
  'wear': {
    'long': (0.6, 4.0),
    'share': (0.0, 0.25),
    'crack': [0.0, (0.0, 0.03)],
  },
  'marking': [0.0, (0.0, 1.0), (0.5, 1.0)],
  'margin': [0.0, 0.0, (0.3, 2.5)],
  'bay': _Each((0.5, 1.8)),
  'windows': {
    'half': _Each([0.0, (0.08, 0.45), (0.15, 0.35)]),
    'low': _Each((0.05, 0.4)),
    'high': _Each((0.6, 0.95)),
    'shop': _Each([0.0, (0.6, 0.95)]),
    'stone': _Each(_log(0.08, 0.9)),
    'relief': _Each((0.0, 0.5)),
  },
  'fade': (0.0, 0.5),
}

CAMERA = {
  'fov': _once((42, 92)),
  'camera_height': _once((1.0, 2.2)),
  'pitch': _once((-4, 10)),
  'yaw': _once((-9, 9)),
  'sway': (-0.5, 0.5),
}

CONTENT = {
  'road': _once(_log(5.5, 18)),
  'sidewalk': _Around(_log(1.5, 9), 0.3),
  'kerb': (0.02, 0.14),
  'curve': (0.0, 0.006),
  'segments': {
    'building': (0.2, 1.6),
    'green': (0.1, 1),
    'wall': (0, 0.5),
    'fence': (0, 0.5),
    'rail': (0, 0.16),
    'crossing': (0.02, 0.2),
  },
  'segment_length': _Around((10, 45), 0.4),
  'building_width': _Around((6, 26), 0.4),
  'building_height': _Around(_log(5, 34), 0.4),
  'parked': _Around([0.0, (0, 1)], 0.3),
  'traffic': _once((0, 14)),
  'people': _once([(0, 10), (0, 45)]),
  'trees': _Around(_log(3, 16), 0.4),
  'street_tree': _Around((4, 15), 0.3),
  'park_tree': _Around((4, 16), 0.35),
  'furniture': _Around(_log(4, 24), 0.4),
  # Relative frequencies of the objects at the kerb.
  'at_kerb': {
    'lamp': (0.1, 1),
    'light': (0.1, 1),
    'sign': (0.1, 1),
    'clutter': (0, 0.5),
  },
  'chance': {
    'truck': (0, 0.6),
    'bus': (0, 0.6),
    'motorcycle': (0.3, 1),
    'bicycle': (0.3, 1),
    'cyclist': (0.3, 1),
    'motorcyclist': (0.3, 1),
    'crossing_person': (0.1, 0.8),
    'street_trees': (0.5, 1),
    'verge': (0, 0.5),
  },
  # Relative frequencies of the shapes of cars.
  'cars': dict.fromkeys(
    ('saloon', 'estate', 'van', 'hatchback', 'three_wheeler'), (0.02, 1)
  ),
  'most_riders': range(1, 17),
  'most_bikes': range(1, 13),
  'most_crossing': range(1, 9),
  'heavy': [1, 1, 1, 2, 3],
  'clutter': [0.0, (0, 12)],
  'left': [True, False],
  'aside': [0.0, (0.0, 1.0)],
  'reach': (14, 45),
  'weave': (0.0, 1.2),
  'median': ['', '', '', 'wall', 'fence', 'terrain'],
}

SHADOWS = {
  'darkness': [0.0, (0.15, 1.0)],
  'softness': [0.0, (0.0, 0.007)],
}

SENSOR = {
  'vignette': (0.0, 0.45),
  'blur': [0.0, (0.0, 0.0028)],
  'noise': [0.0, (0.0, 0.045)],
  'quality': [0, range(20, 96)],
}

# A scene depends on the positions of the kinds, so append new ones.
KINDS = {
  'sky': SKY,
  'light': LIGHT,
  'foliage': FOLIAGE,
  'surfaces': SURFACES,
  'camera': CAMERA,
  'content': CONTENT,
  'shadows': SHADOWS,
  'sensor': SENSOR,
}
