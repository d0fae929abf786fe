"""Reads examples from a user's files, checks them and encodes them for storage.

There are three forms of storage:

* 'raw', the default: images (upright PNG and JPEG files) and 16-bit depth as in
  the files, without re-encoding; labels as 8-bit ids, which are never larger.
* 'png': images, and labels and depth of training splits, at the training size,
  resized by the usual rules (`image_resize` for images, Pillow's NEAREST for
  labels, OpenCV's INTER_NEAREST for depth). Nothing else is lost. Labels and
  depth are plain arrays, which the record file compresses (zstd): about as
  small as PNG and several times faster to read.
* 'jpeg': the same, with images as JPEG of quality 95, which loses a little.

Splits that are meant to be scored (`Spec.scored`) keep labels and depth at
their own size. Where images are resized, their original size is stored, too.
"""

import dataclasses
from typing import Any

import numpy as np

from jaxuda import errors
from jaxuda.data.classes import labels
from jaxuda.data.files import decoding
from jaxuda.data.files import layout as layout_lib
from jaxuda.data.files import specs
from jaxuda.data.pixels import aspect
from jaxuda.data.pixels import resizing
from jaxuda.data.pixels import transforms

FORMS = ('raw', 'png', 'jpeg')
# Regular expression for all that `Store.describe` returns.
ANY_FORM = r'(?:raw|(?:png|jpeg)_\d+x\d+_[a-z_]+)'


@dataclasses.dataclass(frozen=True, kw_only=True)
class Store:
  """Form in which examples are stored, see the top of this file.

  Attributes:
    form: one of `FORMS`.
    size: (height, width) for training, in pixels; 'raw' has none.
    image_resize: 'bicubic', 'bilinear' or 'linear'.
    depth_resize: 'reference' or 'consistent'; 'linear' stores depth as it is.
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
    """Returns the form requested by a `records.domain.Domain`."""
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
    """Returns a name for folders, such as 'png_512x1024_bilinear'."""
    if self.form == 'raw':
      return 'raw'
    name = f'{self.form}_{self.size[0]}x{self.size[1]}_{self.image_resize}'
    if self.depth_resize != 'reference':
      name += f'_{self.depth_resize}'
    return name + ('_pad' if self.fit == 'pad' else '')

  def describe_depth(self) -> str:
    """Returns a name for the form of depth, such as '512x1024_reference'."""
    if not self._shrinks_depth:
      return 'whole'
    return f'{self.size[0]}x{self.size[1]}_{self.depth_resize}'

  def shrink_depth(self, depth: np.ndarray) -> np.ndarray:
    """Resizes raw depth, uint16 [H, W], to the size stored for training."""
    if not self._shrinks_depth:
      return depth
    return resizing.resize_depth(depth, self.size, method=self.depth_resize)

  @property
  def _shrinks_depth(self):
    # Depth that training interpolates or pads keeps its own size.
    rule = self.depth_resize
    return self.form != 'raw' and self.fit == 'stretch' and rule != 'linear'


@dataclasses.dataclass(frozen=True, kw_only=True)
class Maker:
  """Makes the examples of a dataset, checking everything.

  Attributes:
    layout: files of the dataset and how to read them.
    store: form in which examples are stored.
  """

  layout: layout_lib.Layout
  store: Store

  def make(self, split: str, item: specs.Item) -> dict[str, Any]:
    """Returns an example, encoded for the store.

    Args:
      split: name of the split.
      item: files of the example.

    Returns:
      'name', 'image', 'label'; 'depth' if any split has it, and 'depth_factor'
      if depth requires one; unless 'raw', 'image_size', the (height, width) of
      the image's file. A missing label or depth is empty.

    Raises:
      UserError: a file is broken or invalid; the message names it.
    """
    layout, spec = self.layout, self.layout.spec
    raw = self.store.form == 'raw'
    small = not raw and split not in spec.scored
    image, size = self._make_image(item)
    nothing = b'' if raw else np.zeros((0, 0, 1), np.uint8)
    example = {'name': item.name, 'image': image, 'label': nothing}
    if not raw:
      example['image_size'] = np.array(size, np.int32)
    if item.label and split not in layout.unlabelled:
      example['label'] = self._make_label(item, size, small)
    if 'depth' in layout.spellings:
      example['depth'] = nothing if raw else nothing.astype(np.uint16)
      if item.depth:
        example['depth'] = self._make_depth(item, size, small)
      if spec.factor:
        factor = spec.factor(layout.tree, item) if item.depth else 0.0
        example['depth_factor'] = factor
    return example

  def _make_image(self, item):
    """Returns the image in stored form, and its original (height, width)."""
    where = self.layout.tree.where(item.image)
    data = self.layout.tree.read(item.image)
    store = self.store
    if store.form == 'raw':
      return decoding.keep_image(data, where)
    image = decoding.read_image(data, where)
    small = resizing.frame_image(
      image, store.size, method=store.image_resize, fit=store.fit
    )
    encode = {'png': decoding.encode_png, 'jpeg': decoding.encode_jpeg}
    return encode[store.form](small), image.shape[:2]

  def _make_label(self, item, size, small):
    ids, store = self.layout.read_label(item), self.store
    self._check_size(item, 'label', ids.shape, size)
    if small:
      inner = aspect.frame(ids.shape, store.size, fit=store.fit)
      ids = resizing.resize_label(ids, inner)
      ids = resizing.pad_to(ids, store.size, fill=labels.IGNORE)
    return self._keep('label', item.label, ids)

  def _make_depth(self, item, size, small):
    depth = self.layout.read_depth(item)
    self._check_size(item, 'depth', depth.shape, size)
    if small:
      depth = self.store.shrink_depth(depth)
    return self._keep('depth', item.depth, depth)

  def _keep(self, kind, path, values):
    """Returns [H, W] as a plain array [H, W, 1], or as a PNG if 'raw'."""
    if self.store.form != 'raw':
      return values[..., None]
    if not self.layout.reader(kind):
      data = self.layout.tree.read(path)
      if decoding.is_grey_png(data, bits=8 * values.itemsize):
        return data
    return decoding.encode_png(values)

  def _check_size(self, item, kind, shape, size):
    problem = self.layout.compare_sizes(item, kind, shape, size)
    if problem and problem.fatal:
      raise errors.UserError(problem.text)
