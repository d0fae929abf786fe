"""Random access to the records of a domain, for training and evaluation."""

import collections
from collections.abc import Callable, Sequence
import contextlib
import pathlib

import numpy as np
import tensorflow as tf

from jaxuda import errors
from jaxuda.data.classes import labels
from jaxuda.data.datasets import registry
from jaxuda.data.files import decoding
from jaxuda.data.files import depth_folder
from jaxuda.data.files import label_files
from jaxuda.data.files import tree as tree_lib
from jaxuda.data.pixels import depth_codes
from jaxuda.data.pixels import transforms
from jaxuda.data.records import advice
from jaxuda.data.records import domain as domain_lib
from jaxuda.data.records import rare
from jaxuda.data.records import rows
from jaxuda.data.store import examples
from jaxuda.data.store import label_counts
from jaxuda.data.store import prepared_depth
from jaxuda.data.store import record_order

# If TensorFlow is already initialised, it keeps the GPUs it has taken.
with contextlib.suppress(RuntimeError):
  tf.config.set_visible_devices([], 'GPU')

# Number of records read last that are searched for a broken one.
_RECENT = 1024
# Number of maps of a depth folder that are checked before training.
_LOOKED_AT = 4
# How much faster one core reads store=png than store=raw, for 2048x1024 images
# used at 1024x512, with label and depth; measured by
# scripts/benchmark_input.py.
_FASTER = 4


