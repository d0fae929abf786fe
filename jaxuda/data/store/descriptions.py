"""Reads and compares the descriptions of prepared datasets.

TFDS keeps them next to the records: dataset_info.json holds the number of
records in each shard, features.json the types of the fields, and metadata.json
the meaning of the numbers. Edits to them raise an error instead of changing
results. Sizes in bytes are only displayed, not compared.
"""

from collections.abc import Mapping
import json
import pathlib
from typing import Any

import tensorflow_datasets as tfds

from jaxuda import errors
from jaxuda.data.files import tree as tree_lib
from jaxuda.data.store import shards


def read_folder(folder: pathlib.Path) -> tfds.core.DatasetBuilder:
  """Returns the builder of a finished dataset, whatever its contents.

  Raises:
    UserError: the dataset's description is damaged.
  """
  try:
    builder = tfds.builder_from_directory(folder)
    # These are read lazily.
    _ = builder.info.metadata, builder.info.features
    return builder
  except Exception as e:  # TFDS may raise anything.
    raise errors.UserError(
      f'{folder} cannot be read ({tree_lib.one_line(e)[:120]}); delete it to'
      ' prepare it again'
    ) from None


def check(
  info: tfds.core.DatasetInfo,
  *,
  features: Mapping[str, Any] | None = None,
  metadata: Mapping[str, Any] | None = None,
) -> None:
  """Checks a dataset's description against what its code writes.

  Without the check, training would silently use depth of another unit.

  Args:
    info: the description that was read.
    features: name -> feature according to the code; None if `info` already
      holds those of the code.
    metadata: name -> value according to the code; there may be others.

  Raises:
    UserError: the two differ.
  """
  # As in JSON: lists instead of tuples.
  expected = json.loads(json.dumps(metadata or {}))
  found = {x: (info.metadata or {}).get(x) for x in expected}
  pairs = {'metadata.json': (found, expected)}
  if features is not None:
    both = (info.features, features)
    pairs['features.json'] = [{k: repr(x) for k, x in f.items()} for f in both]
  for file, (found, expected) in pairs.items():
    for name in sorted({*found, *expected}):
      if found.get(name) != expected.get(name):
        raise errors.UserError(
          f'{info.data_dir}: {file} has {name}={found.get(name)}; expected'
          f' {expected.get(name)}, as it was written; correct it, or delete the'
          ' folder to prepare it again'
        )


def check_files(
  info: tfds.core.DatasetInfo, split: str, *, dataset: str
) -> None:
  """Checks that the shards of a split have the right number of records.

  Args:
    info: description of the dataset.
    split: name of the split, or a part of one.
    dataset: name of the dataset, for error messages.

  Raises:
    UserError: a shard cannot be opened, or its index and dataset_info.json
      disagree about the number of records.
  """
  for part in info.splits[split].file_instructions:
    try:
      count = shards.count_records(part.filename)
      if count != part.examples_in_shard:
        raise ValueError(
          f'it has {count} records, but {part.examples_in_shard} according to'
          ' its dataset_info.json'
        )
    except Exception as e:
      raise errors.UserError(
        f'{dataset}: {part.filename} cannot be read'
        f' ({tree_lib.one_line(e)[:120]}); delete {info.data_dir} and prepare'
        ' it again'
      ) from None
