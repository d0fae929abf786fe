"""Folders of label maps that replace a dataset's own labels.

FOLDER/NAME.png is an 8-bit grey PNG for the image NAME: class ids 0..C-1 of a
class set, 255 = ignored. FOLDER/summary.json has 'classes', the class set as
named by `labels.identify`, and 'images', their number. `jaxuda.depdis.pseudo`
writes such a folder, and `config.data.target.label_dir` reads it.
"""

import json
import os
import pathlib

import tensorflow as tf

from jaxuda import errors
from jaxuda.data.classes import labels

SUMMARY = 'summary.json'


def check(
  folder: str | os.PathLike[str], *, classes: str | None, count: int
) -> None:
  """Checks that a folder has the labels of a dataset.

  Args:
    folder: the folder, see the top of this file.
    classes: name or file of the class set that the labels must have.
    count: number of images that need a label.

  Raises:
    UserError: the folder does not exist or is unfinished, or its labels have
      other classes or are too few.
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
  expected = labels.identify(classes) if classes else None
  if found != expected:
    raise errors.UserError(
      f'{where}={folder} has labels of {found}; expected {expected}'
    )
  if images < count:
    raise errors.UserError(
      f'{where}={folder} has labels of {images} images; expected {count}'
    )


def read(folder: str | os.PathLike[str], name: tf.Tensor) -> tf.Tensor:
  """Reads the label map of an image: string scalar -> int32 [H, W].

  Raises:
    UserError: the file is missing or not a PNG; raised only in eager mode,
      where its name is known.
  """
  path = tf.strings.join([str(folder), '/', name, '.png'])
  try:
    label = tf.io.decode_png(tf.io.read_file(path), channels=1)[..., 0]
  except tf.errors.OpError as e:
    file = path.numpy().decode()
    reason = 'no such file' if not os.path.exists(file) else 'not a PNG'
    raise errors.UserError(
      f'{file} cannot be read ({reason}); expected the label of an image'
    ) from e
  return tf.cast(label, tf.int32)
