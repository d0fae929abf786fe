"""Depth Anything V1 and V2 (Yang et al., CVPR 2024 and NeurIPS 2024).

DINOv2 and the decoder of DPT (Ranftl et al., ICCV 2021): maps of four blocks
are reassembled at 4, 2, 1 and 1/2 times the grid of patches and fused from the
coarsest to the finest. V1 and V2 have the same layers; V1 takes the last four
blocks, V2 takes blocks spread over the network, and no key in a file tells
which.

What a network outputs:

* relative: inverse depth up to an unknown factor *and shift*, >= 0, 0 for far
  away. It has no unit, and the values of two images cannot be compared;
* metric (V2): depth along the optical axis in metres, in 0..20 for the indoor
  networks (Hypersim) and 0..80 for the outdoor ones (Virtual KITTI 2).

Licences of the weights, which are not that of this file:

| file | licence |
| --- | --- |
| Depth-Anything-V2-Small (-hf) | Apache-2.0 |
| Depth-Anything-V2-Base, -Large, -Giant (-hf) | CC-BY-NC-4.0 |
| Depth-Anything-V2-Metric-* | see the card of the file [1] |
| depth-anything-small (V1, -hf) | Apache-2.0 |
| depth-anything-base, -large (V1, -hf) | see the card of the file [2] |

[1] Those of Base and Large were fine-tuned from weights under CC-BY-NC-4.0.
[2] Do not take them for free weights until you have read it.
"""

from collections.abc import Sequence
import dataclasses
import functools
from typing import Any, Literal

from flax import linen as nn
import jax

from jaxuda import errors
from jaxuda.models import layers
from jaxuda.models.backbones import vit
from jaxuda.ops import resize

# Sides of the reassembled maps divided by that of the grid of patches.
_FACTORS = (4, 2, 1, 0.5)
# The shorter side that images are resized to, 37 patches.
SIDE = 518


@dataclasses.dataclass(frozen=True, kw_only=True)
class Size:
  """Widths of a decoder.

  Attributes:
    reassembled: channels of the four maps, finest first.
    fused: channels of the fusion; the head has half of them.
    head: channels before the last convolution.
    spread: the blocks that V2 takes, counted from 1; V1 takes the last four.
  """

  reassembled: Sequence[int]
  fused: int
  spread: Sequence[int]
  head: int = 32


SIZES = {
  'dinov2_s': Size(
    reassembled=(48, 96, 192, 384), fused=64, spread=(3, 6, 9, 12)
  ),
  'dinov2_b': Size(
    reassembled=(96, 192, 384, 768), fused=128, spread=(3, 6, 9, 12)
  ),
  'dinov2_l': Size(
    reassembled=(256, 512, 1024, 1024), fused=256, spread=(5, 12, 18, 24)
  ),
  # For tests. V1 and V2 are the same.
  'dinov2_tiny': Size(
    reassembled=(4, 6, 8, 10), fused=8, head=5, spread=(1, 2, 3, 4)
  ),
}


def default_taps(size: str, version: int) -> tuple[int, ...]:
  """Returns the blocks that a version, 1 or 2, takes its maps from."""
  if version == 2:
    return tuple(SIZES[size].spread)
  last = vit.size(size).blocks
  return tuple(range(last - 3, last + 1))


class Residual(nn.Module):
  """x + conv(relu(conv(relu(x)))), 3x3 with biases."""

  conv: Any

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    y = self.conv(x.shape[-1], 3, name='conv1')(nn.relu(x))
    return x + self.conv(x.shape[-1], 3, name='conv2')(nn.relu(y))


