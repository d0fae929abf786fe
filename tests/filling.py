"""States and variables without a program that draws them."""

import jax
import numpy as np


def fill(shapes, *, seed=0):
  """Fills a state, or the variables of a network, with numbers.

  Drawing them with `init` takes about as long to compile as a training step. If
  the initial numbers of a network do not matter, these will do: kernels of He's
  scale, norms near the identity, moments of 0. Nothing is compiled.

  Args:
    shapes: the result of `jax.eval_shape` for an `init`.
    seed: seed of the numbers.

  Returns:
    The same tree with NumPy arrays, always the same for a seed.
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
  """Returns a state of a method, filled by `fill`."""
  return fill(jax.eval_shape(method.init, jax.random.key(0), batch))
