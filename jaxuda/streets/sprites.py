"""Cut-outs: small pictures of part numbers, stretched over a face.

0 is a hole; parts 1 to 4 take the four colours of the face.
"""

import functools

import cv2
import numpy as np

# Parts of people: top, trousers, skin, hair and shoes. Of two-wheelers: frame,
# tyres, metal, lamp. Of signs: face, rim, symbol. Of lights: housing, red,
# amber, green. Of crowns: leaves.
TOP, TROUSERS, SKIN, HAIR = 1, 2, 3, 4

CROWNS, ROUND_CROWNS, PEOPLE = 6, 3, 6


def _canvas(width: int, height: int) -> np.ndarray:
  return np.zeros((height, width), np.uint8)


def _disc(picture, x, y, rx, ry, part):
  center, axes = (round(x), round(y)), (round(rx), round(ry))
  cv2.ellipse(picture, center, axes, 0, 0, 360, part, -1)


def _line(picture, points, part, thick):
  points = np.round(np.array(points)).astype(np.int32)
  cv2.polylines(picture, [points], False, part, thick)


def _polygon(picture, points, part):
  cv2.fillPoly(picture, [np.round(np.array(points)).astype(np.int32)], part)


def _person(stride: float, swing: float, skirt: bool, bag: bool) -> np.ndarray:
  """A standing or walking person, 64 x 128."""
  p = _canvas(64, 128)
  for side in (-1, 1):
    foot = 32 + side * stride
    _line(p, [(32 + side * 4, 66), (foot, 118)], TROUSERS, 11)
    _line(p, [(foot - 2, 122), (foot + 4, 122)], HAIR, 7)
    arm = 32 + side * (13 + swing)
    _line(p, [(32 + side * 9, 32), (arm, 64)], TOP, 8)
    _disc(p, arm, 67, 4, 4, SKIN)
  if skirt:
    _polygon(p, [(22, 58), (42, 58), (49, 98), (15, 98)], TROUSERS)
  _polygon(p, [(19, 30), (26, 24), (38, 24), (45, 30), (43, 70), (21, 70)], TOP)
  _disc(p, 32, 13, 9, 11, SKIN)
  cv2.ellipse(p, (32, 11), (10, 10), 0, 180, 360, HAIR, -1)
  if bag:
    _disc(p, 48, 62, 8, 12, HAIR)
  return p


def _rider_side() -> np.ndarray:
  """A rider from the side, to be laid over a two-wheeler, 128 x 128."""
  p = _canvas(128, 128)
  _line(p, [(52, 62), (80, 72), (70, 104)], TROUSERS, 15)
  _line(p, [(66, 106), (78, 107)], HAIR, 7)
  _line(p, [(52, 58), (70, 24)], TOP, 24)
  _line(p, [(72, 28), (84, 46), (96, 50)], TOP, 9)
  _disc(p, 98, 50, 4, 4, SKIN)
  _disc(p, 78, 10, 9, 10, SKIN)
  cv2.ellipse(p, (77, 8), (11, 10), 0, 160, 370, HAIR, -1)
  return p


def _rider_back() -> np.ndarray:
  """A rider from behind, 64 x 128."""
  p = _canvas(64, 128)
  for side in (-1, 1):
    _line(p, [(32 + side * 8, 60), (32 + side * 14, 84)], TROUSERS, 13)
    _line(p, [(32 + side * 14, 84), (32 + side * 10, 108)], TROUSERS, 10)
    _line(p, [(32 + side * 12, 28), (32 + side * 21, 54)], TOP, 9)
  _polygon(p, [(18, 28), (26, 21), (38, 21), (46, 28), (43, 66), (21, 66)], TOP)
  _disc(p, 32, 11, 9, 10, SKIN)
  cv2.ellipse(p, (32, 9), (10, 9), 0, 170, 370, HAIR, -1)
  return p


def _bicycle_side() -> np.ndarray:
  """A bicycle, 128 x 128; the wheels stand on the lower edge."""
  p = _canvas(128, 128)
  for x in (27, 101):
    cv2.circle(p, (x, 101), 23, 2, 6)
    cv2.circle(p, (x, 101), 14, 3, 2)
    _disc(p, x, 101, 5, 5, 3)
  frame = [(27, 101), (50, 70), (90, 66), (60, 101), (27, 101)]
  _line(p, frame, 1, 6)
  _line(p, [(60, 101), (47, 62)], 1, 6)
  _line(p, [(101, 101), (88, 54), (98, 50)], 1, 6)
  _line(p, [(38, 60), (56, 60)], 4, 7)
  _disc(p, 60, 101, 7, 7, 3)
  return p


def _bicycle_back() -> np.ndarray:
  """A bicycle from behind, 48 x 128."""
  p = _canvas(48, 128)
  _line(p, [(24, 82), (24, 124)], 2, 8)
  _line(p, [(24, 62), (24, 90)], 1, 8)
  _line(p, [(8, 54), (40, 54)], 1, 6)
  _line(p, [(18, 64), (30, 64)], 4, 8)
  return p


def _motorcycle_side() -> np.ndarray:
  """A motorcycle, 128 x 128."""
  p = _canvas(128, 128)
  for x in (28, 100):
    _disc(p, x, 101, 25, 25, 2)
    _disc(p, x, 101, 12, 12, 3)
  _polygon(p, [(40, 74), (92, 70), (86, 108), (44, 108)], 2)
  _polygon(p, [(12, 68), (50, 72), (66, 58), (92, 60), (96, 78), (44, 88)], 1)
  _polygon(p, [(86, 52), (104, 72), (118, 78), (100, 84), (84, 66)], 1)
  _line(p, [(100, 101), (88, 54), (78, 48)], 3, 6)
  _disc(p, 104, 66, 6, 6, 4)
  _line(p, [(20, 108), (60, 106)], 3, 7)
  return p


