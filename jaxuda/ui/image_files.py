"""Folders of pictures: their files, and the names of results."""

from collections.abc import Sequence
import os
import pathlib

from jaxuda import errors

# What a camera, a phone or a data set brings; anything else in the folder (a
# README, a list of files) is not an image that failed.
SUFFIXES = (
  *('.png', '.jpg', '.jpeg', '.jpe', '.jp2', '.bmp', '.dib', '.gif', '.webp'),
  *('.avif', '.tif', '.tiff', '.ppm', '.pgm', '.pbm', '.pnm', '.tga', '.exr'),
  '.hdr',
)


def list_images(folder: str | os.PathLike) -> list[pathlib.Path]:
  """Returns the pictures in a folder, sorted, those in subfolders included.

  Raises:
    UserError: no folder, or no picture in it.
  """
  folder = pathlib.Path(folder)
  if not folder.is_dir():
    raise errors.UserError(f'no folder {folder}; expected one with images')
  found = sorted(
    path
    for path in folder.rglob('*')
    if path.is_file() and path.suffix.lower() in SUFFIXES
  )
  if not found:
    raise errors.UserError(
      f'no image in {folder}; expected files ending in {" ".join(SUFFIXES)}'
    )
  return found


def name_outputs(
  paths: Sequence[pathlib.Path], folder: str | os.PathLike
) -> list[pathlib.Path]:
  """Returns the name of each result, relative to the output folder.

  a/b.jpg becomes a/b.png; where two images differ only in their suffix it stays
  in the name: b.jpg.png, b.png.png.
  """
  names = [path.relative_to(folder) for path in paths]
  stems = [name.with_suffix('.png') for name in names]
  return [
    stem if stems.count(stem) == 1 else name.with_name(name.name + '.png')
    for name, stem in zip(names, stems, strict=True)
  ]
