"""CorDA's losses: semantics and depth, initial and final heads (eq. 8)."""

from collections.abc import Mapping

import jax
import jax.numpy as jnp

from jaxuda.losses import depth as depth_losses
from jaxuda.losses import segmentation

# Prefix of the outputs -> suffix of the losses.
_LEVELS = {'': '', 'initial_': '_initial'}


def source_terms(
  outputs: Mapping[str, jax.Array], source: Mapping[str, jax.Array]
) -> dict[str, jax.Array]:
  """Supervised losses: cross entropy, and berHu of the source's decoder.

  Args:
    outputs: 'logits' [B, H, W, C], 'depth_source' [B, H, W] (inverse depth), or
      'depth' where one decoder serves both domains, and the same of initial
      heads ('initial_...') if there are any.
    source: 'label' int [B, H, W]; 'depth' [B, H, W], inverse; 'depth_valid'.

  Returns:
    'loss_seg', 'loss_depth' and, of the initial heads, '..._initial'.
  """
  terms = {}
  for prefix, suffix in _levels(outputs):
    decoder = outputs.get(f'{prefix}depth_source', outputs[f'{prefix}depth'])
    terms[f'loss_seg{suffix}'] = segmentation.cross_entropy(
      outputs[f'{prefix}logits'], source['label']
    )
    terms[f'loss_depth{suffix}'] = depth_losses.berhu(
      decoder, source['depth'], mask=source['depth_valid']
    )
  return terms


def mixed_terms(
  outputs: Mapping[str, jax.Array],
  mixed: Mapping[str, jax.Array],
  *,
  weight: jax.Array,
) -> dict[str, jax.Array]:
  """Losses on mixed images: weighted cross entropy, berHu of both decoders.

  Pasted pixels are the source decoder's, the others the target decoder's, as in
  the official code: its target decoder learns from nothing else.

  Args:
    outputs: see `source_terms`.
    mixed: 'label', 'depth', 'depth_valid', and 'mask' bool [B, H, W]: what is
      of the source.
    weight: [B, H, W], of the cross entropy.

  Returns:
    'loss_mixed', 'loss_mixed_depth' and, of the initial heads, '..._initial'.
  """
  terms = {}
  for prefix, suffix in _levels(outputs):
    decoder = outputs[f'{prefix}depth']
    if f'{prefix}depth_source' in outputs:
      decoder = jnp.where(
        mixed['mask'], outputs[f'{prefix}depth_source'], decoder
      )
    terms[f'loss_mixed{suffix}'] = segmentation.weighted_cross_entropy(
      outputs[f'{prefix}logits'], mixed['label'], weight
    )
    terms[f'loss_mixed_depth{suffix}'] = depth_losses.berhu(
      decoder, mixed['depth'], mask=mixed['depth_valid']
    )
  return terms


def total(
  terms: Mapping[str, jax.Array], weights: Mapping[str, float]
) -> jax.Array:
  """Returns the weighted sum; an initial head's loss weighs as the final one's.

  Args:
    terms: losses by name.
    weights: by name without '_initial'.
  """
  return sum(
    weights[name.removesuffix('_initial')] * value
    for name, value in terms.items()
  )


def _levels(outputs):
  return [level for level in _LEVELS.items() if f'{level[0]}logits' in outputs]
