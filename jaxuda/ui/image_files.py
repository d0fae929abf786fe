"""Lists folders of pictures, and names the results."""

import collections
from collections.abc import Callable, Sequence
import os
import pathlib
import unicodedata

from jaxuda import errors
from jaxuda.ui import files

# The formats of cameras, phones and datasets; anything else in the folder (a
# README, a list of files) does not count as an image that failed.
SUFFIXES = (
  *('.png', '.apng', '.jpg', '.jpeg', '.jpe', '.jfif', '.mpo', '.jp2', '.j2k'),
  *('.bmp', '.dib', '.gif', '.webp', '.avif', '.tif', '.tiff', '.ppm', '.pgm'),
  *('.pbm', '.pnm', '.tga', '.hdr'),
)
# Other formats of phones and renderers, which nothing here reads (OpenCV's
# wheels have no OpenEXR): these images fail.
_FOREIGN = ('.heic', '.heif', '.hif', '.jxl', '.exr')


def name_some(names: Sequence[object], *, most: int = 5) -> str:
  """Returns 'a; b; c', or 'a; b and 7 more' for more than `most` names."""
  more = f' and {len(names) - most} more' if len(names) > most else ''
  return '; '.join(map(str, names[:most])) + more


def list_images(
  folder: str | os.PathLike, *, note: Callable[[str], None] | None = None
) -> list[pathlib.Path]:
  """Returns the pictures in a folder and its subfolders, sorted.

  Links are followed and hidden files left out, see `files.walk`. Files that
  have the name of a picture but cannot be read (broken links, pipes, HEIC) and
  folders that cannot be read are in the list: reading them will report it.

  Args:
    folder: folder of the pictures.
    note: called with a line about the files that are not pictures.

  Raises:
    UserError: the folder does not exist, or has no picture with a suffix that
      can be read.
  """
  folder = pathlib.Path(folder)
  if not folder.is_dir():
    is_file = ', which is a file' if folder.exists() else ''
    raise errors.UserError(
      f'no folder {folder}{is_file}; expected one with images'
    )
  every = sorted(path for _, inside in files.walk(folder) for path in inside)
  read = [x for x in every if x.suffix.lower() in SUFFIXES or x.is_dir()]
  if not read or read == [folder]:
    raise errors.UserError(
      f'no image in {folder}; expected files ending in {" ".join(SUFFIXES)}'
    )
  foreign = [x for x in every if x.suffix.lower() in _FOREIGN]
  found = sorted({*read, *foreign})
  others = sorted({*every} - {*found})
  if others and note:
    names = name_some([x.relative_to(folder) for x in others])
    note(f'not pictures by their suffix: {len(others)}: {names}')
  return found


def name_outputs(
  paths: Sequence[pathlib.Path],
  folder: str | os.PathLike,
  *,
  note: Callable[[str], None] | None = None,
) -> list[pathlib.Path]:
  """Returns the name of each result, relative to the output folder.

  a/b.jpg becomes a/b.png. Results whose names would clash, even only on a file
  system that ignores case or normalises Unicode, keep the suffix of the image:
  b.jpg.png, b.png.png; and get a number if that is not enough: B.jpg.png,
  b.jpg~2.png.

  Args:
    paths: the images.
    folder: folder that contains them.
    note: called with a line about the results that are not named NAME.png.
  """
  names = [path.relative_to(folder) for path in paths]
  whole = [name.with_name(name.name + '.png') for name in names]
  # Files that cannot be read take no names from those that can.
  short = [
    longer if name.suffix.lower() in _FOREIGN else name.with_suffix('.png')
    for name, longer in zip(names, whole, strict=True)
  ]
  outputs, before = short, None
  # The whole name of one image can be the short name of another.
  while outputs != before:
    count, before = collections.Counter(map(_fold, outputs)), outputs
    outputs = [
      longer if count[_fold(output)] > 1 else output
      for output, longer in zip(outputs, whole, strict=True)
    ]
  # A file cannot have the name of a folder.
  taken = {_fold(x) for output in outputs for x in output.parents}
  for i, output in enumerate(outputs):
    number = 1
    while _fold(outputs[i]) in taken:
      number += 1
      outputs[i] = output.with_name(f'{output.stem}~{number}.png')
    taken.add(_fold(outputs[i]))
  changed = [
    f'{name} gives {output}'
    for name, output, plain in zip(names, outputs, short, strict=True)
    if output != plain
  ]
  if changed and note:
    note(f'outputs whose names would clash: {name_some(changed)}')
  return outputs


def _fold(path):
  return unicodedata.normalize('NFC', str(path)).casefold()


def check_read(bad: Sequence[str], *, total: int, unit: str) -> None:
  """Reports at the end which files of a folder were left out.

  Args:
    bad: a line for each image, or pair, that could not be read.
    total: number of all images or pairs.
    unit: what they are, in the plural.

  Raises:
    UserError: something could not be read.
  """
  if bad:
    raise errors.UserError(
      f'{unit} that could not be read: {len(bad)} of {total}: {name_some(bad)};'
      f' expected complete files ending in {" ".join(SUFFIXES)}'
    )
