"""Convolution, normalisation and pooling as the reference networks run them."""

from collections.abc import Callable, Sequence
import dataclasses
import functools
import math
from typing import Any

from flax import linen as nn
import jax
from jax import lax
import jax.numpy as jnp

from jaxuda.models import lowering
from jaxuda.models import rewrites as rewrites_lib
from jaxuda.step import parallel


@dataclasses.dataclass(frozen=True, kw_only=True)
class Style:
  """Initialiser, types and rewrites of a network's layers.

  Attributes:
    initializer: name of the kernels' initialiser, see `kernel_init`.
    dtype: type that the layers compute in.
    param_dtype: type of parameters and running statistics.
    rewrites: which exact rewrites are on.
  """

  initializer: str = 'reference'
  dtype: Any = jnp.float32
  param_dtype: Any = jnp.float32
  rewrites: rewrites_lib.Rewrites = rewrites_lib.Rewrites()


def widen(x: jax.Array) -> jax.Array:
  """Returns x in float32 or better."""
  return x.astype(jnp.promote_types(x.dtype, jnp.float32))


def add_bias(y: jax.Array, bias: jax.Array, style: Style) -> jax.Array:
  """Ends a layer: adds the bias [C] to y [B, H, W, C]."""
  y = y + bias.astype(style.dtype).reshape(1, 1, 1, -1)
  return _end(y, style)


def _end(y, style):
  """Ends a layer: its cotangent may be held."""
  held = style.rewrites.is_on('barriers')
  return lowering.hold_cotangent(y) if held else y


def torch_default_init(fan_in: int) -> Callable[..., jax.Array]:
  """Returns PyTorch's default initialiser: uniform in +-1/sqrt(fan_in)."""
  bound = 1.0 / math.sqrt(fan_in)

  def init(key, shape, dtype=jnp.float32):
    return jax.random.uniform(key, shape, dtype, -bound, bound)

  return init


def kernel_init(name: str) -> Callable[..., jax.Array]:
  """Returns the initialiser of convolution kernels called `name`.

  Args:
    name: 'reference' for N(0, 0.01), from which the official code starts every
      convolution before it loads an ImageNet file over it; 'he' for
      N(0, 2 / fan_in), for training from scratch; 'gan' for CycleGAN's
      N(0, 0.02); 'vfm' for the N(0, 0.1) of VFM-UDA's last layer; 'torch' for
      PyTorch's default uniform(+-1/sqrt(fan_in)), and 'mmcv' for the same, see
      `before_norm`; 'fan_out' for N(0, 2 / fan_out); 'zeros'.
  """
  torch = nn.initializers.variance_scaling(1 / 3, 'fan_in', 'uniform')
  return {
    'reference': nn.initializers.normal(0.01),
    'gan': nn.initializers.normal(0.02),
    'vfm': nn.initializers.normal(0.1),
    'zeros': nn.initializers.zeros,
    'he': nn.initializers.he_normal(),
    'fan_out': nn.initializers.variance_scaling(2, 'fan_out', 'normal'),
    # With scale 1/3: the bound sqrt(3 * (1/3) / fan_in).
    **dict.fromkeys(('torch', 'mmcv'), torch),
  }[name]


def before_norm(style: Style) -> Style:
  """Returns the style of those convolutions of a head that a norm follows.

  mmcv's `ConvModule`, of which DAFormer's and HRDA's decoders are built, starts
  from N(0, 2 / fan_out), their other layers from PyTorch's default. The norm
  removes the scale again, but the smaller a kernel is, the more a step of AdamW
  turns it.
  """
  if style.initializer != 'mmcv':
    return style
  return dataclasses.replace(style, initializer='fan_out')


class Conv(nn.Module):
  """2-D convolution, NHWC, kernel [kh, kw, in, out].

  Attributes:
    features: output channels.
    kernel: side of the square kernel.
    stride: stride in both directions.
    dilation: dilation in both directions.
    padding: zeros on each side; None for `dilation * (kernel - 1) / 2`.
    use_bias: whether a bias is added. It starts uniform in
      +-1/sqrt(fan_in), PyTorch's default, which the references keep.
    zero_bias: whether the bias starts from 0 instead.
    style: see `Style`.
  """

  features: int
  kernel: int
  stride: int = 1
  dilation: int = 1
  padding: int | None = None
  use_bias: bool = False
  zero_bias: bool = False
  style: Style = Style()

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    k, style = self.kernel, self.style
    kernel = self.param(
      'kernel',
      kernel_init(style.initializer),
      (k, k, x.shape[-1], self.features),
      style.param_dtype,
    )
    padding = self.padding
    if padding is None:
      padding = self.dilation * (k - 1) // 2
    y = rewrites_lib.conv(
      x.astype(style.dtype),
      kernel.astype(style.dtype),
      stride=self.stride,
      dilation=self.dilation,
      padding=padding,
      rewrites=style.rewrites,
    )
    if self.use_bias:
      init = torch_default_init(k * k * x.shape[-1])
      if self.zero_bias:
        init = nn.initializers.zeros
      bias = self.param('bias', init, (self.features,), style.param_dtype)
      return add_bias(y, bias, style)
    return _end(y, style)


