r"""Depth from single images, learned from image sequences (Monodepth2).

    python -m jaxuda.depth.mono --config=configs/monodepth.py --workdir=DIR
    python -m jaxuda.depth.mono --workdir=DIR --images=FOLDER --out=FOLDER
    python -m jaxuda.depth.mono --workdir=DIR --dataset=NAME --out=FOLDER
    python -m jaxuda.depth.mono --workdir=DIR --evaluate

Trains, and goes on with what it began. With --images it writes the disparity of
a folder of images, subfolders included; with --dataset that of a prepared
dataset (--split=train), under the names of its examples: 16-bit PNGs as CorDA
reads them, 65535 for the nearest and 0 for no value, and `depth.json`, as
`config.data.target.depth_dir` reads them. For Cityscapes as CorDA has it,
--images=.../leftImg8bit --out=.../disparity.
"""

from collections.abc import Iterator
import os
import pathlib
from typing import Any

from absl import flags
import cv2
from ml_collections import config_flags
import numpy as np

from jaxuda import errors
from jaxuda.depth import formats
from jaxuda.run import workdir as workdir_lib
from jaxuda.ui import command
from jaxuda.ui import display
from jaxuda.ui import image_files
from jaxuda.ui import panels

NORMALIZATIONS = ('all', 'image', 'none')
# Images that the common scale is taken from.
_SAMPLE = 100


class Folder:
  """The images of a folder, by number; names are relative, without suffix."""

  def __init__(self, folder: str | os.PathLike[str]):
    """Lists them.

    Raises:
      UserError: no folder, or no picture in it.
    """
    self._paths = image_files.list_images(folder)
    names = image_files.name_outputs(self._paths, folder)
    self._names = [str(x.with_suffix('')) for x in names]

  def __len__(self) -> int:
    return len(self._paths)

  def read(self, number: int) -> tuple[str, np.ndarray]:
    """Returns (name, uint8 [H, W, 3])."""
    return self._names[number], panels.read_image(self._paths[number])


def write_disparities(
  run: workdir_lib.Run,
  images: Any,
  out: str | os.PathLike[str],
  *,
  normalization: str = 'all',
) -> int:
  """Writes the disparity of every image.

  Args:
    run: what `training.load` returned.
    images: a `Folder`, or anything with its `__len__` and `read`.
    out: folder to write to; files that are there are written anew.
    normalization: what becomes 65535: 'all': the largest disparity of all (of
      a hundred images, their 99.9th percentile, so that a few pixels are
      clipped); 'image': that of each image, so that equal numbers are not equal
      depths; 'none': the smallest depth that the network can say.

  Returns:
    The number of files.

  Raises:
    UserError: an unknown normalization, a file at `out`, or a broken picture.
  """
  if normalization not in NORMALIZATIONS:
    raise errors.UserError(
      f'normalization={normalization!r}; expected one of'
      f' {", ".join(NORMALIZATIONS)}'
    )
  out = pathlib.Path(out)
  if out.exists() and not out.is_dir():
    raise errors.UserError(f'{out} is a file; expected a folder to write to')
  greatest = 1 / run.method.min_depth
  if normalization == 'all':
    every = -(-len(images) // _SAMPLE)
    sample = range(0, len(images), every)
    greatest = max(
      np.nanpercentile(x, 99.9)
      for _, x in _predict(run, images, sample, 'scale of disparity')
    )
  formats.write_description(
    out,
    formats.INVERSE,
    made_by='jaxuda.depth.mono',
    normalization=normalization,
    greatest=float(greatest) if normalization != 'image' else None,
    checkpoint_step=run.step,
  )
  for name, inverse in _predict(run, images, range(len(images)), 'disparity'):
    top = np.nanmax(inverse) if normalization == 'image' else greatest
    raw = formats.encode_inverse(inverse, greatest=top)
    formats.write_png16(out / f'{name}.png', raw)
  return len(images)


def _predict(run, images, numbers, title) -> Iterator[tuple[str, np.ndarray]]:
  """Yields (name, 1 / depth [H, W] at the image's size, NaN where cut off)."""
  from jaxuda.data.files import frames
  from jaxuda.depth.mono import scoring

  data = run.config.data
  for number in display.track(numbers, name=title, total=len(numbers)):
    name, image = images.read(number)
    height, width = image.shape[:2]
    small = frames.resize_frame(image, data.size, crop_bottom=data.crop_bottom)
    inverse = scoring.predict_disparity(run.method, run.state, [small])[0]
    kept = height - int(data.crop_bottom * height)
    full = np.full((height, width), np.nan, np.float32)
    full[:kept] = cv2.resize(inverse, (width, kept))
    yield name, full


def main() -> None:
  """Runs the command line."""
  # TensorFlow takes seconds to load: a misspelt flag is reported before.
  options = flags.FLAGS
  tasks = ('images', 'dataset', 'evaluate', 'config')
  named = [x for x in tasks if options[x].value]
  if len(named) != 1:
    raise errors.UserError(
      'expected one of --config to train, --images or --dataset to write'
      f' disparity, or --evaluate; got {" and ".join(named) or "none"}'
    )
  writes = named[0] in ('images', 'dataset')
  if writes and not options.out:
    raise errors.UserError('--out is not set; expected a folder to write to')
  images = Folder(options.images) if options.images else None

  from jaxuda.data.records import rows
  from jaxuda.depth.mono import training

  command.hide_accelerators()
  if options.config:
    training.train(options.config, options.workdir)
    return
  run = training.load(options.workdir, which=options.checkpoint)
  if options.data_dir:
    run.config.data.data_dir = options.data_dir
  if options.evaluate:
    _evaluate(run)
    return
  images = images or rows.Images(
    options.dataset,
    split=options.split,
    data_dir=options.data_dir,
    manual_dir=options.manual_dir,
  )
  count = write_disparities(
    run, images, options.out, normalization=options.normalization
  )
  print(f'wrote {count} maps to {options.out}')


def _evaluate(run):
  from jaxuda.depth.mono import scoring

  scored = scoring.open_scored(run.config)
  if scored is None:
    raise errors.UserError(
      'a folder of frames has no true depth to evaluate against; expected a'
      ' run on a prepared dataset'
    )
  result = scoring.evaluate(
    run.method, run.state, scored, batch_size=run.config.eval_batch_size
  )
  print(display.format_values(result))


def define_flags():
  """Only when run as a program: `main` has flags of its own."""
  string = flags.DEFINE_string
  config_flags.DEFINE_config_file(
    'config', None, 'configs/monodepth.py:argument=value', lock_config=True
  )
  string('workdir', None, 'Folder of the run.', required=True)
  string('images', None, 'Folder of images to write the disparity of.')
  string('dataset', None, 'Prepared dataset to write the disparity of.')
  string('split', 'train', 'Split of --dataset.')
  string('data_dir', None, 'Where TFDS keeps its data.')
  string('manual_dir', None, 'Where --dataset was downloaded to.')
  string('out', None, 'Folder to write to.')
  string('checkpoint', 'last', 'last, best (by abs_rel) or a step.')
  flags.DEFINE_bool('evaluate', False, 'Score the run against true depth.')
  flags.DEFINE_enum(
    'normalization', 'all', NORMALIZATIONS, 'What becomes 65535.'
  )
