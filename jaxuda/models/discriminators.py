"""The fully convolutional discriminator of AdaptSegNet, ADVENT and DADA."""

from typing import Any

from flax import linen as nn
import jax
import jax.numpy as jnp

from jaxuda.models import layers
from jaxuda.models import rewrites as rewrites_lib


class FcDiscriminator(nn.Module):
  """Five 4x4 convolutions of stride 2, padding 1, with bias; no norm.

  [B, H, W, C] -> logits [B, H / 32, W / 32, 1] (each side halved and floored
  five times). LeakyReLU(0.2) after the first four. PyTorch's default
  initialisation. The input is a map at full resolution.

  Attributes:
    width: channels of the first layer; then 2, 4 and 8 times that. 64 in the
      references (2,778,049 parameters at C = 16).
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
        stride=2,
        padding=1,
        use_bias=True,
        initializer='torch',
        dtype=self.dtype,
        param_dtype=self.param_dtype,
        rewrites=rewrites_lib.Rewrites(barriers=False),
        name=f'conv{i}',
      )(x)
      if i < 4:
        x = nn.leaky_relu(x, 0.2)
    return x.astype(jnp.promote_types(x.dtype, jnp.float32))
