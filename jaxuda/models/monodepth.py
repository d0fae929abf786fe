"""The depth and pose networks of Monodepth2 (Godard et al., ICCV 2019).

A ResNet of basic blocks with torchvision's layout (stride on the 3x3), output
stride 32; a decoder with skip connections that outputs a disparity at four
scales; and a pose network, the same encoder on two images.
"""

from collections.abc import Sequence
import dataclasses
import functools

from flax import linen as nn
import jax
import jax.numpy as jnp

from jaxuda import errors
from jaxuda.models import layers
from jaxuda.models import lowering

STRIDE = 32


@dataclasses.dataclass(frozen=True, kw_only=True)
class Size:
  """Widths of a network; by default those of the paper.

  Attributes:
    blocks: number of basic blocks of each stage.
    widths: channels of the stem and of the four stages.
    decoder: channels of the decoder at full resolution, a half, a quarter ...
    pose: channels of the pose decoder.
  """

  blocks: Sequence[int]
  widths: Sequence[int] = (64, 64, 128, 256, 512)
  decoder: Sequence[int] = (16, 32, 64, 128, 256)
  pose: int = 256


SIZES = {
  'resnet18': Size(blocks=(2, 2, 2, 2)),  # The paper's.
  'resnet34': Size(blocks=(3, 4, 6, 3)),
  # For CPUs, from scratch.
  'small': Size(
    blocks=(1, 1, 1, 1),
    widths=(16, 24, 48, 64, 96),
    decoder=(8, 16, 24, 32, 48),
    pose=64,
  ),
  # For tests.
  'tiny': Size(blocks=(1,) * 4, widths=(4,) * 5, decoder=(4,) * 5, pose=4),
}


def size(name: str) -> Size:
  """Returns a network's widths.

  Raises:
    UserError: there is no network of that name.
  """
  if name not in SIZES:
    raise errors.UserError(
      f'unknown depth network {name!r}; expected one of {", ".join(SIZES)}'
    )
  return SIZES[name]


_conv = functools.partial(layers.Conv, style=layers.Style(initializer='he'))
_decoder_conv = functools.partial(
  layers.Conv, use_bias=True, style=layers.Style(initializer='torch')
)
_norm = functools.partial(layers.BatchNorm, train_affine=True)


class BasicBlock(nn.Module):
  """3x3 (strided), 3x3, and the shortcut."""

  features: int
  stride: int

  @nn.compact
  def __call__(self, x: jax.Array, train: bool) -> jax.Array:
    y = _conv(self.features, 3, stride=self.stride, name='conv1')(x)
    y = nn.relu(_norm(name='bn1')(y, train=train))
    y = _conv(self.features, 3, name='conv2')(y)
    y = _norm(name='bn2')(y, train=train)
    if self.stride > 1 or x.shape[-1] != self.features:
      x = _conv(self.features, 1, stride=self.stride, name='downsample_conv')(x)
      x = _norm(name='downsample_bn')(x, train=train)
    return lowering.hold(nn.relu(x + y))


class Encoder(nn.Module):
  """Image [B, H, W, C] in 0..1 -> features at 1/2, 1/4, 1/8, 1/16, 1/32."""

  widths: Size

  @nn.compact
  def __call__(self, image: jax.Array, *, train: bool) -> list[jax.Array]:
    w = self.widths
    x = (image - 0.45) / 0.225
    x = _conv(w.widths[0], 7, stride=2, padding=3, name='conv1')(x)
    x = nn.relu(_norm(name='bn1')(x, train=train))
    features = [x]
    x = nn.max_pool(x, (3, 3), strides=(2, 2), padding=[(1, 1), (1, 1)])
    for stage in range(4):
      for index in range(w.blocks[stage]):
        stride = 2 if stage and not index else 1
        name = f'layer{stage + 1}_{index}'
        x = BasicBlock(w.widths[stage + 1], stride, name=name)(x, train)
      features.append(x)
    return features


class MirroredConv(nn.Module):
  """3x3 convolution with mirrored borders and bias."""

  features: int

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    mode = 'reflect' if min(x.shape[1:3]) > 1 else 'edge'
    x = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)), mode=mode)
    return _decoder_conv(self.features, 3, padding=0)(x)


def _double(x):
  """Nearest-neighbour upsampling by 2."""
  batch, height, width, channels = x.shape
  shape = (batch, height, 2, width, 2, channels)
  x = jnp.broadcast_to(x[:, :, None, :, None], shape)
  return x.reshape(batch, 2 * height, 2 * width, channels)


class DepthNet(nn.Module):
  """Image -> disparities in 0..1 (a sigmoid), one for each scale.

  Attributes:
    size: name of an entry of `SIZES`.
    scales: scales of the disparities: 0 is the image's resolution, 1 a half of
      it ... Levels finer than the smallest scale are not built.
  """

  size: str = 'resnet18'
  scales: Sequence[int] = (0, 1, 2, 3)

  @nn.compact
  def __call__(
    self, image: jax.Array, *, train: bool = False
  ) -> dict[int, jax.Array]:
    """Returns the disparities.

    Args:
      image: [B, H, W, 3] in 0..1, H and W multiples of 32.
      train: use batch statistics and update the running ones.

    Returns:
      scale s -> [B, H / 2^s, W / 2^s].
    """
    widths = size(self.size)
    features = Encoder(widths, name='encoder')(image, train=train)
    x = features[-1]
    disparities = {}
    for level in range(4, min(self.scales) - 1, -1):
      width = widths.decoder[level]
      x = nn.elu(MirroredConv(width, name=f'up{level}')(x))
      x = _double(x)
      if level:
        x = jnp.concatenate([x, features[level - 1]], -1)
      x = nn.elu(MirroredConv(width, name=f'merge{level}')(x))
      if level in self.scales:
        y = MirroredConv(1, name=f'disparity{level}')(x)
        disparities[level] = nn.sigmoid(y[..., 0])
    return disparities


class PoseNet(nn.Module):
  """Two images -> the camera's motion from the first to the second.

  Attributes:
    size: name of an entry of `SIZES`.
    rotation_scale: factor of the rotation's outputs.
  """

  size: str = 'resnet18'
  rotation_scale: float = 0.01

  @nn.compact
  def __call__(
    self, first: jax.Array, second: jax.Array, *, train: bool = False
  ) -> tuple[jax.Array, jax.Array]:
    """Returns the motion.

    Args:
      first: [B, H, W, 3] in 0..1.
      second: [B, H, W, 3] in 0..1.
      train: use batch statistics and update the running ones.

    Returns:
      (axis angle [B, 3] in radians, translation [B, 3]). The translation is a
      hundredth of the output, as both are in the paper: motions start small.
    """
    widths = size(self.size)
    pair = jnp.concatenate([first, second], -1)
    x = Encoder(widths, name='encoder')(pair, train=train)[-1]
    for kernel, name in ((1, 'squeeze'), (3, 'pose0'), (3, 'pose1')):
      x = nn.relu(_decoder_conv(widths.pose, kernel, name=name)(x))
    out = jnp.mean(_decoder_conv(6, 1, name='pose2')(x), (1, 2))
    return self.rotation_scale * out[:, :3], 0.01 * out[:, 3:]


def scaled_disparity(
  disparity: jax.Array, *, min_depth: float = 0.1, max_depth: float = 100.0
) -> jax.Array:
  """Maps the sigmoid's 0..1 to 1 / depth, linear between the two depths'.

  A disparity of 1 has `min_depth` and one of 0 has `max_depth`, both in the
  unknown unit of the motions.
  """
  low, high = 1 / max_depth, 1 / min_depth
  return low + (high - low) * disparity
