"""Frames with their neighbours in time, for self-supervised depth.

They come from a prepared dataset that has them ('streets/target_sequence') or
from a folder of frames (dataset 'folder', see `frames`), which is read as it
is, without preparation. If no camera file is found next to the frames, `focal`
must be given.

Pixel centres have integer coordinates; (0, 0) is at the top left.
"""

from collections.abc import Iterator, Sequence
import contextlib
import itertools
from typing import Any

import numpy as np

from jaxuda import errors
from jaxuda.data import pipeline
from jaxuda.data.files import frames
from jaxuda.data.records import order
from jaxuda.data.records import rows as rows_lib
from jaxuda.data.store import ahead
from jaxuda.ui import panels

NEIGHBOURS = ('previous', 'next')
_VIEWS = ('image', *NEIGHBOURS)
# Number of batches to read ahead.
_AHEAD = 3


class Sequences:
  """Random access to triplets of frames at the network's size.

  Attributes:
    needs: names of the fields that are read.
    unit: metres per raw unit of a prepared dataset's depth.
  """

  def __init__(self, data_config: Any, split: str, *, needs: Sequence[str]):
    """Opens a dataset.

    Args:
      data_config: `config.data` of `configs/monodepth.py`.
      split: name of the split.
      needs: fields to read, out of 'image', 'previous', 'next', 'intrinsics',
        'motion_previous', 'motion_next' and 'depth'.

    Raises:
      UserError: a value is out of range, a file or the camera is missing, or
        the dataset lacks a field.
    """
    self._size = tuple(data_config.size)
    self._cut = float(data_config.crop_bottom)
    if not 0 <= self._cut < 1:
      raise errors.UserError(
        f'config.data.crop_bottom={self._cut}; expected 0 or more, less than 1'
      )
    self.needs = tuple(needs)
    if data_config.dataset == 'folder':
      self._read = self._open_folder(data_config, split)
    else:
      self._read = self._open_prepared(data_config, split)

  def __len__(self) -> int:
    return self._count

  def read(self, number: int, *, mirrored: bool = False) -> dict[str, Any]:
    """Returns one example.

    Args:
      number: 0..len - 1.
      mirrored: whether left and right are swapped in pictures, camera and
        motions.

    Returns:
      The fields of `needs`: 'image', 'previous', 'next' uint8 [H, W, 3] at the
      network's size; 'intrinsics' float32 [4], (fx, fy, cx, cy) in pixels at
      that size; the motions float32 [4, 4]; 'depth' uint16 [h, w] as stored,
      without the bottom that is cropped; and always 'name'.
    """
    raw = self._read(int(number))
    height, width = raw['image'].shape[:2]
    out = {'name': raw['name']}
    for view in _VIEWS:
      if view in self.needs:
        picture = self.resize(raw[view])
        out[view] = picture[:, ::-1] if mirrored else picture
    if 'intrinsics' in self.needs:
      rows = height - int(self._cut * height)
      out['intrinsics'] = scale_intrinsics(
        raw['intrinsics'], (rows, width), self._size
      )
      if mirrored:
        out['intrinsics'][2] = self._size[1] - 1 - out['intrinsics'][2]
    for name in ('motion_previous', 'motion_next'):
      if name in self.needs:
        mirror = np.diag([-1 if mirrored else 1, 1, 1, 1])
        out[name] = (mirror @ raw[name] @ mirror).astype(np.float32)
    if 'depth' in self.needs:
      depth = raw['depth']
      out['depth'] = depth[: len(depth) - int(self._cut * len(depth))]
    return out

  def resize(self, picture: np.ndarray) -> np.ndarray:
    """Crops the bottom and resizes with LANCZOS, like Monodepth2."""
    return frames.resize_frame(picture, self._size, crop_bottom=self._cut)

  def _open_folder(self, config, split):
    if not config.manual_dir:
      raise errors.UserError(
        'config.data.manual_dir is not set; expected the folder of the frames'
      )
    for name, value in (('step', config.step), ('focal', config.focal)):
      if value is not None and not 0 < value < np.inf:
        raise errors.UserError(
          f'config.data.{name}={value}; expected more than 0'
        )
    found = frames.find_triplets(
      config.manual_dir, split=split, step=config.step
    )
    wrong = set(self.needs) - {*_VIEWS, 'intrinsics'}
    if wrong:
      raise errors.UserError(
        f'{config.manual_dir} has no {sorted(wrong)[0]}; expected a prepared'
        ' dataset that has it'
      )
    lost = next((x for x in found if x.intrinsics is None), None)
    if lost and not config.focal and 'intrinsics' in self.needs:
      raise errors.UserError(
        f'no camera was found for {lost.image}; expected a camera file next'
        ' to the frames, or config.data.focal, the focal length in pixels'
      )
    self._count = len(found)

    def read(number):
      triplet = found[number]
      raw = {x: panels.read_image(getattr(triplet, x)) for x in _VIEWS}
      if len({x.shape for x in raw.values()}) > 1:
        raise errors.UserError(
          f'{triplet.image} and the frames next to it differ in size; expected'
          ' one size'
        )
      height, width = raw['image'].shape[:2]
      middle = ((width - 1) / 2, (height - 1) / 2)
      own = triplet.intrinsics or (config.focal, *middle)
      return {**raw, 'name': triplet.name, 'intrinsics': np.asarray(own)}

    return read

  def _open_prepared(self, config, split):
    rows = rows_lib.Rows(
      config.dataset,
      split=split,
      fields=sorted({'image', *self.needs}),
      data_dir=config.data_dir,
      manual_dir=config.manual_dir,
    )
    self.unit = float(rows.metadata.get('depth_unit', 0.01))
    self._count = len(rows)
    return rows.read


