"""Surface patterns: albedo as a function of the surface coordinates.

Everything here depends on the position of a point on its surface, never on its
position in the picture, so a point has the same albedo in every view.
"""

from collections.abc import Callable
import dataclasses
import functools

import cv2
import numpy as np

# Indices into `PATTERNS`.
PLAIN, ASPHALT, PAVING, FACADE, FOLIAGE, GRASS, BARS = range(7)
BLOCKS, PAINT, PARTS, GLASS, PANES, CARGO, BARK = range(7, 14)
WORN, MASONRY = range(14, 16)

# Metres per texel of the three noise pictures, and their size in texels.
TEXELS = (0.03, 0.2, 1.2)
_SIZE = 256


@dataclasses.dataclass(frozen=True, kw_only=True)
class Points:
  """N points on surfaces of one material.

  Attributes:
    u: [N] metres along the surface, horizontally.
    v: [N] metres along the surface, upwards.
    blur: [N] metres covered by a sample.
    fine: [N] noise with features of 5 cm; about -1..1 times the contrast of
      textures, fading where samples are too coarse to resolve it.
    medium: [N] the same with features of 0.4 m.
    coarse: [N] the same with features of 3 m.
    part: [N] part of the cut-out.
    face: [N] index of the face.
    colors: [F, 4, 3] the colours of every face.
    sizes: [F, S] the pattern sizes of every face, mostly metres.
  """

  u: np.ndarray
  v: np.ndarray
  blur: np.ndarray
  fine: np.ndarray
  medium: np.ndarray
  coarse: np.ndarray
  part: np.ndarray
  face: np.ndarray
  colors: np.ndarray
  sizes: np.ndarray

  def color(self, number: int) -> np.ndarray:
    """Returns one of the colours 0..3 of the points' faces: [3, N]."""
    return np.ascontiguousarray(self.colors[:, number].T).take(self.face, 1)

  def size(self, axis: int) -> np.ndarray:
    """Returns the pattern size along u (0) or v (1), or a further one: [N]."""
    return self.sizes[:, axis][self.face]


@functools.cache
def _noise(seed: int) -> np.ndarray:
  """Returns tileable noise: float32 [_SIZE + 1, _SIZE + 1]."""
  rng = np.random.default_rng(seed)
  out = np.zeros((_SIZE, _SIZE))
  for sigma, weight in ((1.0, 0.6), (3.0, 0.8), (9.0, 0.7)):
    layer = rng.normal(size=(_SIZE, _SIZE))
    layer = cv2.GaussianBlur(np.tile(layer, (3, 3)), (0, 0), sigma)
    layer = layer[_SIZE : 2 * _SIZE, _SIZE : 2 * _SIZE]
    out += weight * layer / layer.std()
  out = np.tanh(0.75 * out / out.std())
  # One more row and column, for interpolation across the seam.
  return np.pad(out, (0, 1), mode='wrap').astype(np.float32)


def sample_noise(
  u: np.ndarray, v: np.ndarray, blur: np.ndarray, *, level: int
) -> np.ndarray:
  """Returns the noise at surface points.

  Args:
    u: [h, w] float32 metres.
    v: [h, w] float32 metres.
    blur: [h, w] float32 metres covered by a sample.
    level: index into `TEXELS`.

  Returns:
    [h, w] float32 in about -1..1, faded out where it cannot be resolved.
  """
  texel = TEXELS[level]
  x, y = (_wrap(c * np.float32(1 / texel)) for c in (u, v))
  out = cv2.remap(_noise(level), x, y, cv2.INTER_LINEAR)
  return out / (1 + np.square(blur * np.float32(0.5 / texel)))


def _wrap(x: np.ndarray) -> np.ndarray:
  """Wraps coordinates around the noise picture, much faster than np.mod."""
  return x - np.float32(_SIZE) * np.floor(x * np.float32(1 / _SIZE))


def _hash(*numbers: np.ndarray) -> np.ndarray:
  """Returns a pseudo-random number in 0..1 for each tuple of integers."""
  key = np.zeros(numbers[0].shape, np.uint32)
  for k, number in enumerate(numbers):
    key ^= number.astype(np.int64).astype(np.uint32) * np.uint32(
      (0x9E3779B1, 0x85EBCA77, 0xC2B2AE3D)[k]
    )
  key ^= key >> 15
  key *= np.uint32(0x2C1B3C6D)
  key ^= key >> 12
  return (key & np.uint32(0xFFFF)).astype(np.float32) / 0xFFFF


def _mix(a: np.ndarray, b: np.ndarray, weight: np.ndarray) -> np.ndarray:
  return a + (b - a) * weight


