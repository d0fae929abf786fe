"""Writes the disparity that a monocular network predicts for images."""

from collections.abc import Iterator
import os
from typing import Any

import cv2
import numpy as np

from jaxuda import errors
from jaxuda.data.files import frames
from jaxuda.depth import formats
from jaxuda.depth import maps
from jaxuda.depth.mono import scoring
from jaxuda.run import workdir as workdir_lib
from jaxuda.ui import display
from jaxuda.ui import files
from jaxuda.ui import image_files

NORMALIZATIONS = ('all', 'image', 'none')
_MADE_BY = 'jaxuda.depth.mono'
# Number of images from which the common scale is taken.
_SAMPLE = 100


def write_disparities(
  run: workdir_lib.Run,
  images: Any,
  out: str | os.PathLike[str],
  *,
  normalization: str = 'all',
) -> int:
  """Writes the disparity of every image.

  Args:
    run: the run returned by `training.load`.
    images: a `maps.Folder`, or anything with its methods.
    out: folder to write to; existing files of these images are overwritten.
      Files of other images may remain if they have the same description
      (checkpoint, scale).
    normalization: which disparity becomes 65535. 'all': the largest of all
      images (the largest 99.9th percentile of a hundred images, so that a few
      pixels are clipped); 'image': the largest of each image, so that equal
      numbers are not equal depths; 'none': that of the smallest depth that the
      network can output.

  Returns:
    The number of files.

  Raises:
    UserError: the normalization is unknown, or `out` is a file or holds other
      maps; or, after all other maps have been written, a picture cannot be
      read.
  """
  if normalization not in NORMALIZATIONS:
    raise errors.UserError(
      f'normalization={normalization!r}; expected one of'
      f' {", ".join(NORMALIZATIONS)}'
    )
  out = maps.check_out(out, made_by=_MADE_BY)
  greatest, bad = 1 / run.method.min_depth, {}
  if normalization == 'all':
    sample = range(0, len(images), -(-len(images) // _SAMPLE))
    found = _predict(run, images, sample, 'scale of disparity', bad)
    tops = [np.nanpercentile(x, 99.9) for _, x in found]
    if not tops:
      image_files.check_read([*bad], total=len(images), unit='images')
    greatest = max(tops)
  description = {
    **formats.INVERSE,
    'made_by': _MADE_BY,
    'normalization': normalization,
    'greatest': float(greatest) if normalization != 'image' else None,
    'checkpoint_step': run.step,
  }
  _clear(out, images, description)
  formats.write_description(out, description)
  every = range(len(images))
  for name, inverse in _predict(run, images, every, 'disparity', bad):
    top = np.nanmax(inverse) if normalization == 'image' else greatest
    raw = formats.encode_inverse(inverse, greatest=top)
    formats.write_png16(out / f'{name}.png', raw)
  image_files.check_read([*bad], total=len(images), unit='images')
  return len(images)


def _clear(out, images, description):
  """Removes the images' maps of another description, lest they pass for new.

  They are all written again, but not if the process is killed. Raises UserError
  if maps of other images do not match the description.
  """
  before = workdir_lib.read_json(out / formats.FILE)
  wrong = [x for x in description if before.get(x) != description[x]]
  if not wrong:
    return
  mine = {out / f'{x}.png' for x in images.names()}
  there = sorted(x for x in out.rglob('*.png') if not files.is_hidden(x.name))
  other = next((x for x in there if x not in mine), None)
  if other:
    raise errors.UserError(
      f'{other} belongs to other images and was made with {wrong[0]}='
      f'{before.get(wrong[0])}; expected {description[wrong[0]]}, or another'
      ' --out'
    )
  for path in mine:
    path.unlink(missing_ok=True)


def _predict(
  run, images, numbers, title, bad
) -> Iterator[tuple[str, np.ndarray]]:
  """Yields (name, 1 / depth [H, W] at the image's size, NaN where cropped).

  The errors of images that cannot be read become keys of `bad`.
  """
  data = run.config.data
  for number in display.track(numbers, name=title, total=len(numbers)):
    try:
      name, image = images.read(number)
    except errors.UserError as e:
      bad[str(e)] = None
      continue
    height, width = image.shape[:2]
    small = frames.resize_frame(image, data.size, crop_bottom=data.crop_bottom)
    inverse = scoring.predict_disparity(run.method, run.state, [small])[0]
    kept = height - int(data.crop_bottom * height)
    full = np.full((height, width), np.nan, np.float32)
    full[:kept] = cv2.resize(inverse, (width, kept))
    yield name, full
