"""Exact rewrites of the operations that XLA compiles, each switchable.

On a CPU they make the step about three times faster; the values are those of
the plain program up to the order of additions. Which of them pay off depends on
the platform, see `PAYING`. Operations with gradients of their own can be
differentiated in reverse mode, any number of times.
"""

from collections.abc import Iterator, Sequence
import dataclasses
import functools
import math
from typing import Any, Literal

import jax
from jax import lax
import jax.numpy as jnp
import numpy as np

from jaxuda.models import lowering

# Below this many input channels XLA's own weight gradient is as fast.
_TAP_CHANNELS = 128
# From this side on, a kernel is large; up to so many outputs are computed by
# one product, up to so many by groups of input channels, and with more XLA's
# own is as fast.
_LARGE = 5
_PRODUCT_OUTPUTS, _GROUP_OUTPUTS, _GROUP = 4, 32, 16
# If a smaller share of a convolution's taps is inside the map, zeros are left
# out.
_INSIDE = 0.85

# What 'auto' turns on, by platform: on CPUs and GPUs as measured
# (docs/speed.md, docs/accelerator.md), on TPUs as the compiler reports
# (docs/clusters.md).
PAYING = {
  'cpu': ('dot_1x1', 'dot_wgrad', 'barriers', 'aspp_dot', 'shift_depthwise'),
  'gpu': ('dot_wgrad', 'aspp_dot'),
  'tpu': ('dot_1x1', 'aspp_dot'),
}
Switch = Literal['auto', 'on', 'off']


def read_switch(value: Any) -> Any:
  """Turns True and False, which configs of older runs have, into on and off.

  Example:
    >>> [read_switch(x) for x in ('auto', True, 'False')]
    ['auto', 'on', 'off']
  """
  return {'True': 'on', 'False': 'off'}.get(str(value), value)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Rewrites:
  """Which exact rewrites are on: each 'on', 'off', or 'auto', see `PAYING`.

  Attributes:
    dot_1x1: 1x1 convolutions as matrix products. Their weight gradient as a
      convolution runs at a tenth of the speed on a CPU.
    dot_wgrad: weight gradients of larger convolutions as one matrix product per
      tap. On CPUs from 128 input channels on, where it is two to six times
      faster. Elsewhere for dilated convolutions, whose weight gradient XLA does
      not recognise on GPUs, so that cuDNN computes it without matrix units: a
      whole step of DADA then takes 0.42 of the time (docs/accelerator.md).
    barriers: block outputs and the cotangents of convolutions are held, see
      `lowering.hold`. Otherwise XLA on a CPU recomputes the whole chain of
      residual additions wherever a block's output is used.
    aspp_dot: the pyramid of dilated convolutions as one matrix product followed
      by shifted additions; on CPUs also transposed convolutions, and large
      kernels with few outputs, see `_conv_large`.
    shift_depthwise: depthwise convolutions as one shifted multiplication and
      addition per tap, see `_shifted`.
  """

  dot_1x1: Switch = 'auto'
  dot_wgrad: Switch = 'auto'
  barriers: Switch = 'auto'
  aspp_dot: Switch = 'auto'
  shift_depthwise: Switch = 'auto'

  def __post_init__(self):
    for field in dataclasses.fields(self):
      value = read_switch(getattr(self, field.name))
      object.__setattr__(self, field.name, value)

  def is_on(self, name: str) -> bool:
    """Returns whether a rewrite is on for the platform that is traced for."""
    value, pays = getattr(self, name), PAYING.get(lowering.platform(), ())
    return value == 'on' or (value == 'auto' and name in pays)


NONE = Rewrites(**{field.name: 'off' for field in dataclasses.fields(Rewrites)})


def _widened(x):
  return jnp.promote_types(x.dtype, jnp.float32)


