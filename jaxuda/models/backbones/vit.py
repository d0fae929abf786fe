"""The vision transformers of DINOv2 (Oquab et al., TMLR 2024), as backbones.

ViT-S, B and L with patches of 14 pixels, LayerScale, pre-norm blocks; plain, or
with four registers (Darcet et al., ICLR 2024). The weights of Meta, all sizes,
are Apache-2.0. `weights.foundation` reads them in Hugging Face's format.

As backbones they are called 'dinov2_s', 'dinov2_s_reg' (with registers) and so
on, see `backbone_fields`, and images of any size are resized for them, see
`input_size`.

Which grid of positions belongs to which weights (`ViT.positions`):

* 'offset': Meta's code for the plain networks, and what was built on it
  (VFM-UDA, VFM-UDA++, Depth Anything's own code): bicubic by the factor
  (h + 0.1) / 37, whose addition once guarded against rounding and has stayed;
* 'size': Hugging Face's `Dinov2Model`, and with it its Depth Anything: bicubic
  from 37 to h;
* 'antialias': the networks with registers, Meta's and Hugging Face's: bicubic
  from 37 to h with a low-pass filter where h is smaller.

A grid of 37 x 37 (images of 518 pixels) takes the positions as they are.
"""

from collections.abc import Sequence
import dataclasses
from typing import Any, Literal

from flax import linen as nn
import jax
import jax.numpy as jnp

from jaxuda import errors
from jaxuda.models import layers
from jaxuda.models.backbones import attention
from jaxuda.ops import resize

PATCH = 14
# Epsilon of all norms.
_EPSILON = 1e-6
# The addition in Meta's code, see the top of this file.
_OFFSET = 0.1


@dataclasses.dataclass(frozen=True, kw_only=True)
class Size:
  """Depth and width of a network.

  Attributes:
    width: channels C of the tokens.
    blocks: number of blocks.
    heads: heads of the attention, of 64 channels each as published.
    grid: side of the square grid of trained positions, in patches.
  """

  width: int
  blocks: int
  heads: int
  grid: int = 37


SIZES = {
  'dinov2_s': Size(width=384, blocks=12, heads=6),
  'dinov2_b': Size(width=768, blocks=12, heads=12),
  'dinov2_l': Size(width=1024, blocks=24, heads=16),
  # For tests: compiles in seconds, learns nothing useful.
  'dinov2_tiny': Size(width=16, blocks=4, heads=2, grid=5),
}
REGISTERS = 4
# Networks with registers.
_REG = '_reg'
# Names of backbones.
BACKBONES = (*SIZES, *(f'{name}{_REG}' for name in SIZES))
# Strides of a backbone's maps, in pixels of the image that it sees.
STRIDES = (PATCH,) * 4


def size(name: str) -> Size:
  """Returns a network's depth and width.

  Raises:
    UserError: there is no network of that name.
  """
  if name not in SIZES:
    raise errors.UserError(
      f'unknown transformer {name!r}; expected one of {", ".join(SIZES)}'
    )
  return SIZES[name]


