"""Deterministic batches, resumable at any step, split over processes.

A training batch holds NumPy arrays, where B is this process's number of rows:

    {'source': {'image': uint8 [B, H, W, 3] RGB,
                'label': int32 [B, H, W], 0..C-1, 255 = ignore,
                'depth': float32 [B, H, W] metres,
                'depth_valid': bool [B, H, W],
                'place': int32 [B, 5] (top, left, mirrored) of the crop and
                    (height, width) of the image that it was cut from},
     'target': {'image': uint8 [B, h, w, 3], ...}}

It has exactly the domains and fields that the method needs; 'depth' comes with
'depth_valid'. Fields that are not needed are not decoded: the target's labels
can be missing or wrong without any effect. H and W are those of the crop if
there is one. Raw depth 0 is 0 m and raw 65535 (SYNTHIA's sky) 655.35 m; both
are valid unless the config masks them.

An evaluation batch holds 'image' uint8 [B, H, W, 3] at the network's size,
'label' int32 [B, H0, W0] at its own size, 'depth' and 'depth_valid' [B, H0, W0]
if they are requested and available, and 'name', a list. Every image appears
once; the last batch is padded with black images that have neither labels nor
valid depth and are left out of 'name'. If labels are optional and the split has
none, the batch holds only 'image' and 'name'.

A training batch is a function of (seed, step) alone. Sample i of a domain is
record i % n of the permutation given by (seed, domain, epoch i // n); its crop
and mirroring are drawn from (seed, domain, i), and so is the record itself with
rare class sampling. Records are read by number, so a stream can start at any
step immediately: there is no shuffle buffer to refill and no iterator state to
save.
"""

import atexit
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
import dataclasses
import itertools
import sys
from typing import Any, ClassVar
import weakref
import zlib

import numpy as np
import tensorflow as tf

from jaxuda import errors
from jaxuda.data.classes import labels
from jaxuda.data.pixels import sizing
from jaxuda.data.records import access
from jaxuda.data.records import advice
from jaxuda.data.records import domain as domain_lib
from jaxuda.data.records import order
from jaxuda.data.records import samples

Batch = dict[str, Any]

_FIELDS = ('image', 'label', 'depth', 'place')
_BATCHES_AHEAD = 2


def domain_seed(seed: int, side: str) -> int:
  """Returns the seed of a domain's stream, 0..2^32-1."""
  return zlib.crc32(f'{seed}/{side}'.encode())


def train_stream(
  data_config: Any,
  *,
  classes: str,
  needs: Mapping[str, Sequence[str]],
  batch_size: int,
  seed: int,
  start_step: int = 0,
  process_index: int = 0,
  process_count: int = 1,
) -> Iterator[Batch]:
  """Returns the endless stream of training batches, starting at any step.

  Args:
    data_config: `config.data`.
    classes: class set that labels are mapped to.
    needs: fields of each domain, e.g. {'source': ('image', 'label', 'depth'),
      'target': ('image',)}; exactly these are loaded.
    batch_size: number of samples of each domain, over all processes.
    seed: seed of the order, the crops and the mirroring.
    start_step: step number of the first batch.
    process_index: 0..process_count - 1; this process gets its own contiguous
      rows of every batch.
    process_count: number of processes.

  Returns:
    An iterator over the batches described at the top of this file.

  Raises:
    UserError: a config value, dataset, split or field is wrong; raised at once,
      before the first batch.
  """
  rows = order.share_rows(batch_size, process_index, process_count)
  if start_step < 0:
    raise errors.UserError(f'start_step={start_step}; expected at least 0')
  streams, sources = {}, []
  for side, fields in needs.items():
    if not fields:
      continue
    unknown = [x for x in fields if x not in _FIELDS]
    if unknown:
      raise errors.UserError(
        f'{side} needs {unknown[0]!r}; expected fields of {", ".join(_FIELDS)}'
      )
    records = access.Records(
      domain_lib.read_domain(data_config, side),
      classes=classes,
      fields=tuple(x for x in fields if x != 'place'),
    )
    if process_index == 0:
      records.advise()
    sources.append(records)
    streams[side] = _stream_domain(
      records,
      *(domain_seed(seed, side), batch_size, rows, start_step),
      placed='place' in fields,
    )
  return _Arrays(tf.data.Dataset.zip(streams).prefetch(_BATCHES_AHEAD), sources)


