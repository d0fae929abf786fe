"""Examples at the size of the network, or at the size at which they are scored.

A domain is a `records.domain.Domain`; its `fit` says what becomes of the
aspect. Padding is black, ignored, and without valid depth.
"""

from typing import Any

import tensorflow as tf

from jaxuda.data.classes import labels
from jaxuda.data.pixels import aspect
from jaxuda.data.pixels import depth_codes
from jaxuda.data.pixels import transforms

Example = dict[str, tf.Tensor]


def size_image(image: tf.Tensor, domain: Any) -> tf.Tensor:
  """Brings an image uint8 [H, W, 3] to the network's size."""
  resized = transforms.resize_image(
    image, _fit(image, domain), method=domain.image_resize
  )
  return _pad(resized, domain.size)


def size_label(label: tf.Tensor, domain: Any) -> tf.Tensor:
  """Brings a label [H, W] to the network's size."""
  resized = transforms.resize_label(label, _fit(label, domain))
  return _pad(resized, domain.size, fill=labels.IGNORE)


def size_depth(
  example: Example, domain: Any, code: depth_codes.DepthCode
) -> tuple[tf.Tensor, tf.Tensor]:
  """Brings depth to the network's size.

  Args:
    example: 'depth' uint16 [H, W], raw, and 'depth_factor' where the code needs
      one.
    domain: whose size and rules.
    code: meaning of the raw numbers.

  Returns:
    float32 [height, width] metres, and bool [height, width], where they are
    valid.
  """
  size = _fit(example['depth'], domain)
  return _measure(example, domain, code, size=size, padded=domain.size)


def size_for_score(
  example: Example,
  domain: Any,
  code: depth_codes.DepthCode,
  *,
  whole_images: bool = False,
) -> Example:
  """Brings an evaluation example to its sizes.

  The image goes to the network's size, depth to the label's. A label stays as
  it is; with `fit='pad'` it is padded to the aspect of the network, so that
  logits cover both; with `eval_labels='input'` it is brought to the network's
  size, as in DepDis.

  Args:
    example: 'image', 'label', and perhaps 'depth' and 'depth_factor'; the rest
      is kept.
    domain: whose sizes and rules.
    code: meaning of raw depth.
    whole_images: whether images stay as large as they are, but for padding.

  Returns:
    The example, with 'depth' in metres and 'depth_valid'.
  """
  out = {k: v for k, v in example.items() if k != 'depth_factor'}
  if whole_images:
    out['image'] = _pad(example['image'], _surround(example['image'], domain))
  else:
    out['image'] = size_image(example['image'], domain)
  if domain.eval_labels == 'input':
    out['label'] = size_label(example['label'], domain)
    if 'depth' in example:
      out['depth'], out['depth_valid'] = size_depth(example, domain, code)
    return out
  label = example['label']
  whole = _surround(label, domain)
  out['label'] = _pad(label, whole, fill=labels.IGNORE)
  if 'depth' in example:
    out['depth'], out['depth_valid'] = _measure(
      example, domain, code, size=tf.shape(label), padded=whole
    )
  return out


def _measure(example, domain, code, *, size, padded):
  raw = transforms.resize_depth(
    example['depth'], size, method=domain.depth_resize
  )
  metres, valid = depth_codes.measure(
    raw,
    code,
    factor=example.get('depth_factor'),
    zero_depth=domain.zero_depth,
    far_depth=domain.far_depth,
  )
  return (
    _pad(metres, padded, fill=depth_codes.FAR),
    _pad(valid, padded, fill=False),
  )


def _fit(values, domain):
  """Returns the size that a picture has before it is padded."""
  if domain.fit == 'stretch':
    return domain.size
  shape = tf.shape(values)
  return tf.stack(
    aspect.fit_size((shape[0], shape[1]), domain.size, smaller=tf.minimum)
  )


def _surround(values, domain):
  """Returns the size to pad a picture to at its own scale; None: no padding."""
  if domain.fit == 'stretch':
    return None
  shape = tf.shape(values)
  return tf.stack(
    aspect.pad_shape((shape[0], shape[1]), domain.size, larger=tf.maximum)
  )


def _pad(values, size, *, fill=0):
  if size is None:
    return values
  known = tf.get_static_value(size)
  if known is None:
    return transforms.pad_to(values, size, fill=fill)
  known = [int(x) for x in known]
  if values.shape[:2] != known:
    values = transforms.pad_to(values, known, fill=fill)
  return tf.ensure_shape(values, [*known, *values.shape[2:]])
