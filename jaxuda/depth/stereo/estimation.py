r"""Depth from rectified pairs, by semi-global matching.

    python -m jaxuda.depth.stereo --cityscapes=DIR --out=DIR [--split=train]
    python -m jaxuda.depth.stereo --kitti=DIR --out=DIR
    python -m jaxuda.depth.stereo --dataset=streets/target_stereo --out=DIR
    python -m jaxuda.depth.stereo --left=DIR --right=DIR --baseline=0.54 \
        --focal=721 --out=DIR

Writes a file for each pair and goes on where it was stopped. --format says
which files (see `depth.formats`): depth (for `config.data.target.depth_dir`),
mat (CorDA's stereo depth), cityscapes, kitti. --fill=planes leaves no holes.
With --evaluate it also compares with the true depth, where there is one: the
share of pixels off by more than 3 pixels, and the median error.
"""

from collections.abc import Iterator, Sequence
from concurrent import futures
import os
import pathlib
from typing import Any

from absl import flags
import cv2
import numpy as np

from jaxuda import errors
from jaxuda.depth import formats
from jaxuda.depth.stereo import matching
from jaxuda.depth.stereo import pairs as pairs_lib
from jaxuda.ui import command
from jaxuda.ui import display


def run(
  pairs: Sequence[pairs_lib.Pair],
  out: str | os.PathLike[str] | None,
  *,
  options: matching.Options,
  form: str = 'depth',
  evaluate: bool = False,
  workers: int = 0,
) -> dict[str, float]:
  """Matches all pairs.

  Args:
    pairs: what to match.
    out: folder to write to; None to write nothing.
    options: of the matching.
    form: one of `formats.STEREO`.
    evaluate: compare with the truth. Pairs whose file is there are matched
      again then, else they are left alone.
    workers: threads; 0 for one for each core.

  Returns:
    What `summarize` returns; {} without `evaluate`.

  Raises:
    UserError: an unknown format, a file at `out`, a broken picture, or a truth
      or calibration that is missing.
  """
  if form not in formats.STEREO:
    raise errors.UserError(
      f'format={form!r}; expected one of {", ".join(formats.STEREO)}'
    )
  out = pathlib.Path(out) if out else None
  if out and out.exists() and not out.is_dir():
    raise errors.UserError(f'{out} is a file; expected a folder to write to')
  if evaluate and not any(x.truth for x in pairs):
    raise errors.UserError(
      'there is no true depth to evaluate against; expected a prepared dataset'
      ' with depth, or disp_occ of KITTI'
    )
  if out and form == 'depth':
    formats.write_description(
      out, formats.METRES, made_by='jaxuda.depth.stereo', fill=options.fill
    )

  def match(pair: pairs_lib.Pair) -> dict[str, float] | None:
    done = out and formats.place_of(out, pair.place, form=form).is_file()
    if done and not (evaluate and pair.truth):
      return None
    disparity = matching.match_pair(*pair.read(), options=options)
    if out and not done:
      factor = pair.factor() if pair.factor else None
      formats.write_disparity(
        out, pair.place, disparity, form=form, factor=factor
      )
    if evaluate and pair.truth:
      return count_errors(disparity, pair.truth())
    return None

  counted = []
  with display.Progress('stereo', total=len(pairs), unit='pairs') as progress:
    for done, result in enumerate(_map(match, pairs, workers), 1):
      if result is not None:
        counted.append(result)
      progress.update(done)
  return summarize(counted) if evaluate else {}


def _map(function, items, workers) -> Iterator[Any]:
  """In threads (OpenCV lets go of Python's lock), in order, a few ahead."""
  workers = workers or os.cpu_count() or 1
  before = cv2.getNumThreads()
  # One pair for each thread is faster than one pair in all of them.
  cv2.setNumThreads(1)
  try:
    with futures.ThreadPoolExecutor(workers) as pool:
      waiting = []
      try:
        for item in items:
          waiting.append(pool.submit(function, item))
          if len(waiting) > 2 * workers:
            yield waiting.pop(0).result()
        while waiting:
          yield waiting.pop(0).result()
      finally:
        for future in waiting:
          future.cancel()
  finally:
    cv2.setNumThreads(before)


def count_errors(disparity: np.ndarray, truth: np.ndarray) -> dict[str, Any]:
  """Counts what is needed for `summarize` of one map.

  Args:
    disparity: [H, W] pixels; NaN where unknown.
    truth: [H, W] pixels; NaN where unknown.

  Returns:
    'true', 'both': numbers of pixels with a truth, and with both; 'bad3': of
    these, off by more than 3 pixels; 'missed3': of all with a truth, off by
    more or unknown; 'errors': float32 [both] pixels.
  """
  true = ~np.isnan(truth)
  both = true & ~np.isnan(disparity)
  difference = np.abs(disparity[both] - truth[both]).astype(np.float32)
  bad = int((difference > 3).sum())
  return {
    'true': int(true.sum()),
    'both': int(both.sum()),
    'bad3': bad,
    'missed3': bad + int(true.sum()) - int(both.sum()),
    'errors': difference,
  }


