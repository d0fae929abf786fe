"""Discriminators that say of every patch which domain it is of."""

from typing import Any

from flax import linen as nn
import jax
import jax.numpy as jnp

from jaxuda.models import layers
from jaxuda.models import rewrites as rewrites_lib


class FcDiscriminator(nn.Module):
  """AdaptSegNet's, ADVENT's and DADA's: five strided convolutions, no norm.

  4x4 kernels, stride 2, padding 1, with bias.
  [B, H, W, C] -> logits [B, H / 32, W / 32, 1] (each side halved and floored
  five times). LeakyReLU(0.2) after all but the last. PyTorch's default
  initialisation. The input is a map at full resolution.

  Attributes:
    width: channels of the first layer; then 2, 4 and 8 times that. 64 in the
      references (2,778,049 parameters at C = 16).
    depth: convolutions; 5 in the references, whose logits see 94x94 pixels
      each. Those of 3 see 22x22.
  """

  width: int = 64
  depth: int = 5
  dtype: Any = jnp.float32
  param_dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    widths = [self.width * 2**i for i in range(self.depth - 1)] + [1]
    for i, features in enumerate(widths):
      x = layers.Conv(
        features,
        4,
        stride=2,
        padding=1,
        use_bias=True,
        initializer='torch',
        dtype=self.dtype,
        param_dtype=self.param_dtype,
        rewrites=rewrites_lib.Rewrites(barriers=False),
        name=f'conv{i}',
      )(x)
      if i < self.depth - 1:
        x = nn.leaky_relu(x, 0.2)
    return x.astype(jnp.promote_types(x.dtype, jnp.float32))


class PatchDiscriminator(nn.Module):
  """The 70x70 PatchGAN of pix2pix and CycleGAN (Isola et al., CVPR 2017).

  4x4 convolutions with bias and padding 1, of stride 2, 2, 2, 1, 1; instance
  norm after the second to the fourth, LeakyReLU(0.2) after the first four.
  [B, H, W, C] -> logits [B, H // 8 - 2, W // 8 - 2, 1], each of which sees
  70x70 pixels; a side has at least 24. Kernels from N(0, 0.02).

  Attributes:
    width: channels of the first layer; then 2, 4 and 8 times that.
  """

  width: int = 64
  dtype: Any = jnp.float32
  param_dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    widths = [self.width * factor for factor in (1, 2, 4, 8)] + [1]
    for i, features in enumerate(widths):
      x = layers.Conv(
        features,
        4,
        stride=2 if i < 3 else 1,
        padding=1,
        use_bias=True,
        initializer='gan',
        dtype=self.dtype,
        param_dtype=self.param_dtype,
        rewrites=rewrites_lib.Rewrites(barriers=False),
        name=f'conv{i}',
      )(x)
      if 0 < i < 4:
        x = layers.instance_norm(x)
      if i < 4:
        x = nn.leaky_relu(x, 0.2)
    return x.astype(jnp.promote_types(x.dtype, jnp.float32))
