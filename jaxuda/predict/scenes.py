"""All that a network says of a picture, side by side. Needs no TF."""

from collections.abc import Sequence
import functools

import jax
import numpy as np

from jaxuda.data.classes import labels
from jaxuda.data.pixels import resizing
from jaxuda.ops import depth as depth_ops
from jaxuda.ops import resize
from jaxuda.run import workdir as workdir_lib
from jaxuda.ui import panels

# Pixels; wider pictures are made smaller: they are looked at, not measured.
_WIDEST = 640


def draw(
  image: np.ndarray,
  label: np.ndarray,
  run: workdir_lib.Run,
  *,
  around: Sequence[int],
) -> np.ndarray:
  """Draws a picture, its labels, and depth and density where there are any.

  Figures 2 and 3 of Depth Distribution (Wu and Liu, NeurIPS 2022) are such.

  Args:
    image: uint8 [H, W, 3] RGB.
    label: uint8 [H, W], what was predicted, places in the class set.
    run: run whose network is asked for depth and density, by a single look.
    around: (height, width) of the picture with the padding that the network
      sees.

  Returns:
    uint8 [h, w, 3] RGB.
  """
  target = run.config.data.target
  framed = resizing.frame_image(
    image,
    tuple(target.size),
    method=target.get('image_resize', 'bicubic'),
    fit=target.get('fit', 'stretch'),
  )
  scale = min(1, _WIDEST / image.shape[1])
  (height, width), padded = (
    tuple(max(1, round(scale * side)) for side in shape)
    for shape in (image.shape[:2], around)
  )
  # Compiled once; only what makes it larger depends on the picture's size.
  low = _predict(run.state, framed[None], method=run.method)
  corners = run.method.network.align_corners
  maps = _enlarge(low, size=padded, align_corners=corners)
  shown = {
    'image': {'image': resizing.resize_image(image, (height, width))[None]},
    'label': {
      'prediction': resizing.resize_label(label, (height, width))[None]
    },
    **{k: {k: np.asarray(x)[:, :height, :width]} for k, x in maps.items()},
  }
  colors = labels.get_class_set(run.config.classes).colors
  return panels.make_training_panel(shown, colors=colors)


@functools.partial(jax.jit, static_argnames='method')
def _predict(state, image, *, method):
  out = method.predict(state, image, size='grid')
  return {k: out[k] for k in ('depth', 'density') if k in out}


@functools.partial(jax.jit, static_argnames=('size', 'align_corners'))
def _enlarge(maps, *, size, align_corners):
  # As networks say it, inverse depth is interpolated.
  if 'depth' in maps:
    maps = {**maps, 'depth': depth_ops.invert_depth(maps['depth'])}
  full = {
    k: resize.resize_maps(x, size, align_corners=align_corners)
    for k, x in maps.items()
  }
  if 'depth' in full:
    full['depth'] = depth_ops.restore_depth(full['depth'])
  return full