def _motorcycle_back() -> np.ndarray:
  """A motorcycle from behind, 64 x 128."""
  p = _canvas(64, 128)
  _line(p, [(32, 80), (32, 120)], 2, 16)
  _polygon(p, [(20, 62), (44, 62), (48, 90), (16, 90)], 1)
  _line(p, [(6, 54), (58, 54)], 3, 6)
  _disc(p, 8, 48, 5, 5, 3)
  _disc(p, 56, 48, 5, 5, 3)
  _disc(p, 32, 78, 8, 5, 4)
  return p


def _crown(seed: int, ragged: bool) -> np.ndarray:
  """A tree crown, 144 x 144: a heap of discs, with frayed leaves or without."""
  rng = np.random.default_rng(seed)
  p = _canvas(144, 144)
  _disc(p, 72, 75, 45, 48, 1)
  for angle in rng.uniform(0, 6.3, 14 if ragged else 7):
    reach, size = rng.uniform(30, 48), rng.uniform(13, 23)
    x, y = 72 + reach * np.cos(angle), 72 + reach * np.sin(angle)
    _disc(p, x, y, size, size, 1)
  if ragged:
    noise = rng.normal(size=(144, 144))
    fray = 0.6 * cv2.GaussianBlur(noise, (0, 0), 1.2)
    fray += 2.0 * cv2.GaussianBlur(noise, (0, 0), 3.0)
    inner = cv2.GaussianBlur(p.astype(float), (0, 0), 7)
    p = (inner + 1.2 * fray > 0.5).astype(np.uint8)
  p[[0, -1]] = p[:, [0, -1]] = 0
  return p


def _hedge(seed: int) -> np.ndarray:
  """A hedge with an uneven top, 256 x 64."""
  rng = np.random.default_rng(seed)
  p = _canvas(256, 64)
  p[12:] = 1
  for x in range(0, 256, 9):
    size = rng.uniform(6, 12)
    _disc(p, x + rng.uniform(-3, 3), 13, size, size, 1)
  return p


def _wheel() -> np.ndarray:
  p = _canvas(48, 48)
  _disc(p, 24, 24, 23, 23, 1)
  _disc(p, 24, 24, 13, 13, 2)
  _disc(p, 24, 24, 4, 4, 1)
  return p


def _round_sign() -> np.ndarray:
  p = _canvas(64, 64)
  _disc(p, 32, 32, 31, 31, 2)
  _disc(p, 32, 32, 23, 23, 1)
  _polygon(p, [(20, 29), (44, 29), (44, 35), (20, 35)], 3)
  return p


def _warning_sign() -> np.ndarray:
  p = _canvas(64, 64)
  _polygon(p, [(32, 2), (62, 60), (2, 60)], 2)
  _polygon(p, [(32, 16), (52, 54), (12, 54)], 1)
  _polygon(p, [(29, 28), (35, 28), (34, 44), (30, 44)], 3)
  return p


def _panel_sign() -> np.ndarray:
  p = _canvas(64, 64)
  p[:] = 2
  p[4:-4, 4:-4] = 1
  _polygon(p, [(32, 12), (48, 30), (37, 30), (37, 52), (27, 52), (27, 30)], 3)
  _polygon(p, [(16, 30), (48, 30), (32, 12)], 3)
  return p


def _light(lit: int) -> np.ndarray:
  """A traffic light, 32 x 80; only the lamp `lit` (0..2) is coloured."""
  p = _canvas(32, 80)
  p[:] = 1
  for k in range(3):
    _disc(p, 16, 15 + 25 * k, 9, 9, 2 if k == lit else 3)
  return p


@functools.cache
def _named() -> dict[str, np.ndarray]:
  people = [
    _person(5, 0, False, False),
    _person(13, 3, False, False),
    _person(8, 1, False, True),
    _person(7, 0, True, False),
    _person(17, 6, False, False),
    _person(4, 2, True, True),
  ]
  images = {f'person{k}': p for k, p in enumerate(people)}
  images |= {f'crown{k}': _crown(k, True) for k in range(CROWNS)}
  images |= {
    f'round_crown{k}': _crown(50 + k, False) for k in range(ROUND_CROWNS)
  }
  images |= {f'light{k}': _light(k) for k in range(3)}
  return images | {
    'rider_side': _rider_side(),
    'rider_back': _rider_back(),
    'bicycle_side': _bicycle_side(),
    'bicycle_back': _bicycle_back(),
    'motorcycle_side': _motorcycle_side(),
    'motorcycle_back': _motorcycle_back(),
    'hedge': _hedge(7),
    'wheel': _wheel(),
    'round_sign': _round_sign(),
    'warning_sign': _warning_sign(),
    'panel_sign': _panel_sign(),
  }


@functools.cache
def atlas() -> tuple[np.ndarray, ...]:
  """All cut-outs: uint8 [rows, columns] of parts 0..4, row 0 at the top."""
  return tuple(_named().values())


@functools.cache
def find(name: str) -> int:
  """Index of a cut-out in the atlas."""
  return list(_named()).index(name)
