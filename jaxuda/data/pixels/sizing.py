"""Resizes examples to the network's size, or to the sizes used in evaluation.

Padding keeps the aspect ratio if the domain asks for it. It is black, its
labels are ignored, and its depth is not valid.
"""

from typing import Any

import tensorflow as tf

from jaxuda.data.classes import labels
from jaxuda.data.pixels import aspect
from jaxuda.data.pixels import depth_codes
from jaxuda.data.pixels import transforms

Example = dict[str, tf.Tensor]


def size_for_training(
  example: Example, domain: Any, code: depth_codes.DepthCode
) -> Example:
  """Resizes the fields of a training example to the network's size.

  Args:
    example: some of 'image' uint8 [H, W, 3], 'label' [H, W] and raw 'depth'
      uint16 [h, w], with 'depth_factor' if the code requires one, and with
      'image_size' int32 [2], (height, width) of the image over which depth is
      stretched; without it, its own.
    domain: a `records.domain.Domain`, whose size and settings apply.
    code: how raw depth is encoded.

  Returns:
    The fields at [height, width]; 'depth' is float32 in metres and comes with
    'depth_valid' bool.
  """
  out = {}
  if 'image' in example:
    out['image'] = _size_image(example['image'], domain)
  if 'label' in example:
    label = example['label']
    # Labels in a folder were made at the network's size, with its padding.
    size = domain.size if domain.label_dir else _fit(tf.shape(label), domain)
    resized = transforms.resize_label(label, size)
    out['label'] = _pad(resized, domain.size, fill=labels.IGNORE)
  if 'depth' in example:
    # The network that made the map may have seen another aspect ratio.
    shape = example.get('image_size', tf.shape(example['depth']))
    size = _fit(shape, domain)
    out |= _measure(example, domain, code, size=size, padded=domain.size)
  return out


def _size_image(image, domain):
  resized = transforms.resize_image(
    image, _fit(tf.shape(image), domain), method=domain.image_resize
  )
  return _pad(resized, domain.size)


def size_for_score(
  example: Example,
  domain: Any,
  code: depth_codes.DepthCode,
  *,
  whole_images: bool = False,
) -> Example:
  """Resizes an evaluation example.

  The image is resized to the network's size, depth to the label's. A label
  keeps its size; with `fit='pad'` it is padded to the network's aspect ratio,
  so that logits cover both; with `eval_labels='input'` it is resized to the
  network's size, as in DepDis.

  Args:
    example: 'name', 'image', and possibly 'label', which may be accompanied by
      'depth' and 'depth_factor'.
    domain: a `records.domain.Domain`, whose sizes and settings apply.
    code: how raw depth is encoded.
    whole_images: whether images keep their own size, apart from padding.

  Returns:
    The example, with 'depth' in metres and 'depth_valid'.
  """
  if 'label' not in example:
    # Depth is left out, too: the label would determine its size.
    out = {}
  elif domain.eval_labels == 'input':
    out = size_for_training(example, domain, code)
  else:
    label, whole = example['label'], _surround(example['label'], domain)
    out = {'label': _pad(label, whole, fill=labels.IGNORE)}
    if 'depth' in example:
      out |= _measure(example, domain, code, size=tf.shape(label), padded=whole)
  if whole_images:
    image = _pad(example['image'], _surround(example['image'], domain))
  else:
    image = _size_image(example['image'], domain)
  return {'name': example['name'], **out, 'image': image}


def _measure(example, domain, code, *, size, padded):
  """Returns depth, resized and padded, as fields of an example."""
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
  return {
    'depth': _pad(metres, padded, fill=depth_codes.FAR),
    'depth_valid': _pad(valid, padded, fill=False),
  }


def _fit(shape, domain):
  """Returns the size that a picture of a shape has before it is padded."""
  if domain.fit == 'stretch':
    return domain.size
  return tf.stack(
    aspect.fit_size((shape[0], shape[1]), domain.size, smaller=tf.minimum)
  )


def _surround(values, domain):
  """Returns the size to pad a picture to at its own scale, or None."""
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
