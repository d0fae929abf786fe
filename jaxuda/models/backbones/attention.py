"""Attention, as the transformers compute it."""

import math

import jax
import jax.numpy as jnp


def attend(queries: jax.Array, keys: jax.Array, values: jax.Array) -> jax.Array:
  """Computes scaled dot-product attention without a mask.

  Args:
    queries: [B, N, heads, K].
    keys: [B, M, heads, K].
    values: [B, M, heads, K].

  Returns:
    [B, N, heads, K], in the queries' dtype.
  """
  if queries.dtype != jnp.float64:
    return jax.nn.dot_product_attention(queries, keys, values)
  # JAX's own attention computes every softmax in float32.
  logits = jnp.einsum('bnhk,bmhk->bhnm', queries, keys)
  share = jax.nn.softmax(logits / math.sqrt(queries.shape[-1]), axis=-1)
  return jnp.einsum('bhnm,bmhk->bnhk', share, values)
