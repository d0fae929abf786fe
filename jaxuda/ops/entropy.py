"""Entropies of predictions: of each pixel, and of its neighbourhood.

Self-information is that of ADVENT eq. 4 and DADA eq. 5.
"""

import jax
import jax.numpy as jnp
import numpy as np


def self_information(logits: jax.Array) -> jax.Array:
  """Returns weighted self-information maps, one per class (ADVENT eq. 4).

  -p log2(p + 1e-30) / log2(C). The papers use the natural logarithm without
  normalisation, and claim a range of [0, 1]; the official code uses base 2 and
  divides by log2 C, so that the largest value is 0.53 / log2(C): 0.133 for 16
  classes.

  Args:
    logits: [..., C], C > 1.

  Returns:
    [..., C], float32 or better.

  Example:
    1/4 log2(4) / log2(4):

    >>> print(self_information(jnp.zeros((1, 4))))
    [[0.25 0.25 0.25 0.25]]
  """
  logits = logits.astype(jnp.promote_types(logits.dtype, jnp.float32))
  return information(jax.nn.softmax(logits, axis=-1))


def information(probability: jax.Array) -> jax.Array:
  """Returns -p log2(p + 1e-30) / log2(C) of probabilities.

  Args:
    probability: [..., C] in 0..1, C > 1.

  Example:
    >>> print(information(jnp.array([[0.5, 0.5]])))
    [[0.5 0.5]]
  """
  scale = 1 / np.log2(probability.shape[-1])
  # log2 is computed as log / log 2 so that the constant joins the scale.
  logs = jnp.log(probability + 1e-30)
  return -probability * logs * (scale / np.log(2))


def soft_density(
  probability: jax.Array, *, temperature: float = 0.05
) -> jax.Array:
  """Returns the soft neighbourhood density of predictions.

  Saito et al., "Tune it the right way: unsupervised validation of domain
  adaptation via soft neighborhood density", ICCV 2021, section 3: the softmax
  of a prediction's cosine similarities to all others, divided by a temperature,
  tells which of them are its neighbours; its entropy is large where many are
  equally near. The density is the mean of these entropies.

  Args:
    probability: [N, C] > 0, N > 1, in no special order.
    temperature: that of the paper.

  Returns:
    A scalar in 0..log(N - 1), float32 or better.

  Example:
    Each of three equal predictions has two equal neighbours, log 2:

    >>> print(f'{soft_density(jnp.full((3, 4), 0.25)):.4f}')
    0.6931
  """
  probability = probability.astype(
    jnp.promote_types(probability.dtype, jnp.float32)
  )
  norm = jnp.linalg.norm(probability, axis=-1, keepdims=True)
  vectors = probability / norm
  itself = jnp.eye(len(vectors), dtype=bool)
  cosines = vectors @ vectors.T
  logs = jax.nn.log_softmax(
    jnp.where(itself, -jnp.inf, cosines / temperature), axis=-1
  )
  terms = jnp.where(itself, 0.0, jnp.exp(logs) * logs)
  return -jnp.mean(jnp.sum(terms, axis=-1))
