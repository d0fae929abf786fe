"""Cut-outs: small pictures of part numbers, stretched over a face.

0 is a hole; parts 1 to 4 have the four colours of the face.
"""

import functools

import cv2
import numpy as np

# Parts of people: top, trousers, skin, hair and shoes. Of two-wheelers: frame,
# tyres, metal, lamp. Of signs: face, rim, symbol. Of lights: housing, the lamp
# that is lit, the others. Of crowns: leaves.
TOP, TROUSERS, SKIN, HAIR = 1, 2, 3, 4
# A gap between leaves: it is transparent, but annotators label it as the tree.
_GAP = 5
# Kind of the crowns without leaves.
BARE = 'bare'

# Width and height, and the strokes, drawn one over the other, in pixels:
# ('disc', part, x, y, radius x, radius y[, degrees from, to]),
# ('ring', part, x, y, radius, thickness), ('line', part, thickness, points...)
# and ('area', part, corners...).
_DRAWINGS = {
  'rider_side': (
    (128, 128),
    ('line', TROUSERS, 15, (52, 62), (80, 72), (70, 104)),
    ('line', HAIR, 7, (66, 106), (78, 107)),
    ('line', TOP, 24, (52, 58), (70, 24)),
    ('line', TOP, 9, (72, 28), (84, 46), (96, 50)),
    ('disc', SKIN, 98, 50, 4, 4),
    ('disc', SKIN, 78, 10, 9, 10),
    ('disc', HAIR, 77, 8, 11, 10, 160, 370),
  ),
  'rider_back': (
    (64, 128),
    ('line', TROUSERS, 13, (24, 60), (18, 84)),
    ('line', TROUSERS, 10, (18, 84), (22, 108)),
    ('line', TOP, 9, (20, 28), (11, 54)),
    ('line', TROUSERS, 13, (40, 60), (46, 84)),
    ('line', TROUSERS, 10, (46, 84), (42, 108)),
    ('line', TOP, 9, (44, 28), (53, 54)),
    ('area', TOP, (18, 28), (26, 21), (38, 21), (46, 28), (43, 66), (21, 66)),
    ('disc', SKIN, 32, 11, 9, 10),
    ('disc', HAIR, 32, 9, 10, 9, 170, 370),
  ),
  # The wheels stand on the lower edge.
  'bicycle_side': (
    (128, 128),
    ('ring', 2, 27, 101, 23, 6),
    ('ring', 3, 27, 101, 14, 2),
    ('disc', 3, 27, 101, 5, 5),
    ('ring', 2, 101, 101, 23, 6),
    ('ring', 3, 101, 101, 14, 2),
    ('disc', 3, 101, 101, 5, 5),
    ('line', 1, 6, (27, 101), (50, 70), (90, 66), (60, 101), (27, 101)),
    ('line', 1, 6, (60, 101), (47, 62)),
    ('line', 1, 6, (101, 101), (88, 54), (98, 50)),
    ('line', 4, 7, (38, 60), (56, 60)),
    ('disc', 3, 60, 101, 7, 7),
  ),
  'bicycle_back': (
    (48, 128),
    ('line', 2, 8, (24, 82), (24, 124)),
    ('line', 1, 8, (24, 62), (24, 90)),
    ('line', 1, 6, (8, 54), (40, 54)),
    ('line', 4, 8, (18, 64), (30, 64)),
  ),
  'motorcycle_side': (
    (128, 128),
    ('disc', 2, 28, 101, 25, 25),
    ('disc', 3, 28, 101, 12, 12),
    ('disc', 2, 100, 101, 25, 25),
    ('disc', 3, 100, 101, 12, 12),
    ('area', 2, (40, 74), (92, 70), (86, 108), (44, 108)),
    ('area', 1, (12, 68), (50, 72), (66, 58), (92, 60), (96, 78), (44, 88)),
    ('area', 1, (86, 52), (104, 72), (118, 78), (100, 84), (84, 66)),
    ('line', 3, 6, (100, 101), (88, 54), (78, 48)),
    ('disc', 4, 104, 66, 6, 6),
    ('line', 3, 7, (20, 108), (60, 106)),
  ),
  'motorcycle_back': (
    (64, 128),
    ('line', 2, 16, (32, 80), (32, 120)),
    ('area', 1, (20, 62), (44, 62), (48, 90), (16, 90)),
    ('line', 3, 6, (6, 54), (58, 54)),
    ('disc', 3, 8, 48, 5, 5),
    ('disc', 3, 56, 48, 5, 5),
    ('disc', 4, 32, 78, 8, 5),
  ),
  'wheel': (
    (48, 48),
    ('disc', 1, 24, 24, 23, 23),
    ('disc', 2, 24, 24, 13, 13),
    ('disc', 1, 24, 24, 4, 4),
  ),
  'round_sign': (
    (64, 64),
    ('disc', 2, 32, 32, 31, 31),
    ('disc', 1, 32, 32, 23, 23),
    ('area', 3, (20, 29), (44, 29), (44, 35), (20, 35)),
  ),
  'warning_sign': (
    (64, 64),
    ('area', 2, (32, 2), (62, 60), (2, 60)),
    ('area', 1, (32, 16), (52, 54), (12, 54)),
    ('area', 3, (29, 28), (35, 28), (34, 44), (30, 44)),
  ),
  'panel_sign': (
    (64, 64),
    ('area', 2, (0, 0), (63, 0), (63, 63), (0, 63)),
    ('area', 1, (4, 4), (59, 4), (59, 59), (4, 59)),
    ('area', 3, (32, 12), (48, 30), (37, 30), (37, 52), (27, 52), (27, 30)),
    ('area', 3, (16, 30), (48, 30), (32, 12)),
  ),
}


