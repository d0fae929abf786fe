"""States and variables without a program that draws them."""

import jax
import numpy as np


def fill(shapes, *, seed=0):
  """Fills a state, or the variables of a network, with numbers.

  To draw them as `init` does compiles about as long as a training step. Where
  it does not matter which numbers a network begins with, these do: kernels of
  He's scale, norms near the identity, moments of 0. Nothing is compiled.

  Args:
    shapes: what `jax.eval_shape` says of an `init`.
    seed: of the numbers.

  Returns:
    The same tree of NumPy arrays; the same in every call with the seed.
  """
  generator = np.random.default_rng(seed)

  def make(path, x):
    path = '/' + jax.tree_util.keystr(path, simple=True, separator='/')
    if '/params/' not in path:
      return np.full(x.shape, path.endswith('/var'), x.dtype)
    inputs = 200 if x.ndim < 2 else np.prod(x.shape[:-1])
    drawn = generator.normal(
      path.endswith('/scale'), (2 / inputs) ** 0.5, x.shape
    )
    return drawn.astype(x.dtype)

  return jax.tree_util.tree_map_with_path(make, shapes)


def fill_state(method, batch):
  """A state of a method, as `fill` has it."""
  return fill(jax.eval_shape(method.init, jax.random.key(0), batch))
