"""The branch-balance loss of Depth Distribution (Wu & Liu, NeurIPS 2022).

It holds what the density branch predicts against the density that segmentation
and depth give: berHu, mean over the pixels of the network's output grid.
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
  """On the source: the predicted class at the true depth.

  Args:
    out: 'logits' [B, h, w, C] and 'density' [B, h, w] of the network.
    inverse: [B, H, W], true inverse depth.
    label: int [B, H, W], 255 is no class.
    table: the mixtures of C classes.
    mask: bool [B, H, W], where the depth counts; None for everywhere, as in the
      official code.
    mask_wrong: see `ops.density.source_density`.
    transfer: let the gradient through the density into the segmentation, as the
      paper's text implies. The official code has none.
    mapping: see `ops.density.map_density`.
    scale: see `ops.density.grid_points`.
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
  """On the target: the predicted class at the predicted depth.

  Args:
    out: 'logits' [B, h, w, C], 'depth' and 'density' [B, h, w].
    table: the mixtures of C classes.
    transfer: let the gradient into segmentation and depth.
    mapping: see `ops.density.map_density`.
    scale: see `ops.density.grid_points`.
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
