"""Self-training on mixed images, introduced by DACS and adopted by CorDA."""

from collections.abc import Mapping, Sequence
import dataclasses
import math
from typing import Literal

import jax
from jax import lax
import jax.numpy as jnp

from jaxuda import errors
from jaxuda.ops import augment
from jaxuda.ops import classmix
from jaxuda.ops import pseudo_label


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
  """Teacher, pseudo-labels, ClassMix and augmentation (`config.mixing`).

  Attributes:
    alpha: largest decay of the teacher's average, 0..1; 0.99 in DACS, 0.999 in
      CorDA.
    count_initial: whether the teacher, which is the plain mean of all students
      so far until it reaches that decay, also counts the one before the first
      step, as in DAFormer's code. False in DACS and CorDA.
    weight: weighting of pseudo-labels: 'batch', 'pixel' or 'none', see
      `pseudo_label.pseudo_weight`; or 'oracle': 1 where they are right, 0 where
      they are wrong or the target has no label. The oracle reads the target's
      labels: it shows how much any weighting could gain and is not a method of
      adaptation.
    threshold: probability from which a pseudo-label counts as confident, 0..1.
    margins: (top, bottom, left, right) rows and columns in pixels whose
      pseudo-labels have no weight; (15, 120, 0, 0) in DAFormer at 512x512, for
      the edges of the rectified image and the car's bonnet; none in DACS and
      CorDA.
    margins_of: what the margins belong to: the 'crop' that is trained on, or
      the whole 'image' that it is cut from, as in HRDA, with (30, 240, 30, 30)
      at 1024x2048.
    start_step: first step at which pseudo-labels have a weight; 0 in the
      papers, which start from ImageNet or COCO. A network trained from scratch
      has to learn something first.
    classes_of: which classes the pasted half is drawn from: the image's own
      ('image'), or those of all source images together ('batch'), as in
      DAFormer's code, so that more or fewer than half of an image's own may be
      pasted.
    with_void: whether unlabelled pixels count as a class in ClassMix.
    jitter: 'kornia0.4', 'standard' or 'none', see `augment.apply_jitter`.
    jitter_strength: see `augment.draw_jitter`, 0..1.
    jitter_probability: probability that a batch is jittered, each image in an
      order and by factors of its own, 0..1.
    blur_sigma: lowest and highest standard deviation of the blur, pixels, > 0.
    blur_probability: probability that a batch is blurred, 0..1.
  """

  alpha: float = 0.99
  count_initial: bool = False
  weight: Literal['batch', 'pixel', 'none', 'oracle'] = 'batch'
  threshold: float = 0.968
  margins: Sequence[int] = (0, 0, 0, 0)
  margins_of: Literal['crop', 'image'] = 'crop'
  start_step: int = 0
  classes_of: Literal['image', 'batch'] = 'image'
  with_void: bool = True
  jitter: Literal['kornia0.4', 'standard', 'none'] = 'kornia0.4'
  jitter_strength: float = 0.25
  jitter_probability: float = 0.8
  blur_sigma: Sequence[float] = (0.15, 1.15)
  blur_probability: float = 0.5

  def __post_init__(self):
    # A list (from a config file) would make the options unhashable.
    object.__setattr__(self, 'blur_sigma', tuple(self.blur_sigma))
    object.__setattr__(self, 'margins', tuple(self.margins))
    errors.check_choices(self, group='mixing')
    shares = (
      *('alpha', 'threshold', 'jitter_strength', 'jitter_probability'),
      'blur_probability',
    )
    errors.check_ranges(self, dict.fromkeys(shares, (0, 1)), group='mixing')
    low, *high = self.blur_sigma
    if len(high) != 1 or not 0 < low <= high[0]:
      raise errors.UserError(
        f'mixing.blur_sigma={self.blur_sigma}; expected (lowest, highest) > 0'
      )
    if len(self.margins) != 4 or min(self.margins) < 0:
      raise errors.UserError(
        f'mixing.margins={self.margins}; expected (top, bottom, left, right)'
        ' pixels, at least 0'
      )

  @property
  def target_fields(self) -> tuple[str, ...]:
    """What target examples need in addition to the image.

    'label' for the oracle, 'place' for margins of the image.
    """
    label = ('label',) if self.weight == 'oracle' else ()
    placed = any(self.margins) and self.margins_of == 'image'
    return (*label, *(('place',) if placed else ()))


