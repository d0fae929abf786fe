"""MiT, the encoder of SegFormer (Xie et al., NeurIPS 2021), as a backbone.

A transformer in four stages without position embedding. Patches overlap
(section 3.1), keys and values come from a coarser grid than queries ("efficient
self-attention", eqs. 1 and 2), and a depthwise convolution in the feed-forward
network tells where a pixel is ("Mix-FFN", eq. 3). Built from the paper; outputs
and gradients agree with those of `transformers.SegformerModel`.
"""

from collections.abc import Sequence
import dataclasses
import functools

from flax import linen as nn
import jax
import jax.numpy as jnp

from jaxuda.models import layers
from jaxuda.models import lowering
from jaxuda.models.backbones import attention

# Epsilon of the norms of blocks and stages; those after a strided convolution
# have PyTorch's.
_EPSILON = 1e-6
_EMBED_EPSILON = 1e-5
# Strides of the four maps.
STRIDES = (4, 8, 16, 32)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Size:
  """Depth and width of a backbone; each field is by stage.

  Attributes:
    blocks: transformer blocks.
    channels: width of the stage, and of its map.
    heads: heads of attention, of 32 or 64 channels each as published.
    reductions: side of the square of pixels that is one key and value.
    expansion: width inside a feed-forward network divided by the stage's.
  """

  blocks: Sequence[int]
  channels: Sequence[int] = (64, 128, 320, 512)
  heads: Sequence[int] = (1, 2, 5, 8)
  reductions: Sequence[int] = (8, 4, 2, 1)
  expansion: int = 4


SIZES = {
  'mit_b0': Size(blocks=(2, 2, 2, 2), channels=(32, 64, 160, 256)),
  'mit_b1': Size(blocks=(2, 2, 2, 2)),
  'mit_b2': Size(blocks=(3, 4, 6, 3)),
  'mit_b3': Size(blocks=(3, 4, 18, 3)),
  'mit_b4': Size(blocks=(3, 8, 27, 3)),
  'mit_b5': Size(blocks=(3, 6, 40, 3)),
  # For tests: compiles in seconds, learns nothing useful.
  'mit_tiny': Size(
    blocks=(1, 1, 1, 1),
    channels=(4, 8, 8, 16),
    heads=(1, 2, 2, 4),
    expansion=2,
  ),
}


class Embedding(nn.Module):
  """Overlapping patches: a strided convolution and a norm.

  Padded by half the kernel: [B, H, W, K] -> [B, h, w, channels], h =
  ceil(H / stride).
  """

  channels: int
  kernel: int
  stride: int
  style: layers.Style = layers.Style()

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    y = layers.Conv(
      self.channels,
      self.kernel,
      stride=self.stride,
      padding=self.kernel // 2,
      use_bias=True,
      style=self.style,
      name='conv',
    )(x)
    return layers.layer_norm(self.style, _EMBED_EPSILON, 'norm')(y)


class Attention(nn.Module):
  """Multi-head attention of all pixels to squares of pixels (eqs. 1 and 2).

  [B, h, w, C] -> the same. Each `reduction` x `reduction` square gives one key
  and one value, by a convolution of that stride, which ignores incomplete
  squares at the ends, and a norm. A map smaller than one square is padded with
  zeros.
  """

  heads: int
  reduction: int = 1
  style: layers.Style = layers.Style()

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    batch, height, width, channels = x.shape
    linear = functools.partial(
      layers.Conv, channels, 1, use_bias=True, style=self.style
    )
    seen, side = x, self.reduction
    if side > 1:
      pads = [(0, max(side - n, 0)) for n in (height, width)]
      seen = jnp.pad(x, ((0, 0), *pads, (0, 0))) if any(map(sum, pads)) else x
      seen = layers.Conv(
        channels,
        side,
        stride=side,
        padding=0,
        use_bias=True,
        style=self.style,
        name='reduce',
      )(seen)
      seen = layers.layer_norm(self.style, _EMBED_EPSILON, 'reduce_norm')(seen)
    query, key, value = (
      linear(name=name)(y).reshape(
        batch, -1, self.heads, channels // self.heads
      )
      for name, y in (('query', x), ('key', seen), ('value', seen))
    )
    y = attention.attend(query, key, value)
    return linear(name='project')(y.reshape(x.shape))


