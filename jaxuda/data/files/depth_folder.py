"""Depth that a dataset lacks, read from a separate folder.

`config.data.target.depth_dir` (or source) names a folder written by the depth
tools or by the user:

    DIR/depth.json      meaning of the numbers: 'depth_code', 'depth_unit' and
                        'depth_missing' as in `depth_codes`, and 'depth_factor'
                        for the code 'disparity'
    DIR/**/NAME.png     16-bit grey PNG, where NAME is the example's name

A file may be in subfolders, and its name may be that of the image in the layout
of Cityscapes (train/aachen/aachen_000000_000019_leftImg8bit.png), of IDD-Lite
(train/472/frame0992_image.png) or of Virtual KITTI 2
(Scene01/clone/frames/rgb/Camera_0/rgb_00000.png). If several files have the
same name, the one below a folder named after the split is taken; a file below a
folder named after another split is never taken.
"""

import collections
from collections.abc import Sequence
import difflib
import json
import os
import pathlib
import re
import unicodedata

import numpy as np
import tensorflow as tf

from jaxuda import errors
from jaxuda.data.files import decoding
from jaxuda.data.files import specs
from jaxuda.data.pixels import aspect
from jaxuda.data.pixels import depth_codes
from jaxuda.ui import files

FILE = 'depth.json'
_FORM = (
  '{"depth_code": "metres", "depth_unit": 0.01} for centimetres, or'
  ' {"depth_code": "inverse"} for the disparity of a monocular network'
)
_ENDINGS = ('_leftImg8bit', '_image', '_disparity', '_depth')
# The left images of Virtual KITTI 2, whose names leave out what is the same in
# all of them.
_VIRTUAL = re.compile(r'(.+)/frames/rgb/camera_0/rgb_(\d+)', re.IGNORECASE)
_FIELDS = ('depth_code', 'depth_unit', 'depth_missing', 'depth_factor')


class DepthFolder:
  """Depth maps, found by the names of the examples.

  Attributes:
    code: how the numbers encode depth.
    factor: baseline times focal length, in metres times pixels, for the code
      'disparity'; else None.
    error: the first error found in a file that was read, or None. TensorFlow
      does not propagate exceptions raised in its pipelines.
  """

  def __init__(self, folder: str | os.PathLike[str], *, split: str):
    """Reads depth.json and lists the files.

    Args:
      folder: the folder, see the top of this file.
      split: name of the dataset's split.

    Raises:
      UserError: the folder does not exist or has no pictures, or depth.json is
        missing or wrong.
    """
    self._root = pathlib.Path(os.path.expanduser(folder))
    self._split = split.split('[')[0]
    self.error: errors.UserError | None = None
    if not self._root.is_dir():
      raise errors.UserError(
        f'depth_dir: no folder {self._root}; expected one with {FILE} and a'
        ' 16-bit PNG for each example'
      )
    tree = _read_description(self._root / FILE)
    self.code = depth_codes.DepthCode.of(tree)
    self.factor: float | None = None
    if self.code.code == 'disparity':
      self.factor = float(tree['depth_factor'])
    # Name -> (file, whether without an ending, folders above the name).
    self._files = collections.defaultdict(list)
    every = (x for _, inside in files.walk(self._root) for x in inside)
    for path in sorted(x for x in every if x.suffix.lower() == '.png'):
      parts = path.relative_to(self._root).with_suffix('').parts
      for i in range(len(parts)):
        whole = '/'.join(parts[i:])
        short = [whole.removesuffix(x) for x in _ENDINGS]
        if match := _VIRTUAL.fullmatch(whole):
          short.append('/'.join(match.groups()))
        for name in {whole, *short}:
          entry = (path, name == whole, parts[:i])
          self._files[_one_form(name)].append(entry)
    if not self._files:
      raise errors.UserError(
        f'depth_dir: {self._root} has no PNG files; expected a 16-bit one for'
        ' each example'
      )

  def __contains__(self, name: str) -> bool:
    return bool(self._choose(name))

  def _choose(self, name):
    """Returns the files that may be meant by the name of an example."""
    found = self._files.get(_one_form(name), [])
    places = [{specs.name_split(x) for x in above} for *_, above in found]
    ours = [x for x, at in zip(found, places, strict=True) if self._split in at]
    free = [
      x
      for x, at in zip(found, places, strict=True)
      if not at & set(specs.SPLITS.values())
    ]
    chosen = ours or free
    exact = [x for x in chosen if x[1]]
    return [path for path, *_ in exact or chosen]

  def find(self, name: str) -> pathlib.Path:
    """Returns the file of an example.

    Raises:
      UserError: there is no such file, or there are several.
    """
    found = self._choose(name)
    if not found:
      other = self._files.get(_one_form(name))
      note = f' ({other[0][0]} is in another split)' if other else ''
      raise errors.UserError(
        f'depth_dir: {self._root} has no depth of {name!r}{note}; expected'
        f' {self._root / name}.png'
      )
    if len(found) > 1:
      raise errors.UserError(
        f'depth_dir: {found[0]} and {found[1]} are both named like the example'
        f' {name!r}; expected one of them'
      )
    return found[0]

  def read(self, name: str, *, size: Sequence[int] = ()) -> np.ndarray:
    """Reads the raw depth of an example: uint16 [H, W].

    Args:
      name: name of the example.
      size: (height, width) of its image, if known. The network that made the
        map may have used any size, but not a rotated image.

    Raises:
      UserError: the file is missing or not raw depth, or the map is portrait
        where the image is landscape or vice versa; also kept in `error`.
    """
    try:
      path = self.find(name)
      raw = read_map(path)
      if len(size):
        check_upright(path, raw.shape, size)
      return raw
    except errors.UserError as e:
      self.error = self.error or e
      raise

  def find_doubts(self, names: Sequence[str]) -> list[str]:
    """Returns what is odd about the depth of some examples, see `depth_codes`.

    Args:
      names: names of the examples.

    Raises:
      UserError: see `read`.
    """
    every = np.arange(depth_codes.FAR_RAW + 1).astype(np.uint16)
    counts, flat = np.zeros(len(every), np.int64), 0
    for name in names:
      raw = self.read(name)
      flat += int(raw.min() == raw.max())
      counts += np.bincount(raw.ravel(), minlength=len(counts))
    factor = self.factor or 1.0
    _, valid = depth_codes.measure(every, self.code, factor=factor)
    found = [
      text
      for _, text in depth_codes.find_doubts(counts, self.code, factor=factor)
    ]
    if len(names) and not counts[valid.numpy()].any():
      found.append('has nothing but values that stand for no depth')
    elif len(names) and flat == len(names):
      found.append(
        f'has one value in all pixels of each of the {flat} maps that were'
        f' read (that of {names[0]} is {self.read(names[0]).flat[0]})'
      )
    return [f'depth of {self._root} {text}' for text in found]

  def join(
    self, name: tf.Tensor, *, size: tf.Tensor | tuple[()] = ()
  ) -> dict[str, tf.Tensor]:
    """Reads the depth of an example inside a pipeline.

    Args:
      name: string scalar.
      size: int32 [2], (height, width) of its image, or (), see `read`.

    Returns:
      'depth' uint16 [H, W], raw, and 'depth_factor' if the code needs it.
    """
    depth = tf.numpy_function(
      lambda x, size: self.read(x.decode(), size=size),
      [name, tf.convert_to_tensor(size, tf.int32)],
      tf.uint16,
      stateful=False,
    )
    factor = {} if self.factor is None else {'depth_factor': self.factor}
    return {'depth': tf.ensure_shape(depth, [None, None]), **factor}


