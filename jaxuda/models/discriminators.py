"""Discriminators that tell which domain every patch is from."""

import dataclasses

from flax import linen as nn
import jax

from jaxuda.models import layers
from jaxuda.models import rewrites as rewrites_lib


def _conv(x, features, index, style, *, initializer, stride=2):
  """The 4x4 convolution `conv<index>` with bias and padding 1."""
  style = dataclasses.replace(
    style,
    initializer=initializer,
    rewrites=rewrites_lib.Rewrites(barriers=False),
  )
  return layers.Conv(
    features,
    4,
    stride=stride,
    padding=1,
    use_bias=True,
    style=style,
    name=f'conv{index}',
  )(x)


class FcDiscriminator(nn.Module):
  """AdaptSegNet's, ADVENT's and DADA's: five strided convolutions, no norm.

  4x4 kernels, stride 2, padding 1, with bias.
  [B, H, W, C] -> logits [B, H / 32, W / 32, 1] (each side halved and floored
  five times). LeakyReLU(0.2) after all but the last. PyTorch's default
  initialisation. The input is a map at full resolution.

  Attributes:
    width: channels of the first layer; then 2, 4 and 8 times that. 64 in the
      references (2,778,049 parameters at C = 16).
    depth: number of convolutions; 5 in the references, whose logits see 94x94
      pixels each; with 3 they see 22x22.
    style: only its types are used.
  """

  width: int = 64
  depth: int = 5
  style: layers.Style = layers.Style()

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    widths = [self.width * 2**i for i in range(self.depth - 1)] + [1]
    for i, features in enumerate(widths):
      x = _conv(x, features, i, self.style, initializer='torch')
      if i < self.depth - 1:
        x = nn.leaky_relu(x, 0.2)
    return layers.widen(x)


class PatchDiscriminator(nn.Module):
  """The 70x70 PatchGAN of pix2pix and CycleGAN (Isola et al., CVPR 2017).

  4x4 convolutions with bias and padding 1, of stride 2, 2, 2, 1, 1; instance
  norm after the second to the fourth, LeakyReLU(0.2) after the first four.
  [B, H, W, C] -> logits [B, H // 8 - 2, W // 8 - 2, 1], each of which sees
  70x70 pixels; sides must have at least 24. Kernels from N(0, 0.02).

  Attributes:
    width: channels of the first layer; then 2, 4 and 8 times that.
    style: only its types are used.
  """

  width: int = 64
  style: layers.Style = layers.Style()

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    widths = [self.width * factor for factor in (1, 2, 4, 8)] + [1]
    for i, features in enumerate(widths):
      stride = 2 if i < 3 else 1
      x = _conv(x, features, i, self.style, initializer='gan', stride=stride)
      if 0 < i < 4:
        x = layers.instance_norm(x)
      if i < 4:
        x = nn.leaky_relu(x, 0.2)
    return layers.widen(x)
