"""Prepared examples one at a time, as NumPy arrays, for tools."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from jaxuda import errors
from jaxuda.data.datasets import registry
from jaxuda.data.files import decoding
from jaxuda.data.store import descriptions

# Field -> the metadata that list the splits in which it is empty.
_EMPTY = {'label': 'unlabelled_splits', 'depth': 'depthless_splits'}


def check_split(dataset: str, split: str, info: tfds.core.DatasetInfo) -> None:
  """Checks that a dataset has a split and that all its records are there.

  Args:
    dataset: name of the dataset, for errors.
    split: name of a split, or a part of one in TFDS notation, 'train[:50%]'.
    info: info of the prepared dataset.

  Raises:
    UserError: the split does not exist or is empty, or one of its files cannot
      be opened.
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
  descriptions.check_files(info, split, dataset=dataset)


def open_records(
  builder: tfds.core.DatasetBuilder, split: str, fields: Sequence[str]
) -> tuple[Any, Any, Mapping[str, Any]]:
  """Opens a split for random access.

  Args:
    builder: builder of the prepared dataset.
    split: name of a split, or a part of one.
    fields: names of the features to parse besides 'name'; 'image_size', and
      with 'depth' 'depth_factor', are included if the dataset has them.

  Returns:
    (the serialized records by number; the features that parse them; decoders
    that leave pictures encoded).
  """
  info = builder.info
  wanted = {'name': True, **dict.fromkeys(fields, True)}
  if 'depth' in fields and 'depth_factor' in info.features:
    wanted['depth_factor'] = True
  if 'image_size' in info.features:
    wanted['image_size'] = True
  source = builder.as_data_source(
    split=split, deserialize_method=tfds.decode.DeserializeMethod.RAW_BYTES
  )
  partial = tfds.decode.PartialDecoding(wanted)
  features = partial.extract_features(info.features)
  return source, features, registry.keep_encoded(info, fields)


class Rows:
  """Random access to a split of a prepared dataset.

  Attributes:
    metadata: metadata of the dataset, see `registry`.
  """

  def __init__(
    self,
    dataset: str,
    *,
    split: str,
    fields: Sequence[str],
    data_dir: str | None = None,
    manual_dir: str | None = None,
  ):
    """Opens the dataset, preparing it on first use.

    Args:
      dataset: such as 'streets/target_stereo'.
      split: such as 'train'.
      fields: names of the fields to read besides 'name'.
      data_dir: folder of prepared data; default: that of TFDS.
      manual_dir: folder of the user's files.

    Raises:
      UserError: the dataset or split does not exist, files are bad, or a field
        is missing in the dataset or the split.
    """
    builder = registry.load(dataset, data_dir=data_dir, manual_dir=manual_dir)
    info = builder.info
    check_split(dataset, split, info)
    lost = [x for x in fields if x not in info.features]
    if lost:
      raise errors.UserError(
        f'{dataset} has no {lost[0]}; its fields are {", ".join(info.features)}'
      )
    self.metadata: Mapping[str, Any] = registry.metadata(info)
    for field, key in _EMPTY.items():
      if field in fields and split.split('[')[0] in self.metadata.get(key, ()):
        raise errors.UserError(
          f'{dataset} has no {field} in split {split!r}; expected one that has'
          ' it'
        )
    self._source, self._features, self._decoders = open_records(
      builder, split, fields
    )

  def __len__(self) -> int:
    return len(self._source)

  def read(self, number: int) -> dict[str, Any]:
    """Returns one example.

    Args:
      number: 0..len - 1.

    Returns:
      'name' str; pictures as uint8 [H, W, 3] RGB, or as uint8 or uint16 [H, W];
      tensors as stored.
    """
    row = self._features.deserialize_example_np(
      self._source[int(number)], decoders=self._decoders
    )
    for field in self._decoders:
      row[field] = decoding.decode_stored(row[field])
    return {**row, 'name': row['name'].decode()}


class Images:
  """The images of a prepared dataset, by number."""

  def __init__(self, dataset: str, **options: Any):
    """Opens the dataset; takes the options of `Rows` other than `fields`."""
    self._rows = Rows(dataset, fields=('image',), **options)

  def __len__(self) -> int:
    return len(self._rows)

  def names(self) -> list[str]:
    """Returns the names of all images."""
    return [self._rows.read(i)['name'] for i in range(len(self))]

  def read(self, number: int) -> tuple[str, np.ndarray]:
    """Returns (name, uint8 [H, W, 3])."""
    row = self._rows.read(number)
    return row['name'], row['image']
