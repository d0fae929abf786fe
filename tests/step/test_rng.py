import jax
import numpy as np
import pytest

from jaxuda import errors
from jaxuda.step import rng


def bits(key):
  return tuple(np.asarray(jax.random.key_data(key)).tolist())


def test_streams_and_steps_differ_and_repeat():
  def keys():
    root = rng.root(3)
    found = [rng.stream(root, name) for name in ('mix', 'jitter')]
    found += [rng.for_step(root, s, d) for s in (0, 1) for d in (0, 1)]
    return [bits(key) for key in found]

  assert keys() == keys()
  assert len(set(keys())) == 6


def test_seeds_differ():
  assert bits(rng.root(1)) != bits(rng.root(2))
  first, second = (jax.random.normal(rng.for_init(s), (3,)) for s in (1, 2))
  assert (first != second).all()
  again = jax.random.normal(rng.for_init(1), (3,))
  np.testing.assert_array_equal(first, again)


def test_seeds_that_would_be_cut_off_are_named():
  for seed in (-(2**31), 0, 2**32 - 1):
    rng.check_seed(seed)
  # JAX would take the first one for 1, and has no name for the second.
  for seed in (2**32 + 1, 10**20, -(2**31) - 1):
    with pytest.raises(errors.UserError, match=f'^seed={seed}; expected -214'):
      rng.check_seed(seed)
