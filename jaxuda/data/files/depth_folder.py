"""Depth that a dataset does not have, from a folder beside it.

`config.data.target.depth_dir` (or source) names a folder that the depth tools
wrote, or the user:

    DIR/depth.json      what the numbers mean: 'depth_code', 'depth_unit' and
                        'depth_missing' of `depth_codes`, and 'depth_factor' of
                        the code 'disparity'
    DIR/**/NAME.png     16-bit grey PNG, NAME that of the example

A file may lie in subfolders, and its name may end as Cityscapes' files do:
train/aachen/aachen_000000_000019_leftImg8bit.png. Where several files have one
name, that below a folder named like the split is taken.
"""

from collections.abc import Iterable
import json
import os
import pathlib

import tensorflow as tf

from jaxuda import errors
from jaxuda.data.pixels import depth_codes
from jaxuda.data.pixels import transforms

FILE = 'depth.json'
_ENDINGS = ('_leftImg8bit', '_disparity', '_depth')
_SIGNATURE = b'\x89PNG\r\n\x1a\n'


class DepthFolder:
  """Depth maps by the names of examples.

  Attributes:
    code: what the numbers mean.
    factor: metres times pixels, of the code 'disparity'; else None.
    error: what went wrong when a file was read, None so far. TensorFlow does
      not pass on what is raised inside its pipelines.
  """

  def __init__(self, folder: str | os.PathLike[str], *, split: str):
    """Reads depth.json and lists the files.

    Args:
      folder: see the top of this file.
      split: of the dataset.

    Raises:
      UserError: no folder, no pictures in it, or depth.json is missing or
        wrong.
    """
    self._root = pathlib.Path(os.path.expanduser(folder))
    self._split = split.split('[')[0]
    self.error: errors.UserError | None = None
    if not self._root.is_dir():
      raise errors.UserError(
        f'depth_dir: no folder {self._root}; expected one with {FILE} and a'
        ' 16-bit PNG for each example'
      )
    tree = self._read_description()
    self.code = depth_codes.DepthCode.of(tree)
    self.factor = (
      float(tree['depth_factor']) if self._has_factor(tree) else None
    )
    self._files: dict[str, list[pathlib.Path]] = {}
    for path in sorted(self._root.rglob('*.png')):
      for name in self._name(path):
        self._files.setdefault(name, []).append(path)
    if not self._files:
      raise errors.UserError(
        f'depth_dir: {self._root} has no PNG files; expected a 16-bit one for'
        ' each example'
      )

  def _read_description(self):
    path = self._root / FILE
    try:
      tree = json.loads(path.read_text())
      if not isinstance(tree, dict):
        raise ValueError('not an object')
    except (OSError, ValueError) as e:
      raise errors.UserError(
        f'depth_dir: {path} is missing or no JSON ({type(e).__name__});'
        ' expected {"depth_code": "metres", "depth_unit": 0.01} for'
        ' centimetres, or {"depth_code": "inverse"} for the disparity of a'
        ' monocular network'
      ) from None
    return tree

  def _has_factor(self, tree):
    if self.code.code != 'disparity':
      return False
    if not isinstance(tree.get('depth_factor'), int | float):
      raise errors.UserError(
        f'depth_dir: {self._root / FILE} has no depth_factor; expected the'
        ' baseline times the focal length, in metres times pixels'
      )
    return True

  def _name(self, path) -> Iterable[str]:
    inside = path.relative_to(self._root).with_suffix('')
    names = {str(inside), inside.name}
    for ending in _ENDINGS:
      names.add(inside.name.removesuffix(ending))
    return names

  def find(self, name: str) -> pathlib.Path:
    """Returns the file of an example.

    Raises:
      UserError: there is none, or several.
    """
    found = self._files.get(name, [])
    if len(found) > 1:
      found = [
        x for x in found if self._split in x.relative_to(self._root).parts[:-1]
      ] or found
    if not found:
      raise errors.UserError(
        f'depth_dir: {self._root} has no depth of {name!r}; expected'
        f' {self._root / name}.png'
      )
    if len(found) > 1:
      raise errors.UserError(
        f'depth_dir: {found[0]} and {found[1]} are both named as the example'
        f' {name!r}; expected one of them'
      )
    return found[0]

  def join(self, name: tf.Tensor) -> dict[str, tf.Tensor]:
    """Reads the depth of an example inside a pipeline.

    Args:
      name: string scalar.

    Returns:
      'depth' uint16 [H, W], raw, and 'depth_factor' if the code needs it.
    """
    encoded = tf.numpy_function(self.read, [name], tf.string)
    depth = transforms.decode_depth(tf.ensure_shape(encoded, []))
    factor = {} if self.factor is None else {'depth_factor': self.factor}
    return {'depth': depth, **factor}

  def read(self, name: bytes | str) -> bytes:
    """Returns the file of an example, checked to be a 16-bit grey PNG.

    Raises:
      UserError: it is missing or of another kind; also kept in `error`.
    """
    try:
      return self._read(name.decode() if isinstance(name, bytes) else name)
    except errors.UserError as e:
      self.error = self.error or e
      raise

  def _read(self, name):
    path = self.find(name)
    data = path.read_bytes()
    # Width and height, then the bits and the kind of a pixel.
    if data[:8] != _SIGNATURE or len(data) < 33 or data[24:26] != b'\x10\x00':
      bits = f'{data[24]} bits' if data[:8] == _SIGNATURE else 'another kind'
      raise errors.UserError(
        f'depth_dir: {path} is a picture of {bits}; expected a 16-bit grey PNG'
      )
    return data
