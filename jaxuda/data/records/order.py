"""Maps each sample of a stream to its record."""

from collections.abc import Callable
import functools
from typing import Any

import numpy as np
import tensorflow as tf

from jaxuda import errors
from jaxuda.data.records import rare


@functools.lru_cache(maxsize=8)
def permute(seed: int, epoch: int, count: int) -> np.ndarray:
  """Returns the order of an epoch: int64 [count], a permutation.

  Args:
    seed: 0..2^64-1.
    epoch: number of the epoch, from 0 on.
    count: number of records.
  """
  # NumPy guarantees Philox's raw bits, but may change its shuffle.
  key = np.array([seed, epoch], np.uint64)
  order = np.random.Philox(key=key).random_raw(count).argsort(kind='stable')
  order.flags.writeable = False
  return order


def of(
  records: Any, seed: int
) -> tuple[Callable[[int], int], Callable[[tf.Tensor], tf.Tensor] | None]:
  """Returns the functions that choose the samples of a stream.

  Args:
    records: the `access.Records` of a domain, whose settings apply.
    seed: seed of the domain's stream, 0..2^63-1.

  Returns:
    (function from a sample to the number of its record; function from a sample,
    an int64 scalar, to the class it was drawn for, an int32 scalar, or None
    without rare class sampling).
  """
  domain = records.domain
  if domain.rare_temperature:
    sampler = rare.Sampler(
      records.count_classes(),
      temperature=domain.rare_temperature,
      least=domain.rare_pixels,
      seed=seed,
    )

    def class_of(sample):
      draw = lambda x: np.int32(sampler.draw(int(x))[0])
      return tf.numpy_function(draw, [sample], tf.int32, stateful=False)

    return lambda sample: sampler.draw(int(sample))[1], class_of

  def find(sample):
    epoch, place = divmod(int(sample), len(records))
    return permute(seed, epoch, len(records))[place]

  return find, None


def share_rows(
  batch_size: int, process_index: int, process_count: int
) -> range:
  """Returns the contiguous rows of a batch that belong to one process.

  Args:
    batch_size: rows of a batch, over all processes.
    process_index: 0..process_count - 1.
    process_count: number of processes.

  Raises:
    UserError: the rows cannot be divided evenly among the processes.
  """
  if batch_size < 1 or batch_size % process_count:
    raise errors.UserError(
      f'batch_size={batch_size} does not divide over {process_count}'
      f' processes; expected a multiple of {process_count}'
    )
  rows = batch_size // process_count
  return range(process_index * rows, (process_index + 1) * rows)
