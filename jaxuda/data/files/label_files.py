"""Folders of label maps that replace a dataset's own labels.

FOLDER/NAME.png is an 8-bit grey PNG for the image NAME: class ids 0..C-1 of a
class set, 255 = ignored. FOLDER/summary.json has 'classes', the class set as
named by `labels.identify`, and 'images', their number. `jaxuda.depdis.pseudo`
writes such a folder, with origin.json, whose 'size' is that of all labels, and
`config.data.target.label_dir` reads it.

Labels have the network's size. Without origin.json they may have another one
where images are stretched (`fit='stretch'`), to which they are stretched, too;
padded images leave open where in such a label the image is.
"""

from collections.abc import Sequence
import json
import os
import pathlib

import tensorflow as tf

from jaxuda import errors
from jaxuda.data.classes import labels

SUMMARY = 'summary.json'
ORIGIN = 'origin.json'


def check(
  folder: str | os.PathLike[str],
  *,
  classes: str | None,
  count: int,
  size: Sequence[int],
) -> None:
  """Checks that a folder has the labels of a dataset.

  Args:
    folder: the folder, see the top of this file.
    classes: name or file of the class set that the labels must have.
    count: number of images that need a label.
    size: (height, width) of the network's input in pixels.

  Raises:
    UserError: the folder does not exist or is unfinished, or its labels have
      other classes, are too few, or were made at another size.
  """
  where = 'config.data.target.label_dir'
  path = pathlib.Path(folder) / SUMMARY
  try:
    summary = json.loads(path.read_text())
    found, images = summary['classes'], summary['images']
    path, made = path.with_name(ORIGIN), None
    if path.is_file():
      made = tuple(json.loads(path.read_text())['size'])
  except (OSError, ValueError, KeyError, TypeError) as e:
    raise errors.UserError(
      f'{where}={folder}: {path.name} cannot be read ({e or type(e).__name__});'
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
  if made not in (None, tuple(size)):
    raise errors.UserError(
      f'{where}={folder} has labels made at the size {made}; expected'
      f' {tuple(size)}, as config.data.target.size says'
    )


def read(
  folder: str | os.PathLike[str],
  name: tf.Tensor,
  *,
  size: Sequence[int] | None = None,
) -> tf.Tensor:
  """Reads the label map of an image.

  Args:
    folder: the folder, see the top of this file.
    name: string scalar, name of the image.
    size: (height, width) that the label must have; None for any.

  Returns:
    int32 [H, W].

  Raises:
    UserError: the file is missing, not a PNG or of another size; raised only in
      eager mode, where its name is known.
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
  if size is not None:
    try:
      label = tf.ensure_shape(label, size)
    except (tf.errors.OpError, ValueError) as e:
      raise errors.UserError(
        f'{path.numpy().decode()} has the size {tuple(label.shape)}; expected'
        f' {tuple(size)}, as config.data.target.size says: with fit=pad, labels'
        " are padded like the network's input"
      ) from e
  return tf.cast(label, tf.int32)
