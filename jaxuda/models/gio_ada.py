"""The task network of GIO-Ada (Chen et al., CVPR 2019): semantics and depth."""

from collections.abc import Mapping
import dataclasses

from flax import linen as nn
import jax
import jax.numpy as jnp

from jaxuda.models import deeplab
from jaxuda.models import layers
from jaxuda.models import vgg

# What is aligned -> the discriminators, and the outputs that each of them sees.
ALIGNMENTS = {
  'joint': {'disc_output': ('semantic', 'depth')},
  'separate': {'disc_semantic': ('semantic',), 'disc_depth': ('depth',)},
  'semantic': {'disc_output': ('semantic',)},
  'depth': {'disc_output': ('depth',)},
  'none': {},
}


class AsppL(nn.Module):
  """The head of DeepLab-v2's VGG network, DeepLab-ASPP-L.

  Four branches, summed: 3x3 (dilated) K -> width, ReLU, dropout; 1x1, ReLU,
  dropout; 1x1 -> features. [B, h, w, K] -> [B, h, w, features].

  Attributes:
    features: output channels.
    options: see `deeplab.Options`; the last layers start from N(0, 0.01)
      whatever its `init`.
    width: channels of fc6 and fc7.
    dropout: probability that a channel's pixel is dropped in training.
  """

  features: int
  options: deeplab.Options
  width: int = 1024
  dropout: float = 0.5

  @nn.compact
  def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
    o = self.options
    total = 0
    for i, rate in enumerate(o.rates[: o.active_rates or None]):
      y = x
      for name, kernel, dilation in (('fc6', 3, rate), ('fc7', 1, 1)):
        y = layers.Conv(
          self.width,
          kernel,
          dilation=dilation,
          use_bias=True,
          style=o.style,
          name=f'{name}_{i}',
        )(y)
        y = nn.Dropout(self.dropout, deterministic=not train)(nn.relu(y))
      style = dataclasses.replace(o.style, initializer='reference')
      total = total + layers.Conv(
        self.features, 1, use_bias=True, style=style, name=f'fc8_{i}'
      )(y)
    return total


class GioAda(nn.Module):
  """One encoder and two decoders that differ in their output channels.

  The encoder is VGG-16 ('vgg16', 'vgg16_adaptsegnet') or a ResNet. With VGG-16
  and ASPP-L there are 60,938,116 parameters for 16 classes and depth.

  Attributes:
    classes: number of classes C.
    options: see `deeplab.Options`; `depth_scale` is not used.
    depth: whether there is a depth decoder.
    decoder: 'aspp_l': `AsppL`, DeepLab's for VGG; 'aspp': plain dilated
      convolutions, summed, DeepLab's for ResNet, and AdaptSegNet's for its VGG.
    width: channels of ASPP-L's fc6 and fc7.
    dropout: probability of dropout in ASPP-L.
  """

  classes: int
  options: deeplab.Options
  depth: bool = True
  decoder: str = 'aspp_l'
  width: int = 1024
  dropout: float = 0.5

  @nn.compact
  def __call__(
    self, image: jax.Array, *, train: bool = False
  ) -> dict[str, jax.Array]:
    """Returns the low-resolution outputs, both linear.

    Args:
      image: as of `deeplab.DeepLab`.
      train: as there; ASPP-L drops out, from the random stream 'dropout'.

    Returns:
      'logits' [B, h, w, C]; with `depth` 'depth' [B, h, w], in the units that
      the depth loss compares it in.
    """
    o = self.options
    if o.backbone in vgg.SIZES:
      x = vgg.Vgg(
        size=o.backbone, remat=o.remat, style=o.style, name='backbone'
      )(deeplab.normalize(o, image))
    else:
      _, x = deeplab.run_backbone(o, image, train=train)
    outputs = {'logits': self._decode(x, self.classes, 'semantic', train)}
    if self.depth:
      outputs['depth'] = self._decode(x, 1, 'depth', train)[..., 0]
    return outputs

  def _decode(self, x, channels, name, train):
    o = self.options
    if self.decoder == 'aspp':
      return deeplab.run_aspp(o, x, channels, name)
    y = AsppL(
      channels, options=o, width=self.width, dropout=self.dropout, name=name
    )(x, train=train)
    return layers.widen(y)


def align_maps(
  full: Mapping[str, jax.Array], *, align: str
) -> dict[str, jax.Array]:
  """Returns the input of each output discriminator.

  Args:
    full: 'logits' [B, H, W, C] and 'depth' [B, H, W].
    align: a key of `ALIGNMENTS`.

  Returns:
    By discriminator, [B, H, W, channels]: softmax, depth, or both.
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
  """Channels of each output discriminator's input, see `align_maps`."""
  widths = {'semantic': classes, 'depth': 1}
  return {
    name: sum(widths[part] for part in seen)
    for name, seen in ALIGNMENTS[align].items()
  }
