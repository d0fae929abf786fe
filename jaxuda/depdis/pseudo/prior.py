"""The spatial aggregation prior: small patches of a class are not trusted.

A pixel keeps its pseudo-label only if the connected patch of its class is large
enough; how large depends on how common the class is (Wu and Liu, NeurIPS 2022).
"""

import cc3d
import numpy as np

from jaxuda.data.classes import labels


def thresholds(
  counts: np.ndarray, *, base: float, extent: float, scale: float = 1.0
) -> np.ndarray:
  """Returns the size in pixels of the smallest patch to keep of each class.

  It is base + (N_i - N_min) / (N_max - N_min) * extent, rounded. The official
  numbers (50 to 5000 for 16 classes, 100 to 1000 for 7 on Cityscapes, 50 to 100
  on Mapillary) are meant for images of 1280x760, and are used unchanged at
  640x320.

  Args:
    counts: [C], N_i, number of the source's pixels of each class.
    base: threshold of the rarest class, in pixels.
    extent: number of pixels added for the most common class.
    scale: factor of all thresholds, for images of another area.

  Returns:
    int64 [C]. If all counts are equal, all thresholds are `base` (scaled).
  """
  counts = np.asarray(counts, np.float64)
  span = np.ptp(counts)
  share = (counts - counts.min()) / span if span else np.zeros(counts.shape)
  return np.rint(scale * (base + share * extent)).astype(np.int64)


def keep_patches(label: np.ndarray, least: np.ndarray) -> np.ndarray:
  """Ignores every connected patch that is smaller than its class's threshold.

  Patches are connected by sides and corners (8 neighbours), as in the official
  code.

  Args:
    label: uint8 [H, W], 0..C-1, 255 = ignored.
    least: int [C], the thresholds in pixels.

  Returns:
    uint8 [H, W], where small patches are set to 255.
  """
  ignored = label == labels.IGNORE
  # cc3d treats 0 as background and keeps different labels apart.
  shifted = np.where(ignored, 0, label.astype(np.uint16) + 1)
  patches = cc3d.connected_components(shifted, connectivity=8)
  sizes = np.bincount(patches.ravel())[patches]
  small = sizes < np.asarray(least)[np.where(ignored, 0, label)]
  return np.where(ignored | small, labels.IGNORE, label).astype(np.uint8)
