"""Disparity of a rectified pair: OpenCV's semi-global matching, checked.

Hirschmüller, "Stereo processing by semiglobal matching and mutual information",
PAMI 2008, as implemented by OpenCV's StereoSGBM. Pairs are matched in both
directions, and pixels on which the two disagree are discarded. Uses only NumPy
and OpenCV.
"""

import dataclasses
from typing import Literal

import cv2
import numpy as np

from jaxuda import errors
from jaxuda.depth.stereo import inpainting

_MODES = {
  '3way': cv2.STEREO_SGBM_MODE_SGBM_3WAY,
  '5way': cv2.STEREO_SGBM_MODE_SGBM,
  '8way': cv2.STEREO_SGBM_MODE_HH,
}

# With a larger block, OpenCV's penalties do not fit into 16 bits.
_BLOCK = 17


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
  """How pairs are matched.

  Attributes:
    max_disparity: largest disparity, pixels, rounded up to a multiple of 16; 0
      stands for an eighth of the width.
    block: side of the matched blocks, pixels; odd, at most 17.
    paths: '3way' (fast, three paths), '5way' (OpenCV's default) or '8way'
      (Hirschmüller's, which needs much memory).
    uniqueness: margin by which the best match must win, percent.
    speckle_size: size in pixels up to which islands of disparity are removed; 0
      removes none.
    speckle_range: largest difference of neighbours in an island, pixels.
    check: largest difference of a match's two disparities, from left to right
      and from right to left, pixels; negative for no check.
    fill: 'none'; 'background', from the farther side of the row (Hirschmüller's
      rule); or 'planes', with one plane per superpixel, see `inpainting`.
  """

  max_disparity: int = 0
  block: int = 5
  paths: Literal['3way', '5way', '8way'] = '3way'
  uniqueness: int = 10
  speckle_size: int = 100
  speckle_range: float = 1.0
  check: float = 1.0
  fill: Literal['none', 'background', 'planes'] = 'none'

  def __post_init__(self):
    errors.check_choices(self)
    if self.block % 2 == 0:
      raise errors.UserError(
        f'block={self.block}; expected an odd number of pixels'
      )
    if np.isnan(self.check):
      raise errors.UserError(
        'check=nan; expected pixels, or less than 0 for no check'
      )
    ranges = {
      'block': (1, _BLOCK),
      'uniqueness': (0, 100),
      **dict.fromkeys(('max_disparity', 'speckle_size'), (0, None)),
      'speckle_range': (0, None),
    }
    errors.check_ranges(self, ranges)


def match_pair(
  left: np.ndarray, right: np.ndarray, *, options: Options | None = None
) -> np.ndarray:
  """Computes the disparity of the left image of a rectified pair.

  Args:
    left: uint8 [H, W] or [H, W, 3] RGB.
    right: the same, from a camera to the right.
    options: see `Options`.

  Returns:
    float32 [H, W] pixels, >= 0, in sixteenths where it was matched: the point
    at column x is at column x - disparity in the right image. NaN where it is
    unknown.

  Raises:
    UserError: the two images differ in size.
  """
  options = options or Options()
  if left.shape != right.shape:
    raise errors.UserError(
      f'the left image is {left.shape[1]}x{left.shape[0]} and the right one'
      f' {right.shape[1]}x{right.shape[0]}; expected a rectified pair of one'
      ' size'
    )
  count = options.max_disparity or left.shape[1] // 8
  # No disparity exceeds the width of the picture.
  count = min(count, left.shape[1])
  count = max(16, -(-count // 16) * 16)
  disparity = _match(left, right, count, options)
  if options.check >= 0:
    # Mirrored, the right image becomes the left one of the pair.
    mirrored = _match(right[:, ::-1], left[:, ::-1], count, options)
    disparity = check_matches(
      disparity, mirrored[:, ::-1], largest=options.check
    )
  if options.speckle_size:
    disparity = remove_speckles(
      disparity, size=options.speckle_size, difference=options.speckle_range
    )
  if options.fill == 'background':
    return inpainting.fill_background(disparity)
  if options.fill == 'planes':
    return inpainting.fill_planes(disparity, left)
  return disparity


def _match(left, right, count, options):
  """Returns the left image's disparities 0..`count`, NaN where unmatched."""
  area = (1 if left.ndim == 2 else 3) * options.block**2
  matcher = cv2.StereoSGBM_create(
    minDisparity=0,
    numDisparities=count,
    blockSize=options.block,
    P1=8 * area,
    P2=32 * area,
    disp12MaxDiff=-1,  # OpenCV compares only within the left image's costs.
    preFilterCap=63,
    uniquenessRatio=options.uniqueness,
    speckleWindowSize=0,
    mode=_MODES[options.paths],
  )
  # OpenCV leaves out the first `count` columns, so add as many on the left.
  pads = (0, 0, count, 0)
  wide = [
    cv2.copyMakeBorder(np.ascontiguousarray(x), *pads, cv2.BORDER_REPLICATE)
    for x in (left, right)
  ]
  raw = matcher.compute(*wide)[:, count:]
  return np.where(raw < 0, np.nan, raw / 16).astype(np.float32)


def check_matches(
  disparity: np.ndarray, other: np.ndarray, *, largest: float
) -> np.ndarray:
  """Keeps the disparities on which both directions agree.

  This is the left-right check.

  Args:
    disparity: [H, W] of the left image, pixels; NaN where unknown.
    other: [H, W] of the right image, whose column x is at x + other in the left
      one, pixels.
    largest: largest difference to accept, pixels.

  Returns:
    float32 [H, W] pixels, NaN where they disagree or the match is outside of
    the right image.
  """
  height, width = disparity.shape
  known = ~np.isnan(disparity)
  columns = np.arange(width)[None] - np.where(known, disparity, 0)
  nearest = np.round(columns).astype(int)
  back = other[np.arange(height)[:, None], nearest.clip(0, width - 1)]
  # Comparisons with NaN are false.
  agree = (nearest >= 0) & (np.abs(back - disparity) <= largest)
  return np.where(agree, disparity, np.float32(np.nan))


def remove_speckles(
  disparity: np.ndarray, *, size: int, difference: float
) -> np.ndarray:
  """Removes connected islands of at most `size` pixels.

  Args:
    disparity: [H, W] pixels; NaN where unknown.
    size: maximum size of the islands, number of pixels.
    difference: largest difference of neighbours in an island, pixels.

  Returns:
    float32 [H, W] pixels, NaN where it was unknown or part of an island.
  """
  raw = np.where(np.isnan(disparity), -1, disparity * 16).round()
  raw = raw.astype(np.int16)
  cv2.filterSpeckles(raw, -16, size, difference * 16)
  return np.where(raw < 0, np.float32(np.nan), disparity).astype(np.float32)
