"""What discriminators and the networks that fool them minimise."""

import jax
import jax.numpy as jnp

from jaxuda import errors
from jaxuda.ops import entropy

# Domain labels of the official code. The DADA paper has them the other way
# round, which changes nothing.
SOURCE = 0.0
TARGET = 1.0

_STATISTICS = ('both', 'target')


def binary_cross_entropy(logits: jax.Array, value: float) -> jax.Array:
  """Mean binary cross entropy of logits against one constant label.

  Args:
    logits: any shape.
    value: the label, 0.0 or 1.0.
  """
  logits = logits.astype(jnp.promote_types(logits.dtype, jnp.float32))
  return jnp.mean(jax.nn.softplus(logits) - value * logits)


def entropy_loss(logits: jax.Array) -> jax.Array:
  """Mean normalised entropy of a segmentation (ADVENT eq. 3, MinEnt).

  -sum p log2(p + 1e-30) / (B H W log2 C): 1 for a uniform prediction.

  Args:
    logits: [B, H, W, C].
  """
  pixels = logits.size // logits.shape[-1]
  return jnp.sum(entropy.self_information(logits)) / pixels


def discriminator_loss(
  source_logits: jax.Array, target_logits: jax.Array, *, factor: float = 1.0
) -> tuple[jax.Array, dict[str, jax.Array]]:
  """What a domain discriminator minimises.

  Args:
    source_logits: its output on the source.
    target_logits: its output on the target.
    factor: weight of each term: 1 in DADA's and DepDis' code, 1/2 in
      AdaptSegNet's and ADVENT's.

  Returns:
    (factor * (source term + target term), the two terms unweighted).
  """
  terms = {
    'loss_d_source': binary_cross_entropy(source_logits, SOURCE),
    'loss_d_target': binary_cross_entropy(target_logits, TARGET),
  }
  return factor * (terms['loss_d_source'] + terms['loss_d_target']), terms


def check_statistics(value: str) -> None:
  """Checks the field of adversarial methods that names running statistics.

  Raises:
    UserError: it is neither 'both' nor 'target'.
  """
  if value not in _STATISTICS:
    raise errors.UserError(
      f'method.statistics={value!r}; expected one of {", ".join(_STATISTICS)}'
    )