class Decoder(nn.Module):
  """Four maps [B, h, w, C] of the transformer -> [B, H, W], not activated yet.

  Attributes:
    size: see `Size`.
    image: (H, W) of the result.
    style: see `layers.Style`.
  """

  size: Size
  image: Sequence[int]
  style: layers.Style

  @nn.compact
  def __call__(self, maps: Sequence[jax.Array]) -> jax.Array:
    size, style = self.size, self.style
    conv = functools.partial(layers.Conv, use_bias=True, style=style)
    levels = []
    for i, (x, width, factor) in enumerate(
      zip(maps, size.reassembled, _FACTORS, strict=True)
    ):
      x = conv(width, 1, name=f'project{i}')(x)
      if factor > 1:
        x = layers.Enlarge(width, factor, style=style, name=f'resize{i}')(x)
      elif factor < 1:
        x = conv(width, 3, stride=2, name=f'resize{i}')(x)
      x = layers.Conv(size.fused, 3, style=style, name=f'level{i}')(x)
      levels.append(x)
    fused = self._fuse(levels, conv)
    y = conv(size.fused // 2, 3, name='head1')(fused)
    y = resize.resize_align_corners(y, self.image)
    y = nn.relu(conv(size.head, 3, name='head2')(y))
    return layers.widen(conv(1, 1, name='head3')(y)[..., 0])

  def _fuse(self, levels, conv):
    """Fuses maps from the coarsest to the finest, and doubles its sides."""
    x = None
    for i, level in enumerate(reversed(levels)):
      if x is None:
        x = level
      else:
        x = x + Residual(conv, name=f'fuse{i}_residual1')(level)
      x = Residual(conv, name=f'fuse{i}_residual2')(x)
      height, width = x.shape[1:3]
      finer = levels[::-1][i + 1 :]
      to = finer[0].shape[1:3] if finer else (2 * height, 2 * width)
      x = resize.resize_align_corners(x, to)
      x = conv(self.size.fused, 1, name=f'fuse{i}_project')(x)
    return x


class DepthAnything(nn.Module):
  """Normalised image [B, H, W, 3] -> [B, H, W], at least float32.

  Relative inverse depth or metres, see the top of this file. Published weights
  expect a shorter side of `SIDE` and both sides to be multiples of 14; other
  sides are padded, see `vit.ViT`, and the padding is cut off.

  Attributes:
    size: name of an entry of `SIZES`, and of `vit.SIZES`.
    taps: the four blocks whose maps are used, see `default_taps`; empty for
      V2's.
    metric: whether the output is metres.
    max_depth: the greatest depth in metres that a metric network can predict; a
      relative one does not use it.
    positions: see `vit.ViT`; 'offset' is Depth Anything's own code, 'size'
      Hugging Face's.
    mask_token: see `vit.ViT`.
    remat: see `vit.ViT`.
    style: see `layers.Style`.
  """

  size: str = 'dinov2_s'
  taps: Sequence[int] = ()
  metric: bool = False
  max_depth: float = 80.0
  positions: Literal['offset', 'size', 'antialias'] = 'offset'
  mask_token: bool = True
  remat: bool = False
  style: layers.Style = layers.Style(initializer='torch')

  @nn.compact
  def __call__(self, image: jax.Array, *, train: bool = False) -> jax.Array:
    """Returns the depth, see the class.

    Raises:
      UserError: the size is unknown, or the blocks are not four of its own.
    """
    vit.size(self.size)
    taps = tuple(self.taps) or default_taps(self.size, 2)
    if len(taps) != len(_FACTORS):
      raise errors.UserError(f'taps={taps}; expected four blocks')
    maps = vit.ViT(
      size=self.size,
      positions=self.positions,
      taps=taps,
      mask_token=self.mask_token,
      remat=self.remat,
      style=self.style,
      name='backbone',
    )(image, train=train)
    full = [vit.PATCH * side for side in maps[0].shape[1:3]]
    decoder = Decoder(SIZES[self.size], full, self.style, name='decoder')
    y = decoder(maps)[:, : image.shape[1], : image.shape[2]]
    return self.max_depth * nn.sigmoid(y) if self.metric else nn.relu(y)
