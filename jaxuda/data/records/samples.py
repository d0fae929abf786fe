"""Training samples: records at a random scale, cropped and mirrored.

Every draw is a function of (seed, sample), like the record itself.
"""

from collections.abc import Callable
import dataclasses
import functools
from typing import Any

import tensorflow as tf

from jaxuda.data.pixels import depth_codes
from jaxuda.data.pixels import sizing
from jaxuda.data.pixels import transforms
from jaxuda.data.records import rare

# Separates the scales from the crops, which have the same seed.
_STREAM = 1 << 60


def load(
  records: Any,
  sample: tf.Tensor,
  *,
  seed: int,
  find: Callable[[int], int],
  chosen_class: Callable[[tf.Tensor], tf.Tensor] | None,
  placed: bool,
) -> dict[str, tf.Tensor]:
  """Loads one sample of a domain's stream.

  Args:
    records: the `access.Records` of the domain, whose settings apply.
    sample: int64 scalar, number of the sample.
    seed: seed of the domain's stream, 0..2^63-1.
    find: function from a sample to the number of its record.
    chosen_class: function from a sample to the class that it was drawn for, or
      None.
    placed: whether to add 'place', see `pipeline`.

  Returns:
    The fields of a training batch, see `pipeline`, without the batch axis.
  """
  domain = records.domain
  key = tf.stack([tf.constant(seed, tf.int64), sample])
  factor = _draw_factor(key, domain.scale_range)
  crop = domain.crop if all(domain.crop) else domain.size
  size = domain.size
  if factor is not None:
    # In float32 the least factor may round to a pixel less than the crop.
    size = tf.maximum(_scale(size, factor), crop)
    # What is cut from a scaled image is chosen like a crop.
    domain = dataclasses.replace(domain, size=size, crop=crop)
  example = sizing.size_for_training(
    records.load(sample, find=find), domain, records.code
  )
  if factor is not None and 'depth' in example:
    example['depth'] = depth_codes.approach(example['depth'], factor)
  draw = functools.partial(
    transforms.draw_window,
    size=size,
    crop=crop,
    flip=domain.flip,
  )
  window = rare.place_crop(
    key,
    example.get('label'),
    chosen_class and chosen_class(sample),
    draw=draw,
    domain=domain,
  )
  cut = {k: transforms.cut_window(v, window) for k, v in example.items()}
  if placed:
    mirrored = tf.cast(window.mirrored, tf.int32)
    corner = tf.stack([window.top, window.left, mirrored])
    cut['place'] = tf.concat([corner, size], axis=0)
  return cut


def _draw_factor(key, scale_range):
  """Draws the factor of a sample's size, float32; None if it is always 1."""
  least, most = scale_range
  if least == most == 1:
    return None
  return tf.random.stateless_uniform(
    [], key + tf.constant([0, _STREAM], tf.int64), least, most, alg='philox'
  )


def _scale(size, factor):
  """Returns (height, width) scaled and rounded half up: int32 [2]."""
  return tf.cast(tf.floor(tf.cast(size, tf.float32) * factor + 0.5), tf.int32)
