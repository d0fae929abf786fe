"""Draws class-wise mixtures: where in the image, and at what depth."""

from collections.abc import Sequence

import cv2
import numpy as np
from scipy import stats

from jaxuda.methods.parts import mixtures as mixtures_lib
from jaxuda.ops import depth
from jaxuda.ui import panels

# Range of the depth axis in metres; its first and last bins include all beyond.
_NEAR, _FAR = 2.0, 500.0
_WIDTH = 160


def draw(mixtures: mixtures_lib.Mixtures, names: Sequence[str]) -> np.ndarray:
  """Draws every class's density, each map on its own scale; bright is dense.

  Args:
    mixtures: mixtures of C classes.
    names: names of the C classes.

  Returns:
    uint8 [height, width, 3] RGB, with one row per class: its name, its density
    over the image, and its density over the image's rows (downwards) and depth
    (to the right, 2 m to 500 m on a logarithmic axis).
  """
  columns = {'class': [], 'place': [], 'row and depth (2 m .. 500 m)': []}
  for c, name in enumerate(names):
    place, profile = place_density(mixtures, c), depth_profile(mixtures, c)
    size = (_WIDTH, round(_WIDTH * place.shape[0] / place.shape[1]))
    cells = [_paint(x, size) for x in (place, profile)]
    title = np.full_like(cells[0], 255)
    panels.write_text(title, name, (2, 14))
    if not mixtures.weights[c].any():
      panels.write_text(title, 'too few pixels', (2, 30))
    for cell, column in zip((title, *cells), columns.values(), strict=True):
      column.append(cell)
  return panels.lay_out(columns)


def place_density(mixtures: mixtures_lib.Mixtures, label: int) -> np.ndarray:
  """Returns a class's density over the grid [h, w], marginalised over depth."""
  height, width = mixtures.grid
  rows, columns = np.indices((height, width))
  total = np.zeros((height, width))
  for weight, mean, covariance in _components(mixtures, label):
    normal = stats.multivariate_normal(mean[:2], covariance[:2, :2])
    total += weight * normal.pdf(np.stack([columns, rows], -1))
  return total


def depth_profile(
  mixtures: mixtures_lib.Mixtures, label: int, *, bins: int = _WIDTH
) -> np.ndarray:
  """Returns a class's mass over rows and depth bins: [h, bins].

  The density is integrated over each bin, since a class at a single depth, such
  as the sky, would fall between two samples of it.

  Args:
    mixtures: mixtures of C classes.
    label: the class, 0..C-1.
    bins: number of depth bins.
  """
  rows = np.arange(mixtures.grid[0])[:, None]
  metres = np.geomspace(_NEAR, _FAR, bins - 1)
  edges = np.concatenate([[np.inf], depth.invert_depth(metres), [-np.inf]])
  total = np.zeros((len(rows), bins))
  for weight, mean, covariance in _components(mixtures, label):
    slope = covariance[1, 2] / covariance[1, 1]
    sigma = np.sqrt(covariance[2, 2] - slope * covariance[1, 2])
    center = mean[2] + slope * (rows - mean[1])
    below = stats.norm.cdf(edges[None], center, sigma)
    density = stats.norm.pdf(rows, mean[1], np.sqrt(covariance[1, 1]))
    total += weight * density * -np.diff(below, axis=1)
  return total


def _components(mixtures, label):
  """Yields (weight, mean [3], covariance [3, 3]) of a class's Gaussians."""
  arrays = mixtures.weights, mixtures.means, mixtures.covariances
  for weight, mean, covariance in zip(*(x[label] for x in arrays), strict=True):
    full = covariance if covariance.ndim == 2 else np.diag(covariance)
    if weight:
      yield weight, mean, full


def _paint(density, size):
  """Colours a map; the square root makes low densities visible, too."""
  share = np.sqrt(density / (density.max() or 1.0))
  level = cv2.resize(np.round(255 * share).astype(np.uint8), size)
  return panels.apply_colormap(level / 255, cv2.COLORMAP_INFERNO)
