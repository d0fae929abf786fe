"""Writes and scores the depth of rectified pairs."""

from collections.abc import Mapping, Sequence
from concurrent import futures
import dataclasses
import os
import pathlib
from typing import Any

import cv2
import numpy as np

from jaxuda import errors
from jaxuda.data.pixels import depth_codes
from jaxuda.depth import formats
from jaxuda.depth import maps
from jaxuda.depth.stereo import matching
from jaxuda.depth.stereo import pairs as pairs_lib
from jaxuda.run import workdir as workdir_lib
from jaxuda.ui import display
from jaxuda.ui import files
from jaxuda.ui import image_files

# Absolute errors of the disparities with ground truth, float32 [N] pixels, and
# the number of pixels that have ground truth but no disparity.
Counted = tuple[np.ndarray, int]
_MADE_BY = 'jaxuda.depth.stereo'
# Records how, and of which images, the maps of a folder were made, whatever
# their format.
_RECORD = 'stereo.json'


def run(
  pairs: Sequence[pairs_lib.Pair],
  out: str | os.PathLike[str] | None,
  *,
  options: matching.Options,
  form: str = 'depth',
  evaluate: bool = False,
  workers: int = 0,
  camera: Mapping[str, float | None] | None = None,
) -> dict[str, float]:
  """Matches all pairs.

  Args:
    pairs: pairs to match.
    out: folder to write to; None to write nothing.
    options: how pairs are matched.
    form: one of `formats.STEREO`.
    evaluate: whether to compare with the ground truth. If so, pairs with
      ground truth are matched again even if their files exist; otherwise they
      are skipped.
    workers: number of threads; 0 for one per core.
    camera: 'baseline' and 'focal' if they were given for all pairs.

  Returns:
    The result of `summarize`; {} without `evaluate`.

  Raises:
    UserError: the format is unknown, `out` is a file or holds maps made in
      another way or of other images, the ground truth or the calibration is
      missing, or left and right are swapped; or, after all other pairs are
      done, a pair cannot be read or its sizes differ.
  """
  if form not in formats.STEREO:
    raise errors.UserError(
      f'format={form!r}; expected one of {", ".join(formats.STEREO)}'
    )
  out = files.check_folder(out) if out else None
  if evaluate and not any(x.truth for x in pairs):
    raise errors.UserError(
      'there is no true depth to evaluate against; expected a prepared dataset'
      ' with depth, or disp_occ of KITTI'
    )
  if out and form in formats.METRIC and any(x.factor is None for x in pairs):
    raise errors.UserError(formats.NO_FACTOR)
  _check_sides(pairs[0], options)
  if out:
    _claim(out, pairs, options, form, camera or {})
  middles = []

  def match(pair: pairs_lib.Pair) -> Counted | str | None:
    done = out and formats.place_of(out, pair.place, form=form).is_file()
    truth = pair.truth if evaluate else None
    if done and not truth:
      return None
    try:
      left, right = pair.read()
      factor = _read_factor(pair) if out and not done else None
      true = _read_truth(pair, left.shape[:2]) if truth else None
      disparity = matching.match_pair(left, right, options=options)
    except errors.UserError as e:
      return f'{pair.place}: {e}'
    if out and not done:
      formats.write_disparity(
        out, pair.place, disparity, form=form, factor=factor
      )
      if form in formats.METRIC and (disparity > 0).any():
        middles.append(factor / np.median(disparity[disparity > 0]))
    return count_errors(disparity, true) if truth else None

  counted, bad = [], []
  # One pair per thread is faster than all threads on one pair; OpenCV releases
  # the interpreter lock.
  before = cv2.getNumThreads()
  cv2.setNumThreads(1)
  try:
    with (
      display.Progress('stereo', total=len(pairs), unit='pairs') as progress,
      futures.ThreadPoolExecutor(workers or os.cpu_count() or 1) as pool,
    ):
      for done, result in enumerate(pool.map(match, pairs), 1):
        if isinstance(result, str):
          bad.append(result)
          progress.message(f'skipped: {result}')
        elif result is not None:
          counted.append(result)
        progress.update(done)
      _note_implausible(middles, progress)
  finally:
    cv2.setNumThreads(before)
  image_files.check_read(bad, total=len(pairs), unit='pairs')
  return summarize(counted) if evaluate else {}


def _check_sides(pair: pairs_lib.Pair, options: matching.Options) -> None:
  """Matches a pair as it is, and with left and right swapped.

  Raises:
    UserError: far more pixels match when left and right are swapped.
  """
  options = dataclasses.replace(options, fill='none')
  try:
    views = pair.read()
    here, there = (
      np.mean(~np.isnan(matching.match_pair(*x, options=options)))
      for x in (views, views[::-1])
    )
  except errors.UserError:
    return  # It will be reported with the other pairs.
  if there > max(2 * here, 0.3):
    raise errors.UserError(
      f'{pair.place}: {here:.0%} of the pixels are matched, and {there:.0%} if'
      ' left and right are exchanged; expected the left images to be those of'
      ' the left camera'
    )


