"""CorDA's losses: semantics and depth, initial and final heads (eq. 8)."""

from collections.abc import Mapping
import functools

import jax
import jax.numpy as jnp

from jaxuda.losses import depth as depth_losses
from jaxuda.losses import segmentation

# Prefix of the outputs -> suffix of the losses.
_LEVELS = {'': '', 'initial_': '_initial'}


def source_terms(
  outputs: Mapping[str, jax.Array],
  source: Mapping[str, jax.Array],
  *,
  average_all: bool = False,
  detail_weight: float = 0.1,
  axis: str | None = None,
) -> dict[str, jax.Array]:
  """Returns supervised losses: cross entropy (eq. 1), source decoder's berHu.

  Args:
    outputs: 'logits' [B, H, W, C], 'depth_source' [B, H, W] (inverse depth), or
      'depth' where one decoder serves both domains, and the same for initial
      heads ('initial_...') if there are any.
    source: 'label' int [B, H, W]; 'depth' [B, H, W], inverse; 'depth_valid'
      bool [B, H, W].
    average_all: see `segmentation.cross_entropy`.
    detail_weight: share of the detail crop's cross entropy where `outputs` has
      a 'detail', see `segmentation.with_detail`.
    axis: name of the mapped axis over which the batch extends, or None: see
      `ops.batch.count`.

  Returns:
    Scalars 'loss_seg', 'loss_depth' and, for initial heads, '..._initial'.

  Example:
    log 2 for two equal logits; for a depth error of 1, c = 1 / 5 and
    (1 + c^2) / (2 c):

    >>> ones = jnp.ones((1, 1, 1))
    >>> outputs = {'logits': jnp.zeros((1, 1, 1, 2)), 'depth': 5 * ones}
    >>> source = {'label': jnp.array([[[1]]]), 'depth': 4 * ones}
    >>> terms = source_terms(outputs, {**source, 'depth_valid': ones > 0})
    >>> print(f'{terms["loss_seg"]:.3f} {terms["loss_depth"]:.3f}')
    0.693 2.600
  """
  terms = {}
  for prefix, suffix in _levels(outputs):
    decoder = outputs.get(f'{prefix}depth_source', outputs[f'{prefix}depth'])
    terms[f'loss_seg{suffix}'] = segmentation.with_detail(
      functools.partial(
        segmentation.cross_entropy, average_all=average_all, axis=axis
      ),
      outputs[f'{prefix}logits'],
      [source['label']],
      detail=_detail(outputs, prefix),
      weight=detail_weight,
    )
    terms[f'loss_depth{suffix}'] = depth_losses.berhu(
      decoder, source['depth'], mask=source['depth_valid'], axis=axis
    )
  return terms


def mixed_terms(
  outputs: Mapping[str, jax.Array],
  mixed: Mapping[str, jax.Array],
  *,
  weight: jax.Array,
  detail_weight: float = 0.1,
  axis: str | None = None,
) -> dict[str, jax.Array]:
  """Returns losses on mixed images: weighted cross entropy, decoders' berHu.

  Pasted pixels train the source decoder and the others the target decoder, as
  in the official code, whose target decoder learns from nothing else.

  Args:
    outputs: see `source_terms`.
    mixed: 'label', 'depth', 'depth_valid' and 'mask', all [B, H, W]; the mask
      is True for the source's pixels.
    weight: [B, H, W], weight of the cross entropy, 0..1.
    detail_weight: share of the detail crop's cross entropy where `outputs` has
      a 'detail', see `segmentation.with_detail`.
    axis: name of the mapped axis over which the batch extends, or None: see
      `ops.batch.count`.

  Returns:
    Scalars 'loss_mixed', 'loss_mixed_depth' and, for initial heads,
    '..._initial'.

  Example:
    >>> ones = jnp.ones((1, 1, 1))
    >>> outputs = {'logits': jnp.zeros((1, 1, 1, 2)), 'depth': 5 * ones}
    >>> mixed = {'label': jnp.array([[[1]]]), 'depth': 5 * ones}
    >>> mixed |= {'depth_valid': ones > 0, 'mask': ones > 0}
    >>> terms = mixed_terms(outputs, mixed, weight=0.5 * ones)
    >>> print(f'{terms["loss_mixed"]:.3f} {terms["loss_mixed_depth"]:.3f}')
    0.347 0.000
  """
  terms = {}
  for prefix, suffix in _levels(outputs):
    decoder = outputs[f'{prefix}depth']
    if f'{prefix}depth_source' in outputs:
      decoder = jnp.where(
        mixed['mask'], outputs[f'{prefix}depth_source'], decoder
      )
    terms[f'loss_mixed{suffix}'] = segmentation.with_detail(
      segmentation.weighted_cross_entropy,
      outputs[f'{prefix}logits'],
      [mixed['label'], weight],
      detail=_detail(outputs, prefix),
      weight=detail_weight,
    )
    terms[f'loss_mixed_depth{suffix}'] = depth_losses.berhu(
      decoder, mixed['depth'], mask=mixed['depth_valid'], axis=axis
    )
  return terms


def _levels(outputs):
  return [level for level in _LEVELS.items() if f'{level[0]}logits' in outputs]


def _detail(outputs, prefix):
  """The detail crop's output; initial heads have none."""
  return None if prefix else outputs.get('detail')
