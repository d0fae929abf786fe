"""MiT's maps and gradients, see `golden.make_mit`."""

from collections.abc import Mapping
import json
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from golden import recipe
from jaxuda.models import layers
from jaxuda.models import pretrained
from jaxuda.models.backbones import mit

# The networks of the file.
_SIZES = {'b0': mit.SIZES['mit_b0'], 'b5': mit.Size(blocks=(1, 1, 1, 1))}


def recognises(golden: Mapping[str, Any]) -> bool:
  """Returns True if a file's entries are MiT's."""
  return 'b0_grad_image' in golden and 'b5_map3' in golden


def measure(
  golden: Mapping[str, np.ndarray], *, dtype: str
) -> dict[str, np.ndarray]:
  """Returns our value of every entry of the file.

  Args:
    golden: the file's entries.
    dtype: 'float64' or 'float32'.
  """
  ours, salt = {}, int(golden['sizes'][0])
  for name, shapes in json.loads(str(golden['shapes'])).items():
    shape = golden[f'{name}_grad_image'].shape
    image = recipe.image(f'{name}_image', shape, salt=salt) / 60
    probes = [
      recipe.tensor(
        f'{name}_probe{i}', golden[f'{name}_map{i}'].shape, salt=salt
      )
      for i in range(len(mit.STRIDES))
    ]
    weights = {k: recipe.tensor(k, v, salt=salt) for k, v in shapes.items()}
    found = _run(_SIZES[name], weights, image, probes, dtype)
    grads = found.pop('grads')
    for key, grad in grads.items():
      probe = recipe.tensor(f'probe.{key}', shapes[key], salt=salt)
      along = np.vdot(grad, probe)
      grads[key] = np.array([along, np.linalg.norm(grad)])
    ours |= {f'{name}_{k}': v for k, v in {**found, 'grads': grads}.items()}
  return ours


def _run(size, weights, image, probes, dtype):
  """Returns maps, loss and gradients; arrays are NCHW, as in PyTorch."""
  style = layers.Style(dtype=jnp.dtype(dtype), param_dtype=jnp.dtype(dtype))
  module = mit.Mit(size=size, style=style)
  image, *probes = (
    jnp.asarray(x.transpose(0, 2, 3, 1), dtype) for x in (image, *probes)
  )
  shapes = jax.eval_shape(
    lambda x: module.init(jax.random.key(0), x, train=False), image
  )
  params = pretrained.from_torch(weights, shapes, naming=pretrained.mit_key)[
    'params'
  ]

  def loss(params, image):
    maps = module.apply({'params': params}, image, train=False)
    total = sum(jnp.sum(x * p) for x, p in zip(maps, probes, strict=True))
    return total, maps

  run = jax.jit(jax.value_and_grad(loss, (0, 1), has_aux=True))
  (value, maps), (grads, grad_image) = jax.device_get(run(params, image))
  grads = pretrained.to_torch({'params': grads}, naming=pretrained.mit_key)
  return {
    **{f'map{i}': np.moveaxis(x, -1, 1) for i, x in enumerate(maps)},
    'loss': value,
    'grad_image': np.moveaxis(grad_image, -1, 1),
    'grads': {k: x.reshape(weights[k].shape) for k, x in grads.items()},
  }