def _contract(a, b, dim_a, dim_b, wide=False):
  """A product, summed, and with `wide` returned, in float32 or better."""
  numbers = ((dim_a,), (dim_b,)), ((), ())
  y = lax.dot_general(a, b, numbers, preferred_element_type=_widened(a))
  return y if wide else y.astype(a.dtype)


def dense(x: jax.Array, kernel: jax.Array, *, wide: bool = False) -> jax.Array:
  """Multiplies [..., K] by [K, N]; the gradients transpose no activations.

  Differentiated by JAX, the kernel's gradient is the transpose of a product,
  for which XLA on a CPU first writes the cotangent out transposed, and that
  copy takes longer than the product.

  Args:
    x: the map.
    kernel: in the same dtype.
    wide: return float32 or better instead of that dtype, for terms that are yet
      to be summed: otherwise bfloat16 rounds each of them.
  """
  return _dense(x, kernel, wide)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def _dense(x, kernel, wide):
  return _contract(x, kernel, x.ndim - 1, 0, wide)


def _dense_bwd(_, saved, g):
  x, kernel = saved
  g = g.astype(x.dtype)
  rows = [v.reshape(-1, v.shape[-1]) for v in (x, g)]
  return _contract(g, kernel, g.ndim - 1, 1), _contract(*rows, 0, 0)


_dense.defvjp(lambda *args: (_dense(*args), args[:2]), _dense_bwd)


def _conv(x, kernel, stride, dilation, padding, wide=False):
  return lax.conv_general_dilated(
    x,
    kernel,
    (stride, stride),
    [(padding, padding)] * 2,
    rhs_dilation=(dilation, dilation),
    dimension_numbers=('NHWC', 'HWIO', 'NHWC'),
    preferred_element_type=_widened(x) if wide else None,
  )


def _taps(
  x, g, side, stride, dilation, padding
) -> Iterator[tuple[jax.Array, jax.Array]]:
  """Pairs that meet at each tap of the kernel: [B*h*w, C] and [B*h*w, N]."""
  batch, _, _, channels = x.shape
  h, w = ((n - 1) * stride + 1 for n in g.shape[1:3])
  # A zero computed from g: the copies cannot be made, and held, before g is
  # known. (An optimisation barrier would say so, but some versions drop it
  # early.)
  zero = g[0, 0, 0, 0] * 0
  around = (padding, padding, 0)
  x = lax.pad(x, zero, ((0, 0, 0), around, around, (0, 0, 0)))
  rows = g.reshape(-1, g.shape[-1])
  for i in range(0, side * dilation, dilation):
    for j in range(0, side * dilation, dilation):
      tap = lax.slice(
        x, (0, i, j, 0), (batch, i + h, j + w, channels), (1, stride, stride, 1)
      )
      yield tap.reshape(-1, channels), rows