class Records:
  """Random access to the records of a domain.

  Attributes:
    domain: the domain that is read.
    fields: names of the fields that are decoded.
    code: how raw depth is encoded.
    root: folder of all prepared datasets.
  """

  def __init__(
    self,
    domain: domain_lib.Domain,
    *,
    classes: str | None,
    fields: Sequence[str],
    optional: Sequence[str] = (),
  ):
    """Opens the dataset, preparing it on first use.

    Args:
      domain: the domain to read.
      classes: class set (a name or a file) that labels are mapped to; None
        keeps raw ids.
      fields: names of the fields to decode, out of 'image', 'label' and
        'depth'.
      optional: names of the fields that may be missing.

    Raises:
      UserError: the dataset or split is unknown, files are bad, or the dataset
        lacks a field.
    """
    self.domain = domain
    table = np.arange(256)
    own = [x for x in fields if not _is_beside(domain, x)]
    mapped = 'label' in own and classes is not None
    if mapped:
      # Checked before the dataset is prepared, which can take long.
      _map_labels(domain, classes)
    builder = registry.load(
      domain.dataset,
      data_dir=domain.data_dir,
      manual_dir=domain.manual_dir,
      store=examples.Store.of(domain),
    )
    info = builder.info
    rows.check_split(domain.dataset, domain.split, info)
    missing = _find_missing(domain.split, info, own)
    for field in missing:
      if field not in optional:
        raise errors.UserError(_explain_missing(domain, field, info))
    if 'label' in missing:
      advice.note(
        f'{domain.dataset} has no label in split {domain.split!r}: it is'
        ' not scored'
      )
    elif mapped:
      table = _map_labels(domain, classes, info)
    self._table = table.astype(np.int32)
    self.fields = tuple(x for x in fields if x not in missing)
    self._folder = pathlib.Path(builder.data_dir)
    # Three levels up: above family, form and version.
    self.root = str(self._folder.parents[2])
    self._files = info.splits[domain.split].file_instructions
    self._source, self._features, self._decoders = rows.open_records(
      builder, domain.split, [x for x in own if x not in missing]
    )
    self._recent = collections.deque(maxlen=_RECENT)
    self._numbers = np.arange(len(self._source))
    if domain.first:
      self._numbers = record_order.choose_first(
        self._read_names(), domain.first
      )
    # The first records make up a fraction: they are stored in random order.
    self._count = max(1, round(domain.fraction * len(self._numbers)))
    self.code = depth_codes.DepthCode.of(registry.metadata(info))
    self._depths = None
    if 'depth' in self.fields:
      advice.note_lost_sizes(domain, info)
    if 'depth' in fields and domain.depth_dir:
      self._depths = self._open_depths()
      self.code = self._depths.code
      some = self._numbers[: self._count]
      some = some[:: max(1, len(some) // _LOOKED_AT)]
      for text in self._depths.find_doubts(self._parse_names(some)):
        advice.note(text)
    if 'label' in fields and domain.label_dir:
      label_files.check(
        domain.label_dir, classes=classes, count=self._count, size=domain.size
      )

  def __len__(self) -> int:
    return self._count

  def read(self, number: int) -> bytes:
    """Returns the serialized record of a number, 0..len - 1."""
    number = int(self._numbers[int(number)])
    self._recent.append(number)
    return self._source[number]

  def advise(self) -> None:
    """Prints a note, once, if another store would be read much faster.

    This is the case if images are stored as the original files and have at
    least twice as many pixels as training uses: decoding them then takes most
    of the time. Training that enlarges images needs those pixels.
    """
    domain = self.domain
    keeps = domain.store == 'raw' and 'image' in self.fields
    if not keeps or registry.find(domain.dataset).build:
      return
    if domain.scale_range[1] > 1:
      return
    image = self._parse(self._source[int(self._numbers[0])])['image'].numpy()
    with contextlib.suppress(errors.UserError):  # Training will name it.
      _, (height, width) = decoding.keep_image(image, '')
      if height * width >= 2 * np.prod(domain.size):
        advice.note(
          f'images of {domain.dataset} are {width}x{height} but trained'
          f' on at {domain.size[1]}x{domain.size[0]}; stored at that size'
          f' (--config.data.{domain.side}.store=png) they are read {_FASTER}'
          ' times as fast: docs/data.md'
        )

  def _open_depths(self):
    domain = self.domain
    if domain.store == 'raw':
      return depth_folder.DepthFolder(domain.depth_dir, split=domain.split)
    names = self._read_names()
    return prepared_depth.PreparedDepth(
      domain.depth_dir,
      split=domain.split,
      names=names,
      needed={names[x] for x in self._numbers[: self._count]},
      store=examples.Store.of(domain),
      root=self.root,
      find_sizes=self._find_sizes,
    )

  def _read_names(self) -> Sequence[str]:
    count = len(self._source)
    names = record_order.read_names(
      self._folder, self.domain.split, count=count
    )
    if names is None:
      names = self._parse_names(range(count))
    return names

  def _find_sizes(self):
    """Returns name -> (height, width) of the image's file, if stored."""
    sizes = {}
    for number in range(len(self._source)):
      # A damaged record is named when training reads it.
      with contextlib.suppress(Exception):
        example = self._parse(self._source[number])
        size = example['image_size'].numpy().tolist()
        sizes[example['name'].numpy().decode()] = size
    return sizes

  def _parse_names(self, numbers):
    parsed = (self._parse(self._source[int(i)]) for i in numbers)
    return [x['name'].numpy().decode() for x in parsed]

  def _parse(self, record):
    return self._features.deserialize_example(record, decoders=self._decoders)

  def count_classes(self) -> np.ndarray:
    """Returns the number of pixels of each class: int64 [len, C].

    The first call reads all labels and stores the counts next to the records.

    Raises:
      UserError: labels are not read, or they are not the dataset's own.
    """
    if 'label' not in self.fields or self.domain.label_dir:
      raise errors.UserError(
        f'config.data.{self.domain.side}.rare_temperature='
        f"{self.domain.rare_temperature} needs the dataset's own labels, which"
        ' this training does not read; expected 0'
      )
    raw = label_counts.read(
      self._folder,
      self.domain.split,
      count=len(self._source),
      label_of=lambda i: transforms.decode_label(
        self._parse(self._source[i])['label']
      ).numpy(),
    )
    return rare.count_classes(raw[self._numbers[: self._count]], self._table)

  def load(
    self, sample: tf.Tensor, *, find: Callable[[int], int] = int
  ) -> dict[str, tf.Tensor]:
    """Reads and decodes a record inside a pipeline.

    Args:
      sample: int64 scalar, number of the sample.
      find: function from a sample to the number of its record, 0..len - 1.

    Returns:
      The same as `decode`.
    """
    record = tf.numpy_function(
      lambda x: self.read(find(x)), [sample], tf.string, stateful=False
    )
    return self.decode(tf.ensure_shape(record, []))

  def decode(self, record: tf.Tensor) -> dict[str, tf.Tensor]:
    """Decodes a record at its own size.

    Args:
      record: string scalar, the serialized record.

    Returns:
      'name' string and, as far as they are in `fields`, 'image' uint8
      [H, W, 3], 'label' int32 [H, W], and raw 'depth' uint16 [h, w], with
      'depth_factor' if its code needs it and 'image_size' int32 [2], the
      (height, width) of the image's file, if that is known.
    """
    example = self._parse(record)
    out = {'name': example['name']}
    if 'image' in self.fields:
      out['image'] = transforms.decode_image(example['image'])
    if 'label' in self.fields and self.domain.label_dir:
      size = self.domain.size if self.domain.fit == 'pad' else None
      out['label'] = label_files.read(
        self.domain.label_dir, example['name'], size=size
      )
    elif 'label' in self.fields:
      raw = transforms.decode_label(example['label'])
      out['label'] = transforms.look_up(raw, self._table)
    if self._depths:
      size = tf.shape(out['image'])[:2] if 'image' in out else ()
      out |= self._depths.join(out['name'], size=size)
    elif 'depth' in self.fields:
      out['depth'] = transforms.decode_depth(example['depth'])
      if 'depth_factor' in example:
        out['depth_factor'] = example['depth_factor']
    if 'depth' in self.fields and 'image_size' in example:
      out['image_size'] = example['image_size']
    elif 'depth' in out and 'image' in out and self.domain.store == 'raw':
      out['image_size'] = tf.shape(out['image'])[:2]
    return out

  def diagnose(self) -> None:
    """Looks for a broken record among those read last.

    TensorFlow's own message does not name it.

    Raises:
      UserError: a record is broken; the message names it, its file and a
        remedy.
    """
    if self._depths and self._depths.error:
      raise self._depths.error
    for number in reversed(list(self._recent)):
      try:
        self.decode(tf.constant(self._source[number]))
      except errors.UserError:
        raise
      except Exception as e:
        raise errors.UserError(
          f'{self.domain.dataset}: record {number} of split'
          f' {self.domain.split!r} in {self._find_file(number)} is damaged'
          f' ({tree_lib.one_line(e)[:120]}); delete {self._folder} and prepare'
          ' it again'
        ) from None

  def _find_file(self, number: int) -> str:
    for part in self._files:
      if number < part.examples_in_shard - part.skip:
        return str(part.filename)
      number -= part.examples_in_shard - part.skip
    return str(self._folder)


def _map_labels(domain, classes, info=None):
  """Returns the class of each raw id: uint8 [256], 255 = ignored.

  Returns None before the dataset is prepared (without `info`) for a folder
  whose own names are not known yet or that has no labels.
  """
  family, own = registry.find(domain.dataset), None
  if info is not None:
    own = labels.read_own(registry.metadata(info))
  elif family.ids == 'folder':
    if not domain.manual_dir:
      return None
    spec = family.describe(domain.dataset, domain.manual_dir)
    if not spec.codes:
      return None
    own = spec.own
  table = labels.label_map(family.ids, classes, own=own)
  ignored = [
    name
    for i, name in enumerate(own.names if own else (), 1)
    if table[i] == labels.IGNORE
  ]
  if info is not None and ignored:
    advice.note(
      f'{domain.dataset}: {classes} does not have the classes'
      f' {", ".join(ignored)}; they are ignored'
    )
  return table


def _find_missing(split, info, fields):
  """Returns those fields that no example of a split has."""
  metadata, name = registry.metadata(info), split.split('[')[0]
  missing = {x for x in fields if x not in info.features}
  if name in metadata.get('unlabelled_splits', ()):
    missing.add('label')
  if name in metadata.get('depthless_splits', ()):
    missing.add('depth')
  return [x for x in fields if x in missing]


def _explain_missing(domain, field, info):
  text = (
    f'{domain.dataset} has no {field} in split {domain.split!r}, which the'
    f' {domain.side} needs'
  )
  if field not in info.features:
    text += f'; its fields are {registry.describe_fields(info)}'
  if field == 'label':
    text += '; expected a split with labels, to learn from or to be scored'
  if field == 'depth':
    text += (
      f'; expected config.data.{domain.side}.depth_dir=FOLDER that jaxuda depth'
      ' transfer, stereo or mono has written (docs/data.md, "Depth that is'
      ' missing")'
    )
  return text


def _is_beside(domain, field):
  """Returns whether a field comes from a folder outside the dataset."""
  return bool({'label': domain.label_dir, 'depth': domain.depth_dir}.get(field))
