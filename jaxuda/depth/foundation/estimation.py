"""Runs Depth Anything on single images of any size."""

from collections.abc import Mapping, Sequence
import dataclasses
import os
import pathlib
from typing import Any

import cv2
import flax
import jax
import jax.numpy as jnp
import numpy as np

from jaxuda import errors
from jaxuda.models import depth_anything
from jaxuda.models import layers
from jaxuda.models.backbones import vit
from jaxuda.ops import image as image_ops
from jaxuda.ops import resize
from jaxuda.weights import conversion
from jaxuda.weights import converted

# Name of the weights file in a model's folder on the hub.
_HUB = 'model.safetensors'


@dataclasses.dataclass(frozen=True, kw_only=True)
class Network:
  """A network with its weights.

  Attributes:
    module: the network.
    variables: its weights, float32.
    record: origin of the weights, see `conversion.Network`.
    side: length to which the shorter side of images is resized, pixels.
  """

  module: depth_anything.DepthAnything
  variables: Any
  record: Mapping[str, Any]
  side: int

  @property
  def metric(self) -> bool:
    """Whether it predicts metres, rather than unitless inverse depth."""
    return self.module.metric

  @property
  def dtype(self) -> str:
    """Type that the layers compute in, 'float32' or 'bfloat16'."""
    return jnp.dtype(self.module.style.dtype).name

  def predict(self, image: np.ndarray) -> np.ndarray:
    """Predicts the depth of an image.

    As in the official code, the image is resized (bicubic, no low-pass filter)
    to multiples of 14, keeping its aspect ratio, and the output is resized
    bilinearly to the image's size, with corners aligned.

    Args:
      image: uint8 [H, W, 3] RGB.

    Returns:
      float32 [H, W]: metres, or inverse depth up to a factor and a shift, >= 0.
    """
    height, width = network_size(image.shape[:2], self.side)
    small = cv2.resize(
      image.astype(np.float32), (width, height), interpolation=cv2.INTER_CUBIC
    )
    asked = self.record['network']
    normalized = image_ops.normalize_image(
      small[None],
      order=asked['image_order'],
      mean=asked['image_mean'],
      scale=asked['image_scale'],
    )
    depth = _run(self.variables, normalized, module=self.module)
    return np.asarray(resize.resize_align_corners(depth, image.shape[:2])[0])


@jax.jit(static_argnames='module')
def _run(variables, image, *, module):
  return module.apply(variables, image)


def network_size(image: Sequence[int], side: int) -> tuple[int, int]:
  """Returns the size (h, w) to which an image is resized for the network.

  Both are multiples of 14 close to the image's aspect ratio, and the shorter
  one is `side`.

  Args:
    image: (H, W) in pixels.
    side: length of the shorter side, a multiple of 14.
  """
  scale = side / min(image)
  h, w = (max(round(x * scale / vit.PATCH) * vit.PATCH, side) for x in image)
  return h, w


def load(
  path: str | os.PathLike[str],
  *,
  family: str = '',
  side: int = depth_anything.SIDE,
  dtype: str = 'float32',
) -> Network:
  """Loads a network.

  Args:
    path: a .safetensors file from Hugging Face, a folder with one, or the
      folder of a conversion.
    family: see `weights.foundation.DEPTH_FAMILIES`; required if there is no
      config.json next to the file.
    side: see `Network`.
    dtype: type that the layers compute in, 'float32' or 'bfloat16'.

  Raises:
    UserError: `side` is not a multiple of 14, or the file holds another network
      or does not fit.
  """
  if side < vit.PATCH or side % vit.PATCH:
    raise errors.UserError(
      f'--side={side}; expected a multiple of {vit.PATCH}, the side of a patch'
    )
  path = pathlib.Path(path).expanduser()
  if path.is_dir() and not converted.is_stored(path):
    if (path / _HUB).is_file():
      path = path / _HUB
  weights = converted.read(path, family=family)
  _check(weights, path)
  fields = dict(weights.record['structure'])
  style = layers.Style(dtype=jnp.dtype(dtype))
  flat = {tuple(k.split('/')): x for k, x in weights.arrays.items()}
  return Network(
    module=depth_anything.DepthAnything(
      **{**fields, 'taps': tuple(fields['taps'])}, style=style
    ),
    variables=flax.traverse_util.unflatten_dict(flat),
    record=weights.record,
    side=side,
  )


def _check(weights: conversion.Network, path):
  record = weights.record
  if record['family'] != 'depth_anything':
    raise errors.UserError(
      f'{path} is {record["title"]}; expected the weights of Depth Anything'
    )
  if record['random']:
    raise errors.UserError(
      f'{path} lacks {record["random"][0]}; expected all weights of'
      f' {record["title"]}'
    )
