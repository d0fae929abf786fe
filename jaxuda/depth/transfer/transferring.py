"""Predicts depth of a target's images with a network trained on the source."""

from collections.abc import Callable, Mapping
import os
from typing import Any

import jax
import ml_collections
import numpy as np
from PIL import Image

from jaxuda import errors
from jaxuda.data.pixels import aspect
from jaxuda.data.pixels import resizing
from jaxuda.depth import formats
from jaxuda.depth import maps
from jaxuda.ops import depth as depth_ops
from jaxuda.run import workdir as workdir_lib

# Name, in depth.json, of the command that wrote a folder.
MADE_BY = 'jaxuda.depth.transfer'


def set_depth_loss(config: ml_collections.ConfigDict) -> None:
  """Enables the depth loss of a source-only config if it is off.

  Its weight is DADA's: 1e-3 as published, and 1e-2, its weight on small pairs,
  for the backbones resnet_small and efficientnet_lite0 on any pair.

  Raises:
    UserError: the config is that of another method.
  """
  if config.name != 'source_only':
    raise errors.UserError(
      f'config.name={config.name!r}; expected source_only, as in'
      ' --config=source_only'
    )
  if not config.method.lambda_depth:
    small = config.network.backbone in ('resnet_small', 'efficientnet_lite0')
    config.method.lambda_depth = 1e-2 if small else 1e-3


def write_depths(
  predict: Callable[[np.ndarray], np.ndarray],
  images: Any,
  out: str | os.PathLike[str],
  *,
  description: Mapping[str, Any],
) -> int:
  """Writes the depth that a network predicts for images.

  Args:
    predict: function from uint8 [H, W, 3] RGB to float [H, W] metres, see
      `predict_depth`.
    images: images with `__len__`, and `read(i)` -> (name, uint8 [H, W, 3]).
    out: folder to write to. Maps of the same images by a network with the same
      description are kept; all others are rewritten.
    description: identifies the network; stored in depth.json.

  Returns:
    The number of files written.

  Raises:
    UserError: see `maps.write`.
  """
  return maps.write(
    lambda image: formats.encode_metres(predict(image)),
    images,
    out,
    description={**formats.METRES, 'made_by': MADE_BY, **description},
  )


def predict_depth(
  method: Any,
  state: Any,
  image: np.ndarray,
  *,
  size: tuple[int, int],
  image_resize: str = 'bicubic',
  fit: str = 'stretch',
) -> np.ndarray:
  """Predicts the depth of one image of any size.

  The network runs at its own size; its inverse depth is resized.

  Args:
    method: method whose `predict` returns 'depth'.
    state: a training state.
    image: uint8 [H, W, 3] RGB.
    size: (height, width) of the network's input.
    image_resize: filter for resizing images, see `resizing.resize_image`.
    fit: 'stretch' or 'pad', see `data.pixels.aspect`.

  Returns:
    float32 [H, W] metres.
  """
  small = resizing.frame_image(image, size, method=image_resize, fit=fit)
  inverse = _invert(state, small[None], method=method)[0]
  if fit == 'pad':
    height, width = aspect.fit_size(image.shape[:2], size)
    inverse = inverse[:height, :width]
  full = Image.fromarray(np.asarray(inverse, np.float32)).resize(
    image.shape[1::-1], Image.Resampling.BILINEAR
  )
  return np.asarray(depth_ops.restore_depth(np.asarray(full)))


@jax.jit(static_argnames='method')
def _invert(state, image, *, method):
  return depth_ops.invert_depth(method.predict(state, image)['depth'])


def describe(config: ml_collections.ConfigDict, step: int) -> dict[str, Any]:
  """Returns what identifies a network: its data, config hash and step."""
  tree = workdir_lib.config_to_dict(config)
  for side in ('source', 'target'):
    # The location of the data does not matter: the maps say of which images
    # they are.
    tree['data'][side].pop('manual_dir', None)
  tree['data'].pop('data_dir')
  return {
    'source': config.data.source.dataset,
    'target': config.data.target.dataset,
    'config': workdir_lib.digest(tree),
    'checkpoint_step': step,
  }
