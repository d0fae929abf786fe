"""A folder of label maps that stand in for a dataset's own labels.

FOLDER/NAME.png, 8-bit grey, for every image by its name: class ids 0..C-1 of a
class set, 255 = ignored; and FOLDER/summary.json with 'classes', the name of
the class set, and 'images', how many there are. Written by
`jaxuda.depdis.pseudo`, read through `config.data.target.label_dir`.
"""

import json
import os
import pathlib

import tensorflow as tf

from jaxuda import errors

SUMMARY = 'summary.json'


def check(
  folder: str | os.PathLike[str], *, classes: str | None, count: int
) -> None:
  """Checks that a folder has the labels of a dataset.

  Args:
    folder: see the top of this file.
    classes: the class set that they must be of.
    count: images that need one.

  Raises:
    UserError: no such folder, it was not finished, or it is of other classes or
      another dataset.
  """
  where = 'config.data.target.label_dir'
  path = pathlib.Path(folder) / SUMMARY
  try:
    summary = json.loads(path.read_text())
    found, images = summary['classes'], summary['images']
  except (OSError, ValueError, KeyError, TypeError) as e:
    raise errors.UserError(
      f'{where}={folder}: {SUMMARY} cannot be read ({e or type(e).__name__});'
      ' expected a folder that python -m jaxuda.depdis.pseudo finished'
    ) from e
  if found != classes:
    raise errors.UserError(
      f'{where}={folder} has labels of {found}; expected {classes}'
    )
  if images < count:
    raise errors.UserError(
      f'{where}={folder} has labels of {images} images; expected {count}'
    )


def read(folder: str | os.PathLike[str], name: tf.Tensor) -> tf.Tensor:
  """Reads the label of an image: string scalar -> int32 [H, W]."""
  path = tf.strings.join([str(folder), '/', name, '.png'])
  label = tf.io.decode_png(tf.io.read_file(path), channels=1)[..., 0]
  return tf.cast(label, tf.int32)
