"""The official DADA networks in PyTorch, under the official names."""

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional

from peer import shapes


def _conv(spec: shapes.Conv) -> nn.Conv2d:
  return nn.Conv2d(
    spec.inputs,
    spec.outputs,
    spec.kernel,
    stride=spec.stride,
    padding=spec.padding,
    dilation=spec.dilation,
    bias=spec.bias,
  )


def _norm(channels: int) -> nn.BatchNorm2d:
  """Returns a norm with batch statistics, and fixed scale and bias."""
  norm = nn.BatchNorm2d(channels)
  for parameter in norm.parameters():
    parameter.requires_grad = False
  return norm


class Bottleneck(nn.Module):
  """A bottleneck: 1x1, 3x3 and 1x1 convolutions, and the shortcut."""

  def __init__(self, convs: dict[str, shapes.Conv]):
    super().__init__()
    for index in (1, 2, 3):
      spec = convs[f'conv{index}']
      setattr(self, f'conv{index}', _conv(spec))
      setattr(self, f'bn{index}', _norm(spec.outputs))
    self.relu = nn.ReLU(inplace=True)
    self.downsample = None
    if 'downsample' in convs:
      spec = convs['downsample']
      self.downsample = nn.Sequential(_conv(spec), _norm(spec.outputs))

  def forward(self, x: torch.Tensor) -> torch.Tensor:
    """[B, C, h, w] -> [B, 4 planes, h / stride, w / stride]."""
    y = self.relu(self.bn1(self.conv1(x)))
    y = self.relu(self.bn2(self.conv2(y)))
    y = self.bn3(self.conv3(y))
    if self.downsample is not None:
      x = self.downsample(x)
    return self.relu(y + x)


class Pyramid(nn.Module):
  """The sum of four dilated convolutions."""

  def __init__(self, convs: Sequence[shapes.Conv]):
    super().__init__()
    self.conv2d_list = nn.ModuleList(map(_conv, convs))

  def forward(self, x: torch.Tensor) -> torch.Tensor:
    """[B, K, h, w] -> [B, C, h, w]."""
    return sum(conv(x) for conv in self.conv2d_list)


class DeepLab(nn.Module):
  """DeepLab-v2 on a ResNet, with the depth block and feature fusion."""

  def __init__(self, classes: int, counts: Sequence[int] = shapes.BLOCKS):
    super().__init__()
    self.conv1 = _conv(shapes.STEM)
    self.bn1 = _norm(shapes.STEM.outputs)
    self.relu = nn.ReLU(inplace=True)
    self.maxpool = nn.MaxPool2d(3, stride=2, padding=1, ceil_mode=True)
    stages = {}
    for name, convs in shapes.blocks(counts):
      stages.setdefault(name.split('.')[0], []).append(Bottleneck(convs))
    for name, found in stages.items():
      setattr(self, name, nn.Sequential(*found))
    heads = shapes.head_convs(classes)
    for name in ('enc4_1', 'enc4_2', 'enc4_3', 'dec4'):
      setattr(self, name, _conv(heads[name]))
    self.layer6 = Pyramid([v for k, v in heads.items() if 'layer6' in k])
    for module in self.modules():
      if isinstance(module, nn.Conv2d):
        nn.init.normal_(module.weight, 0, 0.01)

  def head_names(self) -> tuple[str, ...]:
    """Returns the parts with ten times the learning rate."""
    return ('enc4_1', 'enc4_2', 'enc4_3', 'dec4', 'layer6')

  def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Image [B, 3, H, W] -> logits [B, C, h, w], depth [B, 1, h, w]."""
    x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
    x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
    y = self.relu(self.enc4_1(x))
    y = self.enc4_3(self.relu(self.enc4_2(y)))
    depth = y.mean(dim=1, keepdim=True)
    x = x * self.relu(self.dec4(y))
    return self.layer6(x), depth


def discriminator(channels: int) -> nn.Sequential:
  """Returns five strided convolutions with LeakyReLU between them."""
  layers = []
  for spec in shapes.disc_convs(channels):
    layers += [_conv(spec), nn.LeakyReLU(0.2, inplace=True)]
  return nn.Sequential(*layers[:-1])


def upsample(x: torch.Tensor, size: Sequence[int]) -> torch.Tensor:
  """Upsamples bilinearly, with aligned corners."""
  return functional.interpolate(
    x, size=tuple(size), mode='bilinear', align_corners=True
  )
