"""Prepared examples one by one, as NumPy arrays: for tools, not training."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from jaxuda import errors
from jaxuda.data.datasets import registry
from jaxuda.data.files import frames


class Rows:
  """Random access to a split of a prepared dataset.

  Attributes:
    metadata: of the dataset, see `registry`.
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
      fields: of its examples, those to read besides 'name'.
      data_dir: where prepared data are.
      manual_dir: where the user's files are.

    Raises:
      UserError: no such dataset or split, bad files, or a field is missing.
    """
    builder = registry.load(dataset, data_dir=data_dir, manual_dir=manual_dir)
    info = builder.info
    if split.split('[')[0] not in info.splits:
      raise errors.UserError(
        f'{dataset} has no split {split!r}; expected one of'
        f' {", ".join(info.splits)}'
      )
    lost = [x for x in fields if x not in info.features]
    if lost:
      raise errors.UserError(
        f'{dataset} has no {lost[0]}; its fields are {", ".join(info.features)}'
      )
    self.metadata: Mapping[str, Any] = registry.metadata(info)
    names = ('name', *fields)
    self._decoders = registry.keep_encoded(info, names)
    with registry.quiet():
      partial = tfds.decode.PartialDecoding(dict.fromkeys(names, True))
      self._features = partial.extract_features(info.features)
      self._source = builder.as_data_source(
        split=split,
        deserialize_method=tfds.decode.DeserializeMethod.RAW_BYTES,
      )

  def __len__(self) -> int:
    return len(self._source)

  def read(self, number: int) -> dict[str, Any]:
    """Returns one example.

    Returns:
      'name' str; pictures as uint8 [H, W, 3] RGB, or uint8 or uint16 [H, W];
      tensors as they are.
    """
    row = self._features.deserialize_example_np(
      self._source[int(number)], decoders=self._decoders
    )
    for field in self._decoders:
      row[field] = frames.decode_picture(row[field])
    return {**row, 'name': row['name'].decode()}


class Images:
  """The images of a prepared dataset, by number."""

  def __init__(self, dataset: str, **options: Any):
    """Opens the dataset; the options are those of `Rows` but for fields."""
    self._rows = Rows(dataset, fields=('image',), **options)

  def __len__(self) -> int:
    return len(self._rows)

  def read(self, number: int) -> tuple[str, np.ndarray]:
    """Returns (name, uint8 [H, W, 3])."""
    row = self._rows.read(number)
    return row['name'], row['image']