def label_target(
  logits: jax.Array,
  *,
  step: jax.Array,
  options: Options,
  truth: jax.Array | None = None,
  place: jax.Array | None = None,
  axis: str | None = None,
) -> tuple[jax.Array, jax.Array]:
  """Makes pseudo-labels and their weights.

  Args:
    logits: [B, H, W, C], the teacher's output.
    step: scalar int, the number of steps taken.
    options: see `Options`.
    truth: int [B, H, W], true labels, 255 = none; read by the oracle alone.
    place: int [B, 5], where the images were cut from larger ones, see
      `data.pipeline`; for margins of the larger ones.
    axis: name of the mapped axis over which the batch extends, or None.

  Returns:
    (int32 [B, H, W], weights [B, H, W] in 0..1).

  Example:
    One pixel of two reaches the threshold:

    >>> logits = jnp.log(jnp.array([[[[0.1, 0.9], [0.6, 0.4]]]]))
    >>> print(*label_target(logits, step=0, options=Options(threshold=0.8)))
    [[[1 0]]] [[[0.5 0.5]]]
  """
  label, confidence = pseudo_label.pseudo_label(logits)
  if options.weight == 'oracle':
    weight = (label == truth).astype(confidence.dtype)
  else:
    weight = pseudo_label.pseudo_weight(
      confidence, mode=options.weight, threshold=options.threshold, axis=axis
    )
  if options.start_step:
    weight = jnp.where(step < options.start_step, 0, weight)
  if any(options.margins):
    if options.margins_of == 'crop':
      place = jnp.array([[0, 0, 0, *weight.shape[1:]]])
    weight = weight * _inner(weight.shape[1:], options.margins, place)
  return label, weight


def _inner(size, margins, place):
  """Returns bool [B, H, W], False in the margins of the uncropped images."""
  top, bottom, left, right = margins
  first, start, mirrored, height, width = (place[:, i, None] for i in range(5))
  rows, columns = (jnp.arange(side)[None] for side in size)
  rows = first + rows
  columns = start + jnp.where(mirrored, size[1] - 1 - columns, columns)
  down = (rows >= top) & (rows < height - bottom)
  across = (columns >= left) & (columns < width - right)
  return down[:, :, None] & across[:, None, :]


def mix(
  key: jax.Array,
  source: Mapping[str, jax.Array],
  target: Mapping[str, jax.Array],
  *,
  classes: int,
  options: Options,
  axis: str | None = None,
) -> dict[str, jax.Array]:
  """Pastes half of source image i's classes onto target image i, and augments.

  The draws for an image depend on its number in the batch over all devices, so
  a batch is mixed in the same way on any number of devices.

  Args:
    key: typed key of the step, the same on every device.
    source: 'image' [B, H, W, 3] RGB in 0..255, 'label' int [B, H, W], and all
      other fields of the target.
    target: the same fields; its 'label' holds pseudo-labels.
    classes: the number of classes C.
    options: see `Options`.
    axis: name of the mapped axis over which the batch extends, or None.

  Returns:
    The target's fields, mixed, and 'mask' bool [B, H, W], True for the source's
    pixels. The image is float, jittered and blurred.

  Raises:
    UserError: the two sizes differ.

  Example:
    One of the source's two classes is pasted:

    >>> label, image = jnp.array([[[0, 0, 1, 1]]]), jnp.ones((1, 1, 4, 3))
    >>> source = {'label': label, 'image': image}
    >>> target = {'label': 0 * label, 'image': 0 * image}
    >>> plain = Options(jitter='none', blur_probability=0.0)
    >>> mixed = mix(jax.random.key(0), source, target, classes=2, options=plain)
    >>> print(mixed['mask'].mean(), mixed['image'].mean())
    0.5 0.5
  """
  sizes = source['image'].shape, target['image'].shape
  if sizes[0] != sizes[1]:
    a, b = ('x'.join(map(str, size[1:3])) for size in sizes)
    raise errors.UserError(
      f'ClassMix pastes source images of {a} onto target images of {b};'
      ' expected one size: set config.data.source.crop and .target.crop'
    )
  index = number_images(sizes[0][0], axis=axis)
  mix_key, augment_key = jax.random.split(key)
  keys = jax.vmap(lambda i: jax.random.fold_in(mix_key, i))(index)

  def mask_of(image_key, label):
    own = options.classes_of == 'image'
    chosen = classmix.draw_classes(
      image_key,
      label if own else source['label'],
      classes=classes,
      with_void=options.with_void,
      axis=None if own else axis,
    )
    return classmix.paste_mask(chosen, label)

  mask = jax.vmap(mask_of)(keys, source['label'])
  mixed = paste(mask, source, target)
  mixed['image'] = augment_images(augment_key, mixed['image'], index, options)
  return mixed