class Enlarge(nn.Module):
  """PyTorch's transposed convolution with a stride of its kernel's side.

  [B, h, w, K] -> [B, s h, s w, features]; each row gives s rows of the result,
  so that nothing is summed. The kernel is [s, s, features, K].

  Attributes:
    features: output channels.
    scale: s.
    use_bias: whether a bias is added.
    style: see `Style`.
  """

  features: int
  scale: int
  use_bias: bool = True
  style: Style = Style()

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    s, style = self.scale, self.style
    batch, height, width, channels = x.shape
    init = kernel_init(style.initializer)
    shape = (s, s, self.features, channels)
    kernel = self.param('kernel', init, shape, style.param_dtype)
    y = jnp.einsum(
      'bhwk,yxfk->bhywxf', x.astype(style.dtype), kernel.astype(style.dtype)
    )
    y = y.reshape(batch, s * height, s * width, self.features)
    if not self.use_bias:
      return y
    init = torch_default_init(s * s * self.features)
    bias = self.param('bias', init, (self.features,), style.param_dtype)
    return add_bias(y, bias, style)


def same_padding(
  size: Sequence[int], kernel: int, *, stride: int, dilation: int = 1
) -> tuple[tuple[int, int], tuple[int, int]]:
  """Returns the zeros around a map with which it shrinks by the stride alone.

  As in TensorFlow's and XLA's 'SAME', the result has ceil(H / stride) rows; if
  the number of zeros is odd, the extra one is at the end.

  Args:
    size: (H, W) of the map.
    kernel: side of the kernel.
    stride: stride in both directions.
    dilation: dilation in both directions.

  Returns:
    ((above, below), (left, right)).
  """
  around = []
  for side in size:
    reach = (-(-side // stride) - 1) * stride + (kernel - 1) * dilation + 1
    total = max(reach - side, 0)
    around.append((total // 2, total - total // 2))
  return tuple(around)


class DepthwiseConv(nn.Module):
  """Depthwise convolution with padding 'SAME': kernel [k, k, 1, C].

  [B, H, W, C] -> [B, ceil(H / stride), ceil(W / stride), C], see
  `same_padding`.

  Attributes:
    kernel: side of the square kernels.
    stride: stride in both directions.
    dilation: dilation in both directions.
    use_bias: whether a bias is added, which starts like that of `Conv`.
    style: see `Style`.
  """

  kernel: int
  stride: int = 1
  dilation: int = 1
  use_bias: bool = False
  style: Style = Style()

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    k, style = self.kernel, self.style
    kernel = self.param(
      'kernel',
      kernel_init(style.initializer),
      (k, k, 1, x.shape[-1]),
      style.param_dtype,
    )
    y = rewrites_lib.depthwise(
      x.astype(style.dtype),
      kernel.astype(style.dtype),
      stride=self.stride,
      dilation=self.dilation,
      padding=same_padding(
        x.shape[1:3], k, stride=self.stride, dilation=self.dilation
      ),
      rewrites=style.rewrites,
    )
    if self.use_bias:
      init = torch_default_init(k * k)
      bias = self.param('bias', init, y.shape[-1:], style.param_dtype)
      return add_bias(y, bias, style)
    return _end(y, style)


def layer_norm(style: Style, epsilon: float, name: str) -> nn.LayerNorm:
  """Returns a norm over the channels of each pixel, with scale and bias.

  Args:
    style: see `Style`; the statistics are in float32 or better.
    epsilon: added to the variance.
    name: name of the module.
  """
  return nn.LayerNorm(
    epsilon=epsilon,
    dtype=style.dtype,
    param_dtype=style.param_dtype,
    use_fast_variance=False,
    name=name,
  )


class BatchNorm(nn.Module):
  """Batch normalisation with PyTorch's running statistics.

  The running variance uses the unbiased batch variance (factor n / (n - 1)),
  where Flax's own module uses the biased one; the normalisation itself uses the
  biased variance in both.

  Attributes:
    mode: where the statistics of a training pass come from. 'batch': this
      device's batch, as the references run it; 'sync': the batch over all
      devices; 'frozen': the running ones, which then never change; 'none':
      there are no statistics, only scale and bias.
    train_affine: whether scale and bias get gradients. The references freeze
      them.
    epsilon: added to the variance.
    momentum: weight of the new statistics in the running ones, 0..1.
    style: see `Style`.
  """

  mode: str = 'batch'
  train_affine: bool = False
  epsilon: float = 1e-5
  momentum: float = 0.1
  style: Style = Style()

  @nn.compact
  def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
    shape, dtype = (x.shape[-1],), self.style.param_dtype
    scale = self.param('scale', nn.initializers.ones, shape, dtype)
    bias = self.param('bias', nn.initializers.zeros, shape, dtype)
    if not self.train_affine:
      scale, bias = lax.stop_gradient((scale, bias))
    factor, shift = scale, bias
    if self.mode != 'none':
      mean, var = self._statistics(x, train)
      factor = scale * lax.rsqrt(var + self.epsilon)
      shift = bias - mean * factor
    y = x.astype(factor.dtype) * factor.reshape(1, 1, 1, -1)
    return (y + shift.reshape(1, 1, 1, -1)).astype(self.style.dtype)

  def _statistics(self, x, train):
    """Returns the mean and the variance to normalise with."""
    running = {
      name: self.variable(
        *('batch_stats', name, fill, (x.shape[-1],), self.style.param_dtype)
      )
      for name, fill in (('mean', jnp.zeros), ('var', jnp.ones))
    }
    if train and self.mode != 'frozen':
      return self._batch_statistics(x, running)
    return running['mean'].value, running['var'].value

  def _batch_statistics(self, x, running):
    """Returns mean and biased variance, and updates the running ones."""
    x = widen(x)
    mean = jnp.mean(x, (0, 1, 2))
    square = jnp.mean(lax.square(x), (0, 1, 2))
    count = x.size // x.shape[-1]
    if self.mode == 'sync' and not self.is_initializing():
      mean, square = lax.pmean((mean, square), parallel.AXIS)
      count = count * lax.axis_size(parallel.AXIS)
    var = jnp.maximum(square - lax.square(mean), 0)
    if not self.is_initializing():
      unbiased = var * (count / max(count - 1, 1))
      for name, value in (('mean', mean), ('var', unbiased)):
        old = running[name].value
        new = (1 - self.momentum) * old + self.momentum * value
        running[name].value = lax.stop_gradient(new.astype(old.dtype))
    return mean, var


def max_pool_ceil(x: jax.Array) -> jax.Array:
  """Applies 3x3 max pooling, stride 2, padding 1, with PyTorch's ceil_mode.

  [B, H, W, C] -> [B, H // 2 + 1, W // 2 + 1, C]. The padding is neither 'SAME'
  nor 'VALID': one row of -inf on the left, and on the right two for even sides
  and one for odd ones.
  """
  pads = [(1, 2 - side % 2) for side in x.shape[1:3]]
  return nn.max_pool(x, (3, 3), strides=(2, 2), padding=pads)


def instance_norm(x: jax.Array, *, epsilon: float = 1e-5) -> jax.Array:
  """Normalises every channel of every image by its own mean and variance.

  It has no scale, bias or running statistics (Ulyanov et al., 2016, as CycleGAN
  uses it); the variance is the biased one, to which `epsilon` is added.
  [B, H, W, C] keeps its dtype; the arithmetic is in float32 or better. Its own
  gradient needs x alone, where JAX would keep its difference from the mean.
  """
  return _standardize(x, epsilon)


@functools.partial(jax.custom_vjp, nondiff_argnums=(1,))
def _standardize(x, epsilon):
  return _standardize_forward(x, epsilon)[0]


def _standardize_forward(x, epsilon):
  """Both moments come from one pass, about a pixel to keep all digits."""
  start = lax.stop_gradient(widen(x[:, :1, :1]))
  moved = widen(x) - start
  mean, square = (
    jnp.mean(y, (1, 2), keepdims=True) for y in (moved, lax.square(moved))
  )
  scale = lax.rsqrt(jnp.maximum(square - lax.square(mean), 0) + epsilon)
  y = (moved - mean) * scale
  return y.astype(x.dtype), (x, start, mean, scale)


def _standardize_backward(epsilon, kept, dy):
  del epsilon
  x, start, mean, scale = kept
  y, dy = (widen(x) - start - mean) * scale, widen(dy)
  along, level = (jnp.mean(z, (1, 2), keepdims=True) for z in (dy * y, dy))
  return ((scale * (dy - level - y * along)).astype(x.dtype),)


_standardize.defvjp(_standardize_forward, _standardize_backward)