class _Arrays(Iterator[dict[str, Any]]):
  """An iterator over NumPy arrays that is closed before Python exits.

  TensorFlow's threads read the records through Python; a thread that does so
  while the interpreter shuts down aborts the process.
  """

  _open: ClassVar[weakref.WeakSet] = weakref.WeakSet()

  def __init__(
    self, dataset: tf.data.Dataset, sources: Iterable[access.Records]
  ):
    self._iterator = dataset.as_numpy_iterator()
    self._sources = list(sources)
    self._open.add(self)

  def __next__(self) -> dict[str, Any]:
    if self._iterator is None:
      raise StopIteration
    try:
      return next(self._iterator)
    except tf.errors.OpError:
      for records in self._sources:
        records.diagnose()
      raise

  def close(self) -> None:
    # Dropping the last reference makes TensorFlow stop its threads and wait.
    self._iterator = None

  @classmethod
  def close_all(cls) -> None:
    for arrays in list(cls._open):
      arrays.close()


atexit.register(_Arrays.close_all)


def _stream_domain(records, seed, batch_size, rows, start_step, *, placed):
  find, chosen_class = order.of(records, seed)

  def load(i):
    # Sample i of this process -> sample of the whole stream.
    sample = i // len(rows) * batch_size + rows.start + i % len(rows)
    return samples.load(
      records,
      sample,
      seed=seed,
      find=find,
      chosen_class=chosen_class,
      placed=placed,
    )

  first = start_step * len(rows)
  numbers = tf.data.Dataset.range(first, sys.maxsize)
  return _map(numbers, load).batch(len(rows), drop_remainder=True)


def _map(dataset: tf.data.Dataset, load: Callable[..., Any]) -> tf.data.Dataset:
  return dataset.map(
    load, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True
  )


