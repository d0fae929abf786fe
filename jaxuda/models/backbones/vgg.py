"""VGG-16 as a DeepLab-v2 backbone, output stride 8. No norms.

Simonyan & Zisserman, 2015; Chen et al. (DeepLab), TPAMI 2018.
"""

from collections.abc import Sequence
import dataclasses
import functools
from typing import Any

from flax import linen as nn
import jax

from jaxuda.models import layers


@dataclasses.dataclass(frozen=True, kw_only=True)
class Size:
  """Depth, width and pooling of a backbone.

  Attributes:
    planes: channels per stage.
    blocks: 3x3 convolutions per stage; those of the last are dilated by 2.
    pooling: 'deeplab': 3x3, padding 1, in ceil mode, of stride 2 after the
      first three stages and 1 after the others; 'adaptsegnet': 2x2 after the
      first three stages only.
    fully: channels of fc6 and fc7, 3x3 dilated by 4, which AdaptSegNet has in
      the backbone; 0 for none.
  """

  planes: Sequence[int] = (64, 128, 256, 512, 512)
  blocks: Sequence[int] = (2, 2, 3, 3, 3)
  pooling: str = 'deeplab'
  fully: int = 0


SIZES = {
  'vgg16': Size(),
  'vgg16_adaptsegnet': Size(pooling='adaptsegnet', fully=1024),
  # For tests.
  'vgg_tiny': Size(planes=(4, 4, 8, 8, 8), blocks=(1, 1, 1, 1, 1)),
}


class _Stage(nn.Module):
  """3x3 convolutions with ReLU."""

  planes: int
  blocks: int
  dilation: int
  conv: Any

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    for block in range(self.blocks):
      name = f'conv{block + 1}'
      x = self.conv(self.planes, 3, dilation=self.dilation, name=name)(x)
      x = nn.relu(x)
    return x


class Vgg(nn.Module):
  """Backbone: image [B, H, W, 3] -> features, the last [B, h, w, 512] at 1/8.

  Returns the maps after the pooling of the last four stages, with strides 4, 8,
  8 and 8. With DeepLab's pooling every one of stride 2 gives h = H // 2 + 1:
  512x1024 -> 129x257 -> 65x129; with AdaptSegNet's the last map has exactly
  H // 8 and is fc7's, with 1024 channels.

  Attributes:
    size: name of an entry of `SIZES`.
    remat: recompute each stage in the backward pass instead of keeping it.
    style: see `layers.Style`.
  """

  size: str = 'vgg16'
  remat: bool = False
  style: layers.Style = layers.Style()

  @nn.compact
  def __call__(
    self, image: jax.Array, *, train: bool = False
  ) -> tuple[jax.Array, ...]:
    del train  # There are no norms.
    size = SIZES[self.size]
    conv = functools.partial(layers.Conv, use_bias=True, style=self.style)
    stage = nn.remat(_Stage) if self.remat else _Stage
    x, maps = image, []
    stages = zip(size.planes, size.blocks, strict=True)
    for index, (planes, blocks) in enumerate(stages):
      dilation = 2 if index == 4 else 1
      x = stage(planes, blocks, dilation, conv, name=f'stage{index + 1}')(x)
      x = _pool(x, index, size.pooling)
      maps.append(x)
    if size.fully:
      for name in ('fc6', 'fc7'):
        x = nn.relu(conv(size.fully, 3, dilation=4, name=name)(x))
    return (*maps[1:-1], x)


def _pool(x, index, pooling):
  if pooling == 'adaptsegnet':
    return nn.max_pool(x, (2, 2), strides=(2, 2)) if index < 3 else x
  if index < 3:
    return layers.max_pool_ceil(x)
  return nn.max_pool(x, (3, 3), strides=(1, 1), padding=[(1, 1), (1, 1)])


def grid_size(
  size: Sequence[int], stride: int, *, name: str
) -> tuple[int, int]:
  """Returns (h, w) of the map of a stride, 4 or 8, for images of (H, W)."""
  h, w = size
  wider = SIZES[name].pooling == 'deeplab'
  while stride > 1:
    h, w, stride = h // 2 + wider, w // 2 + wider, stride // 2
  return h, w