def number_images(count: int, *, axis: str | None = None) -> jax.Array:
  """Returns int [count], the images' numbers in the batch over all devices.

  Args:
    count: number of images on this device.
    axis: name of the mapped axis over which the batch extends, or None.

  Example:
    >>> print(number_images(3))
    [0 1 2]
  """
  index = jnp.arange(count)
  return index if axis is None else index + count * lax.axis_index(axis)


def paste(
  mask: jax.Array,
  source: Mapping[str, jax.Array],
  target: Mapping[str, jax.Array],
) -> dict[str, jax.Array]:
  """Takes every field from the target, or the source where the mask is set.

  Args:
    mask: bool [B, H, W].
    source: maps [B, H, W, ...], at least those of the target.
    target: maps [B, H, W, ...].

  Returns:
    The target's fields, mixed, and 'mask'. The image is float32 or better.

  Example:
    >>> mask = jnp.array([[[True, False]]])
    >>> source, target = jnp.array([[[1, 2]]]), jnp.array([[[3, 4]]])
    >>> print(paste(mask, {'label': source}, {'label': target})['label'])
    [[[1 4]]]
  """
  mixed = {'mask': mask}
  for name, onto in target.items():
    pasted = source[name]
    if name == 'image':
      wide = jnp.promote_types(onto.dtype, jnp.float32)
      pasted, onto = pasted.astype(wide), onto.astype(wide)
    where = mask.reshape(mask.shape + (1,) * (onto.ndim - mask.ndim))
    mixed[name] = jnp.where(where, pasted, onto)
  return mixed


def augment_images(
  key: jax.Array, image: jax.Array, index: jax.Array, options: Options
) -> jax.Array:
  """Jitters and blurs images; gates are drawn per batch, the rest per image.

  Args:
    key: typed key of the step, the same on every device.
    image: float [B, H, W, 3] RGB in 0..255.
    index: int [B], see `number_images`.
    options: see `Options`.

  Example:
    >>> plain = Options(jitter='none', blur_probability=0.0)
    >>> image, index = jnp.ones((1, 1, 1, 3)), number_images(1)
    >>> print(augment_images(jax.random.key(0), image, index, plain))
    [[[[1. 1. 1.]]]]
  """
  jitter_key, order_key, blur_key, *factor_keys = jax.random.split(key, 5)
  keys, order_keys = jax.vmap(
    lambda i: (
      [jax.random.fold_in(k, i) for k in factor_keys],
      jax.random.fold_in(order_key, i),
    )
  )(index)
  if options.jitter != 'none' and options.jitter_probability:
    order = jax.vmap(lambda k: jax.random.permutation(k, 4))(order_keys)
    factors = jax.vmap(
      lambda k: augment.draw_jitter(k, strength=options.jitter_strength)
    )(keys[0])
    factors = {k: v.astype(image.dtype) for k, v in factors.items()}
    image = lax.cond(
      jax.random.bernoulli(jitter_key, options.jitter_probability),
      lambda x: augment.apply_jitter(
        x, factors, order=order, mode=options.jitter
      ),
      lambda x: x,
      image,
    )
  if options.blur_probability:
    low, high = options.blur_sigma
    sigma = jax.vmap(lambda k: jax.random.uniform(k, minval=low, maxval=high))(
      keys[1]
    ).astype(image.dtype)
    # Beyond six sigma the weights are below the last bit of a float32.
    radii = [
      min(augment.blur_radius(side), math.ceil(6 * high))
      for side in image.shape[1:3]
    ]
    image = lax.cond(
      jax.random.bernoulli(blur_key, options.blur_probability),
      lambda x: augment.gaussian_blur(x, sigma, radii=radii),
      lambda x: x,
      image,
    )
  return image