def _fraction(x: np.ndarray) -> np.ndarray:
  return x - np.floor(x)


def _resolved(p: Points, size: float | np.ndarray) -> np.ndarray:
  """Returns 1 where samples resolve a pattern of this size, 0 where not."""
  return np.clip(1.6 - 2.0 * p.blur / size, 0.0, 1.0)


def _plain(p: Points) -> np.ndarray:
  return p.color(0) * (1 + 0.08 * p.fine + 0.14 * p.medium)


def _asphalt(p: Points) -> np.ndarray:
  patch = np.where(p.coarse > 0.28, 0.12, 0.0)
  shade = 1 + 0.13 * p.fine + 0.12 * p.medium + 0.16 * p.coarse - patch
  return p.color(0) * shade


def _paving(p: Points) -> np.ndarray:
  x, y = p.u / p.size(0), p.v / p.size(1)
  joint = (_fraction(x) < 0.06) | (_fraction(y) < 0.06)
  clear = _resolved(p, p.size(0))
  tile = _hash(np.floor(x), np.floor(y)) - 0.5
  shade = 1 + 0.09 * p.fine + 0.14 * p.coarse + 0.1 * p.medium
  # In place, which keeps float32.
  shade += clear * (0.14 * tile - 0.22 * joint)
  return p.color(0) * shade


def _facade(p: Points) -> np.ndarray:
  """Draws storeys of windows above a ground floor of shops."""
  x, y = p.u / p.size(0), p.v / p.size(1)
  column, storey = np.floor(x), np.floor(y)
  x, y = abs(x - column - 0.5), y - storey
  shop = storey < 1
  inside = np.where(
    shop, (x < 0.42) & (y < 0.78), (x < 0.27) & (y > 0.24) & (y < 0.82)
  )
  frame = np.where(
    shop, (x < 0.46) & (y < 0.84), (x < 0.32) & (y > 0.18) & (y < 0.87)
  )
  kind = _hash(column, storey, p.face)
  brick = np.floor(p.v / 0.12)
  course = _hash(np.floor(p.u / 0.3 + 0.5 * (brick % 2)), brick) - 0.5
  shade = 1 + 0.07 * p.fine + 0.10 * p.medium + 0.16 * p.coarse
  shade += 0.5 * course * p.size(0) % 0.2 * _resolved(p, 0.2)
  shade -= 0.12 * (y > 0.94)
  wall = p.color(0) * shade
  # Curtains, lit rooms, and the sky mirrored in the upper part of a pane.
  pane = p.color(1) * (0.75 + 0.5 * kind + 0.35 * y)
  pane = _mix(pane, p.color(3), 0.75 * (kind > 0.86))
  wall = _mix(wall, p.color(2), _resolved(p, p.size(0)) * frame)
  return _mix(wall, pane, inside.astype(np.float32))


def _foliage(p: Points) -> np.ndarray:
  depth = np.clip(p.v / p.size(1), 0, 1)
  shade = 0.80 + 0.35 * depth + 0.42 * p.medium + 0.30 * p.fine
  return p.color(0) * np.clip(shade, 0.25, None)


def _grass(p: Points) -> np.ndarray:
  color = _mix(p.color(0), p.color(1), np.clip(0.5 * p.coarse, 0, 1))
  return color * (1 + 0.24 * p.fine + 0.18 * p.medium)


def _bars(p: Points) -> np.ndarray:
  bar = (_fraction(p.u / p.size(0)) < 0.5).astype(np.float32)
  bar = 0.5 + (bar - 0.5) * _resolved(p, 0.1)
  rail = (p.v > 0.88 * p.size(1)) | (abs(p.v - 0.2) < 0.07)
  paint = p.color(0) * (1 + 0.1 * p.fine + 0.1 * p.medium)
  return _mix(p.color(1), paint, np.maximum(bar, rail))


def _blocks(p: Points) -> np.ndarray:
  row = np.floor(p.v / p.size(1))
  x = p.u / p.size(0) + 0.5 * (row % 2)
  joint = (_fraction(x) < 0.06) | (p.v / p.size(1) - row < 0.12)
  block = _hash(np.floor(x), row, p.face) - 0.5
  shade = 1 + 0.1 * p.fine + 0.12 * p.medium + 0.14 * p.coarse
  shade += _resolved(p, p.size(1)) * (0.24 * block - 0.25 * joint)
  return p.color(0) * shade


def _paint(p: Points) -> np.ndarray:
  shade = 0.82 + 0.22 * np.clip(p.v / 0.6, 0, 1)
  return p.color(0) * (shade + 0.05 * p.medium + 0.03 * p.fine)


