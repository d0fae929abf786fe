"""Recognition of MiT and of what is built on it: DAFormer, HRDA, MIC."""

from collections.abc import Mapping
from typing import Any

from jaxuda import errors
from jaxuda.models.backbones import mit

# The input of torchvision's networks in our units (RGB, 0..255).
TORCHVISION_INPUT = {
  'image_order': 'rgb',
  'image_mean': (123.675, 116.28, 103.53),
  'image_scale': tuple(1 / (255 * s) for s in (0.229, 0.224, 0.225)),
}
# Why keys are left out on purpose.
HEAD = 'a head of the classes that it was pretrained on'
_UNUSED = 'saved by the official code but not used'


def describe(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Any]:
  """Tells which network a state dict holds, under the keys of `transformers`.

  Args:
    shapes: key, see `renaming.rename`, -> shape.

  Returns:
    What `families` builds it from: 'name' ('mit', 'daformer' or 'hrda', which
    is MIC's, too), 'title', 'network', 'drops' and, for a whole one, 'classes'.

  Raises:
    UserError: it belongs to no known MiT.
  """
  name = _size(shapes)
  network = {'backbone': name, **TORCHVISION_INPUT}
  if 'decode_head.scale_attention.conv_seg.bias' in shapes:
    inner = 'decode_head.head.'
    return {
      'name': 'hrda',
      'title': f'HRDA or MIC, {name}',
      'network': {**network, **_read_attention(shapes), **_read(shapes, inner)},
      'drops': {r'decode_head\.conv_seg\.': _UNUSED},
      'classes': shapes[f'{inner}conv_seg.bias'][0],
    }
  if 'decode_head.fuse_layer.bottleneck.conv.weight' in shapes:
    return {
      'name': 'daformer',
      'title': f'DAFormer, {name}',
      'network': {**network, **_read(shapes, 'decode_head.')},
      'drops': {},
      'classes': shapes['decode_head.conv_seg.bias'][0],
    }
  return {
    'name': 'mit',
    'title': f'{name}, ImageNet',
    'network': network,
    'drops': {r'(classifier|decode_head|head)\.': HEAD},
  }


def _read(shapes, head):
  """Options of DAFormer's head."""
  fused = shapes[f'{head}fuse_layer.bottleneck.conv.weight']
  return {'decoder': 'daformer', 'decoder_width': fused[0]}


def _read_attention(shapes):
  """Options of HRDA's attention."""
  count = shapes['decode_head.scale_attention.conv_seg.bias'][0]
  return {
    'resolutions': 'hrda',
    'scale_attention': 'single' if count == 1 else 'classes',
  }


def _size(shapes):
  """Returns the name of the MiT that the entries belong to."""
  stages = [f'stages.{i}.' for i in range(4)]
  blocks = tuple(
    len({k.split('.')[3] for k in shapes if k.startswith(f'{stage}blocks.')})
    for stage in stages
  )
  channels = tuple(
    shapes.get(f'{x}patch_embeddings.proj.weight', (0,))[0] for x in stages
  )
  known = {(x.blocks, x.channels): name for name, x in mit.SIZES.items()}
  name = known.get((blocks, channels))
  if name is None:
    raise errors.UserError(
      f'a MiT of {blocks} blocks and {channels} channels; expected mit_b0 to b5'
    )
  return name
