"""Decoders on a backbone: ASPPs, DAFormer's, VFM-UDA's, DADA's depth block."""

from collections.abc import Callable, Sequence
import dataclasses
import functools
from typing import Any

from flax import linen as nn
import jax
from jax import lax
import jax.numpy as jnp

from jaxuda.models import layers
from jaxuda.models import rewrites as rewrites_lib
from jaxuda.ops import resize


class Aspp(nn.Module):
  """The DeepLab-v2 head: parallel dilated 3x3 convolutions, summed.

  [B, h, w, K] -> [B, h, w, features]; each with bias, no norm, no activation.

  Attributes:
    features: output channels.
    rates: dilations (= paddings), one convolution each.
    active: how many of them, from the first, are used. The official CorDA
      returns inside its loop, so that 2 of 4 are used; the others exist in its
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
    product = style.rewrites.is_on('aspp_dot')
    pyramid = _pyramid_dot if product else _pyramid_conv
    y = pyramid(x.astype(style.dtype), kernels, self.rates[:active])
    return layers.add_bias(y, bias, style)


def _pyramid_conv(x, kernels, rates):
  """The sum of dilated convolutions, computed one by one."""
  options = {'stride': 1, 'rewrites': rewrites_lib.NONE}
  return sum(
    rewrites_lib.conv(x, kernel, dilation=rate, padding=rate, **options)
    for kernel, rate in zip(kernels, rates, strict=True)
  )


def _pyramid_dot(x, kernels, rates):
  """The same, as one matrix product and one shifted addition per tap.

  The wide input is read once, and only the few output channels are shifted. The
  centre taps of all rates see the same pixel, so their kernels are added first,
  except in bfloat16, which would round the sum. Taps that fall outside the map
  everywhere are left out.
  """
  height, width = x.shape[1:3]
  centres = [kernel[1, 1] for kernel in kernels]
  narrow = jnp.finfo(x.dtype).bits < 32
  taps = [
    ((0, 0), kernel) for kernel in (centres if narrow else [sum(centres)])
  ]
  for kernel, rate in zip(kernels, rates, strict=True):
    for i in range(3):
      for j in range(3):
        dy, dx = rate * (i - 1), rate * (j - 1)
        if (dy, dx) != (0, 0) and abs(dy) < height and abs(dx) < width:
          taps.append(((dy, dx), kernel[i, j]))
  stacked = jnp.concatenate([kernel for _, kernel in taps], axis=-1)
  maps = rewrites_lib.dense(x, stacked, wide=True)
  maps = jnp.split(maps, len(taps), axis=-1)
  total = 0
  for ((dy, dx), _), values in zip(taps, maps, strict=True):
    # y[i, j] += values[i + dy, j + dx], zeros outside.
    padding = ((0, 0, 0), (-dy, dy, 0), (-dx, dx, 0), (0, 0, 0))
    total = total + lax.pad(values, jnp.zeros((), values.dtype), padding)
  return total.astype(x.dtype)


class AsppL(nn.Module):
  """The head of DeepLab-v2's VGG network, DeepLab-ASPP-L.

  Four branches, summed: 3x3 (dilated) K -> width, ReLU, dropout; 1x1, ReLU,
  dropout; 1x1 -> features. [B, h, w, K] -> [B, h, w, features].

  Attributes:
    features: output channels.
    rates: dilations, one branch each.
    width: channels of fc6 and fc7.
    dropout: probability that one pixel of a channel is dropped in training, in
      a pass with the random stream 'dropout'.
    style: see `layers.Style`; the last layers start from N(0, 0.01) whatever
      its initialiser.
  """

  features: int
  rates: Sequence[int] = (6, 12, 18, 24)
  width: int = 1024
  dropout: float = 0.5
  style: layers.Style = layers.Style()

  @nn.compact
  def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
    off, total = not train or not self.has_rng('dropout'), 0
    for i, rate in enumerate(self.rates):
      y = x
      for name, kernel, dilation in (('fc6', 3, rate), ('fc7', 1, 1)):
        y = layers.Conv(
          self.width,
          kernel,
          dilation=dilation,
          use_bias=True,
          style=self.style,
          name=f'{name}_{i}',
        )(y)
        y = nn.Dropout(self.dropout, deterministic=off)(nn.relu(y))
      style = dataclasses.replace(self.style, initializer='reference')
      total = total + layers.Conv(
        self.features, 1, use_bias=True, style=style, name=f'fc8_{i}'
      )(y)
    return total


def embed(
  conv: Callable[..., nn.Module], maps: Sequence[jax.Array]
) -> jax.Array:
  """Stacks a module's maps along the channels, at the first (finest) size.

  To be called inside the module's `__call__`. Each map [B, h_i, w_i, K_i] goes
  through a 1x1 convolution with bias, 'embed0' and so on, and is resized with
  half-pixel centres: [B, h_0, w_0, all their channels].

  Args:
    conv: builds a convolution from (kernel, use_bias, name).
    maps: the maps of a backbone.
  """
  embedded = []
  for i, x in enumerate(maps):
    y = conv(1, use_bias=True, name=f'embed{i}')(x)
    embedded.append(resize.resize_half_pixel(y, maps[0].shape[1:3]))
  return jnp.concatenate(embedded, -1)


class DaformerFusion(nn.Module):
  """DAFormer's context-aware fusion of all maps (CVPR 2022, section 3.2).

  Each map [B, h_i, w_i, K_i] is projected to `width` channels (1x1 with bias)
  and resized to the first, the finest, with half-pixel centres. From all of
  them, four separable convolutions of growing reach (1x1; 3x3 depthwise of the
  rates and 1x1) and a 3x3 convolution compute [B, h_0, w_0, width]. There is no
  image pooling.

  Attributes:
    width: channels inside and out, 256 in DAFormer.
    rates: dilations of the depthwise convolutions.
    norm: the batch norms, all trained; one follows each convolution but the
      first ones, and a ReLU follows each norm.
    style: see `layers.Style`.
  """

  width: int
  norm: Any
  rates: Sequence[int] = (6, 12, 18)
  style: layers.Style = layers.Style()

  @nn.compact
  def __call__(self, maps: Sequence[jax.Array], *, train: bool) -> jax.Array:
    conv = functools.partial(layers.Conv, self.width, style=self.style)

    def end(y, name):
      return nn.relu(self.norm(name=f'{name}_bn')(y, train=train))

    x = embed(conv, maps)
    style = layers.before_norm(self.style)
    conv = functools.partial(conv, style=style)
    branches = [end(conv(1, name='aspp0_point')(x), 'aspp0_point')]
    for i, rate in enumerate(self.rates, 1):
      deep, point = f'aspp{i}_depth', f'aspp{i}_point'
      y = layers.DepthwiseConv(3, dilation=rate, style=style, name=deep)(x)
      branches.append(end(conv(1, name=point)(end(y, deep)), point))
    y = conv(3, name='bottleneck')(jnp.concatenate(branches, -1))
    return end(y, 'bottleneck')


class VfmUpscale(nn.Module):
  """VFM-UDA's light decoder of a transformer's map, without the last layer.

  [B, h, w, K] -> [B, 4 h, 4 w, K / 4]: transposed 2x2 convolution to K / 2
  channels, norm, GELU; another to K / 4, norm; 3x3 convolution, norm. Norms are
  over the channels of each pixel; no convolution has a bias. (Englert et al.,
  CVPR workshops 2024.)

  Attributes:
    style: see `layers.Style`; kernels start like PyTorch's whatever it says.
  """

  style: layers.Style = layers.Style()

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    width, style = x.shape[-1], self.style
    plain = dataclasses.replace(style, initializer='torch')
    enlarge = functools.partial(
      layers.Enlarge, scale=2, use_bias=False, style=plain
    )
    norm = functools.partial(layers.layer_norm, style, 1e-6)
    y = norm('norm0')(enlarge(width // 2, name='up0')(x))
    y = enlarge(width // 4, name='up1')(nn.gelu(y, approximate=False))
    y = norm('norm1')(y)
    y = layers.Conv(width // 4, 3, style=plain, name='conv')(y)
    return norm('norm2')(y)


class Classifier(nn.Module):
  """Dropout of whole channels, and a 1x1 convolution, DAFormer's last layer.

  [B, h, w, K] -> [B, h, w, features]. VFM-UDA's has no dropout and no bias.

  Attributes:
    features: output channels.
    dropout: probability that an image's channel is dropped in training, in a
      pass with the random stream 'dropout'.
    use_bias: whether there is a bias, which starts from 0.
    initializer: the kernel's initialiser, see `layers.kernel_init`, whatever
      the style's is; N(0, 0.01) in DAFormer.
    style: see `layers.Style`.
  """

  features: int
  dropout: float = 0.1
  use_bias: bool = True
  initializer: str = 'reference'
  style: layers.Style = layers.Style()

  @nn.compact
  def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
    off = not train or not self.has_rng('dropout')
    x = nn.Dropout(self.dropout, broadcast_dims=(1, 2), deterministic=off)(x)
    return layers.Conv(
      self.features,
      1,
      use_bias=self.use_bias,
      zero_bias=True,
      style=dataclasses.replace(self.style, initializer=self.initializer),
      name='conv',
    )(x)


class DepthBlock(nn.Module):
  """DADA's auxiliary block (section 3.1): depth, and features made of it.

  1x1 K -> K/4, ReLU; 3x3, ReLU; 1x1 -> K/16 (at least 1), no ReLU. The depth is
  the mean over these channels (linear, so it can be negative), at the features'
  resolution. 1x1 back to K and ReLU give the factor by which DADA multiplies
  the features. For K = 2048 the widths are 512, 512, 128, as in the official
  code; the paper says that each layer has four times fewer channels.

  Attributes:
    decode: whether the way back to K is built.
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
    y = conv(max(channels // 16, 1), 1, name=f'{self.prefix}_3')(y)
    depth = self.scale * jnp.mean(layers.widen(y), -1)
    if not self.decode:
      return depth, None
    return depth, nn.relu(conv(channels, 1, name='dec4')(y))
