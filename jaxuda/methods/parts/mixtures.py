"""Files of class-wise Gaussian mixtures over (x, y, inverse depth).

A file is an .npz without pickled objects: weights, means, covariances, the
number of source pixels of each class, the grid, and a JSON text that says what
they were fitted from. Reading it does not need TensorFlow.
"""

import dataclasses
import functools
import json
import os
import pathlib
from typing import Any
import zipfile

import numpy as np

from jaxuda import errors
from jaxuda.ops import density

# Number of points per class from which the typical density is taken.
_DRAWN = 4096
_BROKEN = (
  *(OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile),
)
_ARRAYS = ('weights', 'means', 'covariances', 'counts', 'grid')


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Mixtures:
  """A mixture of K components for each of C classes.

  Attributes:
    weights: float64 [C, K]; all 0 for a class that had too few pixels.
    means: float64 [C, K, 3]: column, row, inverse depth.
    covariances: float64 [C, K, 3] variances, or [C, K, 3, 3].
    counts: int64 [C], pixels of the class that were seen on the grid.
    grid: (height, width) of the network's output.
    info: what they were fitted from and how well; JSON types.
  """

  weights: np.ndarray
  means: np.ndarray
  covariances: np.ndarray
  counts: np.ndarray
  grid: tuple[int, int]
  info: dict[str, Any]

  @property
  def class_weights(self) -> tuple[float, ...]:
    """1 / (C f) with f the share of pixels that a class has; 0 for f = 0.

    Computed on SYNTHIA, these are the official code's weights of the source
    cross entropy.
    """
    share = self.counts / max(1, self.counts.sum())
    known = share > 0
    weights = np.where(known, 1 / (len(share) * np.where(known, share, 1)), 0)
    return tuple(map(float, weights))

  @functools.cached_property
  def sharpness(self) -> float:
    """The s with which `ops.density.map_density` maps the median to its middle.

    It is ln 2 / p, which maps p to 255 / 2, where p is the median over the
    source's pixels of a pixel's density under its own class. The official s,
    1e6, does about the same on its own grid, where it maps a road in the middle
    of the image to 136.

    Pixels are drawn from the mixtures, equally many for each class, and
    weighted by their class's number of pixels; the result is the same in every
    run. It is the official s if no class has a mixture.
    """
    share = self.counts * self.weights.any(1)
    if not share.any():
      return density.SHARPNESS
    drawn = [self._draw_densities(c) for c in np.flatnonzero(share)]
    log_p, weight = np.ravel(drawn), np.repeat(share[share > 0], _DRAWN)
    order = np.argsort(log_p)
    reached = np.cumsum(weight[order])
    median = log_p[order][np.searchsorted(reached, reached[-1] / 2)]
    return float(np.log(2) / np.exp(median))

  def _draw_densities(self, label):
    """Log density at points [_DRAWN] drawn from the mixture itself."""
    table = density.tabulate(
      self.weights, self.means, self.covariances, dtype=np.float64
    )
    # NumPy promises that the stream of this legacy class never changes.
    random = np.random.RandomState(label)
    share = self.weights[label] / self.weights[label].sum()
    part = random.choice(len(share), _DRAWN, p=share)
    # Undoes the whitening; in float64 a mean does not need two numbers.
    unwhiten = np.linalg.inv(table.whiten[label])[part]
    noise = random.standard_normal((_DRAWN, 1, 3))
    points = table.high[label][part] + (noise @ unwhiten)[:, 0]
    offset = points[:, None] - table.high[label]
    white = np.einsum('nki,kij->nkj', offset, table.whiten[label])
    terms = table.offset[label] - np.square(white).sum(-1) / 2
    return np.logaddexp.reduce(terms, -1)


def write(path: str | os.PathLike, mixtures: Mixtures) -> None:
  """Writes a file that `read` reads, and creates its folder."""
  path = pathlib.Path(path)
  path.parent.mkdir(parents=True, exist_ok=True)
  arrays = {k: np.asarray(getattr(mixtures, k)) for k in _ARRAYS}
  with path.open('wb') as f:
    np.savez(f, info=np.array(json.dumps(mixtures.info)), **arrays)


def read(path: str | os.PathLike, *, classes: int | None = None) -> Mixtures:
  """Reads a file, or returns it from memory if it was read before.

  Args:
    path: the file.
    classes: how many classes it must have; None for any number.

  Raises:
    UserError: it is missing, is not such a file or has another number of
      classes.
  """
  if not path:
    raise errors.UserError(
      "method.mixtures=''; expected a file that python -m jaxuda.depdis.fit"
      ' wrote (python -m jaxuda.main fits one by itself)'
    )
  path = pathlib.Path(path).expanduser().absolute()
  try:
    status = path.stat()
  except OSError as e:
    raise errors.UserError(
      f'{path} cannot be read ({e.strerror}); expected a file of mixtures, as'
      ' python -m jaxuda.depdis.fit writes it'
    ) from e
  mixtures = _read(path, status.st_mtime_ns, status.st_size)
  if classes not in (None, len(mixtures.weights)):
    raise errors.UserError(
      f'{path} has mixtures of {len(mixtures.weights)} classes; expected'
      f' {classes}'
    )
  return mixtures


@functools.lru_cache(maxsize=8)
def _read(path, *unused_stamp):
  try:
    # Opened here, because NumPy leaves a broken file open.
    with path.open('rb') as f, np.load(f, allow_pickle=False) as data:
      arrays = {k: data[k] for k in _ARRAYS}
      info = json.loads(str(data['info']))
  except _BROKEN as e:
    raise errors.UserError(
      f'{path} is not a file of mixtures: {e or type(e).__name__}'
    ) from e
  grid = tuple(int(x) for x in arrays.pop('grid').ravel())
  mixtures = Mixtures(**arrays, grid=grid, info=info)
  wrong = _find_wrong(mixtures)
  if wrong:
    raise errors.UserError(f'{path} is not a file of mixtures: {wrong}')
  return mixtures


def _find_wrong(m):
  """Says what is wrong with the arrays; '' if nothing is."""
  if m.weights.ndim != 2 or len(m.grid) != 2 or min(m.grid) < 1:
    return f'weights {m.weights.shape}, grid {m.grid}; expected [C, K] and h, w'
  shape = m.weights.shape
  kinds = ((*shape, 3), (*shape, 3, 3))
  if m.means.shape != kinds[0] or m.covariances.shape not in kinds:
    return (
      f'means {m.means.shape}, covariances {m.covariances.shape}; expected'
      f' {kinds[0]}, and that or {kinds[1]}'
    )
  if m.counts.shape != shape[:1]:
    return f'counts {m.counts.shape}; expected {shape[:1]}'
  for name in ('weights', 'means', 'covariances'):
    if not np.isfinite(getattr(m, name)).all():
      return f'{name} are not finite'
  spread = m.covariances
  if spread.ndim == 4:
    spread = np.linalg.eigvalsh(spread)
  if spread.min() <= 0 or m.weights.min() < 0 or m.counts.min() < 0:
    return 'a variance is not above 0, or a weight or count below 0'
  return ''
