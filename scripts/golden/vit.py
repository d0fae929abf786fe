"""Inputs and weights of the golden numbers of DINOv2 and Depth Anything."""

from collections.abc import Sequence

import numpy as np

from scripts.golden import recipe

# Parameters whose gradients are stored; for all others their norms are.
GRADIENTS = (
  *('embeddings.position_embeddings', 'embeddings.cls_token'),
  *('embeddings.mask_token', 'embeddings.register_tokens'),
  'encoder.layer.1.attention.attention.query.weight',
  *('encoder.layer.0.layer_scale2.lambda1', 'layernorm.weight'),
  'backbone.embeddings.position_embeddings',
  *('neck.reassemble_stage.layers.1.resize.weight', 'neck.convs.3.weight'),
  'neck.fusion_stage.layers.1.residual_layer1.convolution2.bias',
  'head.conv3.weight',
)
# Grids that positions are resized to.
GRIDS = ((40, 20), (37, 36), (80, 80))


def tensor(name: str, shape: Sequence[int]) -> np.ndarray:
  """Returns the entry `name` of a state dict, see `recipe.tensor`.

  LayerScale is 1 + N(0, 0.1), so that every block matters; tokens and positions
  are N(0, 0.5).
  """
  leaf = name.rsplit('.', 1)[-1]
  if leaf == 'lambda1':
    return recipe.tensor(f'{name}.weight', shape)
  if len(shape) == 2 and leaf == 'weight':
    return recipe.tensor(f'{name}.noise', shape)
  if 'embeddings' in leaf or leaf.endswith(('token', 'tokens')):
    # Distributed like a bias, whatever the shape.
    return 5 * recipe.tensor(name, (np.prod(shape),)).reshape(shape)
  return recipe.tensor(name, shape)


def images() -> dict[str, np.ndarray]:
  """Returns images by the name of their size, NHWC, about +-2.

  'square' has the grid of the positions, 5 x 5; 'wide' has 3 x 8, smaller in
  one direction and larger in the other; 'large' has 9 x 7.
  """
  sizes = {'square': (70, 70), 'wide': (42, 112), 'large': (126, 98)}
  return {
    name: recipe.image(name, (2, 3, *size)).transpose(0, 2, 3, 1) / 50
    for name, size in sizes.items()
  }


def mask() -> np.ndarray:
  """Returns the masked patches of 'wide', bool [2, 3, 8]."""
  return recipe.positive('mask', (2, 3, 8), 0, 1) < 0.7


def positions() -> np.ndarray:
  """Returns positions like those of DINOv2, [37, 37, C], with two channels."""
  return recipe.tensor('positions', (37, 37, 2))
