"""An example at the size of the network, or of its score."""

from typing import Any

import tensorflow as tf

from jaxuda.data.classes import labels
from jaxuda.data.pixels import aspect
from jaxuda.data.pixels import depth_codes
from jaxuda.data.pixels import transforms

Example = dict[str, tf.Tensor]


def size_image(image: tf.Tensor, domain: Any) -> tf.Tensor:
  """Brings an image to the network's size: uint8 [height, width, 3].

  Args:
    image: uint8 [H, W, 3].
    domain: a `records.Domain`: its size, image_resize and fit.
  """
  if domain.fit == 'stretch':
    return transforms.resize_image(
      image, domain.size, method=domain.image_resize
    )
  inner = _fit_size(image, domain.size)
  image = transforms.resize_image(image, inner, method=domain.image_resize)
  image = transforms.pad_to(image, domain.size)
  return tf.ensure_shape(image, [*domain.size, 3])


def size_label(label: tf.Tensor, domain: Any) -> tf.Tensor:
  """Brings a label [H, W] to the network's size; padding is ignored."""
  if domain.fit == 'stretch':
    return transforms.resize_label(label, domain.size)
  inner = _fit_size(label, domain.size)
  label = transforms.resize_label(label, tf.stack(inner))
  label = transforms.pad_to(label, domain.size, fill=labels.IGNORE)
  return tf.ensure_shape(label, domain.size)


def size_depth(
  example: Example, domain: Any, code: depth_codes.DepthCode
) -> tuple[tf.Tensor, tf.Tensor]:
  """Brings depth to the network's size; padding is not valid.

  Args:
    example: 'depth' uint16 [H, W], raw, and 'depth_factor' where it needs one.
    domain: a `records.Domain`.
    code: what the depth means.

  Returns:
    float32 [height, width] metres and bool [height, width].
  """
  raw = example['depth']
  if domain.fit == 'stretch':
    raw = transforms.resize_depth(raw, domain.size, method=domain.depth_resize)
    return _measure(raw, example, domain, code)
  inner = _fit_size(raw, domain.size)
  raw = transforms.resize_depth(
    raw, tf.stack(inner), method=domain.depth_resize
  )
  return _pad_depth(_measure(raw, example, domain, code), domain.size)


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
    example: 'image', 'label', maybe 'depth' and 'depth_factor'; the rest is
      kept.
    domain: a `records.Domain`.
    code: what the depth means.
    whole_images: leave an image as large as it is, but for the padding.
  """
  out = {k: v for k, v in example.items() if k != 'depth_factor'}
  if not whole_images:
    out['image'] = size_image(example['image'], domain)
  elif domain.fit == 'pad':
    whole = _pad_shape(example['image'], domain.size)
    out['image'] = transforms.pad_to(example['image'], whole)
  if domain.eval_labels == 'input':
    out['label'] = size_label(example['label'], domain)
    if 'depth' in example:
      out['depth'], out['depth_valid'] = size_depth(example, domain, code)
    return out
  label = example['label']
  shape = _shape(label)
  whole = shape
  if domain.fit == 'pad':
    whole = _pad_shape(label, domain.size)
    out['label'] = transforms.pad_to(label, whole, fill=labels.IGNORE)
  if 'depth' in example:
    raw = transforms.resize_depth(
      example['depth'], tf.stack(shape), method=domain.depth_resize
    )
    measured = _measure(raw, example, domain, code)
    out['depth'], out['depth_valid'] = _pad_depth(measured, whole)
  return out


def _measure(raw, example, domain, code):
  return depth_codes.measure(
    raw,
    code,
    factor=example.get('depth_factor'),
    zero_depth=domain.zero_depth,
    far_depth=domain.far_depth,
  )


def _pad_depth(measured, size):
  metres, valid = measured
  return (
    transforms.pad_to(metres, size, fill=depth_codes.FAR),
    transforms.pad_to(valid, size, fill=False),
  )


def _fit_size(values, size):
  return aspect.fit_size(_shape(values), size, smaller=tf.minimum)


def _pad_shape(values, size):
  return aspect.pad_shape(_shape(values), size, larger=tf.maximum)


def _shape(values):
  shape = tf.shape(values)
  return shape[0], shape[1]