def _overlaps(x, g, side, stride, dilation, padding) -> list[list[range]]:
  """Outputs whose tap is inside the map, for each tap of rows and columns."""
  offsets = range(-padding, side * dilation - padding, dilation)
  return [
    [
      range(
        max(0, -(offset // stride)),
        max(min(count, (size - 1 - offset) // stride + 1), 0),
      )
      for offset in offsets
    ]
    for size, count in zip(x.shape[1:3], g.shape[1:3], strict=True)
  ]


def _inner_taps(
  x, g, side, stride, dilation, padding
) -> Iterator[tuple[jax.Array, jax.Array]]:
  """`_taps` without the surrounding zeros, of which wide dilations see many."""
  x = x + g[0, 0, 0, 0] * 0
  down, across = _overlaps(x, g, side, stride, dilation, padding)
  for i, rows in enumerate(down):
    for j, columns in enumerate(across):
      parts = []
      for array, step, offsets in (
        (x, stride, (i * dilation - padding, j * dilation - padding)),
        (g, 1, (0, 0)),
      ):
        y, z = (
          slice(r.start * step + o, (r.start + len(r) - 1) * step + o + 1, step)
          if r
          else slice(0, 0)
          for r, o in zip((rows, columns), offsets, strict=True)
        )
        parts.append(array[:, y, z].reshape(-1, array.shape[-1]))
      yield tuple(parts)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3, 4))
def _conv_dot_wgrad(x, kernel, stride, dilation, padding):
  return _conv(x, kernel, stride, dilation, padding)


def _conv_bwd(stride, dilation, padding, saved, g):
  x, kernel = saved
  dx = jax.linear_transpose(
    lambda v: _conv(v, kernel, stride, dilation, padding), x
  )(g)[0]
  geometry = x, g, kernel.shape[0], stride, dilation, padding
  inside = math.prod(sum(map(len, side)) for side in _overlaps(*geometry))
  whole = kernel.shape[0] ** 2 * math.prod(g.shape[1:3])
  taps = _taps if inside > _INSIDE * whole else _inner_taps
  dkernel = jnp.stack([_contract(*pair, 0, 0) for pair in taps(*geometry)])
  return dx, dkernel.reshape(kernel.shape)


_conv_dot_wgrad.defvjp(lambda *args: (_conv(*args), args[:2]), _conv_bwd)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def _conv_large(x, kernel, padding):
  """Convolves 5x5 or larger, stride 1, few outputs: forward in another order.

  XLA on a CPU lays out all taps of all channels for every pixel. A 7x7 kernel
  from 64 to 3 channels is thirty times faster as one matrix product, from 23 to
  16 six times faster in two groups of channels. XLA's own gradients are fast.
  """
  side, _, channels, outputs = kernel.shape
  if outputs > _PRODUCT_OUTPUTS:
    groups = [slice(i, i + _GROUP) for i in range(0, channels, _GROUP)]
    total = sum(
      _conv(x[..., part], kernel[:, :, part], 1, 1, padding, wide=True)
      for part in groups
    )
    return total.astype(x.dtype)
  x = _pad(x, ((padding, padding),) * 2)
  height, width = (n - side + 1 for n in x.shape[1:3])
  kernel = kernel.transpose(2, 0, 1, 3).reshape(channels, -1)
  maps = dense(x, kernel, wide=True)
  maps = maps.reshape(*x.shape[:3], side, side, outputs)
  # Held: otherwise every product is recomputed for each of its additions.
  maps = lowering.hold(maps)
  rows = sum(maps[:, i : i + height, :, i] for i in range(side))
  rows = lowering.hold(rows)
  total = sum(rows[:, :, j : j + width, j] for j in range(side))
  return total.astype(x.dtype)


def _conv_large_bwd(padding, saved, g):
  return jax.vjp(lambda x, k: _conv(x, k, 1, 1, padding), *saved)[1](g)


_conv_large.defvjp(
  lambda *args: (_conv_large(*args), args[:2]), _conv_large_bwd
)


def conv(
  x: jax.Array,
  kernel: jax.Array,
  *,
  stride: int,
  dilation: int,
  padding: int,
  rewrites: Rewrites,
) -> jax.Array:
  """Convolves [B, H, W, C] with [k, k, C, N], rewritten where that pays off."""
  side, _, channels, outputs = kernel.shape
  if side == 1 and not padding and rewrites.is_on('dot_1x1'):
    return dense(x[:, ::stride, ::stride] if stride > 1 else x, kernel[0, 0])
  on_cpu = lowering.platform() == 'cpu'
  slow = channels >= _TAP_CHANNELS if on_cpu else dilation > 1
  if slow and rewrites.is_on('dot_wgrad'):
    return _conv_dot_wgrad(x, kernel, stride, dilation, padding)
  large = side >= _LARGE and stride == dilation == 1
  few = outputs <= (_GROUP_OUTPUTS if channels > _GROUP else _PRODUCT_OUTPUTS)
  if on_cpu and large and few and rewrites.is_on('aspp_dot'):
    return _conv_large(x, kernel, padding)
  return _conv(x, kernel, stride, dilation, padding)


def _pad(x, padding):
  """Pads [B, H, W, C] with zeros: (before, after[, between]), twice."""
  none = (0, 0, 0)
  around = (none, *((*pair, 0)[:3] for pair in padding), none)
  return lax.pad(x, jnp.zeros((), x.dtype), around)


def _add_taps(x, kernel, stride, dilation, size):
  """The convolution of a padded map with [k, k, 1, C], outputs of `size`.

  Both are held: otherwise what the map is made of is recomputed for each tap,
  and the taps wherever the sum is used, such as in every reduction.
  """
  x, wide = lowering.hold(x), _widened(x)
  total, (h, w) = 0, ((n - 1) * stride + 1 for n in size)
  kernel = kernel.astype(wide)
  for i, j in np.ndindex(kernel.shape[:2]):
    y, z = i * dilation, j * dilation
    part = x[:, y : y + h : stride, z : z + w : stride].astype(wide)
    total = total + part * kernel[i, j].reshape(1, 1, 1, -1)
  return lowering.hold(total.astype(x.dtype))


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3, 4))
def _shifted(x, kernel, stride, dilation, padding):
  """A depthwise convolution, tap by tap.

  XLA on a CPU runs one with `feature_group_count` as many small convolutions.
  The taps are one loop over the output, and so are those of the gradient with
  respect to x. That with respect to the kernel goes row by row: what a row
  needs stays in the cache.
  """
  size = (
    (n + sum(pair) - (len(kernel) - 1) * dilation - 1) // stride + 1
    for n, pair in zip(x.shape[1:3], padding, strict=True)
  )
  return _add_taps(_pad(x, padding), kernel, stride, dilation, tuple(size))