def _draw(size: tuple[int, int], *strokes: tuple) -> np.ndarray:
  """Returns a picture of strokes of the kinds in `_DRAWINGS`."""
  picture = np.zeros(size[::-1], np.uint8)
  for kind, part, *numbers in strokes:
    if kind == 'disc':
      x, y, rx, ry, *arc = numbers
      center, axes = (round(x), round(y)), (round(rx), round(ry))
      cv2.ellipse(picture, center, axes, 0, *(arc or (0, 360)), part, -1)
    elif kind == 'ring':
      x, y, radius, thick = numbers
      cv2.circle(picture, (x, y), radius, part, thick)
    elif kind == 'line':
      thick, *points = numbers
      cv2.polylines(picture, [np.array(points, np.int32)], False, part, thick)
    else:
      cv2.fillPoly(picture, [np.array(numbers, np.int32)], part)
  return picture


def _person(stride, swing, *, skirt=False, bag=False) -> np.ndarray:
  """Draws a standing or walking person."""
  strokes = []
  for side in (-1, 1):
    foot, arm = 32 + side * stride, 32 + side * (13 + swing)
    strokes += [
      ('line', TROUSERS, 11, (32 + side * 4, 66), (foot, 118)),
      ('line', HAIR, 7, (foot - 2, 122), (foot + 4, 122)),
      ('line', TOP, 8, (32 + side * 9, 32), (arm, 64)),
      ('disc', SKIN, arm, 67, 4, 4),
    ]
  if skirt:
    strokes += [('area', TROUSERS, (22, 58), (42, 58), (49, 98), (15, 98))]
  strokes += [
    ('area', TOP, (19, 30), (26, 24), (38, 24), (45, 30), (43, 70), (21, 70)),
    ('disc', SKIN, 32, 13, 9, 11),
    ('disc', HAIR, 32, 11, 10, 10, 180, 360),
  ]
  if bag:
    strokes += [('disc', HAIR, 48, 62, 8, 12)]
  return _draw((64, 128), *strokes)


def _crown(seed: int, *, ragged: bool) -> np.ndarray:
  """Draws a tree crown: a heap of discs, with or without frayed leaves."""
  rng = np.random.default_rng(seed)
  strokes = [('disc', 1, 72, 75, 45, 48)]
  for angle in rng.uniform(0, 6.3, 14 if ragged else 7):
    reach, size = rng.uniform(30, 48), rng.uniform(13, 23)
    x, y = 72 + reach * np.cos(angle), 72 + reach * np.sin(angle)
    strokes += [('disc', 1, x, y, size, size)]
  p = _draw((144, 144), *strokes)
  if ragged:
    noise = rng.normal(size=(144, 144))
    fray = 0.6 * cv2.GaussianBlur(noise, (0, 0), 1.2)
    fray += 2.0 * cv2.GaussianBlur(noise, (0, 0), 3.0)
    inner = cv2.GaussianBlur(p.astype(float), (0, 0), 7)
    p = (inner + 1.2 * fray > 0.5).astype(np.uint8)
  p[[0, -1]] = p[:, [0, -1]] = 0
  return p


