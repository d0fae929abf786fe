"""The branch-balance loss of Depth Distribution (Wu & Liu, NeurIPS 2022).

It compares the output of the density branch with the density that segmentation
and depth imply, by the mean berHu loss over the pixels of the network's output
grid.
"""

from collections.abc import Mapping
from typing import Any

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
  mask: jax.Array | None = None,
  transfer: bool = False,
  source_map: str = 'true_depth',
  axis: str | None = None,
  **options: Any,
) -> jax.Array:
  """Returns the branch-balance loss on the source.

  Args:
    out: 'logits' [B, h, w, C] and 'density' [B, h, w], outputs of the network.
    inverse: [B, H, W], true inverse depth.
    label: int [B, H, W], true class; 255 for none.
    mask: bool [B, H, W], where the true depth counts; None for everywhere, as
      in the official code. A map that does not use true depth counts
      everywhere.
    transfer: pass the gradient through the density into the segmentation, as
      the paper's text implies; the official code does not.
    source_map: see `source_target`.
    axis: name of the mapped axis over which the batch extends, or None: see
      `ops.batch.count`.
    **options: further arguments of `source_target`.

  Returns:
    A scalar.

  Example:
    The density at (0, 0, 5) is 1, and 3 is predicted; c is 2 / 5, and the loss
    is (2^2 + c^2) / (2 c):

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
  density = source_target(
    out, inverse, label, transfer=transfer, source_map=source_map, **options
  )
  if source_map == 'predicted_depth':
    mask = None
  if mask is not None:
    mask = resize.resize_nearest(mask, out['density'].shape[1:3])
  return _balance(out['density'], density, mask, transfer, axis)


def source_target(
  out: Mapping[str, jax.Array],
  inverse: jax.Array,
  label: jax.Array,
  *,
  table: density_ops.Table,
  source_map: str = 'true_depth',
  mask_wrong: bool = True,
  transfer: bool = False,
  **options: Any,
) -> jax.Array:
  """Returns the density that the density branch is compared with on the source.

  Args:
    out: 'logits' [B, h, w, C], 'density' [B, h, w] and, for 'predicted_depth',
      'depth' (inverse) [B, h, w].
    inverse: [B, H, W], true inverse depth.
    label: int [B, H, W], true class; 255 for none.
    table: mixtures of C classes.
    source_map: what the map is computed from. 'true_depth': the predicted class
      at the true depth, the method; 'truth': the true class at the true depth,
      a map that is constructed before training (the paper's row S1);
      'predicted_depth': the predicted class at the predicted depth, as on the
      target (row S2).
    mask_wrong: with 'true_depth', see `ops.density.source_density`.
    transfer: see `source_balance`.
    **options: 'scale' of `ops.density.grid_points`, and what
      `ops.density.map_density` takes.

  Returns:
    [B, h, w]; without `transfer` it has no gradient worth taking.

  Example:
    The density at (0, 0, 5) is 1; the true depth is there, the predicted one
    is not:

    >>> import jax.numpy as jnp
    >>> variance = [[[0.5 / jnp.pi] * 3]]
    >>> table = density_ops.tabulate([[1]], [[[0, 0, 5]]], variance)
    >>> ones = jnp.ones((1, 1, 1))
    >>> out = {'logits': ones[..., None], 'depth': 6 * ones, 'density': ones}
    >>> args = out, 5 * ones, jnp.zeros((1, 1, 1), jnp.int32)
    >>> for name in ('true_depth', 'truth', 'predicted_depth'):
    ...   options = dict(table=table, source_map=name, mapping='plain')
    ...   print(f'{name} {source_target(*args, **options).item():.3f}')
    true_depth 1.000
    truth 1.000
    predicted_depth 0.043
  """
  if source_map == 'predicted_depth':
    return density_ops.target_density(
      table, out['logits'], out['depth'], soft=transfer, **options
    )
  low = out['density'].shape[1:3]
  inverse = resize.resize_nearest(inverse, low)
  label = resize.resize_nearest(label, low)
  if source_map == 'truth':
    return density_ops.true_density(table, label, inverse, **options)
  return density_ops.source_density(
    table,
    out['logits'],
    inverse,
    label,
    mask_wrong=mask_wrong,
    soft=transfer,
    **options,
  )


def target_balance(
  out: Mapping[str, jax.Array],
  *,
  table: density_ops.Table,
  transfer: bool = False,
  axis: str | None = None,
  **options: Any,
) -> jax.Array:
  """Returns the target's branch balance: predicted class at predicted depth.

  Args:
    out: 'logits' [B, h, w, C], 'depth' (inverse) and 'density' [B, h, w].
    table: mixtures of C classes.
    transfer: pass the gradient into segmentation and depth.
    axis: name of the mapped axis over which the batch extends, or None: see
      `ops.batch.count`.
    **options: see `source_target`.

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
    table, out['logits'], out['depth'], soft=transfer, **options
  )
  return _balance(out['density'], density, None, transfer, axis)


def _balance(prediction, density, mask, transfer, axis):
  if not transfer:
    density = lax.stop_gradient(density)
  return depth.berhu(prediction, density, mask=mask, axis=axis)
