"""HRDA: any segmentation network, at two resolutions.

Hoyer, Dai and Van Gool, ECCV 2022, "HRDA: Context-Aware High-Resolution
Domain-Adaptive Semantic Segmentation" (https://arxiv.org/abs/2204.13132). One
network sees the whole image at low resolution, the context, and a part of it at
high resolution, the detail. A scale attention, computed from the context's
features, tells for every pixel and every class how far to trust the detail.

A training pass with random numbers (the stream 'dropout') draws one part for
all images of a device. Any other pass, that of a teacher or for a prediction,
covers the whole image with windows of the part's size, which overlap unless
`Options.detail_overlap` is False. For an image larger than `Options.window`, a
prediction does all this in windows of that size.
"""

from collections.abc import Sequence
import functools
import itertools
from typing import Any

from flax import linen as nn
import jax
import jax.numpy as jnp

from jaxuda.models import deeplab
from jaxuda.models import heads
from jaxuda.models import layers
from jaxuda.ops import image as image_ops
from jaxuda.ops import resize


def wrap(network: nn.Module) -> nn.Module:
  """Returns a network, wrapped in `Hrda` if its options ask for it."""
  two = network.options.resolutions == 'hrda'
  return Hrda(inner=network) if two else network


def fuse(
  context: jax.Array,
  detail: jax.Array,
  attention: jax.Array,
  *,
  align_corners: bool,
) -> jax.Array:
  """Fuses the logits of two resolutions: up((1 - a) context) + up(a) detail.

  Args:
    context: [B, h, w, C].
    detail: [B, H, W, C], 0 where the detail was not seen.
    attention: [B, h, w, C] or [B, h, w, 1] in 0..1, 0 there, too.
    align_corners: how maps are enlarged, see `resize.resize_maps`.

  Returns:
    [B, H, W, C].

  Example:
    1/4 of the detail's 8 and 3/4 of the context's 4:

    >>> logits = jnp.full((1, 1, 1, 1), 4.0)
    >>> print(fuse(logits, 2 * logits, logits / 16, align_corners=False).sum())
    5.0
  """
  size = detail.shape[1:3]
  enlarge = functools.partial(
    resize.resize_maps, size=size, align_corners=align_corners
  )
  return enlarge((1 - attention) * context) + enlarge(attention) * detail


class ScaleAttention(nn.Module):
  """A light DAFormer head: how far to trust the detail, in 0..1.

  Each map [B, h_i, w_i, K_i] is projected to `width` channels (1x1 with bias)
  and resized to the first with half-pixel centres; from all of them a 1x1
  convolution, a norm, a ReLU, dropout, a 1x1 convolution and a sigmoid compute
  [B, h_0, w_0, features].

  Attributes:
    features: output channels.
    width: channels inside, 256 in HRDA.
    norm: the batch norm, trained.
    dropout: see `heads.Classifier`.
    style: see `layers.Style`.
  """

  features: int
  width: int
  norm: Any
  dropout: float = 0.1
  style: layers.Style = layers.Style()

  @nn.compact
  def __call__(self, maps: Sequence[jax.Array], *, train: bool) -> jax.Array:
    conv = functools.partial(layers.Conv, self.width, style=self.style)
    style = layers.before_norm(self.style)
    y = conv(1, style=style, name='fuse')(heads.embed(conv, maps))
    y = nn.relu(self.norm(name='fuse_bn')(y, train=train))
    y = heads.Classifier(
      self.features, dropout=self.dropout, style=self.style, name='classifier'
    )(y, train=train)
    return nn.sigmoid(layers.widen(y))


