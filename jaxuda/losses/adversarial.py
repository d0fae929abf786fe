"""Adversarial adaptation: discriminator losses and entropy minimisation."""

import jax
import jax.numpy as jnp

from jaxuda.ops import entropy

# Domain labels of the official code. The DADA paper has them the other way
# round, which changes nothing.
SOURCE = 0.0
TARGET = 1.0


def binary_cross_entropy(logits: jax.Array, value: float) -> jax.Array:
  """Returns the mean binary cross entropy of logits against a constant label.

  mean(log(1 + exp(logit)) - value * logit).

  Args:
    logits: any shape.
    value: the label, 0.0 or 1.0.

  Returns:
    A scalar, float32 or better.

  Example:
    An undecided discriminator has log 2:

    >>> print(f'{binary_cross_entropy(jnp.zeros((1, 2, 2, 1)), 1.0):.3f}')
    0.693
  """
  logits = logits.astype(jnp.promote_types(logits.dtype, jnp.float32))
  return jnp.mean(jax.nn.softplus(logits) - value * logits)


def entropy_loss(logits: jax.Array) -> jax.Array:
  """Returns the mean normalised entropy of predictions (ADVENT eq. 3, MinEnt).

  -sum p log2(p + 1e-30) / (B H W log2 C), in 0..1: 1 for a uniform prediction.

  Args:
    logits: [B, H, W, C], C > 1.

  Returns:
    A scalar, float32 or better.

  Example:
    >>> print(entropy_loss(jnp.zeros((1, 1, 2, 4))))
    1.0
  """
  pixels = logits.size // logits.shape[-1]
  return jnp.sum(entropy.self_information(logits)) / pixels


def discriminator_loss(
  source_logits: jax.Array, target_logits: jax.Array, *, factor: float = 1.0
) -> tuple[jax.Array, dict[str, jax.Array]]:
  """Returns a domain discriminator's loss: source against 0, target against 1.

  Args:
    source_logits: the discriminator's output on the source, any shape.
    target_logits: its output on the target.
    factor: weight of each term: 1 in DADA's and DepDis's code, 1/2 in
      AdaptSegNet's and ADVENT's.

  Returns:
    (factor * (source term + target term), the two terms unweighted as
    'loss_d_source' and 'loss_d_target').

  Example:
    >>> logits = jnp.zeros((1, 2, 2, 1))
    >>> loss, terms = discriminator_loss(logits, logits, factor=0.5)
    >>> print(f'{loss:.3f} {terms["loss_d_source"]:.3f}')
    0.693 0.693
  """
  terms = {
    'loss_d_source': binary_cross_entropy(source_logits, SOURCE),
    'loss_d_target': binary_cross_entropy(target_logits, TARGET),
  }
  return factor * (terms['loss_d_source'] + terms['loss_d_target']), terms
