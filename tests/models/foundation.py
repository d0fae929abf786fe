"""Golden networks of DINOv2 and Depth Anything, filled as the script did."""

import ast
import functools
import pathlib

import jax
import jax.numpy as jnp
import numpy as np

from jaxuda.models import layers
from jaxuda.weights import foundation
from scripts.golden import vit as golden

STYLE = layers.Style(dtype=jnp.float64, param_dtype=jnp.float64)


@functools.cache
def stored():
  path = pathlib.Path(__file__).parent / 'golden' / 'vit.npz'
  with np.load(path) as file:
    return dict(file)


def state_dict(name):
  """Returns the entries of a network's file, under its library's names."""
  keys, shapes = stored()[f'{name}/keys'], stored()[f'{name}/shapes']
  return {
    str(key): golden.tensor(str(key), ast.literal_eval(str(shape)))
    for key, shape in zip(keys, shapes, strict=True)
  }


def variables(name, module):
  """Returns a module's weights in float64, and the family of the file."""
  arrays = state_dict(name)
  family = foundation.recognise(
    {k: x.shape for k, x in arrays.items()}, family='depth_anything_v2'
  )
  image = jax.ShapeDtypeStruct((1, 14, 14, 3), jnp.float64)
  expected = jax.eval_shape(module.init, jax.random.key(0), image)
  if not family.whole:
    expected = {'params': {'backbone': expected['params']}}
  kept = {k: x for k, x in arrays.items() if family.reason(k) is None}
  found = family.match(kept, expected)
  assert not {*found.missing, *found.mismatched, *found.unexpected}
  tree = jax.tree.map(jnp.asarray, unflatten(found.filled))['params']
  return {'params': tree if family.whole else tree['backbone']}, family


def unflatten(flat):
  tree = {}
  for path, leaf in flat.items():
    *above, last = path
    functools.reduce(lambda t, x: t.setdefault(x, {}), above, tree)[last] = leaf
  return tree


def check(name, family, params, run):
  """Compares an output, and the gradients of the sum of its sines.

  Returns:
    The largest error relative to the largest number of its kind.
  """

  def loss(params):
    y = run(params)
    return jnp.sin(y).sum(), y

  (_, y), grads = jax.jit(jax.value_and_grad(loss, has_aux=True))(params)
  grads = {'params': grads if family.whole else {'backbone': grads}}
  theirs = foundation.to_torch(
    {
      '/'.join(x.key for x in path): np.asarray(leaf)
      for path, leaf in jax.tree_util.tree_leaves_with_path(grads)
    },
    family.name,
  )
  errors = [compare(y, stored()[f'{name}/output'])]
  keys = stored()[f'{name}/grad_keys']
  norms = np.array([np.linalg.norm(theirs[str(k)]) for k in keys])
  errors.append(compare(norms, stored()[f'{name}/grad_norms']))
  for key in golden.GRADIENTS:
    if f'{name}/grad/{key}' in stored():
      errors.append(compare(theirs[key], stored()[f'{name}/grad/{key}']))
  # Parameters without a gradient there have none here.
  for key in theirs.keys() - {str(x) for x in keys}:
    assert not np.any(theirs[key]), key
  return max(errors)


def compare(ours, theirs):
  ours = np.asarray(ours, np.float64).reshape(theirs.shape)
  return np.abs(ours - theirs).max() / np.abs(theirs).max()