def eval_stream(
  data_config: Any,
  *,
  classes: str,
  batch_size: int,
  split: str | None = None,
  with_depth: bool = False,
  domain: str = 'target',
  process_index: int = 0,
  process_count: int = 1,
  whole_images: bool = False,
  many_sizes: bool = False,
  optional: Sequence[str] = (),
) -> Iterator[Batch]:
  """Returns a stream in which every image of a split appears once.

  Args:
    data_config: `config.data`.
    classes: class set that labels are mapped to.
    batch_size: number of images, over all processes. Labels of different sizes
      require 1, or `many_sizes`.
    split: name of the split; default: `eval_split` of the domain.
    with_depth: whether to include depth if the dataset has it.
    domain: 'source' or 'target'.
    process_index: 0..process_count - 1; this process gets its own contiguous
      rows of every batch. All processes get the same number of batches.
    process_count: number of processes.
    whole_images: whether images keep their own size instead of the network's;
      different sizes require a `batch_size` of 1.
    many_sizes: whether the labels of a batch may differ in size: the labels and
      depth of such a batch are lists of arrays [H0, W0].
    optional: ('label',) if the split may have no labels, and hence no depth.

  Returns:
    An iterator over the evaluation batches described at the top of this file.

  Raises:
    UserError: a config value, dataset or split is wrong, or the split has no
      labels (at once); or labels of a batch differ in size (at that batch).
  """
  rows = order.share_rows(batch_size, process_index, process_count)
  records = _eval_records(
    data_config,
    split=split,
    domain=domain,
    classes=classes,
    fields=('image', 'label', *(('depth',) if with_depth else ())),
    optional=optional,
  )
  count = len(records)
  batches = -(-count // batch_size)
  numbers = np.arange(batches * batch_size).reshape(batches, batch_size)
  mine = numbers[:, rows.start : rows.stop]
  return _stack_examples(records, mine, whole_images, many_sizes)


def image_stream(
  data_config: Any,
  *,
  domain: str = 'target',
  fields: Sequence[str] = ('image',),
  optional: Sequence[str] = (),
  classes: str | None = None,
  share: tuple[int, int] = (0, 1),
) -> tuple[Iterator[Batch], int]:
  """Returns the training images of a domain, each of them once.

  Args:
    data_config: `config.data`.
    domain: 'source' or 'target'.
    fields: fields to read, out of 'image', 'label' and 'depth'.
    optional: those of the fields that may be missing.
    classes: class set that labels are mapped to.
    share: (i, n) for every n-th image from the i-th on, i from 0.

  Returns:
    (an iterator over 'image' uint8 [H, W, 3] at the network's size, not
    cropped, the other fields as in a training batch, and 'name' bytes; the
    number of images over all shares).

  Raises:
    UserError: a config value, dataset or split is wrong.
  """
  records = access.Records(
    domain_lib.read_domain(data_config, domain),
    classes=classes,
    fields=tuple(fields),
    optional=tuple(optional),
  )

  def load(number):
    example = records.load(number)
    sized = sizing.size_for_training(example, records.domain, records.code)
    return {'name': example['name'], **sized}

  dataset = _map(tf.data.Dataset.range(share[0], len(records), share[1]), load)
  images = _Arrays(dataset.prefetch(_BATCHES_AHEAD), [records])
  return images, len(records)


def eval_size(
  data_config: Any,
  *,
  classes: str | None = None,
  split: str | None = None,
  domain: str = 'target',
  optional: Sequence[str] = (),
) -> int:
  """Returns the number of images that `eval_stream` yields.

  It makes the same checks, so that errors in the evaluation setup are found
  before training begins.

  Args:
    data_config: `config.data`.
    classes: class set that labels will be mapped to; None skips its check.
    split: name of the split; default: `eval_split` of the domain.
    domain: 'source' or 'target'.
    optional: as for `eval_stream`.

  Raises:
    UserError: a config value, dataset or split is wrong, or labels are missing.
  """
  records = _eval_records(
    data_config,
    split=split,
    domain=domain,
    classes=classes,
    fields=('image', 'label'),
    optional=optional,
  )
  return len(records)


def _eval_records(data_config, *, split, domain, fields, classes, optional):
  split = split or data_config[domain].get('eval_split') or 'val'
  checked = domain_lib.read_domain(data_config, domain, split=split)
  # `fraction` applies to training only.
  checked = dataclasses.replace(checked, fraction=1.0)
  records = access.Records(
    checked, classes=classes, fields=fields, optional=('depth', *optional)
  )
  if 'label' in records.fields:
    advice.note_small_labels(checked)
  return records


def _stack_examples(
  records: access.Records,
  numbers: np.ndarray,
  whole_images: bool,
  many_sizes: bool,
) -> Iterator[Batch]:
  def load(number):
    return sizing.size_for_score(
      records.load(number),
      records.domain,
      records.code,
      whole_images=whole_images,
    )

  # Batches are padded with a real image, which has a size, and blanked later.
  filled = numbers.clip(max=len(records) - 1).ravel()
  dataset = _map(tf.data.Dataset.from_tensor_slices(filled), load)
  examples = _Arrays(dataset.prefetch(tf.data.AUTOTUNE), [records])
  for row in numbers < len(records):
    rows = list(itertools.islice(examples, len(row)))
    yield _stack(rows, row, records, many_sizes)


def _stack(
  examples: Sequence[Mapping[str, Any]],
  real: np.ndarray,
  records: access.Records,
  many_sizes: bool,
) -> Batch:
  """Stacks examples into a batch and blanks those that are not real."""
  measured = 'label' if 'label' in examples[0] else 'image'
  names = [x['name'].decode() for x in examples]
  sizes = [x[measured].shape for x in examples]
  other = next((i for i, x in enumerate(sizes) if x != sizes[0]), 0)
  if other and not many_sizes:
    (height, width), (h, w) = sizes[0][:2], sizes[other][:2]
    raise errors.UserError(
      f'{records.domain.dataset}: the {measured}s of {names[0]!r} and'
      f' {names[other]!r} are {width}x{height} and {w}x{h}; expected one size'
      ' in a batch, or eval_batch_size=1'
    )
  batch: Batch = {'name': list(itertools.compress(names, real))}
  for field in examples[0].keys() - {'name'}:
    fill = labels.IGNORE if field == 'label' else 0
    values = [
      x[field] if keep else np.full_like(x[field], fill)
      for x, keep in zip(examples, real, strict=True)
    ]
    batch[field] = values if other and field != 'image' else np.stack(values)
  return batch
