"""Folders of pictures: their files, and the names of results."""

import collections
from collections.abc import Callable, Sequence
import os
import pathlib
import unicodedata

from jaxuda import errors
from jaxuda.ui import files

# What a camera, a phone or a data set brings; anything else in the folder (a
# README, a list of files) is not an image that failed.
SUFFIXES = (
  *('.png', '.apng', '.jpg', '.jpeg', '.jpe', '.jfif', '.mpo', '.jp2', '.j2k'),
  *('.bmp', '.dib', '.gif', '.webp', '.avif', '.tif', '.tiff', '.ppm', '.pgm'),
  *('.pbm', '.pnm', '.tga', '.exr', '.hdr'),
)
# A phone's, too, but nothing here reads them: these are images that fail.
_FOREIGN = ('.heic', '.heif', '.hif', '.jxl')


def name_some(names: Sequence[object], *, most: int = 5) -> str:
  """Returns 'a; b; c', or 'a; b and 7 more' of more than `most` names."""
  more = f' and {len(names) - most} more' if len(names) > most else ''
  return '; '.join(map(str, names[:most])) + more


def list_images(
  folder: str | os.PathLike, *, note: Callable[[str], None] | None = None
) -> list[pathlib.Path]:
  """Returns the pictures in a folder, sorted, those in subfolders included.

  Links are followed and hidden files left out, see `files.walk`. What is named
  as a picture and is none that can be read (a link to nowhere, a pipe, HEIC),
  and a folder that cannot be read, are in the list: reading them says so.

  Args:
    folder: folder of the pictures.
    note: is called with a line about the files that are no pictures.

  Raises:
    UserError: no folder, or no picture in it that can be read by its suffix.
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

  a/b.jpg becomes a/b.png. Results that would have one name, on a file system
  that knows no capitals and one form of Unicode, too, keep the suffix of the
  image: b.jpg.png, b.png.png; and a number where that is not enough: B.jpg.png,
  b.jpg~2.png.

  Args:
    paths: the images.
    folder: folder in which they lie.
    note: is called with a line about the results that are not called NAME.png.
  """
  names = [path.relative_to(folder) for path in paths]
  whole = [name.with_name(name.name + '.png') for name in names]
  # What cannot be read takes no name from what can.
  short = [
    longer if name.suffix.lower() in _FOREIGN else name.with_suffix('.png')
    for name, longer in zip(names, whole, strict=True)
  ]
  outputs, before = short, None
  # A whole name can be the short one of another image.
  while outputs != before:
    count, before = collections.Counter(map(_fold, outputs)), outputs
    outputs = [
      longer if count[_fold(output)] > 1 else output
      for output, longer in zip(outputs, whole, strict=True)
    ]
  # Where a folder will be, no file can.
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
    note(f'images of one name keep theirs apart: {name_some(changed)}')
  return outputs


def _fold(path):
  return unicodedata.normalize('NFC', str(path)).casefold()


def check_read(bad: Sequence[str], *, total: int, unit: str) -> None:
  """Reports at the end what was left out of a folder.

  Args:
    bad: a line for each image, or pair, that could not be read.
    total: number of all of them.
    unit: what they are, in the plural.

  Raises:
    UserError: there is one.
  """
  if bad:
    raise errors.UserError(
      f'{unit} that could not be read: {len(bad)} of {total}: {name_some(bad)};'
      f' expected whole files ending in {" ".join(SUFFIXES)}'
    )
