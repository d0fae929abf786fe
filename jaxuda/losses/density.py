"""The branch-balance loss of Depth Distribution (Wu & Liu, NeurIPS 2022).

It compares the output of the density branch with the density that segmentation
and depth imply: berHu, mean over the pixels of the network's output grid.
"""

from collections.abc import Mapping, Sequence

import jax
from jax import lax

from jaxuda.losses import depth
from jaxuda.ops import density as density_ops
from jaxuda.ops import resize


def source_balance(
  out: Mapping[str, jax.Array],
  inverse: jax.Array,
  label: jax.Array,
  *,
  table: density_ops.Table,
  mask: jax.Array | None = None,
  mask_wrong: bool = True,
  transfer: bool = False,
  mapping: str = 'exponential',
  scale: Sequence[float] = (1.0, 1.0),
) -> jax.Array:
  """Branch balance on the source: the predicted class at the true depth.

  Args:
    out: 'logits' [B, h, w, C] and 'density' [B, h, w], outputs of the network.
    inverse: [B, H, W], true inverse depth.
    label: int [B, H, W], true class; 255 for none.
    table: mixtures of C classes.
    mask: bool [B, H, W], where the depth counts; None for everywhere, as in the
      official code.
    mask_wrong: see `ops.density.source_density`.
    transfer: pass the gradient through the density into the segmentation, as
      the paper's text implies; the official code does not.
    mapping: see `ops.density.map_density`.
    scale: see `ops.density.grid_points`.

  Returns:
    A scalar.

  Example:
    The density at (0, 0, 5) is 1, and 3 is predicted; c is 2 / 5, and the loss
    (2^2 + c^2) / (2 c):

    >>> import jax.numpy as jnp
    >>> variance = [[[0.5 / jnp.pi] * 3]]
    >>> table = density_ops.tabulate([[1]], [[[0, 0, 5]]], variance)
    >>> ones = jnp.ones((1, 1, 1))
    >>> out = {'logits': ones[..., None], 'density': 3 * ones}
    >>> args = out, 5 * ones, jnp.zeros((1, 1, 1), jnp.int32)
    >>> loss = source_balance(*args, table=table, mapping='plain')
    >>> print(f'{loss:.3f}')
    5.200
  """
  low = out['density'].shape[1:3]
  density = density_ops.source_density(
    table,
    out['logits'],
    resize.resize_nearest(inverse, low),
    resize.resize_nearest(label, low),
    mask_wrong=mask_wrong,
    soft=transfer,
    mapping=mapping,
    scale=scale,
  )
  if mask is not None:
    mask = resize.resize_nearest(mask, low)
  return _balance(out['density'], density, mask, transfer)


def target_balance(
  out: Mapping[str, jax.Array],
  *,
  table: density_ops.Table,
  transfer: bool = False,
  mapping: str = 'exponential',
  scale: Sequence[float] = (1.0, 1.0),
) -> jax.Array:
  """Branch balance on the target: the predicted class at the predicted depth.

  Args:
    out: 'logits' [B, h, w, C], 'depth' (inverse) and 'density' [B, h, w].
    table: mixtures of C classes.
    transfer: pass the gradient into segmentation and depth.
    mapping: see `ops.density.map_density`.
    scale: see `ops.density.grid_points`.

  Returns:
    A scalar.

  Example:
    >>> import jax.numpy as jnp
    >>> variance = [[[0.5 / jnp.pi] * 3]]
    >>> table = density_ops.tabulate([[1]], [[[0, 0, 5]]], variance)
    >>> ones = jnp.ones((1, 1, 1))
    >>> out = {'logits': ones[..., None], 'density': 3 * ones}
    >>> out['depth'] = 5 * ones
    >>> print(f'{target_balance(out, table=table, mapping="plain"):.3f}')
    5.200
  """
  density = density_ops.target_density(
    table,
    out['logits'],
    out['depth'],
    soft=transfer,
    mapping=mapping,
    scale=scale,
  )
  return _balance(out['density'], density, None, transfer)


def _balance(prediction, density, mask, transfer):
  if not transfer:
    density = lax.stop_gradient(density)
  return depth.berhu(prediction, density, mask=mask)
