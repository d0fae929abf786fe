"""The networks of CorDA (Wang et al., ICCV 2021) and of its ablations."""

import functools
from typing import Any

from flax import linen as nn
import jax
import jax.numpy as jnp

from jaxuda.models import deeplab
from jaxuda.models import layers
from jaxuda.models.backbones import resnet


class Distillation(nn.Module):
  """Features that one task takes over from the other (eqs. 6 and 7).

  conv(other) * sigmoid(attention(other)), both 3x3 without bias, norm or
  activation; to be added to the task's own features.
  """

  style: layers.Style = layers.Style()

  @nn.compact
  def __call__(self, other: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Returns (features to add, attention in 0..1), both [B, h, w, K]."""
    conv = functools.partial(layers.Conv, other.shape[-1], 3, style=self.style)
    attention = nn.sigmoid(conv(name='attention')(other))
    return conv(name='conv')(other) * attention, attention


class CorDA(nn.Module):
  """A semantic and two depth decoders on one backbone.

  Each task has two bottlenecks of its own and an initial head (1x1) on them;
  attention passes features between the tasks; final heads are ASPPs, or
  whatever `options.decoder` says. The target's and the source's depth decoders
  share everything but their last convolution. Parameters (ResNet-101, 19
  classes): 46,619,049, with the initial semantic head on the backbone
  48,015,074, without attention 44,245,136, simple auxiliary 43,974,800.

  Attributes:
    classes: number of classes C.
    options: see `deeplab.Options`. The norms of the bottlenecks are trained
      whatever `train_affine` says, as in the official code.
    structure: 'full'; 'no_attention' (bottlenecks, no distillation, no initial
      heads, one depth decoder) or 'simple_aux' (two ASPPs on the backbone).
    initial_semantic: 'bottleneck': the initial semantic head is a 1x1
      convolution on the semantic bottlenecks (the network for SYNTHIA);
      'backbone': it is an ASPP on the backbone (the network for GTA).
    width: channels of the bottlenecks' output, 256 in the paper.
  """

  classes: int
  options: deeplab.Options = deeplab.Options(active_rates=2)
  structure: str = 'full'
  initial_semantic: str = 'bottleneck'
  width: int = 256

  @nn.compact
  def __call__(
    self, image: jax.Array, *, train: bool = False, maps: bool = False
  ) -> dict[str, Any]:
    """Returns the low-resolution outputs, all linear; called like `DeepLab`.

    Returns:
      'logits' [B, h, w, C]; 'depth' and 'depth_source' [B, h, w] in inverse
      depth units, from the target's and the source's decoder; the same from the
      initial heads as 'initial_...'; and 'attention' [B, h, w] in 0..1, the
      mean over the channels of the semantic branch's attention to the depth
      branch. Without distillation only 'logits' and 'depth'.
    """
    found = deeplab.run_backbone(self.options, image, train=train)
    features = deeplab.run_neck(self.options, found, train=train)
    outputs = {'maps': found} if maps else {}
    decode = functools.partial(self._decode, train=train)
    semantic = depth = features
    if self.structure != 'simple_aux':
      semantic = self._bottlenecks(features, 'semantic', train)
      depth = self._bottlenecks(features, 'depth', train)
    if self.structure != 'full':
      return {
        **outputs,
        'logits': decode(semantic, self.classes, 'semantic'),
        'depth': decode(depth, 1, 'depth'),
      }
    if self.initial_semantic == 'backbone':
      initial = decode(features, self.classes, 'initial_semantic')
    else:
      initial = self._head(semantic, self.classes, 'initial_semantic')
    outputs |= {
      'initial_logits': initial,
      'initial_depth': self._head(depth, 1, 'initial_depth'),
      'initial_depth_source': self._head(depth, 1, 'initial_depth_source'),
    }
    to_semantic, attention = self._distill(depth, 'distill_semantic')
    to_depth, _ = self._distill(semantic, 'distill_depth')
    semantic, depth = semantic + to_semantic, depth + to_depth
    return {
      **outputs,
      'logits': decode(semantic, self.classes, 'semantic'),
      'depth': decode(depth, 1, 'depth'),
      'depth_source': decode(depth, 1, 'depth_source'),
      'attention': layers.widen(jnp.mean(attention, -1)),
    }

  def _bottlenecks(self, x, task, train):
    o = self.options
    conv = functools.partial(layers.Conv, style=o.style)
    norm = deeplab.head_norm(o)
    for index in range(2):
      x = resnet.Bottleneck(
        planes=self.width // 4,
        project=index == 0,
        conv=conv,
        norm=norm,
        barriers=o.style.rewrites.is_on('barriers'),
        name=f'bottleneck_{task}_{index}',
      )(x, train)
    return x

  def _distill(self, x, name):
    return Distillation(style=self.options.style, name=name)(x)

  def _head(self, x, channels, name):
    y = layers.Conv(
      channels, 1, use_bias=True, style=self.options.style, name=name
    )(x)
    return self._output(y, name)

  def _decode(self, x, channels, name, train):
    y = deeplab.run_head(self.options, x, channels, train=train, name=name)
    return self._output(y, name)

  def _output(self, y, name):
    y = layers.widen(y)
    if 'depth' in name:
      y = self.options.depth_scale * y[..., 0]
    return y
