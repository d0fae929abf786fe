"""Draws everything that a network predicts side by side. Needs no TF."""

from collections.abc import Sequence
import functools

import jax
import numpy as np

from jaxuda.data.classes import labels
from jaxuda.data.pixels import resizing
from jaxuda.run import workdir as workdir_lib
from jaxuda.ui import panels

# Pixels; wider pictures are shrunk: they are for viewing, not for measuring.
_WIDEST = 640


def draw(
  image: np.ndarray,
  label: np.ndarray,
  run: workdir_lib.Run,
  *,
  around: Sequence[int],
) -> np.ndarray:
  """Draws a picture, its labels, and depth and density where there are any.

  As in figures 2 and 3 of Depth Distribution (Wu and Liu, NeurIPS 2022).

  Args:
    image: uint8 [H, W, 3] RGB.
    label: uint8 [H, W], the predicted indices into the class set.
    run: run whose network predicts depth and density, from a single view.
    around: (height, width) of the picture with the padding that the network
      sees.

  Returns:
    uint8 [h, w, 3] RGB.
  """
  scale = min(1, _WIDEST / image.shape[1])
  (height, width), padded = (
    tuple(max(1, round(scale * side)) for side in shape)
    for shape in (image.shape[:2], around)
  )
  maps = look(image, run, size=(height, width), around=padded)
  shown = {
    'image': {'image': resizing.resize_image(image, (height, width))[None]},
    'label': {
      'prediction': resizing.resize_label(label, (height, width))[None]
    },
    **{k: {k: x[None]} for k, x in maps.items()},
  }
  colors = labels.get_class_set(run.config.classes).colors
  return panels.make_training_panel(shown, colors=colors)


def look(
  image: np.ndarray,
  run: workdir_lib.Run,
  *,
  size: Sequence[int],
  around: Sequence[int],
) -> dict[str, np.ndarray]:
  """Returns the depth and the density that a network predicts for a picture.

  Args:
    image: uint8 [H, W, 3] RGB.
    run: run whose network predicts, from a single view.
    size: (height, width) of the maps.
    around: (height, width) of the maps with the padding that the network sees.

  Returns:
    Those that the network has of 'depth', float [height, width] in metres, and
    'density', float [height, width] in 0..255.
  """
  target = run.config.data.target
  framed = resizing.frame_image(
    image,
    tuple(target.size),
    method=target.get('image_resize', 'bicubic'),
    fit=target.get('fit', 'stretch'),
  )
  # Compiled once; only the upsampling depends on the picture's size.
  low = _predict(run.state, framed[None], method=run.method)
  maps = _enlarge(low, method=run.method, size=tuple(around))
  height, width = size
  return {k: np.asarray(x)[0, :height, :width] for k, x in maps.items()}


@functools.partial(jax.jit, static_argnames='method')
def _predict(state, image, *, method):
  return method.predict(state, image, size='grid')


@functools.partial(jax.jit, static_argnames=('method', 'size'))
def _enlarge(low, *, method, size):
  full = method.enlarge(low, size)
  return {k: full[k] for k in ('depth', 'density') if k in full}
