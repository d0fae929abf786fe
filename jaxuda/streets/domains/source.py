"""A clean game engine: fresh paint, strong colours, some exposures."""

import numpy as np

from jaxuda.streets import palette

TONES = {
  'road': [(58, 66, 4, 12, 26, 34), (8, 60, 0, 6, 32, 42)],
  'marking': [(10, 16, 0, 6, 92, 100)],
  'sidewalk': [
    (5, 10, 14, 28, 66, 80),
    (0, 4, 22, 34, 60, 72),
    (8, 12, 4, 14, 56, 70),
  ],
  'building': [
    (0, 4, 50, 70, 55, 75),
    (9, 14, 40, 60, 75, 92),
    (45, 55, 20, 40, 60, 80),
    (6, 10, 15, 35, 80, 95),
    (90, 97, 20, 40, 65, 85),
    (6, 12, 8, 25, 50, 72),
  ],
  'window': [(55, 60, 40, 60, 45, 65)],
  'roof': [(1, 5, 50, 60, 40, 50)],
  'wall': [(6, 10, 40, 60, 48, 62)],
  'fence': [(5, 9, 60, 75, 30, 42), (0, 100, 0, 5, 85, 95)],
  'behind': [(27, 33, 50, 60, 25, 35)],
  'pole': [(58, 64, 10, 20, 42, 55)],
  'light': [(12, 15, 75, 90, 80, 95), (30, 40, 50, 60, 14, 20)],
  'vegetation': [
    (27, 34, 65, 85, 35, 55),
    (31, 38, 60, 80, 28, 40),
    (20, 27, 45, 65, 28, 46),
  ],
  'trunk': [(6, 8, 50, 60, 30, 40)],
  'terrain': [(21, 27, 55, 75, 55, 72)],
  'top': [(0, 100, 60, 90, 55, 95), (0, 100, 20, 60, 20, 60)],
  'trousers': [(58, 66, 50, 80, 30, 55), (0, 100, 30, 60, 40, 80)],
  'skin': [(5, 8, 35, 50, 75, 95), (5, 7, 50, 60, 35, 55)],
  'hair': [(5, 10, 40, 70, 12, 35)],
  'car': [
    (0, 100, 65, 90, 60, 95),
    (0, 100, 65, 90, 60, 95),
    (0, 100, 0, 15, 10, 95),
  ],
  'truck': [(0, 100, 50, 80, 55, 90)],
  'cargo': [(0, 100, 30, 60, 70, 95)],
  'bus': [(0, 2, 80, 95, 70, 85), (12, 14, 80, 95, 85, 95)],
  'train': [(30, 42, 55, 75, 50, 65)],
  'glass': [(54, 58, 35, 50, 30, 45)],
  'bike': [(0, 100, 60, 90, 50, 90)],
  'clutter': [(0, 100, 30, 60, 30, 70)],
}

# By day, under a clear or a milky sky.
DAY = {
  'milk': (0.2, 0.8),
  'milky': [0.0, 1.0],
  'zenith_light': (0.9, 1.1),
  'azimuth': (0, 6.28),
  'elevation': (0.8, 1.2),
  'exposure': (0.75, 1.1),
  'sunlight': np.array([0.50, 0.48, 0.44]),
  'skylight': np.array([0.60, 0.62, 0.66]),
  'zenith': np.array([0.22, 0.46, 0.90]),
  'horizon': np.array([0.62, 0.80, 0.98]),
  'haze': 0.0006,
}

STYLE = palette.Style(
  tones=TONES,
  weather=((1.0, DAY),),
  texture=0.22,
  crown='round_crown',
  fade=0.0,
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
  },
  car_shapes=(0.7, 0.2, 0.1),
)