def _hedge(seed: int) -> np.ndarray:
  """Draws a hedge with an uneven top."""
  rng = np.random.default_rng(seed)
  strokes = [('area', 1, (0, 12), (255, 12), (255, 63), (0, 63))]
  for x in range(0, 256, 9):
    size = rng.uniform(6, 12)
    strokes += [('disc', 1, x + rng.uniform(-3, 3), 13, size, size)]
  return _draw((256, 64), *strokes)


def _smooth_noise(rng, shape, sigma) -> np.ndarray:
  """Returns noise of standard deviation 1 with features of size `sigma`."""
  noise = cv2.GaussianBlur(rng.normal(size=shape), (0, 0), sigma)
  return noise / noise.std()


def _pierce(picture, seed, *, share, sigma, holes=0.0) -> np.ndarray:
  """Draws leaves with gaps, and with holes that do not belong to the tree.

  Args:
    picture: the outline.
    seed: seed of the noise.
    share: share of the area outside the holes that leaves cover.
    sigma: size of the gaps, pixels.
    holes: share of the outline that holes cover.
  """
  rng = np.random.default_rng(seed)
  leaves = _smooth_noise(rng, picture.shape, sigma)
  leaves += 0.7 * _smooth_noise(rng, picture.shape, 3 * sigma)
  wide = _smooth_noise(rng, picture.shape, 6.0)
  inside = picture > 0
  inside &= wide >= np.quantile(wide[inside], holes)
  gap = leaves <= np.quantile(leaves[inside], 1 - share)
  return np.where(inside, np.where(gap, _GAP, 1), 0).astype(np.uint8)


def _grow(picture, rng, start, angle, length, thick) -> None:
  """Draws a branch and its twigs; angles are in radians, 0 is upwards."""
  x, y = start
  end = (x + length * np.sin(angle), y - length * np.cos(angle))
  points = [tuple(round(float(c)) for c in p) for p in (start, end)]
  cv2.line(picture, *points, 1, max(round(float(thick)), 1))
  if length > 6:
    for turn in rng.uniform(0.15, 0.75, 2 + (rng.random() < 0.45)):
      side = rng.choice((-1, 1))
      shorter = length * rng.uniform(0.62, 0.84)
      _grow(picture, rng, end, angle + side * turn, shorter, 0.62 * thick)


def _bare(seed: int) -> np.ndarray:
  """Draws the branches of a tree in winter and the gaps between them."""
  rng = np.random.default_rng(seed)
  picture = np.zeros((144, 144), np.uint8)
  for angle in rng.uniform(-0.6, 0.6, rng.integers(2, 5)):
    length = rng.uniform(26, 36)
    _grow(picture, rng, (72, 143), angle, length, rng.uniform(3, 5))
  near = np.ones((7, 7), np.uint8)
  hull = cv2.erode(cv2.dilate(picture, near), near[:5, :5])
  return np.where((picture == 0) & (hull > 0), _GAP, picture).astype(np.uint8)


def _cone(seed: int) -> np.ndarray:
  """Draws a fir as a pile of skirts."""
  rng, strokes = np.random.default_rng(seed), []
  for k, y in enumerate(range(8, 144, 15)):
    half = 7 + 6.6 * k + rng.uniform(-4, 4)
    points = [(72, y - 8)]
    for x in np.linspace(1, -1, 9):
      points.append((72 + half * x, min(y + 14 + rng.uniform(-5, 5), 143)))
    strokes.append(('area', 1, *points))
  share = rng.uniform(0.65, 0.95)
  return _pierce(_draw((144, 144), *strokes), seed, share=share, sigma=1.2)


def _palm(seed: int) -> np.ndarray:
  """Draws a palm: a stem and bent fronds."""
  rng = np.random.default_rng(seed)
  strokes = [('line', 1, 6, (72, 143), (70 + rng.uniform(-4, 8), 48))]
  for angle in np.linspace(-2.2, 2.2, 11) + rng.uniform(-0.2, 0.2, 11):
    reach = rng.uniform(40, 60)
    t = np.linspace(0, 1, 7)
    x = 72 + reach * t * np.sin(angle)
    y = 48 - reach * t * np.cos(angle) + 26 * t * t
    frond = list(zip(x, y.clip(0), strict=True))
    strokes += [
      ('line', 1, int(7 - 4 * t[k]), *frond[k : k + 2]) for k in range(6)
    ]
  return _draw((144, 144), *strokes)