class Hrda(nn.Module):
  """A network at two resolutions; its parameters are the network's own.

  In addition there are those of 'scale_attention'. Norms see two batches in a
  training pass: the contexts, then the details.

  Attributes:
    inner: a network that can return its backbone's maps, such as `DeepLab` or
      `CorDA`; both resolutions share it. See `Options` for the rest.
  """

  inner: nn.Module

  @property
  def options(self) -> deeplab.Options:
    """Options of the network."""
    return self.inner.options

  @property
  def classes(self) -> int:
    """Number of classes C."""
    return self.inner.classes

  def setup(self) -> None:
    """Builds the attention in addition to the network's own modules."""
    nn.share_scope(self, self.inner)
    o = self.options
    if o.scale_attention != 'fixed':
      self.scale_attention = ScaleAttention(
        self.classes if o.scale_attention == 'classes' else 1,
        o.decoder_width,
        deeplab.head_norm(o),
        dropout=o.dropout,
        style=o.style,
      )

  def __call__(
    self, image: jax.Array, *, train: bool = False
  ) -> dict[str, jax.Array]:
    """Returns low-resolution outputs; called like `DeepLab`.

    Args:
      image: [B, H, W, 3] RGB in 0..255; H and W are whole numbers of cells, see
        `Options.cell`.
      train: see `DeepLab.__call__`.

    Returns:
      The network's outputs for the context: depth, initial heads. Its 'logits'
      are replaced by those fused from both resolutions, at the network's
      resolution for the full-size image, or at that of the image if it was
      predicted in windows. If a part was drawn, 'detail' holds its 'logits'
      [B, h, w, C] and its 'box', int32 [2], (top, left) in pixels.

    Raises:
      UserError: H or W is not a whole number of cells.
    """
    o, size = self.options, image.shape[1:3]
    o.check_sides(size, 'the size of an image')
    window = [min(pair) for pair in zip(size, o.window, strict=True)]
    if train or window == list(size):
      return self._look(image, train)
    places = self._places(size, window)
    outputs = self._look(image_ops.cut_windows(image, places, window), train)
    return {
      k: image_ops.average_windows(self._enlarge(x, window), places, size)
      for k, x in outputs.items()
    }

  def _look(self, image, train):
    """The outputs of images that are no larger than those of training."""
    o, size = self.options, image.shape[1:3]
    outputs = self.inner(
      deeplab.shrink_context(o, image), train=train, maps=True
    )
    maps, context = outputs.pop('maps'), outputs.pop('logits')
    attention = self._attend(maps, context, train)
    drawn, seen = train and self.has_rng('dropout'), {}
    if drawn:
      detail, inside, seen = self._draw(image, context.shape[1:3], train)
      attention = attention * inside
    else:
      detail = self._slide(image, train)
    corners = o.align_corners
    logits = fuse(context, detail, attention, align_corners=corners)
    assert logits.shape[1:3] == o.grid_size(size)
    return {**outputs, **seen, 'logits': logits}

  def _attend(self, maps, context, train):
    """The attention at the size of the context's logits."""
    if self.options.scale_attention == 'fixed':
      return jnp.full((1, *context.shape[1:3], 1), 0.5, context.dtype)
    attention = self.scale_attention(maps, train=train)
    return self._enlarge(attention, context.shape[1:3])

  def _draw(self, image, grid, train):
    """Logits of a part, zeros around it; its mask on the context's grid."""
    o, size = self.options, image.shape[1:3]
    crop, cell = self._crop(size), int(o.cell)
    key = self.make_rng('dropout')
    box = image_ops.draw_box(key, size, crop, step=cell)
    part = image_ops.cut_box(image, box, crop)
    logits = self.inner(part, train=train)['logits']
    full = o.grid_size(size)
    place = box // round(o.cell * o.context_scale)
    detail = image_ops.insert_box(logits, place, full)
    small = o.grid_size([round(side * o.context_scale) for side in crop])
    inside = jnp.ones((1, *small, 1), logits.dtype)
    inside = image_ops.insert_box(inside, box // cell, grid)
    return detail, inside, {'detail': {'logits': logits, 'box': box}}

  def _slide(self, image, train):
    """Logits of all parts, averaged where they overlap."""
    o, size = self.options, image.shape[1:3]
    crop = self._crop(size)
    places = self._places(size, crop, overlap=o.detail_overlap)
    parts = image_ops.cut_windows(image, places, crop)
    logits = self.inner(parts, train=train)['logits']
    stride = round(o.cell * o.context_scale)
    places = [(top // stride, left // stride) for top, left in places]
    return image_ops.average_windows(logits, places, o.grid_size(size))

  def _crop(self, size):
    return [min(x) for x in zip(size, self.options.detail_crop, strict=True)]

  def _places(self, size, window, *, overlap=True):
    """Places of windows, half of one apart or side by side, in whole cells."""
    cell, share = int(self.options.cell), 2 if overlap else 1
    starts = [
      image_ops.window_starts(side, part, max(part // share // cell, 1) * cell)
      for side, part in zip(size, window, strict=True)
    ]
    return list(itertools.product(*starts))

  def _enlarge(self, x, size):
    corners = self.options.align_corners
    return resize.resize_maps(x, size, align_corners=corners)