def backbone_fields(name: str) -> dict[str, Any]:
  """Returns the fields of `ViT` for a backbone.

  They ask for four maps, of equally spaced blocks that end with the network's
  last, and for positions by the rule of Meta's code.

  Args:
    name: one of `BACKBONES`.
  """
  registers = name.endswith(_REG)
  plain = name.removesuffix(_REG)
  blocks = SIZES[plain].blocks
  return {
    'size': plain,
    'registers': REGISTERS if registers else 0,
    'positions': 'antialias' if registers else 'offset',
    'taps': tuple(blocks * i // 4 for i in range(1, 5)),
    'mask_token': False,
  }


def backbone_name(size: str, *, registers: int) -> str:
  """Returns the name among `BACKBONES` of a size with or without registers."""
  return f'{size}{_REG}' if registers else size


def input_size(image: Sequence[int], *, how: str) -> tuple[int, int]:
  """Returns the (H, W), multiples of 14, at which a backbone sees an image.

  Example:
    >>> input_size((1024, 1024), how='grow')
    (1120, 1120)
    >>> input_size((512, 1024), how='round')
    (518, 1022)

  Args:
    image: (H, W).
    how: 'grow': the greatest multiples below 1.1 times the sides, as in
      VFM-UDA; 'round': the nearest, which may be the image's own.
  """

  def fit(side):
    patches = (
      side * 11 // 10 // PATCH
      if how == 'grow'
      else ((side + PATCH // 2) // PATCH)
    )
    return PATCH * max(patches, 1)

  h, w = map(fit, image)
  return h, w


def grid_size(image: Sequence[int]) -> tuple[int, int]:
  """Returns (h, w) of the maps of images of (H, W): rounded up."""
  h, w = (-(-side // PATCH) for side in image)
  return h, w


def resize_positions(
  positions: jax.Array, grid: Sequence[int], *, how: str
) -> jax.Array:
  """Resizes trained positions to a grid, in float32 or better.

  Args:
    positions: [g, g, C].
    grid: (h, w).
    how: see `ViT.positions`.

  Returns:
    [h, w, C].
  """
  side = positions.shape[0]
  if tuple(grid) == (side, side):
    return positions
  wide = layers.widen(positions)
  matrices = []
  for target in grid:
    scale = (target + _OFFSET) / side if how == 'offset' else None
    matrix = resize.cubic_matrix(
      side, target, scale=scale, antialias=how == 'antialias'
    )
    matrices.append(jnp.asarray(matrix, wide.dtype))
  return jnp.einsum('hy,wx,yxc->hwc', *matrices, wide, precision='highest')


class Attention(nn.Module):
  """Self-attention of tokens [B, N, C], with biases and without a mask."""

  heads: int
  dense: Any

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    batch, count, width = x.shape
    split = (batch, count, self.heads, width // self.heads)
    query, key, value = (
      self.dense(width, name=name)(x).reshape(split)
      for name in ('query', 'key', 'value')
    )
    y = attention.attend(query, key, value)
    return self.dense(width, name='out')(y.reshape(x.shape))


class Block(nn.Module):
  """Attention and an MLP, each after a norm, scaled, and added.

  Attributes:
    heads: heads of the attention.
    drop: probability that a sample skips each of the two in training.
    dense, norm: constructors of the layers, see `_layers`.
    style: see `layers.Style`.
  """

  heads: int
  drop: float
  dense: Any
  norm: Any
  style: layers.Style

  @nn.compact
  def __call__(self, x: jax.Array, train: bool) -> jax.Array:
    y = self.norm(name='norm1')(x)
    y = Attention(self.heads, self.dense, name='attention')(y)
    x = x + self._weigh(y, 'layer_scale1', train)
    y = self.norm(name='norm2')(x)
    y = self.dense(4 * x.shape[-1], name='fc1')(y)
    y = self.dense(x.shape[-1], name='fc2')(nn.gelu(y, approximate=False))
    return x + self._weigh(y, 'layer_scale2', train)

  def _weigh(self, y, name, train):
    init = nn.initializers.constant(1e-5)
    scale = self.param(name, init, y.shape[-1:], self.style.param_dtype)
    y = y * scale.astype(y.dtype)[None, None]
    # One draw for all tokens of a sample; none without random numbers.
    off = not train or not self.has_rng('dropout')
    return nn.Dropout(self.drop, broadcast_dims=(1, 2), deterministic=off)(y)


class ViT(nn.Module):
  """Normalised image [B, H, W, 3] -> maps [B, h, w, C] of chosen blocks.

  h = ceil(H / 14), w = ceil(W / 14). Sides that are not multiples of 14 are
  padded with zeros, the mean colour, below and to the right. Published figures
  are for multiples of 14.

  Attributes:
    size: name of an entry of `SIZES`.
    registers: number of register tokens, which have no position; 0 or 4.
    positions: how positions are resized to the image's grid: 'offset', 'size'
      or 'antialias', see the top of this file.
    taps: the blocks whose output is returned, counted from 1, in rising order;
      empty for the last one.
    norm: whether the final LayerNorm is applied to each map. DINOv2's features
      and Depth Anything have it, VFM-UDA++ does not.
    stochastic_depth: probability that a sample skips a branch of a block in
      training, the same for all blocks, as in DINOv2, in a pass with the random
      stream 'dropout'.
    mask_token: whether there is a token that stands for a masked patch; some
      files have none.
    remat: recompute each block in the backward pass instead of keeping it.
    style: see `layers.Style`; kernels start as in DINOv2, from a truncated
      N(0, 0.02), whatever it says.
  """

  size: str = 'dinov2_s'
  registers: int = 0
  positions: Literal['offset', 'size', 'antialias'] = 'offset'
  taps: Sequence[int] = ()
  norm: bool = True
  stochastic_depth: float = 0.0
  mask_token: bool = True
  remat: bool = False
  style: layers.Style = layers.Style()

  @nn.compact
  def __call__(
    self,
    image: jax.Array,
    *,
    train: bool = False,
    mask: jax.Array | None = None,
  ) -> tuple[jax.Array, ...]:
    """Returns a map for each of the chosen blocks.

    Args:
      image: [B, H, W, 3], normalised as the weights require.
      train: whether branches are dropped.
      mask: bool [B, h, w]; where it is True the patch is replaced by the mask
        token, before positions are added.

    Raises:
      UserError: the size is unknown or does not have one of the blocks.
    """
    plan, style = size(self.size), self.style
    chosen = tuple(self.taps) or (plan.blocks,)
    if sorted({*chosen}) != [*chosen] or not 0 < chosen[0] <= chosen[-1] <= (
      plan.blocks
    ):
      raise errors.UserError(
        f'taps={chosen}; expected increasing block numbers of {self.size},'
        f' 1 to {plan.blocks}'
      )
    types = {'dtype': style.dtype, 'param_dtype': style.param_dtype}
    dense, norm = _layers(types)
    x, grid = self._embed(image, mask)
    block = nn.remat(Block, static_argnums=(2,)) if self.remat else Block
    final = norm(name='norm')
    first, maps = x.shape[1] - grid[0] * grid[1], []
    # Blocks after the last one that is wanted exist, but are not run.
    for index in range(plan.blocks):
      module = block(
        heads=plan.heads,
        drop=self.stochastic_depth,
        dense=dense,
        norm=norm,
        style=style,
        name=f'block{index}',
      )
      if index < chosen[-1] or self.is_initializing():
        x = module(x, train)
      if index + 1 in chosen:
        y = final(x) if self.norm or self.is_initializing() else x
        maps.append((y if self.norm else x)[:, first:])
    shape = (image.shape[0], *grid, plan.width)
    return tuple(y.reshape(shape) for y in maps)

  def _embed(self, image, mask):
    """Tokens [B, 1 + registers + h w, C], and (h, w)."""
    width, side = SIZES[self.size].width, SIZES[self.size].grid
    style, grid = self.style, grid_size(image.shape[1:3])
    around = [(0, -x % PATCH) for x in image.shape[1:3]]
    image = jnp.pad(image, ((0, 0), *around, (0, 0)))
    x = layers.Conv(
      width,
      PATCH,
      stride=PATCH,
      padding=0,
      use_bias=True,
      style=dataclasses.replace(style, initializer='torch'),
      name='patch_embed',
    )(image)

    def learn(name, *shape):
      init = nn.initializers.truncated_normal(0.02)
      array = self.param(name, init, (*shape, width), style.param_dtype)
      return array.astype(style.dtype)

    if self.mask_token:
      token = learn('mask_token', 1)
      if mask is not None:
        x = jnp.where(mask[..., None], token[None, None], x)
    elif mask is not None:
      raise errors.UserError('mask: these weights have no mask token')
    positions = self.param(
      'positions',
      nn.initializers.truncated_normal(0.02),
      (1, 1 + side * side, width),
      style.param_dtype,
    )
    places = positions[0, 1:].reshape(side, side, width)
    places = resize_positions(places, grid, how=self.positions)
    x = x + places.astype(style.dtype)[None]
    first = learn('cls_token', 1, 1) + positions[:, :1].astype(style.dtype)
    tokens = [first]
    if self.registers:
      tokens.append(learn('register_tokens', 1, self.registers))
    batch = image.shape[0]  # An export's has no length: it is symbolic.
    tokens = [jnp.broadcast_to(t, (batch, *t.shape[1:])) for t in tokens]
    return jnp.concatenate([*tokens, x.reshape(batch, -1, width)], 1), grid


def _layers(types):
  """(dense, norm): constructors from features and name, and from a name."""

  def dense(features, *, name):
    init = nn.initializers.truncated_normal(0.02)
    return nn.Dense(features, kernel_init=init, name=name, **types)

  def norm(*, name):
    # The fast variance cancels where the mean is large.
    return nn.LayerNorm(_EPSILON, use_fast_variance=False, name=name, **types)

  return dense, norm
