"""Examples of a user's files: read, checked, and encoded as they are kept.

* 'raw', the default: images and 16-bit depth as the files are, not encoded
  anew; labels as 8-bit ids, which are never larger.
* 'png': images, and labels and depth of the splits that are trained on, at the
  training size, by the rules of the pair (Pillow's BICUBIC or BILINEAR, NEAREST
  for labels, OpenCV's INTER_NEAREST for depth). Nothing else is lost. Labels
  and depth are plain arrays, which the record file compresses (zstd): about as
  small as PNG and several times faster to read.
* 'jpeg': the same with images as JPEG of quality 95, which loses a little.

Splits that are scored keep labels and depth at their own size in every case.
"""

import dataclasses
from typing import Any

import cv2
import numpy as np
from PIL import Image

from jaxuda import errors
from jaxuda.data.classes import labels
from jaxuda.data.files import decoding
from jaxuda.data.files import layout as layout_lib
from jaxuda.data.files import tree as tree_lib
from jaxuda.data.pixels import aspect
from jaxuda.data.pixels import transforms

FORMS = ('raw', 'png', 'jpeg')
_RESAMPLING = {
  'bicubic': Image.Resampling.BICUBIC,
  'bilinear': Image.Resampling.BILINEAR,
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Store:
  """How examples are kept, see the top of this file.

  Attributes:
    form: one of `FORMS`.
    size: (height, width), the training size; unused by 'raw'.
    image_resize: 'bicubic' or 'bilinear'.
    depth_resize: 'reference' or 'consistent'; 'linear' keeps depth as it is.
    fit: 'stretch' or 'pad'.
  """

  form: str = 'raw'
  size: tuple[int, int] = (0, 0)
  image_resize: str = 'bicubic'
  depth_resize: str = 'reference'
  fit: str = 'stretch'

  def __post_init__(self):
    for name, choices in (
      ('form', FORMS),
      ('image_resize', transforms.IMAGE_RESIZES),
      ('depth_resize', transforms.DEPTH_RESIZES),
      ('fit', aspect.FITS),
    ):
      if getattr(self, name) not in choices:
        raise errors.UserError(
          f'store: {name}={getattr(self, name)!r}; expected one of'
          f' {", ".join(choices)}'
        )
    if self.form != 'raw' and min(self.size) < 1:
      raise errors.UserError(
        f'store: {self.form} needs a size; expected (height, width), got'
        f' {self.size}'
      )

  @classmethod
  def of(cls, domain: Any) -> 'Store':
    """Returns how a `records.Domain` wants its dataset to be kept."""
    if domain.store == 'raw':
      return cls()
    return cls(
      form=domain.store,
      size=domain.size,
      image_resize=domain.image_resize,
      depth_resize=domain.depth_resize,
      fit=domain.fit,
    )

  def describe(self) -> str:
    """Returns a name for folders, e.g. 'png_512x1024_bilinear'."""
    if self.form == 'raw':
      return 'raw'
    name = f'{self.form}_{self.size[0]}x{self.size[1]}_{self.image_resize}'
    if self.depth_resize != 'reference':
      name += f'_{self.depth_resize}'
    return name + ('_pad' if self.fit == 'pad' else '')


def read_label(
  tree: tree_lib.Tree,
  spec: layout_lib.Spec,
  layout: layout_lib.Layout,
  item: layout_lib.Item,
) -> np.ndarray:
  """Reads a label as raw ids: uint8 [H, W].

  Raises:
    UserError: broken, of another kind, or with ids that are not in the table.
  """
  read = layout.spellings['label'].read or spec.read_label
  where = tree.where(item.label)
  if read is not None:
    ids = read(tree, item)
  else:
    ids = decoding.read_ids(tree.read(item.label), where)
  labels.check_ids(ids, dataset=spec.ids, file=where, own=spec.own)
  return ids


def read_depth(
  tree: tree_lib.Tree,
  spec: layout_lib.Spec,
  layout: layout_lib.Layout,
  item: layout_lib.Item,
) -> np.ndarray:
  """Reads raw depth: uint16 [H, W].

  Raises:
    UserError: broken, or of another kind.
  """
  read = layout.spellings['depth'].read or spec.read_depth
  if read is not None:
    return read(tree, item)
  return decoding.read_depth(tree.read(item.depth), tree.where(item.depth))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Maker:
  """Makes examples of a dataset, checking everything.

  Attributes:
    tree, spec, layout: where the files are.
    store: how examples are kept.
  """

  tree: tree_lib.Tree
  spec: layout_lib.Spec
  layout: layout_lib.Layout
  store: Store

  @property
  def has_depth(self) -> bool:
    """Whether any split has depth."""
    return 'depth' in self.layout.spellings

  def make(self, split: str, item: layout_lib.Item) -> dict[str, Any]:
    """Returns an example, encoded as the store says.

    Raises:
      UserError: a file is not as it should be; names it.
    """
    shrink = self.store.form != 'raw'
    data, size = self._make_image(item)
    nothing = self._keep(np.zeros((0, 0), np.uint8)) if shrink else b''
    example = {'name': item.name, 'image': data, 'label': nothing}
    trained = shrink and split not in self.spec.scored
    if item.label and split not in self.layout.unlabelled:
      example['label'] = self._make_label(item, size, trained)
    if self.has_depth:
      example['depth'] = nothing.astype(np.uint16) if shrink else b''
      if item.depth:
        example['depth'] = self._make_depth(item, size, trained)
      if self.spec.factor:
        example['depth_factor'] = (
          self.spec.factor(self.tree, item) if item.depth else 0.0
        )
    return example

  def _make_image(self, item):
    where = self.tree.where(item.image)
    data = self.tree.read(item.image)
    if self.store.form == 'raw':
      return data, decoding.check_image(data, where)
    image = decoding.read_image(data, where)
    size = image.size[::-1]
    target = inner = self.store.size
    if self.store.fit == 'pad':
      inner = aspect.fit_size(size, target)
    method = _RESAMPLING[self.store.image_resize]
    image = image.resize(inner[::-1], method)
    if inner != target:
      padded = Image.new('RGB', target[::-1])
      padded.paste(image)
      image = padded
    if self.store.form == 'jpeg':
      return decoding.encode_jpeg(image), size
    return decoding.encode_png(np.asarray(image)), size

  def _keep(self, values):
    """[H, W] as a plain array [H, W, 1], or as PNG."""
    if self.store.form == 'raw':
      return decoding.encode_png(values)
    return values[..., None]

  def _make_label(self, item, size, shrink):
    ids = read_label(self.tree, self.spec, self.layout, item)
    self._check_size(item, item.label, ids.shape, size)
    if self.store.form == 'raw':
      own = self.layout.spellings['label'].read or self.spec.read_label
      data = b'' if own else self.tree.read(item.label)
      return data if decoding.is_grey_png(data) else self._keep(ids)
    if not shrink:
      return self._keep(ids)
    target = inner = self.store.size
    if self.store.fit == 'pad':
      inner = aspect.fit_size(ids.shape, target)
    small = np.full(target, labels.IGNORE, np.uint8)
    small[: inner[0], : inner[1]] = nearest(ids, inner)
    return self._keep(small)

  def _make_depth(self, item, size, shrink):
    depth = read_depth(self.tree, self.spec, self.layout, item)
    # Of a network, whose input may have been smaller.
    if self.spec.depth['depth_code'] != 'inverse':
      self._check_size(item, item.depth, depth.shape, size)
    rule = self.store.depth_resize
    if shrink and self.store.fit == 'stretch' and rule != 'linear':
      target = self.store.size
      if rule == 'consistent':
        depth = nearest(depth, target)
      else:
        depth = cv2.resize(depth, target[::-1], interpolation=cv2.INTER_NEAREST)
      return self._keep(depth)
    own = self.layout.spellings['depth'].read or self.spec.read_depth
    if self.store.form == 'raw' and not own:
      data = self.tree.read(item.depth)
      if decoding.is_depth_png(data):
        return data
    return self._keep(depth)

  def _check_size(self, item, path, shape, size):
    if self.spec.same_size and tuple(shape) != tuple(size):
      raise errors.UserError(
        f'{self.tree.where(path)} is {shape[1]}x{shape[0]} and its image'
        f' {self.tree.where(item.image)} {size[1]}x{size[0]}; expected one size'
      )


def nearest(values: np.ndarray, size: tuple[int, int]) -> np.ndarray:
  """Resizes [H, W] by the pixels under the centres: Pillow's NEAREST."""
  rows = (2 * np.arange(size[0]) + 1) * values.shape[0] // (2 * size[0])
  columns = (2 * np.arange(size[1]) + 1) * values.shape[1] // (2 * size[1])
  return values[rows[:, None], columns]
