"""The task network of GIO-Ada (Chen et al., CVPR 2019): semantics and depth."""

from collections.abc import Mapping

from flax import linen as nn
import jax
import jax.numpy as jnp

from jaxuda.models import deeplab

# What is aligned -> the discriminators, and the outputs that each of them sees.
ALIGNMENTS = {
  'joint': {'disc_output': ('semantic', 'depth')},
  'separate': {'disc_semantic': ('semantic',), 'disc_depth': ('depth',)},
  'semantic': {'disc_output': ('semantic',)},
  'depth': {'disc_output': ('depth',)},
  'none': {},
}


class GioAda(nn.Module):
  """One encoder and two decoders that differ in their output channels.

  With VGG-16 and ASPP-L there are 60,938,116 parameters for 16 classes and
  depth.

  Attributes:
    classes: number of classes C.
    options: see `deeplab.Options`; `depth_scale` is not used. AdaptSegNet's VGG
      has the decoder 'aspp'.
    depth: whether there is a depth decoder.
  """

  classes: int
  options: deeplab.Options
  depth: bool = True

  @nn.compact
  def __call__(
    self, image: jax.Array, *, train: bool = False
  ) -> dict[str, jax.Array]:
    """Returns the low-resolution outputs, both linear.

    Args:
      image: see `deeplab.DeepLab`.
      train: see there.

    Returns:
      'logits' [B, h, w, C]; with `depth`, 'depth' [B, h, w], in the units that
      the depth loss uses.
    """
    o = self.options
    maps = deeplab.run_backbone(o, image, train=train)
    features = deeplab.run_neck(o, maps, train=train)

    def decode(channels, name):
      return deeplab.run_head(o, features, channels, train=train, name=name)

    outputs = {'logits': decode(self.classes, 'semantic')}
    if self.depth:
      outputs['depth'] = decode(1, 'depth')[..., 0]
    return outputs


def align_maps(
  full: Mapping[str, jax.Array], *, align: str
) -> dict[str, jax.Array]:
  """Returns the input of each output discriminator.

  Args:
    full: 'logits' [B, H, W, C] and 'depth' [B, H, W].
    align: a key of `ALIGNMENTS`.

  Returns:
    Discriminator -> [B, H, W, channels]: softmax, depth, or both.
  """
  parts = {
    'semantic': lambda: jax.nn.softmax(full['logits'], -1),
    'depth': lambda: full['depth'][..., None],
  }
  return {
    name: jnp.concatenate([parts[part]() for part in seen], -1)
    for name, seen in ALIGNMENTS[align].items()
  }


def count_channels(align: str, classes: int) -> dict[str, int]:
  """Counts the channels of discriminators' inputs, see `align_maps`."""
  widths = {'semantic': classes, 'depth': 1}
  return {
    name: sum(widths[part] for part in seen)
    for name, seen in ALIGNMENTS[align].items()
  }
