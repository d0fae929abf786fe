"""Inputs of an image transform network (GIO-Ada)."""

import jax
import jax.numpy as jnp

from jaxuda.ops import image as image_ops


def stack_inputs(
  image: jax.Array,
  *,
  label: jax.Array | None = None,
  depth: jax.Array | None = None,
  classes: int = 0,
) -> jax.Array:
  """Stacks image, one-hot labels and depth along the channels.

  GIO-Ada, section 3.2: 3 + C + 1 channels.

  Args:
    image: [B, H, W, 3] in 0..255.
    label: int [B, H, W], or None; a pixel without a class (255) is all 0.
    depth: [B, H, W] in 0..1, or None.
    classes: the number of classes C.

  Returns:
    [B, H, W, 3 + (C) + (1)] float32 or better, the image in -1..1.

  Example:
    >>> image, label = jnp.full((1, 1, 1, 3), 127.5), jnp.array([[[1]]])
    >>> maps = stack_inputs(image, label=label, depth=label / 2, classes=2)
    >>> print(maps.ravel())
    [0.  0.  0.  0.  1.  0.5]
  """
  maps = [image_ops.to_symmetric(image)]
  dtype = maps[0].dtype
  if label is not None:
    maps.append(jax.nn.one_hot(label, classes, dtype=dtype))
  if depth is not None:
    maps.append(depth[..., None].astype(dtype))
  return jnp.concatenate(maps, -1)