class MixFfn(nn.Module):
  """1x1 (wider), a depthwise 3x3 convolution, GELU, 1x1 (eq. 3)."""

  expansion: int
  style: layers.Style = layers.Style()

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    conv = functools.partial(layers.Conv, use_bias=True, style=self.style)
    y = conv(self.expansion * x.shape[-1], 1, name='fc1')(x)
    y = layers.DepthwiseConv(
      3, use_bias=True, style=self.style, name='depthwise_conv'
    )(y)
    return conv(x.shape[-1], 1, name='fc2')(nn.gelu(y, approximate=False))


class Block(nn.Module):
  """Attention and Mix-FFN, each after a norm and each added to its input.

  Attributes:
    heads: see `Attention`.
    reduction: side of the squares, see `Attention`.
    expansion: see `MixFfn`.
    drop: probability that an image skips a branch in training (stochastic
      depth; Huang et al., ECCV 2016); kept branches are divided by 1 - drop.
    style: see `layers.Style`.
  """

  heads: int
  reduction: int
  expansion: int
  drop: float = 0.0
  style: layers.Style = layers.Style()

  @nn.compact
  def __call__(self, x: jax.Array, train: bool) -> jax.Array:
    norm = functools.partial(layers.layer_norm, self.style, _EPSILON)
    y = Attention(
      self.heads, self.reduction, style=self.style, name='attention'
    )(norm('norm1')(x))
    x = x + self._drop(y, train)
    y = MixFfn(self.expansion, style=self.style, name='mlp')(norm('norm2')(x))
    x = x + self._drop(y, train)
    held = self.style.rewrites.is_on('barriers')
    return lowering.hold(x) if held else x

  def _drop(self, y, train):
    # Per image; a pass without random numbers drops nothing.
    off = not train or not self.has_rng('dropout')
    return nn.Dropout(self.drop, broadcast_dims=(1, 2, 3), deterministic=off)(y)


class Mit(nn.Module):
  """Backbone: image [B, H, W, 3] -> the four stages' maps.

  They have the strides `STRIDES` and the channels of the size; 512x1024 ->
  128x256, 64x128, 32x64, 16x32. Each side of a map is ceil(H / stride). A
  training pass draws random numbers from the stream 'dropout'; without it there
  is no stochastic depth.

  Attributes:
    size: a `Size`, or the name of an entry of `SIZES`.
    stochastic_depth: that of the last block, rising from 0 at the first, see
      `Block.drop`.
    remat: recompute each block in the backward pass instead of keeping it.
    style: see `layers.Style`.
  """

  size: str | Size = 'mit_b5'
  stochastic_depth: float = 0.1
  remat: bool = False
  style: layers.Style = layers.Style()

  @nn.compact
  def __call__(self, image: jax.Array, *, train: bool) -> tuple[jax.Array, ...]:
    size = SIZES[self.size] if isinstance(self.size, str) else self.size
    block = nn.remat(Block, static_argnums=(2,)) if self.remat else Block
    last = max(sum(size.blocks) - 1, 1)
    x, maps, before = image, [], 0
    for stage, count in enumerate(size.blocks):
      kernel, stride = (7, 4) if stage == 0 else (3, 2)
      name = f'stage{stage + 1}'
      x = Embedding(
        size.channels[stage],
        kernel,
        stride,
        style=self.style,
        name=f'{name}_embed',
      )(x)
      for index in range(count):
        x = block(
          heads=size.heads[stage],
          reduction=size.reductions[stage],
          expansion=size.expansion,
          drop=self.stochastic_depth * (before + index) / last,
          style=self.style,
          name=f'{name}_block{index}',
        )(x, train)
      before += count
      x = layers.layer_norm(self.style, _EPSILON, f'{name}_norm')(x)
      maps.append(x)
    return tuple(maps)
