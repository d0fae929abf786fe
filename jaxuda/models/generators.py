"""The image transform network: CycleGAN's residual generator.

Zhu et al., ICCV 2017 (https://arxiv.org/abs/1703.10593), after Johnson et al.,
ECCV 2016. GIO-Ada (Chen et al., CVPR 2019) feeds it labels and depth, too.
"""

import dataclasses

from flax import linen as nn
import jax
from jax import lax
import jax.numpy as jnp

from jaxuda.models import layers
from jaxuda.models import lowering
from jaxuda.models import rewrites as rewrites_lib


class ConvTranspose(nn.Module):
  """Transposed 3x3 convolution that doubles the sides, with bias.

  [B, H, W, K] -> [B, 2 H, 2 W, features]: PyTorch's with stride 2, padding 1
  and output padding 1. Even outputs are x[i] k[1], odd ones x[i] k[2] +
  x[i + 1] k[0], in both directions.

  Attributes:
    features: output channels.
    style: see `layers.Style`; the kernel starts from N(0, 0.02) whatever it
      says.
  """

  features: int
  style: layers.Style = layers.Style()

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    channels, style = x.shape[-1], self.style
    kernel = self.param(
      'kernel',
      layers.kernel_init('gan'),
      (3, 3, self.features, channels),
      style.param_dtype,
    )
    init = layers.torch_default_init(9 * self.features)
    bias = self.param('bias', init, (self.features,), style.param_dtype)
    kernel = kernel.astype(style.dtype).transpose(0, 1, 3, 2)
    # Elsewhere its 9 maps cost more than the zeros (docs/clusters.md).
    on_cpu = lowering.platform() == 'cpu'
    product = on_cpu and style.rewrites.is_on('aspp_dot')
    upsample = _upsample_dot if product else _upsample_conv
    return layers.add_bias(upsample(x.astype(style.dtype), kernel), bias, style)


def _upsample_conv(x, kernel):
  """Kernel [3, 3, K, N]; as a convolution of the zero-interleaved image."""
  return lax.conv_general_dilated(
    x,
    kernel[::-1, ::-1],
    (1, 1),
    [(1, 2), (1, 2)],
    lhs_dilation=(2, 2),
    dimension_numbers=('NHWC', 'HWIO', 'NHWC'),
  )


def _upsample_dot(x, kernel):
  """The same, as one matrix product and additions; no zero is multiplied."""
  batch, height, width, channels = x.shape
  features = kernel.shape[-1]
  stacked = kernel.transpose(2, 0, 1, 3).reshape(channels, 9 * features)
  maps = rewrites_lib.dense(x, stacked, wide=True)
  maps = maps.reshape(batch, height, width, 3, 3, features)
  zero = jnp.zeros((), maps.dtype)

  def interleave(first, second, third, axis):
    # Taps 0, 1, 2 of one direction -> twice as many pixels.
    padding = [(0, 0, 0)] * first.ndim
    padding[axis] = (-1, 1, 0)
    pair = jnp.stack([second, third + lax.pad(first, zero, padding)], axis + 1)
    shape = list(first.shape)
    shape[axis] *= 2
    return pair.reshape(shape)

  rows = interleave(*(maps[..., i, :, :] for i in range(3)), axis=1)
  y = interleave(*(rows[..., i, :] for i in range(3)), axis=2)
  return y.astype(x.dtype)


def pad_reflected(x: jax.Array, around: int) -> jax.Array:
  """Pads [B, H, W, C] by mirroring its sides, without repeating the edge."""
  pads = ((0, 0), (around, around), (around, around), (0, 0))
  return jnp.pad(x, pads, mode='reflect')


class Generator(nn.Module):
  """7x7, two strided 3x3, residual blocks, two transposed 3x3, 7x7, tanh.

  [B, H, W, K] -> [B, H, W, 3] in -1..1. Instance norm without scale and bias,
  ReLU, mirrored padding, kernels from N(0, 0.02), as in CycleGAN
  (Johnson et al.: batch norm and 5 blocks). Sides that are not multiples of 4
  are padded by mirroring, and the result is cropped: CycleGAN turns 375x1242
  into 376x1244.

  Attributes:
    width: channels of the first layer; the blocks have 4 times that. 64.
    blocks: 9, or 6 for images of up to 128 pixels a side.
    residual: for short training, in no paper; 0 for off. Adds the image, the
      first three channels, before the tanh, with the last layer's kernel
      starting from 0, so that the output starts as the image. What is added to
      it stays within +-residual, where black is at -2.6 and white at 2.6. It
      also doubles the sides by repeating pixels before a 3x3 convolution, since
      transposed ones start with checkerboards (Odena et al., Distill 2016).
  """

  width: int = 64
  blocks: int = 9
  residual: float = 0.0
  style: layers.Style = layers.Style()

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    height, width = x.shape[1:3]
    pads = [(0, 0), (0, -height % 4), (0, -width % 4), (0, 0)]

    def conv(y, features, kernel, name, initializer='gan', **kwargs):
      style = dataclasses.replace(self.style, initializer=initializer)
      kwargs |= {'use_bias': True, 'style': style, 'name': name}
      return layers.Conv(features, kernel, **kwargs)(y)

    held = self.style.rewrites.is_on('barriers')

    def hold(y):
      return lowering.hold(y) if held else y

    y = jnp.pad(x, pads, mode='reflect').astype(self.style.dtype)
    y = conv(pad_reflected(y, 3), self.width, 7, 'stem', padding=0)
    y = nn.relu(layers.instance_norm(y))
    for i in range(2):
      y = conv(y, self.width * 2 ** (i + 1), 3, f'down{i}', stride=2)
      y = nn.relu(layers.instance_norm(y))
    for i in range(self.blocks):
      features = 4 * self.width
      z = conv(pad_reflected(y, 1), features, 3, f'block{i}_conv0', padding=0)
      z = nn.relu(layers.instance_norm(z))
      z = conv(pad_reflected(z, 1), features, 3, f'block{i}_conv1', padding=0)
      y = hold(y + layers.instance_norm(z))
    for i in range(2):
      features, name = self.width * 2 ** (1 - i), f'up{i}'
      if self.residual:
        y = conv(jnp.repeat(jnp.repeat(y, 2, 1), 2, 2), features, 3, name)
      else:
        y = ConvTranspose(features, style=self.style, name=name)(y)
      y = nn.relu(layers.instance_norm(y))
    last = 'zeros' if self.residual else 'gan'
    y = conv(pad_reflected(y, 3), 3, 7, 'head', last, padding=0)
    y = layers.widen(y)[:, :height, :width]
    if self.residual:
      y = self.residual * jnp.tanh(y / self.residual)
      y = y + jnp.arctanh(0.99 * x[..., :3].astype(y.dtype))
    return jnp.tanh(y)