def summarize(counted: Sequence[dict[str, Any]]) -> dict[str, float]:
  """Adds up `count_errors` of all pairs.

  Returns:
    'bad3': percent of the matched pixels that are off by more than 3 pixels;
    'missed3': percent of all pixels with a truth that are, or are not matched;
    'median': of the absolute error, pixels; 'coverage': percent of the pixels
    with a truth that are matched; 'pairs'.
  """
  total = {
    k: sum(x[k] for x in counted) for k in ('true', 'both', 'bad3', 'missed3')
  }
  if not total['both']:
    raise errors.UserError('no pixel has both a truth and a match')
  median = float(np.median(np.concatenate([x['errors'] for x in counted])))
  return {
    'bad3': 100 * total['bad3'] / total['both'],
    'missed3': 100 * total['missed3'] / total['true'],
    'median': median,
    'coverage': 100 * total['both'] / total['true'],
    'pairs': len(counted),
  }


def find_pairs(options: Any) -> list[pairs_lib.Pair]:
  """Finds the pairs that the command line names.

  Args:
    options: with `cityscapes`, `kitti`, `dataset`, `left`, `right`, `baseline`,
      `focal`, `split`, `data_dir`.

  Raises:
    UserError: not exactly one source is named, or something is wrong with it.
  """
  named = [x for x in ('cityscapes', 'kitti', 'dataset', 'left') if options[x]]
  if len(named) != 1 or bool(options['left']) != bool(options['right']):
    raise errors.UserError(
      'expected one of --cityscapes=DIR, --kitti=DIR, --dataset=NAME, or --left'
      f'=DIR with --right=DIR; got {", ".join(named) or "none"}'
    )
  split = options['split'] or ''
  if named == ['cityscapes']:
    root = pathlib.Path(options['cityscapes']).expanduser()
    return pairs_lib.find_cityscapes(root, split=split)
  if named == ['kitti']:
    root = pathlib.Path(options['kitti']).expanduser()
    return pairs_lib.find_kitti(root, split=split)
  if named == ['dataset']:
    return pairs_lib.find_prepared(
      options['dataset'], split=split or 'train', data_dir=options['data_dir']
    )
  return pairs_lib.find_folders(
    pathlib.Path(options['left']).expanduser(),
    pathlib.Path(options['right']).expanduser(),
    baseline=options['baseline'],
    focal=options['focal'],
  )


def main() -> None:
  """Runs the command line."""
  command.hide_accelerators()
  options = flags.FLAGS.flag_values_dict()
  if not options['out'] and not options['evaluate']:
    raise errors.UserError('nothing to do: expected --out or --evaluate')
  names = ('max_disparity', 'block', 'paths', 'uniqueness', 'speckle_size')
  fields = {x: options[x] for x in (*names, 'speckle_range', 'check', 'fill')}
  found = find_pairs(options)
  result = run(
    found,
    options['out'],
    options=matching.Options(**fields),
    form=options['format'],
    evaluate=options['evaluate'],
    workers=options['workers'],
  )
  if options['out']:
    print(f'wrote {len(found)} maps to {options["out"]}')
  if result:
    print(display.format_values(result))


def define_flags():
  """Only when run as a program: `main` has flags of its own."""
  string, default = flags.DEFINE_string, matching.Options()
  string('cityscapes', None, 'Folder of Cityscapes.')
  string('kitti', None, 'Folder of a KITTI stereo benchmark.')
  string('dataset', None, 'A prepared dataset with right views.')
  string('data_dir', None, 'Where TFDS keeps its data.')
  string('left', None, 'Folder of left images.')
  string('right', None, 'Folder of right images.')
  flags.DEFINE_float('baseline', None, 'Between the two cameras, metres.')
  flags.DEFINE_float('focal', None, 'Focal length, pixels.')
  string('split', None, 'Of the dataset; all, or train of a prepared one.')
  string('out', None, 'Folder to write to.')
  flags.DEFINE_enum('format', 'depth', formats.STEREO, 'See depth.formats.')
  flags.DEFINE_bool('evaluate', False, 'Compare with the true depth.')
  flags.DEFINE_integer('workers', 0, 'Threads; 0 for one for each core.')
  for name in ('max_disparity', 'block', 'uniqueness', 'speckle_size'):
    flags.DEFINE_integer(name, getattr(default, name), 'See depth.matching.')
  for name in ('speckle_range', 'check'):
    flags.DEFINE_float(name, getattr(default, name), 'See depth.matching.')
  string('paths', default.paths, '3way, 5way or 8way.')
  string('fill', default.fill, 'none, background or planes.')
