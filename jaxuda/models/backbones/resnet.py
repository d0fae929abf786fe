"""The ResNet of DeepLab-v2 in Caffe style, output stride 8.

The stride sits on the first 1x1 convolution of a block (torchvision has it on
the 3x3: `stride_at`), the stem's pooling is in ceil mode, stages 3 and 4 are
dilated by 2 and 4 in every block, and the batch norms' affine parameters are
frozen.
"""

from collections.abc import Sequence
import dataclasses
import functools
from typing import Any

from flax import linen as nn
import jax

from jaxuda import errors
from jaxuda.models import layers
from jaxuda.models import lowering


@dataclasses.dataclass(frozen=True, kw_only=True)
class Size:
  """Depth and width of a backbone.

  Attributes:
    blocks: bottlenecks per stage.
    planes: inner width per stage; a stage outputs `expansion` times that.
    stem: channels of the first convolution.
    expansion: output width divided by inner width.
  """

  blocks: Sequence[int]
  planes: Sequence[int] = (64, 128, 256, 512)
  stem: int = 64
  expansion: int = 4


SIZES = {
  'resnet101': Size(blocks=(3, 4, 23, 3)),
  'resnet50': Size(blocks=(3, 4, 6, 3)),
  # For tests: compiles in seconds, learns nothing useful.
  'resnet_tiny': Size(blocks=(1, 1, 1, 1), planes=(4, 4, 4, 4), stem=8),
  # For CPUs: about 1/100 of resnet101's operations, trained from scratch.
  'resnet_small': Size(blocks=(1, 2, 2, 2), planes=(16, 32, 64, 64), stem=32),
}

# Strides of the stages' outputs.
STRIDES = (4, 8, 8, 8)


def size(name: str) -> Size:
  """Returns a backbone's size.

  Raises:
    UserError: there is no backbone of that name.
  """
  if name not in SIZES:
    raise errors.UserError(
      f'unknown backbone {name!r}; expected one of {", ".join(SIZES)}'
    )
  return SIZES[name]


class Bottleneck(nn.Module):
  """1x1 (strided), 3x3 (dilated), 1x1, and the shortcut."""

  planes: int
  project: bool
  conv: Any
  norm: Any
  barriers: bool
  expansion: int = 4
  stride: int = 1
  dilation: int = 1
  stride_at: str = 'conv1'

  @nn.compact
  def __call__(self, x: jax.Array, train: bool) -> jax.Array:
    out = self.planes * self.expansion
    first, second = self.stride, 1
    if self.stride_at == 'conv2':
      first, second = second, first
    y = self.conv(self.planes, 1, stride=first, name='conv1')(x)
    y = nn.relu(self.norm(name='bn1')(y, train=train))
    y = self.conv(
      self.planes, 3, stride=second, dilation=self.dilation, name='conv2'
    )(y)
    y = nn.relu(self.norm(name='bn2')(y, train=train))
    y = self.conv(out, 1, name='conv3')(y)
    y = self.norm(name='bn3')(y, train=train)
    if self.project:
      x = self.conv(out, 1, stride=self.stride, name='downsample_conv')(x)
      x = self.norm(name='downsample_bn')(x, train=train)
    y = nn.relu(x + y)
    return lowering.hold(y) if self.barriers else y


class ResNet(nn.Module):
  """Backbone: image [B, H, W, 3] -> features at 1/8.

  Returns the outputs of the four stages, [B, h, w, 256] to [B, h, w, 2048] for
  the paper's sizes, with the strides `STRIDES`. h = (H - 1) // 2 + 1 after the
  stem, then // 2 + 1, which is the first stage's, then (h - 1) // 2 + 1:
  512x1024 -> 129x257 -> 65x129.

  Attributes:
    size: name of an entry of `SIZES`.
    norm: mode of the batch norms, see `layers.BatchNorm`.
    train_affine: whether the norms' scale and bias are trained.
    momentum: momentum of the norms, see `layers.BatchNorm`.
    stride_at: which convolution of a block has its stride: 'conv1' (1x1, Caffe)
      or 'conv2' (3x3, torchvision); weights of one are of no use to the other.
    remat: recompute each block in the backward pass instead of keeping it.
    style: see `layers.Style`.
  """

  size: str = 'resnet101'
  norm: str = 'batch'
  train_affine: bool = False
  momentum: float = 0.1
  stride_at: str = 'conv1'
  remat: bool = False
  style: layers.Style = layers.Style()

  @nn.compact
  def __call__(self, image: jax.Array, *, train: bool) -> tuple[jax.Array, ...]:
    widths = size(self.size)
    conv = functools.partial(layers.Conv, style=self.style)
    norm = functools.partial(
      layers.BatchNorm,
      mode=self.norm,
      train_affine=self.train_affine,
      momentum=self.momentum,
      style=self.style,
    )
    x = conv(widths.stem, 7, stride=2, padding=3, name='conv1')(image)
    x = nn.relu(norm(name='bn1')(x, train=train))
    x = layers.max_pool_ceil(x)
    block = Bottleneck
    if self.remat:
      block = nn.remat(Bottleneck, static_argnums=(2,))
    stages = []
    strides, dilations = (1, 2, 1, 1), (1, 1, 2, 4)
    for stage, blocks in enumerate(widths.blocks):
      for index in range(blocks):
        x = block(
          planes=widths.planes[stage],
          expansion=widths.expansion,
          stride=strides[stage] if index == 0 else 1,
          dilation=dilations[stage],
          project=index == 0,
          conv=conv,
          norm=norm,
          barriers=self.style.rewrites.is_on('barriers'),
          stride_at=self.stride_at,
          name=f'layer{stage + 1}_{index}',
        )(x, train)
      stages.append(x)
    return tuple(stages)


def grid_size(size: Sequence[int], stride: int = 8) -> tuple[int, int]:
  """Returns (h, w) of the map of a stride, 4 or 8, for images of (H, W)."""
  h, w = ((side + 1) // 2 // 2 + 1 for side in size)
  return (h, w) if stride == 4 else ((h + 1) // 2, (w + 1) // 2)
