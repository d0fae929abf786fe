"""Writes the maps that networks predict for images to a folder."""

from collections.abc import Callable, Mapping
import os
import pathlib
from typing import Any

import numpy as np

from jaxuda import errors
from jaxuda.depth import formats
from jaxuda.run import workdir as workdir_lib
from jaxuda.ui import display
from jaxuda.ui import files
from jaxuda.ui import image_files
from jaxuda.ui import panels


class Folder:
  """The images of a folder, by number; names are relative, without suffix."""

  def __init__(
    self,
    folder: str | os.PathLike[str],
    *,
    note: Callable[[str], None] | None = None,
  ):
    """Lists the images.

    Args:
      folder: the folder, including its subfolders.
      note: function that is called with a line about files that are not
        pictures, and about names that differ from those of the images.

    Raises:
      UserError: the folder does not exist or has no pictures.
    """
    self._paths = image_files.list_images(folder, note=note)
    names = image_files.name_outputs(self._paths, folder, note=note)
    self._names = [str(x.with_suffix('')) for x in names]

  def __len__(self) -> int:
    return len(self._paths)

  def names(self) -> list[str]:
    """Returns the names of all images."""
    return self._names

  def read(self, number: int) -> tuple[str, np.ndarray]:
    """Returns (name, uint8 [H, W, 3])."""
    return self._names[number], panels.read_image(self._paths[number])


def check_out(out: str | os.PathLike[str], *, made_by: str) -> pathlib.Path:
  """Checks and returns a folder to write to, which may hold nothing else.

  Args:
    out: the folder, which may not exist yet.
    made_by: name of the command that writes, as in depth.json.

  Raises:
    UserError: `out` is a file, or holds pictures written by something else.
  """
  out = files.check_folder(out)
  mine = workdir_lib.read_json(out / formats.FILE).get('made_by') == made_by
  if not mine and any(out.rglob('*.png')):
    raise errors.UserError(
      f'{out} holds pictures but no {formats.FILE} of {made_by}; expected a'
      ' new folder, or one that was written by the same command'
    )
  return out


def write(
  predict: Callable[[np.ndarray], np.ndarray],
  images: Any,
  out: str | os.PathLike[str],
  *,
  description: Mapping[str, Any],
) -> int:
  """Writes the map of every image.

  Args:
    predict: function from uint8 [H, W, 3] RGB to uint16 [H, W], encoded
      according to the description.
    images: images with `__len__`, and `read(i)` -> (name, uint8 [H, W, 3]).
    out: folder to write to. Maps of the same images are kept if they have the
      same description; all others are rewritten.
    description: the code of the numbers, the command that made them
      ('made_by'), and the network; stored in depth.json.

  Returns:
    The number of files written.

  Raises:
    UserError: `out` is a file or holds other pictures; or, after all other maps
      have been written, a picture cannot be read.
  """
  out = check_out(out, made_by=description['made_by'])
  wanted = workdir_lib.jsonable({**description})
  file = out / formats.FILE
  if workdir_lib.read_json(file) != wanted:
    # Written only after all old files are gone, lest they pass for new ones.
    for old in out.rglob('*.png'):
      old.unlink()
    formats.write_description(out, wanted)
  written, bad, total = 0, [], len(images)
  for number in display.track(range(total), name='depth', total=total):
    try:
      name, image = images.read(number)
    except errors.UserError as e:
      bad.append(str(e))
      continue
    path = out / f'{name}.png'
    # Names recur in other folders and datasets.
    if not path.is_file() or not formats.is_of_image(path, image):
      formats.write_png16(path, predict(image), image=image)
      written += 1
  image_files.check_read(bad, total=total, unit='images')
  return written
