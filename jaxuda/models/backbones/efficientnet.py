"""EfficientNet-Lite as a backbone, output stride 8, 16 or 32.

Tan & Le, ICML 2019, in the variant for phones (TensorFlow, 2020): no
squeeze-excitation, ReLU6 instead of swish, and a stem that does not grow. The
blocks are inverted bottlenecks (Sandler et al., CVPR 2018) of a 1x1 expansion,
a depthwise convolution and a linear 1x1 projection.
"""

from collections.abc import Sequence
import dataclasses
import functools
import itertools
import operator
from typing import Any, NamedTuple

from flax import linen as nn
import jax
import jax.numpy as jnp

from jaxuda.models import layers
from jaxuda.models import lowering

# Epsilon of all norms, as in training: some channels hardly vary, so that 1e-5
# changes the outputs.
EPSILON = 1e-3


class Stage(NamedTuple):
  """Blocks of the same width.

  Attributes:
    blocks: number of blocks.
    kernel: side of the depthwise kernels.
    stride: stride of the first block.
    expansion: width inside a block divided by its input's.
    channels: output channels.
  """

  blocks: int
  kernel: int
  stride: int
  expansion: int
  channels: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class Size:
  """Depth and width of a backbone.

  Attributes:
    stem: channels of the first convolution.
    stages: the stages in order, seven as published.
    maps: the stages whose outputs are returned, counted from 0: the last before
      each stride from the third on, and the last of all.
  """

  stem: int
  stages: Sequence[Stage]
  maps: Sequence[int] = (1, 2, 4, 6)


SIZES = {
  'efficientnet_lite0': Size(
    stem=32,
    stages=(
      Stage(1, 3, 1, 1, 16),
      Stage(2, 3, 2, 6, 24),
      Stage(2, 5, 2, 6, 40),
      Stage(3, 3, 2, 6, 80),
      Stage(3, 5, 1, 6, 112),
      Stage(4, 5, 2, 6, 192),
      Stage(1, 3, 1, 6, 320),
    ),
  ),
  # For tests: compiles in seconds, learns nothing useful.
  'efficientnet_tiny': Size(
    stem=4,
    stages=(
      Stage(1, 3, 2, 1, 4),
      Stage(1, 5, 2, 2, 8),
      Stage(2, 3, 2, 1, 12),
      Stage(1, 3, 2, 1, 16),
    ),
    maps=(0, 1, 3),
  ),
}


class Block(nn.Module):
  """1x1 (wider), depthwise, 1x1 (narrower, linear), and the skip.

  The skip exists only where neither size nor channels change.
  """

  channels: int
  expansion: int
  kernel: int
  stride: int
  dilation: int
  conv: Any
  depthwise: Any
  norm: Any
  barriers: bool

  @nn.compact
  def __call__(self, x: jax.Array, train: bool) -> jax.Array:
    y = x
    if self.expansion > 1:
      wide = self.expansion * x.shape[-1]
      y = self.conv(wide, 1, name='expand_conv')(y)
      y = nn.relu6(self.norm(name='bn0')(y, train=train))
    y = self.depthwise(
      self.kernel,
      stride=self.stride,
      dilation=self.dilation,
      name='depthwise_conv',
    )(y)
    y = nn.relu6(self.norm(name='bn1')(y, train=train))
    y = self.conv(self.channels, 1, name='project_conv')(y)
    y = self.norm(name='bn2')(y, train=train)
    if self.stride == 1 and x.shape == y.shape:
      y = x + y
    return lowering.hold(y) if self.barriers else y


class EfficientNet(nn.Module):
  """Backbone: image [B, H, W, 3] -> features at 1 / `output_stride`.

  Returns four maps for 'efficientnet_lite0': the outputs of the second, third,
  fifth and last of the seven stages, with 24, 40, 112 and 320 channels, and
  h = ceil(H / s) for each of the strides s, see `strides`.

  Padding is XLA's 'SAME'. Where H - 1 is a multiple of s, features lie on every
  s-th pixel from the first to the last, as `resize_align_corners` assumes;
  where H itself is one, they lie on the pixels s - 1, 2 s - 1, ..., H - 1.

  Attributes:
    size: name of an entry of `SIZES`.
    output_stride: 32, the network's own; at 16 and 8 the last one or two
      strides are 1, and the depthwise kernels after them are dilated instead.
    norm: mode of the batch norms, see `layers.BatchNorm`.
    train_affine: whether the norms' scale and bias are trained.
    momentum: momentum of the norms, see `layers.BatchNorm`; 0.01 in the
      original.
    remat: recompute each block in the backward pass instead of keeping it.
    style: see `layers.Style`.
  """

  size: str = 'efficientnet_lite0'
  output_stride: int = 8
  norm: str = 'batch'
  train_affine: bool = False
  momentum: float = 0.1
  remat: bool = False
  style: layers.Style = layers.Style()

  @nn.compact
  def __call__(self, image: jax.Array, *, train: bool) -> tuple[jax.Array, ...]:
    size, style = SIZES[self.size], self.style
    norm = functools.partial(
      layers.BatchNorm,
      mode=self.norm,
      train_affine=self.train_affine,
      epsilon=EPSILON,
      momentum=self.momentum,
      style=style,
    )
    block = nn.remat(Block, static_argnums=(2,)) if self.remat else Block
    block = functools.partial(
      block,
      conv=functools.partial(layers.Conv, style=style),
      depthwise=functools.partial(layers.DepthwiseConv, style=style),
      norm=norm,
      barriers=style.rewrites.is_on('barriers'),
    )
    around = layers.same_padding(image.shape[1:3], 3, stride=2)
    x = jnp.pad(image, ((0, 0), *around, (0, 0)))
    x = layers.Conv(
      size.stem, 3, stride=2, padding=0, style=style, name='conv_stem'
    )(x)
    x = nn.relu6(norm(name='bn0')(x, train=train))
    stages = []
    for stage, plan in zip(size.stages, self._plan(), strict=True):
      for index, stride, dilation in plan:
        x = block(
          channels=stage.channels,
          expansion=stage.expansion,
          kernel=stage.kernel,
          stride=stride,
          dilation=dilation,
          name=f'block{index}',
        )(x, train)
      stages.append(x)
    return tuple(stages[i] for i in size.maps)

  def _plan(self):
    """(index, stride, dilation) of every block, stage by stage."""
    plan, index, reached, dilation = [], 0, 2, 1
    for stage in SIZES[self.size].stages:
      stride, wider = stage.stride, 1
      if reached * stride > self.output_stride:
        stride, wider = 1, stage.stride
      reached *= stride
      # The first block is where the stride was: it still has the dilation of
      # the blocks before it.
      first = (index, stride, dilation)
      dilation *= wider
      rest = range(index + 1, index + stage.blocks)
      plan.append([first, *((i, 1, dilation) for i in rest)])
      index += stage.blocks
    return plan


def strides(name: str, output_stride: int) -> tuple[int, ...]:
  """Returns the strides of the maps of the size `name`.

  The network's own strides, up to 32, are limited to `output_stride`.
  """
  size = SIZES[name]
  own = itertools.accumulate((x.stride for x in size.stages), operator.mul)
  own = [2 * stride for stride in own]  # The stem's.
  return tuple(min(own[i], output_stride) for i in size.maps)