def _shifted_bwd(stride, dilation, padding, saved, g):
  x, kernel = saved
  side, reach = len(kernel), (len(kernel) - 1) * dilation
  size = g.shape[1:3]
  apart = [
    (reach - before, n + before - (m - 1) * stride - 1, stride - 1)
    for n, m, (before, _) in zip(x.shape[1:3], size, padding, strict=True)
  ]
  g = lowering.hold(g)
  turned = kernel[::-1, ::-1]
  dx = _add_taps(_pad(g, apart), turned, 1, dilation, x.shape[1:3])
  x = _pad(x, padding)
  width = (size[1] - 1) * stride + 1

  def add_row(y, total):
    row = lax.dynamic_index_in_dim(g, y, 1, keepdims=False)
    sums = []
    for i in range(0, side * dilation, dilation):
      seen = lax.dynamic_index_in_dim(x, y * stride + i, 1, keepdims=False)
      for j in range(0, side * dilation, dilation):
        tap = seen[:, j : j + width : stride]
        sums.append(jnp.sum(tap * row, (0, 1), wide))
    return total + jnp.stack(sums)

  wide = _widened(g)
  start = jnp.zeros((side**2, g.shape[-1]), wide)
  dkernel = lax.fori_loop(0, size[0], add_row, start)
  return dx, dkernel.reshape(kernel.shape).astype(kernel.dtype)


_shifted.defvjp(lambda *args: (_shifted(*args), args[:2]), _shifted_bwd)


def depthwise(
  x: jax.Array,
  kernel: jax.Array,
  *,
  stride: int,
  dilation: int,
  padding: Sequence[tuple[int, int]],
  rewrites: Rewrites,
) -> jax.Array:
  """Convolves [B, H, W, C] depthwise with [k, k, 1, C], rewritten if it pays.

  `padding` is the number of zeros, ((above, below), (left, right)).
  """
  if rewrites.is_on('shift_depthwise'):
    return _shifted(x, kernel, stride, dilation, tuple(padding))
  return lax.conv_general_dilated(
    x,
    kernel,
    (stride, stride),
    padding,
    rhs_dilation=(dilation, dilation),
    dimension_numbers=('NHWC', 'HWIO', 'NHWC'),
    feature_group_count=x.shape[-1],
  )