def _varied() -> dict[str, np.ndarray]:
  """Draws crowns and hedges for `palette.Style.crowns` and `hedge`."""
  lace = ((0.85, 1.2), (0.7, 1.6), (0.55, 1.2), (0.45, 2.0), (0.35, 1.5))
  torn = ((0.9, 0.2), (0.75, 0.3), (0.6, 0.35), (0.5, 0.25))
  hedges = ((0.9, 0.0), (0.6, 0.0), (0.35, 0.15), (0.2, 0.1))
  crowns = [_crown(100 + k, ragged=k % 3 > 0) for k in range(9)]
  return {
    **{
      f'lace{k}': _pierce(crowns[k], k, share=share, sigma=sigma)
      for k, (share, sigma) in enumerate(lace)
    },
    **{
      f'torn{k}': _pierce(crowns[5 + k], k, share=share, sigma=2.0, holes=holes)
      for k, (share, holes) in enumerate(torn)
    },
    **{f'{BARE}{k}': _bare(200 + k) for k in range(5)},
    **{f'cone{k}': _cone(300 + k) for k in range(3)},
    **{f'palm{k}': _palm(400 + k) for k in range(2)},
    **{
      f'thin_hedge{k}': _pierce(_hedge(8 + k), k, share=s, sigma=1, holes=holes)
      for k, (s, holes) in enumerate(hedges)
    },
  }


def _light(lit: int) -> np.ndarray:
  """Draws a traffic light; only the lamp `lit` (0..2) is coloured."""
  parts = [2 if k == lit else 3 for k in range(3)]
  lamps = [('disc', p, 16, 15 + 25 * k, 9, 9) for k, p in enumerate(parts)]
  housing = ('area', 1, (0, 0), (31, 0), (31, 79), (0, 79))
  return _draw((32, 80), housing, *lamps)


@functools.cache
def _named() -> dict[str, np.ndarray]:
  """Returns all cut-outs by name; those of the same kind are numbered."""
  people = [
    _person(5, 0),
    _person(13, 3),
    _person(8, 1, bag=True),
    _person(7, 0, skirt=True),
    _person(17, 6),
    _person(4, 2, skirt=True, bag=True),
  ]
  return {
    **{f'person{k}': person for k, person in enumerate(people)},
    **{f'crown{k}': _crown(k, ragged=True) for k in range(6)},
    **{f'round_crown{k}': _crown(50 + k, ragged=False) for k in range(3)},
    **{f'light{k}': _light(k) for k in range(3)},
    **{name: _draw(*drawing) for name, drawing in _DRAWINGS.items()},
    'hedge': _hedge(7),
    **_varied(),
  }


@functools.cache
def atlas() -> tuple[np.ndarray, ...]:
  """Returns all cut-outs: uint8 [h, w] of parts 0..4, row 0 at the top."""
  return tuple(np.where(x == _GAP, 0, x) for x in _named().values())


@functools.cache
def gaps() -> tuple[np.ndarray, ...]:
  """Returns the gaps of all cut-outs: uint8 [h, w], 1 in a gap, else 0."""
  return tuple((x == _GAP).astype(np.uint8) for x in _named().values())


@functools.cache
def have_gaps() -> np.ndarray:
  """Returns which cut-outs have gaps: bool [N + 1], the last one for -1."""
  return np.array([*(x.any() for x in gaps()), False])


@functools.cache
def find(name: str) -> int:
  """Returns the index of a cut-out in the atlas."""
  return list(_named()).index(name)


@functools.cache
def _kinds() -> dict[str, list[str]]:
  """Returns the names of the cut-outs of each kind."""
  kinds = {}
  for name in _named():
    kinds.setdefault(name.rstrip('0123456789'), []).append(name)
  return kinds


def choose(rng: np.random.Generator, kind: str) -> int:
  """Draws the index of a cut-out of a kind, such as person, crown or lace."""
  return find(_kinds()[kind][rng.integers(len(_kinds()[kind]))])
