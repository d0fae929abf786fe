"""The two sides of the data config, read and checked."""

from collections.abc import Sequence
import dataclasses
import math
import os
from typing import Any

from jaxuda import errors
from jaxuda.data.pixels import aspect
from jaxuda.data.pixels import depth_codes
from jaxuda.data.pixels import transforms
from jaxuda.data.store import examples

# Field of a side -> its values; the first is the default. A depth_resize of
# 'default' stands for config.data.resize.
_CHOICES = {
  'image_resize': transforms.IMAGE_RESIZES,
  'depth_resize': ('default', *transforms.DEPTH_RESIZES),
  'fit': aspect.FITS,
  'store': examples.FORMS,
  'eval_labels': ('native', 'input'),
}
_RARE = ('rare_temperature', 'rare_pixels', 'rare_crop', 'crop_most')
# Field of config.data, shared by both sides -> its values.
_SHARED = {
  'resize': transforms.DEPTH_RESIZES[:2],
  'zero_depth': depth_codes.POLICIES,
  'far_depth': depth_codes.POLICIES,
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Domain:
  """One side of the data config.

  Attributes:
    side: 'source' or 'target'.
    dataset, split, data_dir, manual_dir: where the records are.
    size: (height, width) of the network's input in pixels.
    crop: (height, width) of a crop in pixels; (0, 0) for none.
    flip: whether half of the samples are mirrored.
    fraction: share of the split's images that is used, in (0, 1].
    image_resize: 'bicubic', 'bilinear' or 'linear', see `transforms`.
    depth_resize: 'reference', 'consistent' or 'linear'.
    fit: 'stretch', or 'pad' to keep the aspect ratio.
    store: 'raw', or 'png' or 'jpeg' at `size`, see `store.examples`.
    eval_labels: 'native', or 'input' to score at `size`.
    zero_depth, far_depth: 'keep' or 'mask', see `depth_codes.measure`.
    depth_dir: folder with depth for the training split that replaces the
      dataset's own, see `depth_folder` and `prepared_depth`; '' for its own.
    label_dir: folder with labels for the training split that replace the
      dataset's own, see `label_files`; '' for its own.
    first: number of the split's images to use, the first ones by name; 0 for
      all. `fraction` is relative to these.
    rare_temperature: temperature of rare class sampling, see `rare.Sampler`; at
      0 all images are drawn equally often, and labels play no part.
    rare_pixels: number of pixels of a class that an image drawn for it must
      exceed, at the size at which the image is stored.
    rare_crop: share of `rare_pixels` that a crop should have.
    crop_most: share of a crop's labelled pixels that its largest class should
      stay below, 0.75 in DAFormer; 1 accepts every crop. Applies only where
      labels are read.
    scale_range: least and most factor of a training image's size, drawn
      uniformly; the crop, or an image of `size`, is cut from the scaled image,
      and depth is divided by the factor, see `depth_codes.approach`.
  """

  side: str
  dataset: str
  split: str
  data_dir: str | None
  manual_dir: str | None
  size: tuple[int, int]
  crop: tuple[int, int]
  flip: bool
  fraction: float
  image_resize: str
  depth_resize: str
  fit: str
  store: str
  eval_labels: str
  zero_depth: str
  far_depth: str
  depth_dir: str = ''
  label_dir: str = ''
  first: int = 0
  rare_temperature: float = 0.0
  rare_pixels: int = 3000
  rare_crop: float = 0.5
  crop_most: float = 1.0
  scale_range: tuple[float, float] = (1.0, 1.0)


def read_domain(
  data_config: Any, side: str, *, split: str | None = None
) -> Domain:
  """Reads one side of a data config.

  Args:
    data_config: `config.data`.
    side: 'source' or 'target'.
    split: split to score, in place of the training split.

  Raises:
    UserError: a value is out of range; the message names the field.
  """
  _require(
    side in ('source', 'target'), 'domain', side, 'one of source, target'
  )
  where, own = f'config.data.{side}', data_config[side]
  size = _read_pair(f'{where}.size', own.size, least=1)
  crop = _read_pair(f'{where}.crop', own.crop, least=0)
  inside = all(1 <= x <= y for x, y in zip(crop, size, strict=True))
  _require(
    inside or crop == (0, 0),
    f'{where}.crop',
    crop,
    f'(height, width) within size={size}, or (0, 0) for no crop',
  )
  first = own.get('first', 0)
  numeric = isinstance(first, int) and first >= 0
  for right, name, expected in (
    (0 < own.fraction <= 1, 'fraction', 'more than 0, at most 1'),
    (isinstance(own.flip, bool), 'flip', 'True or False'),
    (numeric, 'first', 'a number of images, or 0 for all'),
  ):
    _require(right, f'{where}.{name}', own.get(name), expected)
  rare = _read_rare(where, own)
  chosen = {k: own.get(k, v[0]) for k, v in _CHOICES.items()}
  shared = {k: data_config[k] for k in _SHARED}
  for prefix, values, choices in (
    (where, chosen, _CHOICES),
    ('config.data', shared, _SHARED),
  ):
    for name, value in values.items():
      expected = f'one of {", ".join(choices[name])}'
      _require(value in choices[name], f'{prefix}.{name}', value, expected)
  resize = shared.pop('resize')
  if chosen['depth_resize'] == 'default':
    chosen['depth_resize'] = resize
  training = {}
  if not split:
    # Scores always use the dataset's own labels and whole splits.
    training = dict(
      first=first,
      depth_dir=own.get('depth_dir') or '',
      label_dir=os.path.expanduser(own.get('label_dir') or ''),
      scale_range=_read_scales(where, own, size, crop),
      **rare,
    )
  return Domain(
    side=side,
    dataset=own.dataset,
    split=split or own.split,
    data_dir=data_config.data_dir,
    # Shells do not expand it inside a flag.
    manual_dir=os.path.expanduser(own.manual_dir) if own.manual_dir else None,
    size=size,
    crop=crop,
    flip=own.flip,
    fraction=float(own.fraction),
    **chosen,
    **shared,
    **training,
  )


def _read_rare(where, own):
  """Reads the fields of rare class sampling and class-dependent crops."""
  rare = {k: own.get(k, getattr(Domain, k)) for k in _RARE}
  for name, value in rare.items():
    right = isinstance(value, int | float) and value >= 0
    _require(right, f'{where}.{name}', value, 'a number of at least 0')
  return rare


def _read_scales(where, own, size, crop):
  """Reads the range of scales, the least of which must hold the crop."""
  pair = own.get('scale_range', Domain.scale_range)
  value = tuple(pair) if isinstance(pair, Sequence) else ()
  sides = list(zip(size, crop if all(crop) else size, strict=True))
  right = (
    len(value) == 2
    and all(isinstance(x, int | float) for x in value)
    and 0 < value[0] <= value[1] < math.inf
    and all(int(value[0] * x + 0.5) >= y for x, y in sides)
  )
  least = max(y / x for x, y in sides)
  what = f'crop={crop}' if all(crop) else f'size={size} without a crop'
  _require(
    right,
    f'{where}.scale_range',
    pair,
    f'(least, most), numbers of at least {least:.4g}, as {what} is cut from the'
    ' scaled image',
  )
  return float(value[0]), float(value[1])


def _require(right: bool, name: str, value: Any, expected: str) -> None:
  if not right:
    raise errors.UserError(f'{name}={value!r}; expected {expected}')


def _read_pair(name: str, value: Any, *, least: int) -> tuple[int, int]:
  pair = tuple(value) if isinstance(value, Sequence) else ()
  whole = len(pair) == 2 and all(isinstance(x, int) for x in pair)
  _require(
    whole and min(pair) >= least,
    name,
    value,
    f'(height, width), whole numbers of at least {least}',
  )
  return pair
