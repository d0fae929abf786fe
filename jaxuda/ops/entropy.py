"""Self-information of a segmentation (ADVENT eq. 4, DADA eq. 5)."""

import jax
import jax.numpy as jnp
import numpy as np


def self_information(logits: jax.Array) -> jax.Array:
  """Weighted self-information maps, one per class (ADVENT eq. 4).

  -p log2(p + 1e-30) / log2(C). The papers have the natural logarithm and no
  normalisation, and claim a range of [0, 1]; the official code has base 2 and
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
  # log2 is taken as log / log 2 so that the constant joins the scale.
  logs = jnp.log(probability + 1e-30)
  return -probability * logs * (scale / np.log(2))
