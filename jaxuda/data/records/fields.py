"""Fields that are read of a dataset, and their classes."""

from collections.abc import Mapping, Sequence
import functools
import sys
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from jaxuda import errors
from jaxuda.data.classes import labels
from jaxuda.data.datasets import registry
from jaxuda.data.records import domain as domain_lib


def map_labels(
  domain: domain_lib.Domain,
  classes: str,
  *,
  info: tfds.core.DatasetInfo | None = None,
) -> np.ndarray | None:
  """Returns the class of each raw id: uint8 [256], 255 = ignored.

  Args:
    domain: whose dataset.
    classes: name or file of a class set.
    info: info of the prepared dataset. Without it, what is known before it is
      prepared: None if the dataset's own names are needed and not at hand.

  Raises:
    UserError: see `labels.label_map`.
  """
  family = registry.find(domain.dataset)
  if info is not None:
    own = labels.read_own(registry.metadata(info))
  elif family.ids != 'folder':
    own = None
  elif domain.manual_dir:
    own = family.describe(domain.dataset, domain.manual_dir).own
  else:
    return None
  table = labels.label_map(family.ids, classes, own=own)
  if info is not None and own is not None:
    ignored = [
      x for i, x in enumerate(own.names, 1) if table[i] == labels.IGNORE
    ]
    if ignored:
      _note(
        f'note: {domain.dataset}: {classes} does not have the classes'
        f' {", ".join(ignored)}; they are ignored'
      )
  return table


@functools.lru_cache
def _note(text: str) -> None:
  """Prints a note on stderr, once."""
  print(text, file=sys.stderr)


def check_split(dataset: str, split: str, info: tfds.core.DatasetInfo) -> None:
  """Checks that a dataset has a split, and the split an image.

  Args:
    dataset: name of the dataset, for errors.
    split: name of a split, or a part of one as TFDS cuts it, 'train[:50%]'.
    info: info of the prepared dataset.

  Raises:
    UserError: it has none.
  """
  try:
    count = info.splits[split].num_examples
  except (KeyError, ValueError):
    raise errors.UserError(
      f'{dataset} has no split {split!r}; expected one of'
      f' {", ".join(info.splits)}'
    ) from None
  if not count:
    raise errors.UserError(
      f'{dataset} has no images in split {split!r}; expected at least one'
    )


def find_missing(
  split: str, info: tfds.core.DatasetInfo, fields: Sequence[str]
) -> list[str]:
  """Returns those of the fields that no example of a split has."""
  metadata, name = registry.metadata(info), split.split('[')[0]
  missing = {x for x in fields if x not in info.features}
  if name in metadata.get('unlabelled_splits', ()):
    missing.add('label')
  if name in metadata.get('depthless_splits', ()):
    missing.add('depth')
  return [x for x in fields if x in missing]


def open_records(
  builder: tfds.core.DatasetBuilder, split: str, fields: Sequence[str]
) -> tuple[Any, Any, Mapping[str, Any]]:
  """Opens a split for random access.

  Args:
    builder: builder of the prepared dataset.
    split: name of a split, or a part of one.
    fields: names of the features to parse besides 'name'; 'depth' brings
      'depth_factor'.

  Returns:
    (the serialized records by number; the features, which parse them; decoders
    that leave pictures encoded).
  """
  info = builder.info
  wanted = {'name': True, **dict.fromkeys(fields, True)}
  if 'depth' in fields and 'depth_factor' in info.features:
    wanted['depth_factor'] = True
  source = builder.as_data_source(
    split=split, deserialize_method=tfds.decode.DeserializeMethod.RAW_BYTES
  )
  partial = tfds.decode.PartialDecoding(wanted)
  features = partial.extract_features(info.features)
  return source, features, registry.keep_encoded(info, fields)