def _claim(
  out: pathlib.Path,
  pairs: Sequence[pairs_lib.Pair],
  options: matching.Options,
  form: str,
  camera: Mapping[str, Any],
) -> None:
  """Claims a folder to write to, in which existing maps are kept.

  Raises:
    UserError: existing maps were made in another way, of other images or by
      something else.
  """
  record = {'format': form, **dataclasses.asdict(options)}
  if form in formats.METRIC:
    record |= camera
  record = workdir_lib.jsonable(record)
  before = workdir_lib.read_json(out / _RECORD)
  places = (formats.place_of(out, x.place, form=form) for x in pairs)
  there = next((x for x in places if x.is_file()), None)
  wrong = [x for x in record if before.get(x) != record[x]]
  if there and wrong:
    was = f'{wrong[0]}={before.get(wrong[0], "unknown")}'
    raise errors.UserError(
      f'{there} was made with {was}; expected {wrong[0]}={record[wrong[0]]} or'
      ' another --out'
    )
  images = _list_images(out, pairs, form, before.get('images', {}))
  if form == 'depth':
    maps.check_out(out, made_by=_MADE_BY)
    formats.write_description(
      out, formats.METRES, made_by=_MADE_BY, fill=options.fill
    )
  workdir_lib.write_json(out / _RECORD, {**record, 'images': images})


def _list_images(out, pairs, form, before):
  """Returns place -> [source, digest] of the pairs that maps are made of.

  Existing maps of earlier versions, which did not record them, are left out.
  Raises UserError if an existing map was made of other images.
  """
  images = dict(before)
  for pair in pairs:
    path = formats.place_of(out, pair.place, form=form)
    if not path.is_file():
      images[pair.place] = [pair.source, pair.digest()]
    elif pair.place in before and before[pair.place][1] != pair.digest():
      raise errors.UserError(
        f'{path} was made of {before[pair.place][0]}, which was not what'
        f' {pair.source} is now; expected the same images and calibration, or'
        ' another --out'
      )
  return images


def _note_implausible(middles, progress):
  """Prints a note if the median of the maps' medians, in metres, is odd."""
  middle = float(np.median(middles)) if middles else depth_codes.LEAST
  if not depth_codes.LEAST <= middle <= depth_codes.MOST:
    progress.message(
      f'note: the depth has a median of {middle:.4g} m; expected'
      f' {depth_codes.LEAST} m to {depth_codes.MOST:g} m: is the baseline in'
      ' metres and the focal length in pixels?'
    )


def _read_factor(pair):
  factor = pair.factor() if pair.factor else None
  if factor is not None and not 0 < factor < np.inf:
    raise errors.UserError(
      f'baseline times focal length is {factor} m pixels; expected more than 0'
    )
  return factor


def _read_truth(pair, size):
  true = pair.truth()
  if true.shape != size:
    raise errors.UserError(
      f'the true disparity is {true.shape[1]}x{true.shape[0]} and the images'
      f' {size[1]}x{size[0]}; expected one size'
    )
  return true


def count_errors(disparity: np.ndarray, truth: np.ndarray) -> Counted:
  """Compares one map with the ground truth.

  Args:
    disparity: [H, W] pixels; NaN where unknown.
    truth: [H, W] pixels; NaN where unknown.

  Returns:
    (float32 [N], absolute errors of the matched pixels; number of pixels with
    ground truth that are not matched).
  """
  true, found = ~np.isnan(truth), ~np.isnan(disparity)
  both = true & found
  difference = np.abs(disparity[both] - truth[both]).astype(np.float32)
  return difference, int((true & ~found).sum())


def summarize(counted: Sequence[Counted]) -> dict[str, float]:
  """Summarizes the results of `count_errors` for all pairs.

  Returns:
    'bad3': percentage of the matched pixels that are off by more than 3 pixels;
    'missed3': percentage of all pixels with ground truth that are off by more
    or are not matched; 'median': median absolute error in pixels; 'coverage':
    percentage of the pixels with ground truth that are matched; 'pairs': number
    of pairs.

  Raises:
    UserError: there is nothing to compare.
  """
  difference = np.concatenate([[], *(x for x, _ in counted)], dtype=np.float32)
  both, missing = len(difference), sum(x for _, x in counted)
  if not both:
    raise errors.UserError('no pixel has both a true disparity and a match')
  bad = int((difference > 3).sum())
  return {
    'bad3': 100 * bad / both,
    'missed3': 100 * (bad + missing) / (both + missing),
    'median': float(np.median(difference)),
    'coverage': 100 * both / (both + missing),
    'pairs': len(counted),
  }
