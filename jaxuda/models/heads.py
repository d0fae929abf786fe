"""Decoders on top of a backbone: ASPP, and DADA's depth block."""

from collections.abc import Sequence
import functools

from flax import linen as nn
import jax
from jax import lax
import jax.numpy as jnp

from jaxuda.models import layers
from jaxuda.models import rewrites as rewrites_lib


class Aspp(nn.Module):
  """The DeepLab-v2 head: parallel dilated 3x3 convolutions, summed.

  [B, h, w, K] -> [B, h, w, features]; each with bias, no norm, no activation.

  Attributes:
    features: output channels.
    rates: dilations (= paddings), one convolution each.
    active: how many of them, from the first, take part. The official CorDA
      returns inside its loop, so that 2 of 4 act; the others exist in its
      checkpoints and are never trained.
  """

  features: int
  rates: Sequence[int] = (6, 12, 18, 24)
  active: int | None = None
  style: layers.Style = layers.Style()

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    channels, style = x.shape[-1], self.style
    shape, dtype = (3, 3, channels, self.features), style.param_dtype
    kernel_init = layers.kernel_init(style.initializer)
    bias_init = layers.torch_default_init(9 * channels)
    kernels, biases = [], []
    for i in range(len(self.rates)):
      kernels.append(self.param(f'conv{i}_kernel', kernel_init, shape, dtype))
      biases.append(self.param(f'conv{i}_bias', bias_init, shape[3:], dtype))
    active = len(self.rates) if self.active is None else self.active
    kernels = [k.astype(style.dtype) for k in kernels[:active]]
    bias = sum(b.astype(style.dtype) for b in biases[:active])
    pyramid = _pyramid_dot if style.rewrites.aspp_dot else _pyramid_conv
    y = pyramid(x.astype(style.dtype), kernels, self.rates[:active])
    return layers.add_bias(y, bias, style)


def _pyramid_conv(x, kernels, rates):
  """The sum of dilated convolutions, one by one."""
  options = {'stride': 1, 'rewrites': rewrites_lib.NONE}
  return sum(
    rewrites_lib.conv(x, kernel, dilation=rate, padding=rate, **options)
    for kernel, rate in zip(kernels, rates, strict=True)
  )


def _pyramid_dot(x, kernels, rates):
  """The same as one matrix product and one shifted addition per tap.

  The wide input is read once; what is shifted are the few output channels. The
  centre taps of all rates see the same pixel, so their kernels are added first.
  Taps that fall outside the map everywhere are left out.
  """
  height, width = x.shape[1:3]
  taps = [((0, 0), sum(kernel[1, 1] for kernel in kernels))]
  for kernel, rate in zip(kernels, rates, strict=True):
    for i in range(3):
      for j in range(3):
        dy, dx = rate * (i - 1), rate * (j - 1)
        if (dy, dx) != (0, 0) and abs(dy) < height and abs(dx) < width:
          taps.append(((dy, dx), kernel[i, j]))
  stacked = jnp.concatenate([kernel for _, kernel in taps], axis=-1)
  maps = rewrites_lib.dense(x, stacked)
  maps = jnp.split(maps, len(taps), axis=-1)
  total = 0
  for ((dy, dx), _), values in zip(taps, maps, strict=True):
    # y[i, j] += values[i + dy, j + dx], zeros outside.
    padding = ((0, 0, 0), (-dy, dy, 0), (-dx, dx, 0), (0, 0, 0))
    total = total + lax.pad(values, jnp.zeros((), values.dtype), padding)
  return total


class DepthBlock(nn.Module):
  """DADA's auxiliary block (section 3.1): depth, and features made of it.

  1x1 K -> K/4, ReLU; 3x3, ReLU; 1x1 -> K/16, no ReLU. The depth is the mean
  over these channels (linear, so it can be negative), at the features'
  resolution. 1x1 back to K, ReLU gives what DADA multiplies the features with.
  For K = 2048 the widths are 512, 512, 128, as in the official code; the paper
  says that each layer has four times fewer channels.

  Attributes:
    decode: whether the way back is built.
    scale: factor of the mean; 1 in the official code. Inverse depths reach the
      hundreds, and the decoded features grow with them; a scale keeps the
      channels of a network that is trained from scratch of order one.
    prefix: prefix of the convolutions' names: 'enc4', or 'enc5' for the second
      block of Depth Distribution's network.
  """

  decode: bool = True
  scale: float = 1.0
  prefix: str = 'enc4'
  style: layers.Style = layers.Style()

  @nn.compact
  def __call__(self, x: jax.Array) -> tuple[jax.Array, jax.Array | None]:
    """Returns (depth [B, h, w] in inverse depth units, factor or None)."""
    conv = functools.partial(layers.Conv, use_bias=True, style=self.style)
    channels = x.shape[-1]
    y = nn.relu(conv(channels // 4, 1, name=f'{self.prefix}_1')(x))
    y = nn.relu(conv(channels // 4, 3, name=f'{self.prefix}_2')(y))
    y = conv(channels // 16, 1, name=f'{self.prefix}_3')(y)
    depth = self.scale * jnp.mean(layers.widen(y), -1)
    if not self.decode:
      return depth, None
    return depth, nn.relu(conv(channels, 1, name='dec4')(y))
