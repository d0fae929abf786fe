"""What of a dataset is read for a domain: its fields and their classes."""

from collections.abc import Sequence
import functools
import sys
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from jaxuda import errors
from jaxuda.data.classes import labels
from jaxuda.data.datasets import registry


def map_labels(
  domain: Any, classes: str, *, info: tfds.core.DatasetInfo | None = None
) -> np.ndarray | None:
  """Returns the class of each raw id: uint8 [256], 255 = ignored.

  Args:
    domain: a `records.Domain`.
    classes: a class set's name or file.
    info: of the prepared dataset; without it, what is known before that: None
      where the dataset's own names are needed and not at hand.

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
  """Says something once."""
  print(text, file=sys.stderr)


def check_fields(
  domain: Any,
  info: tfds.core.DatasetInfo,
  fields: Sequence[str],
  optional: Sequence[str],
) -> tuple[str, ...]:
  """Returns those of the fields that a dataset has.

  Args:
    domain: a `records.Domain`.
    info: of the prepared dataset.
    fields: that are wanted.
    optional: of them, those that may be missing.

  Raises:
    UserError: one of the others is missing, or the split is.
  """
  missing = _find_missing(domain, info, fields)
  wrong = [x for x in missing if x not in optional]
  if wrong:
    has = registry.describe_fields(info)
    raise errors.UserError(
      f'{domain.dataset} has no {wrong[0]} in split {domain.split!r}, which'
      f' is needed of the {domain.side}; its fields are {has}'
    )
  return tuple(x for x in fields if x not in missing)


def _find_missing(
  domain: Any, info: tfds.core.DatasetInfo, fields: Sequence[str]
) -> list[str]:
  # TFDS cuts splits too: 'train[:50%]'.
  name = domain.split.split('[')[0]
  try:
    count = info.splits[domain.split].num_examples
  except (KeyError, ValueError):
    raise errors.UserError(
      f'{domain.dataset} has no split {domain.split!r}; expected one of'
      f' {", ".join(info.splits)}'
    ) from None
  if not count:
    raise errors.UserError(
      f'{domain.dataset} has no images in split {domain.split!r}; expected at'
      ' least one'
    )
  missing = [x for x in fields if x not in info.features]
  if name in registry.metadata(info).get('unlabelled_splits', ()):
    missing.append('label')
  if name in registry.metadata(info).get('depthless_splits', ()):
    missing.append('depth')
  if domain.depth_dir:
    missing = [x for x in missing if x != 'depth']
  return [x for x in fields if x in missing]


def select(
  info: tfds.core.DatasetInfo, fields: Sequence[str]
) -> tuple[Any, Any]:
  """Returns the features that are parsed, and that they stay encoded."""
  # Depth may come from a folder.
  fields = [x for x in fields if x in info.features]
  encoded = registry.keep_encoded(info, fields)
  wanted = {'name': True, **dict.fromkeys(fields, True)}
  if 'depth' in fields and 'depth_factor' in info.features:
    wanted['depth_factor'] = True
  partial = tfds.decode.PartialDecoding(wanted)
  return partial.extract_features(info.features), encoded
