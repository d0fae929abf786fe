"""Values that a compiled program stores."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxuda.models import lowering


def _largest_fusion(hold, blocks):
  """Returns the operands of a chain's largest fusion, both ways."""

  def chain(x, weights):
    for w in weights:
      x = hold(jax.nn.relu(x + x @ w))
    return jnp.sum(x * x)

  weights = [jnp.full((64, 64), 0.01 * i) for i in range(blocks)]
  arguments = jnp.ones((128, 64)), weights
  compiled = jax.jit(jax.grad(chain)).lower(*arguments).compile()
  lines = [x for x in compiled.as_text().splitlines() if ' fusion(' in x]
  most = max(x[x.index(' fusion(') :].split(')')[0].count('%') for x in lines)
  return most, compiled(*arguments)


def test_what_is_held_is_computed_once():
  """A chain of any length runs a block at a time; values are the same."""
  _, expected = _largest_fusion(lambda x: x, 8)
  for blocks in (4, 8):
    most, found = _largest_fusion(lowering.hold, blocks)
    assert most <= 4  # 6 where 4 blocks are one chain.
  np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_only_cpus_need_a_call():
  x = {'a': jnp.arange(3.0)}
  for platform in ('', 'tpu'):
    lowering.trace_for(platform)
    try:
      # A new function each time: JAX caches what it has traced.
      text = str(jax.make_jaxpr(lambda v: lowering.hold(v))(x))
    finally:
      lowering.trace_for('')
    assert text.count('optimization_barrier') > 0
    assert ('jit' in text) == (platform == '')
  assert jax.jit(lowering.hold)(x)['a'].tolist() == [0, 1, 2]


def test_the_cotangent_alone_is_held():
  x = jnp.asarray([1.0, -2.0])
  assert 'optimization' not in str(jax.make_jaxpr(lowering.hold_cotangent)(x))

  def loss(v):
    return jnp.sum(lowering.hold_cotangent(v) ** 2)

  assert 'optimization' in str(jax.make_jaxpr(jax.grad(loss))(x))
  assert jax.grad(loss)(x).tolist() == [2, -4]
