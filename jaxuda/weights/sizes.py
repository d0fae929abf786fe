"""Sizes of ResNets and EfficientNets, by the shapes of a state dict."""

from collections.abc import Mapping

from jaxuda import errors
from jaxuda.models.backbones import efficientnet
from jaxuda.models.backbones import resnet


def of_resnet(shapes: Mapping[str, tuple[int, ...]]) -> str:
  """Returns the name of the ResNet that entries belong to.

  Args:
    shapes: official key -> shape.

  Raises:
    UserError: it is none of `resnet.SIZES`.
  """
  third = shapes.get('layer1.0.conv3.weight')
  if third is None:
    raise errors.UserError(
      'a ResNet without bottlenecks, such as ResNet-18 or 34; expected'
      ' ResNet-101 or 50'
    )
  stages = [f'layer{i}.' for i in range(1, 5)]
  blocks = tuple(
    len({k.split('.')[1] for k in shapes if k.startswith(stage)})
    for stage in stages
  )
  planes = tuple(shapes.get(f'{s}0.conv1.weight', (0,))[0] for s in stages)
  stem, expansion = shapes['conv1.weight'][0], third[0] // planes[0]
  for name, size in resnet.SIZES.items():
    there = tuple(size.blocks), tuple(size.planes), size.stem, size.expansion
    if there == (blocks, planes, stem, expansion):
      return name
  raise errors.UserError(
    f'a ResNet of {blocks} blocks and {planes} planes; expected one of'
    f' {", ".join(resnet.SIZES)}'
  )


def of_efficientnet(shapes: Mapping[str, tuple[int, ...]]) -> str:
  """Returns the name of the EfficientNet that entries belong to.

  Args:
    shapes: official key -> shape.

  Raises:
    UserError: it is none of `efficientnet.SIZES`.
  """
  stem = shapes['_conv_stem.weight'][0]
  blocks = len({k.split('.')[1] for k in shapes if k.startswith('_blocks.')})
  for name, size in efficientnet.SIZES.items():
    if (size.stem, sum(x.blocks for x in size.stages)) == (stem, blocks):
      return name
  raise errors.UserError(
    f'an EfficientNet of {blocks} blocks and a stem of {stem} channels;'
    ' expected EfficientNet-Lite0 (16, 32)'
  )