def scale_intrinsics(
  intrinsics: Sequence[float], size: Sequence[int], new: Sequence[int]
) -> np.ndarray:
  """Returns the intrinsics after a resize: float32 [4], (fx, fy, cx, cy).

  Args:
    intrinsics: (focal length, cx, cy) in pixels.
    size: (height, width) of the original picture.
    new: (height, width) of the resized picture.
  """
  focal, cx, cy = (float(x) for x in intrinsics)
  sx, sy = new[1] / size[1], new[0] / size[0]
  return np.array(
    [focal * sx, focal * sy, (cx + 0.5) * sx - 0.5, (cy + 0.5) * sy - 0.5],
    np.float32,
  )


def train_stream(
  sequences: Sequences,
  *,
  batch_size: int,
  seed: int,
  start_step: int = 0,
  flip: bool = True,
  workers: int = 2,
  share: tuple[int, int] = (0, 1),
) -> Iterator[dict[str, np.ndarray]]:
  """Returns the endless stream of training batches, starting at any step.

  A batch is a function of (seed, step), like those of `pipeline.train_stream`.

  Args:
    sequences: examples to read.
    batch_size: number of examples, over all devices of all processes.
    seed: seed of the order and the mirroring.
    start_step: step number of the first batch.
    flip: whether half of the examples are mirrored.
    workers: number of threads that read and decode; the batches do not depend
      on it.
    share: (i, n) for the i-th of n equal, contiguous parts of every batch's
      rows, i from 0: the rows of process i.

  Returns:
    An iterator over {field: array [B, ...]}, without 'name'.

  Raises:
    UserError: batch_size or workers is below 1, or the batch size is not
      divisible by the number of shares.
  """
  for name, value in (('batch_size', batch_size), ('workers', workers)):
    if value < 1:
      raise errors.UserError(f'{name}={value}; expected at least 1')
  mine = order.share_rows(batch_size, *share)
  key = pipeline.domain_seed(seed, 'sequences')

  def load(sample):
    epoch, place = divmod(sample, len(sequences))
    number = order.permute(key, epoch, len(sequences))[place]
    bits = np.random.Philox(key=np.array([key, sample], np.uint64))
    side = bits.random_raw(1)[0] & np.uint64(1)
    return sequences.read(number, mirrored=flip and bool(side))

  starts = itertools.count(start_step * batch_size, batch_size)
  rows = ahead.map_ahead(
    load,
    (start + row for start in starts for row in mine),
    workers=workers,
    ahead=_AHEAD * len(mine),
  )
  return _stack(rows, len(mine))


def _stack(rows, batch_size):
  with contextlib.closing(rows):
    while True:
      batch = list(itertools.islice(rows, batch_size))
      yield {
        k: np.stack([row[k] for row in batch]) for k in batch[0] if k != 'name'
      }
