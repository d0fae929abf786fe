"""A side of the data config, checked, and random access to its records."""

import collections
from collections.abc import Sequence
import contextlib
import dataclasses
import os
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds

from jaxuda import errors
from jaxuda.data.datasets import registry
from jaxuda.data.files import depth_folder
from jaxuda.data.files import label_files
from jaxuda.data.pixels import aspect
from jaxuda.data.pixels import depth_codes
from jaxuda.data.pixels import sizing
from jaxuda.data.pixels import transforms
from jaxuda.data.records import record_fields
from jaxuda.data.store import encoding
from jaxuda.data.store import record_order
from jaxuda.data.store import shards

# If TensorFlow was used before, it keeps what it has taken.
with contextlib.suppress(RuntimeError):
  tf.config.set_visible_devices([], 'GPU')

# Fields that a config may leave out; the first is the default. A depth_resize
# of 'default' is config.data.resize.
_CHOICES = {
  'depth_resize': ('default', *transforms.DEPTH_RESIZES),
  'fit': aspect.FITS,
  'store': ('raw', 'png', 'jpeg'),
  'eval_labels': ('native', 'input'),
}
# Records that were read last, among which a broken one is looked for.
_RECENT = 1024


@dataclasses.dataclass(frozen=True, kw_only=True)
class Domain:
  """One side of the data config, checked.

  Attributes:
    side: 'source' or 'target'.
    dataset, split, data_dir, manual_dir: what is read.
    size, crop: (height, width); crop (0, 0) is none.
    flip: mirror half of the samples.
    fraction: of the split's images that is used.
    first: how many of the split's images are used, the first in the order of
      their names; 0 for all. The fraction is of these.
    image_resize: 'bicubic' or 'bilinear'.
    depth_resize: 'reference', 'consistent' or 'linear'.
    fit: 'stretch', or 'pad' to keep the aspect.
    store: 'raw', or 'png' or 'jpeg' at `size`, see `making`.
    eval_labels: 'native', or 'input' to score at `size`.
    zero_depth, far_depth: 'keep' or 'mask'.
    depth_dir: depth of the training split instead of the dataset's own, see
      `depth_folder`; '' for its own.
    label_dir: labels of the training split instead of the dataset's own, see
      `label_files`; '' for its own.
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


def read_domain(
  data_config: Any, side: str, *, split: str | None = None
) -> Domain:
  """Reads one side of a data config.

  Args:
    data_config: `config.data`.
    side: 'source' or 'target'.
    split: instead of the config's training split.

  Raises:
    UserError: a value is out of range; names the field.
  """
  if side not in ('source', 'target'):
    raise errors.UserError(
      f'unknown domain {side!r}; expected one of source, target'
    )
  own = data_config[side]
  where = f'config.data.{side}'
  size = _read_pair(f'{where}.size', own.size, least=1)
  crop = _read_pair(f'{where}.crop', own.crop, least=0)
  if crop != (0, 0) and not (
    1 <= crop[0] <= size[0] and 1 <= crop[1] <= size[1]
  ):
    raise errors.UserError(
      f'{where}.crop={crop}; expected (height, width) within size={size},'
      ' or (0, 0) for no crop'
    )
  if not 0 < own.fraction <= 1:
    raise errors.UserError(
      f'{where}.fraction={own.fraction}; expected more than 0, at most 1'
    )
  if not isinstance(own.flip, bool):
    raise errors.UserError(f'{where}.flip={own.flip}; expected True or False')
  more = _read_choices(data_config, own, where)
  return Domain(
    side=side,
    dataset=own.dataset,
    split=split or own.split,
    data_dir=data_config.data_dir,
    manual_dir=own.manual_dir,
    size=size,
    crop=crop,
    flip=own.flip,
    fraction=float(own.fraction),
    # About training, too.
    first=0 if split else _read_first(f'{where}.first', own.get('first', 0)),
    image_resize=own.image_resize,
    depth_resize=(
      data_config.resize
      if more['depth_resize'] == 'default'
      else more['depth_resize']
    ),
    fit=more['fit'],
    store=more['store'],
    eval_labels=more['eval_labels'],
    zero_depth=data_config.zero_depth,
    far_depth=data_config.far_depth,
    depth_dir='' if split else own.get('depth_dir') or '',
    # Scores are always of the dataset's own labels.
    label_dir='' if split else os.path.expanduser(own.get('label_dir') or ''),
  )


def _read_choices(data_config: Any, own: Any, where: str) -> dict[str, str]:
  more = {k: own.get(k, v[0]) for k, v in _CHOICES.items()}
  choices = (
    (f'{where}.image_resize', own.image_resize, transforms.IMAGE_RESIZES),
    ('config.data.resize', data_config.resize, transforms.DEPTH_RESIZES[:2]),
    ('config.data.zero_depth', data_config.zero_depth, depth_codes.POLICIES),
    ('config.data.far_depth', data_config.far_depth, depth_codes.POLICIES),
    *((f'{where}.{k}', more[k], v) for k, v in _CHOICES.items()),
  )
  for name, value, expected in choices:
    if value not in expected:
      raise errors.UserError(
        f'{name}={value!r}; expected one of {", ".join(expected)}'
      )
  return more


def _read_first(name: str, value: Any) -> int:
  if not isinstance(value, int) or value < 0:
    raise errors.UserError(
      f'{name}={value!r}; expected a number of images, or 0 for all'
    )
  return value


def _read_pair(name: str, value: Any, *, least: int) -> tuple[int, int]:
  pair = tuple(value) if isinstance(value, Sequence) else ()
  if (
    len(pair) != 2
    or not all(isinstance(x, int) for x in pair)
    or min(pair) < least
  ):
    raise errors.UserError(
      f'{name}={value}; expected (height, width), whole numbers of at least'
      f' {least}'
    )
  return pair


class Records:
  """Random access to the records of a domain.

  Attributes:
    root: the folder of all prepared datasets.

  Args:
    domain: what to read.
    classes: class set (a name or a file) that labels are mapped to; None keeps
      raw ids.
    fields: of 'image', 'label', 'depth', those to decode.
    optional: fields that may be missing; see `fields` for what is left.

  Raises:
    UserError: unknown dataset or split, bad files, or a field that the dataset
      does not have.
  """

  def __init__(
    self,
    domain: Domain,
    *,
    classes: str | None,
    fields: Sequence[str],
    optional: Sequence[str] = (),
  ):
    self.domain = domain
    self._table = np.arange(256, dtype=np.uint8)
    stored = [x for x in fields if x != 'label' or not domain.label_dir]
    mapped = 'label' in stored and classes is not None
    if mapped:
      # Before the dataset is prepared, which can take long.
      record_fields.map_labels(domain, classes)
    builder = registry.load(
      domain.dataset,
      data_dir=domain.data_dir,
      manual_dir=domain.manual_dir,
      store=encoding.Store.of(domain),
    )
    info = builder.info
    if mapped:
      self._table = record_fields.map_labels(domain, classes, info=info)
    stored = record_fields.check_fields(domain, info, stored, optional)
    joined = ('label',) if domain.label_dir else ()
    self.fields = tuple(x for x in fields if x in (*stored, *joined))
    self._code = depth_codes.DepthCode.of(registry.metadata(info))
    self._depths = None
    if 'depth' in fields and domain.depth_dir:
      self._depths = depth_folder.DepthFolder(
        domain.depth_dir, split=domain.split
      )
      self._code = self._depths.code
    self._folder = builder.data_dir
    self.root = builder.data_dir_root
    self._recent = collections.deque(maxlen=_RECENT)
    with registry.quiet():
      self._features, self._decoders = record_fields.select(info, stored)
      self._files = info.splits[domain.split].file_instructions
      for part in self._files:
        _check_file(part.filename, domain, self._folder)
      self._source = builder.as_data_source(
        split=domain.split,
        deserialize_method=tfds.decode.DeserializeMethod.RAW_BYTES,
      )
    self._numbers = np.arange(len(self._source))
    if domain.first:
      self._numbers = record_order.choose_first(
        self._read_names(info), domain.first
      )
    # A fraction is the first records; they are stored in a random order.
    self._count = max(1, round(domain.fraction * len(self._numbers)))
    if 'label' in fields and domain.label_dir:
      label_files.check(domain.label_dir, classes=classes, count=self._count)

  def __len__(self) -> int:
    return self._count

  def read(self, number: int) -> bytes:
    """Returns a serialized record."""
    number = int(self._numbers[int(number)])
    self._recent.append(number)
    return self._source[number]

  def _read_names(self, info: tfds.core.DatasetInfo) -> Sequence[str]:
    count = len(self._source)
    names = record_order.read_names(
      self._folder, self.domain.split, count=count
    )
    if names is None:
      with registry.quiet():
        features, _ = record_fields.select(info, ())
        names = [
          features.deserialize_example(self._source[i])['name'].numpy().decode()
          for i in range(count)
        ]
    return names

  def decode(self, record: tf.Tensor) -> dict[str, tf.Tensor]:
    """Decodes what is needed of a record, at its own size.

    Returns:
      'name' string; of `fields`, 'image' uint8 [H, W, 3], 'label' int32 [H, W],
      'depth' uint16 [H, W], raw, and 'depth_factor' if its code needs it.
    """
    with registry.quiet():
      example = self._features.deserialize_example(
        record, decoders=self._decoders
      )
    out = {'name': example['name']}
    if 'image' in self.fields:
      out['image'] = transforms.decode_image(example['image'])
    if 'label' in self.fields and self.domain.label_dir:
      out['label'] = label_files.read(self.domain.label_dir, example['name'])
    elif 'label' in self.fields:
      raw = transforms.decode_label(example['label'])
      out['label'] = transforms.map_labels(raw, self._table)
    if self._depths:
      out |= self._depths.join(out['name'])
    elif 'depth' in self.fields:
      out['depth'] = transforms.decode_depth(example['depth'])
      if 'depth_factor' in example:
        out['depth_factor'] = example['depth_factor']
    return out

  def size_for_training(
    self, example: dict[str, tf.Tensor]
  ) -> dict[str, tf.Tensor]:
    """Brings what `decode` gives to the network's size, depth to metres."""
    out = {}
    if 'image' in example:
      out['image'] = sizing.size_image(example['image'], self.domain)
    if 'label' in example:
      module = label_files if self.domain.label_dir else sizing
      out['label'] = module.size_label(example['label'], self.domain)
    if 'depth' in example:
      out['depth'], out['depth_valid'] = sizing.size_depth(
        example, self.domain, self._code
      )
    return out

  def size_for_score(
    self, example: dict[str, tf.Tensor], *, whole_images: bool = False
  ) -> dict[str, tf.Tensor]:
    """Brings what `decode` gives to the sizes of the evaluation."""
    return sizing.size_for_score(
      example, self.domain, self._code, whole_images=whole_images
    )

  def diagnose(self) -> None:
    """Looks for a broken record among those that were read last.

    TensorFlow's own message does not name it.

    Raises:
      UserError: names the record and its file, and what to do.
    """
    if self._depths and self._depths.error:
      raise self._depths.error
    for number in reversed(list(self._recent)):
      try:
        example = self.decode(tf.constant(self._source[number]))
      except errors.UserError:
        raise
      except Exception as e:
        reason = getattr(e, 'message', str(e))
        raise errors.UserError(
          f'{self.domain.dataset}: record {number} of split'
          f' {self.domain.split!r} in {self._find_file(number)} is damaged'
          f' ({_first_line(reason)}); delete {self._folder} and prepare it'
          ' again'
        ) from None
      del example

  def _find_file(self, number: int) -> str:
    for part in self._files:
      if number < part.examples_in_shard - part.skip:
        return str(part.filename)
      number -= part.examples_in_shard - part.skip
    return str(self._folder)


def _first_line(text: str) -> str:
  return (' '.join(str(text).split()) or 'no reason given')[:120]


def _check_file(
  filename: str | os.PathLike[str], domain: Domain, folder: Any
) -> None:
  """Opens a shard, which reads its index."""
  try:
    shards.count_records(filename)
  except Exception as e:
    raise errors.UserError(
      f'{domain.dataset}: {filename} cannot be read'
      f' ({_first_line(str(e))}); delete {folder} and prepare it again'
    ) from None