def read_map(path: pathlib.Path) -> np.ndarray:
  """Reads a depth map of such a folder: uint16 [H, W].

  Raises:
    UserError: the file cannot be read, or is not raw depth.
  """
  where = f'depth_dir: {path}'
  try:
    data = path.read_bytes()
  except OSError as e:
    raise errors.UserError(
      f'{where} cannot be read ({e.strerror}); expected a 16-bit PNG'
    ) from e
  return decoding.read_depth(data, where)


def check_upright(
  path: pathlib.Path, shape: Sequence[int], size: Sequence[int]
) -> None:
  """Checks that a map is not rotated relative to its image.

  Args:
    path: file of the map, for the message.
    shape: (height, width) of the map.
    size: (height, width) of its image.

  Raises:
    UserError: one is portrait and the other landscape.
  """
  if aspect.is_turned(shape, size):
    raise errors.UserError(
      f'depth_dir: {path} is {shape[1]}x{shape[0]} and its image'
      f' {size[1]}x{size[0]}; expected a map that is not rotated'
    )


def read_code(folder: pathlib.Path) -> depth_codes.DepthCode:
  """Returns how the maps of a folder encode depth; lists no files.

  Raises:
    UserError: depth.json is missing or wrong.
  """
  return depth_codes.DepthCode.of(_read_description(folder / FILE))


def _read_description(path):
  try:
    # Editors on Windows put a byte order mark in front.
    tree = json.loads(path.read_text(encoding='utf-8-sig'))
    if not isinstance(tree, dict):
      raise ValueError('not an object')
  except (OSError, ValueError, RecursionError) as e:
    raise errors.UserError(
      f'depth_dir: {path} is missing or not JSON ({type(e).__name__}); expected'
      f' {_FORM}'
    ) from None

  def require(field, right, expected):
    if not right:
      raise errors.UserError(
        f'depth_dir: {path} has {field}={tree.get(field)!r}; expected'
        f' {expected}'
      )

  # A misspelled field would silently mean centimetres. Others may be there,
  # such as those that say where the maps come from.
  require('depth_code', 'depth_code' in tree, _FORM)
  code = tree['depth_code']
  known = ', '.join(depth_codes.CODES)
  require('depth_code', code in depth_codes.CODES, f'one of {known}')
  for field in set(tree) - set(_FIELDS):
    for near, cutoff in ((field, 0.88), (f'depth_{field}', 0.94)):
      meant = difflib.get_close_matches(near.lower(), _FIELDS, 1, cutoff)
      require(field, not meant, f'the field {"".join(meant)} instead')
    bare = code == 'metres' and 'depth_unit' not in tree
    scaled = bare and 'scale' in field.lower()
    require(
      field, not scaled, 'depth_unit, the metres of one raw unit, instead'
    )
  require(
    'depth_unit', depth_codes.is_positive(tree.get('depth_unit', 1)), 'metres'
  )
  missing = tree.get('depth_missing', [])
  listed = isinstance(missing, list) and all(
    type(x) is int and 0 <= x <= depth_codes.FAR_RAW for x in missing
  )
  require('depth_missing', listed, 'a list of raw values, 0..65535')
  if code == 'disparity':
    require(
      'depth_factor',
      depth_codes.is_positive(tree.get('depth_factor')),
      'the baseline times the focal length, in metres times pixels',
    )
  for field, of in (('depth_unit', 'metres'), ('depth_factor', 'disparity')):
    # It would be ignored, and the numbers would be read as something else.
    alone = code == of or field not in tree
    require(field, alone, f'no {field} with the code {code}')
  return tree


def _one_form(name):
  """Returns a name in the form in which names are compared, see `Tree`."""
  return unicodedata.normalize('NFC', files.printable(name))
