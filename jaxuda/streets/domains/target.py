"""A camera behind a windscreen in a town: worn surfaces, changing weather."""

import numpy as np

from jaxuda.streets.domains import palette

TONES = {
  'road': [(8, 14, 2, 10, 30, 46), (55, 65, 0, 6, 34, 48)],
  'marking': [(10, 14, 2, 12, 62, 86)],
  'sidewalk': [(7, 12, 2, 14, 42, 60), (2, 6, 8, 22, 38, 52)],
  'building': [
    (5, 11, 8, 30, 40, 68),
    (2, 6, 20, 42, 32, 50),
    (50, 65, 0, 10, 36, 60),
    (9, 13, 10, 28, 60, 80),
  ],
  'window': [(55, 65, 5, 22, 14, 30), (10, 60, 2, 12, 40, 60)],
  'roof': [(2, 10, 10, 35, 22, 36)],
  'wall': [(6, 14, 4, 20, 34, 56), (2, 5, 25, 40, 32, 44)],
  'fence': [
    (5, 12, 10, 35, 22, 44),
    (25, 45, 10, 40, 16, 30),
    (0, 100, 0, 6, 40, 62),
  ],
  'behind': [(12, 26, 15, 40, 14, 30)],
  'pole': [(10, 40, 2, 15, 20, 40), (50, 65, 0, 10, 38, 56)],
  'light': [(20, 60, 5, 30, 7, 16)],
  'vegetation': [
    (19, 28, 32, 58, 20, 38),
    (12, 18, 30, 55, 24, 42),
    (24, 36, 18, 40, 12, 26),
  ],
  'trunk': [(6, 12, 15, 35, 14, 28)],
  'terrain': [(16, 24, 28, 52, 32, 52), (8, 13, 22, 40, 34, 48)],
  'top': [
    (0, 100, 2, 30, 7, 36),
    (0, 100, 25, 65, 30, 65),
    (5, 15, 2, 15, 55, 85),
  ],
  'trousers': [(58, 68, 15, 50, 10, 32), (5, 15, 5, 30, 8, 40)],
  'skin': [(4, 8, 30, 45, 55, 85), (4, 7, 45, 60, 22, 45)],
  'hair': [(5, 10, 20, 55, 5, 25)],
  'car': [
    (0, 100, 0, 12, 6, 18),
    (55, 65, 2, 12, 40, 66),
    (8, 16, 0, 6, 72, 92),
    (58, 66, 45, 75, 18, 42),
    (98, 102, 60, 85, 32, 58),
  ],
  'truck': [(0, 100, 0, 10, 60, 85), (55, 65, 30, 60, 25, 50)],
  'cargo': [(0, 100, 2, 12, 50, 82), (0, 100, 25, 50, 25, 50)],
  'bus': [
    (98, 102, 50, 75, 40, 60),
    (8, 15, 2, 20, 60, 80),
    (40, 60, 25, 50, 30, 55),
  ],
  'train': [(98, 103, 45, 70, 35, 55), (10, 20, 5, 25, 55, 75)],
  'glass': [(45, 65, 5, 25, 8, 26)],
  'bike': [(0, 100, 5, 30, 8, 30), (0, 100, 30, 60, 25, 50)],
  'clutter': [(0, 100, 5, 35, 15, 50)],
}

_CAMERA = {
  # Most cameras are a bit yellow or green.
  'red': (0.88, 1.12),
  'green': (0.96, 1.07),
  'blue': (0.76, 1.02),
  'haze': palette.Exp(np.log(0.0015), np.log(0.011)),
  'haze_light': (0.85, 1.0),
  'exposure': palette.Exp(-0.28, 0.30),
  'gamma': (0.82, 1.2),
  'lift': (0.0, 0.05),
  'saturation': (0.6, 0.95),
  'vignette': (0.05, 0.35),
  'blur': (0.001, 0.0022),
  'noise': (0.006, 0.02),
  'quality': range(55, 90),
}

OVERCAST = {
  'zenith_light': (0.72, 0.95),
  'azimuth': (0, 6.28),
  'elevation': 1.35,
  'clouds': (0.04, 0.16),
  'sunlight': np.full(3, 0.38),
  'skylight': 0.62 * np.array([0.92, 1.0, 1.08]),
  'softness': 0.006,
  'darkness': 0.75,
  'zenith': np.array([0.92, 0.97, 1.03]),
  'horizon': np.array([0.99, 0.99, 0.98]),
  'horizon_light': 0.08,
  'horizon_share': 1.0,
  **_CAMERA,
}

CLEAR = {
  # Unused, but the other weather also draws a number here.
  'spare': (0.72, 0.95),
  'azimuth': (0, 6.28),
  'elevation': (0.45, 0.95),
  'zenith_light': (0.8, 1.1),
  'clouds': (0.0, 0.35),
  'sunlight': 0.92 * np.array([1.06, 1.0, 0.88]),
  'skylight': 0.46 * np.array([0.92, 1.0, 1.08]),
  'darkness': 1.0,
  'zenith': np.array([0.46, 0.64, 0.88]),
  'horizon': np.array([0.84, 0.89, 0.92]),
  **_CAMERA,
}

STYLE = palette.Style(
  tones=TONES,
  weather=((0.4, OVERCAST), (0.6, CLEAR)),
  texture=0.75,
  crown='crown',
  fade=(0.15, 0.45),
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
    'street_trees': 0.55,
    'verge': 0.35,
  },
  car_shapes=(0.35, 0.4, 0.25),
)