def _parts(p: Points) -> np.ndarray:
  every = np.ascontiguousarray(p.colors.reshape(-1, 3).T)
  color = every.take(4 * p.face + np.maximum(p.part, 1) - 1, 1)
  return color * (1 + 0.14 * p.fine + 0.05 * p.medium)


def _glass(p: Points) -> np.ndarray:
  return p.color(0) * (0.75 + 0.9 * np.clip(p.v, 0, 1) + 0.15 * p.medium)


def _panes(p: Points) -> np.ndarray:
  x = _fraction(p.u / p.size(0))
  pane = ((x > 0.06) & (x < 0.94)).astype(np.float32)
  glass = p.color(0) * (0.8 + 0.5 * np.clip(p.v, 0, 1))
  return _mix(p.color(1), glass, pane)


def _cargo(p: Points) -> np.ndarray:
  rib = (_fraction(p.u / p.size(0)) < 0.08) * _resolved(p, p.size(0))
  return p.color(0) * (1 + 0.05 * p.fine + 0.12 * p.coarse - 0.18 * rib)


def _bark(p: Points) -> np.ndarray:
  return p.color(0) * (1 + 0.3 * p.fine + 0.2 * p.medium)


def _worn(p: Points) -> np.ndarray:
  """Draws asphalt that has cracks and was repaired in rectangular patches.

  Sizes 2 to 4 are the length of a patch, the share of patches, and the width of
  the cracks.
  """
  long = p.size(2)
  patch = _hash(np.floor(p.u / (0.6 * long)), np.floor(p.v / long)) < p.size(3)
  shade = 1 + 0.13 * p.fine + 0.12 * p.medium + 0.16 * p.coarse
  # Cracks run along lines at regular distances, bent by the noise.
  bent = p.u + 0.6 * p.v + 1.5 * p.coarse + 0.4 * p.medium
  crack = abs(_fraction(bent / 3.7) - 0.5) * 3.7 < p.size(4)
  shade -= 0.35 * crack * np.clip(p.size(4) / (p.blur + 1e-6), 0, 1)
  return _mix(p.color(0), p.color(1), patch.astype(np.float32)) * shade


def _masonry(p: Points) -> np.ndarray:
  """Draws a facade whose windows and stones have individual sizes.

  Sizes 2 to 7 are half the width of a window, its lower and upper edge, and the
  height of the shops, as shares of a cell; the height of a stone in metres; and
  the contrast of the stones.
  """
  x, y = p.u / p.size(0), p.v / p.size(1)
  column, storey = np.floor(x), np.floor(y)
  x, y = abs(x - column - 0.5), y - storey
  top = p.size(5)
  shop = (storey < 1) & (top > 0)
  half = np.where(shop, np.float32(0.43), p.size(2))
  low = np.where(shop, np.float32(0), p.size(3))
  high = np.where(shop, top, p.size(4))
  # Distance from the window's edge, positive inside; its frame is 0.05 wide.
  inside = np.minimum(half - x, np.minimum(y - low, high - y))
  frame = (inside > -0.05) & (half > 0)
  stone = p.size(6)
  row = np.floor(p.v / stone)
  course = _hash(np.floor(p.u / (2.5 * stone) + 0.5 * (row % 2)), row) - 0.5
  shade = 1 + 0.07 * p.fine + 0.10 * p.medium + 0.16 * p.coarse
  shade += p.size(7) * course * _resolved(p, stone)
  shade -= 0.12 * (y > 0.94)
  kind = _hash(column, storey, p.face)
  pane = p.color(1) * (0.6 + 0.8 * kind + 0.35 * y)
  pane = _mix(pane, p.color(3), 0.75 * (kind > 0.8))
  wall = _mix(p.color(0) * shade, p.color(2), _resolved(p, p.size(0)) * frame)
  return _mix(wall, pane, (inside > 0).astype(np.float32))


PATTERNS: tuple[Callable[[Points], np.ndarray], ...] = (
  *(_plain, _asphalt, _paving, _facade, _foliage, _grass, _bars),
  *(_blocks, _paint, _parts, _glass, _panes, _cargo, _bark),
  *(_worn, _masonry),
)
# Name of a pattern ('plain', 'asphalt', ...) -> its index.
NAMES = {pattern.__name__[1:]: k for k, pattern in enumerate(PATTERNS)}


def evaluate(kind: int, points: Points) -> np.ndarray:
  """Returns the albedo of points of the material `kind`: float32 [3, N]."""
  return PATTERNS[kind](points)
