"""Which network a state dict is of, by its keys and shapes."""

from collections.abc import Callable, Mapping, Sequence
import dataclasses
import functools
import re
from typing import Any

from flax import linen as nn
import jax
import jax.numpy as jnp

from jaxuda import errors
from jaxuda.models import corda
from jaxuda.models import deeplab
from jaxuda.models import discriminators
from jaxuda.models import generators
from jaxuda.models import gio_ada
from jaxuda.models import pretrained
from jaxuda.models import resnet

Shapes = Mapping[str, tuple[int, ...]]

# What torchvision's networks were trained on, in our units (RGB, 0..255).
_TORCHVISION_INPUT = {
  'image_order': 'rgb',
  'image_mean': (123.675, 116.28, 103.53),
  'image_scale': tuple(1 / (255 * s) for s in (0.229, 0.224, 0.225)),
}
_CAFFE_INPUT = {
  'image_order': 'bgr',
  'image_mean': deeplab.Options().image_mean,
  'image_scale': (1.0, 1.0, 1.0),
}

_BATCHES = 'running statistics have a constant momentum here'
_HEAD = 'a head of the classes that it was pretrained on'
_CTRL = 'the decoders of CTRL, of which there is none here'
UNUSED_REASON = 'saved by the official code, used by nothing'
_INSTANCE = 'running statistics of instance norms, which use none'
# What the official code saves and does not use; keys -> shapes at full size.
UNUSED = {
  'depdis': {
    'enc4_4.weight': (16, 128, 1, 1),
    'enc4_4.bias': (16,),
    'dec4.weight': (2048, 128, 1, 1),
    'dec4.bias': (2048,),
  }
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Family:
  """What a state dict was recognised as.

  Attributes:
    name: 'dada', 'corda', ...
    title: in words.
    module: the network of ours that it fills.
    example: shape of its input, channels last.
    key: our path (without the collection) -> the key in the state dict.
    whole: False where only the backbone of `module` is filled.
    network: options of `deeplab.Options` that the weights ask for.
    structure: what else says which network it is, for the record.
    drops: pattern of keys -> why they are left out.
  """

  name: str
  title: str
  module: nn.Module
  example: Sequence[int] = (1, 64, 64, 3)
  key: Callable[[Sequence[str]], str] = pretrained.torch_key
  whole: bool = True
  network: Mapping[str, Any] = dataclasses.field(default_factory=dict)
  structure: Mapping[str, Any] = dataclasses.field(default_factory=dict)
  drops: Mapping[str, str] = dataclasses.field(default_factory=dict)

  def variables(self) -> dict[str, Any]:
    """Returns the shapes of what the state dict is to fill."""
    example = jax.ShapeDtypeStruct(tuple(self.example), jnp.float32)
    variables = jax.eval_shape(self.module.init, jax.random.key(0), example)
    if self.whole:
      return variables
    return {
      kind: {'backbone': tree['backbone']} for kind, tree in variables.items()
    }

  def reason(self, key: str) -> str | None:
    """Returns why a key is left out on purpose; None if it is not."""
    for pattern, reason in self.drops.items():
      if re.match(pattern, key):
        return reason
    return None


def strip_prefix(keys: Sequence[str]) -> str:
  """Returns the prefix that wrappers put before every key, such as 'module.'.

  DataParallel writes 'module.', the Caffe converter 'Scale.'.
  """
  prefix = ''
  while True:
    rest = [k[len(prefix) :] for k in keys]
    heads = {k.partition('.')[0] for k in rest}
    head = next(iter(heads)) if len(heads) == 1 else ''
    inner = {k.partition('.')[2] for k in rest}
    known = {'conv1.weight', 'features.0.weight'} & inner
    if head != 'module' and not (head and known and head != 'features'):
      return prefix
    prefix += f'{head}.'


def recognise(
  shapes: Shapes, *, wrapped: bool = False, family: str = ''
) -> Family:
  """Says which network the entries of a state dict are.

  Args:
    shapes: PyTorch key, without prefix, -> shape.
    wrapped: the state dict was one entry of a training's checkpoint.
    family: the answer, where keys do not tell: 'init', 'dacs', 'torchvision'.

  Raises:
    UserError: no network that is known, or none called `family`.
  """
  if family and family not in ('init', 'dacs', 'torchvision'):
    raise errors.UserError(
      f'unknown family {family!r}; expected init, dacs or torchvision, the ones'
      ' that keys alone may not tell apart'
    )
  if 'model.10.conv_block.1.weight' in shapes:
    return _generator(shapes)
  if 'features.0.weight' in shapes:
    return _vgg(shapes)
  if {'0.weight', '2.weight', '8.weight'} <= shapes.keys():
    return _discriminator(shapes)
  if {'model.0.weight', 'model.11.weight'} <= shapes.keys():
    return _patch_discriminator(shapes)
  if 'backbone.layer1.0.conv1.weight' in shapes:
    return _ctrl(shapes)
  if 'layer1.0.conv1.weight' in shapes:
    return _resnet(shapes, wrapped, family)
  some = ', '.join(sorted(shapes)[:3])
  raise errors.UserError(
    f'keys such as {some} are of no network that is known; expected a'
    ' ResNet-101 or VGG-16 initialisation, DADA, ADVENT, DepDis, CTRL, DACS,'
    ' CorDA, a discriminator or a CycleGAN generator'
  )


def _resnet(shapes, wrapped, family):
  backbone = _backbone(shapes)
  caffe = _asked(backbone)
  drops = {r'.*num_batches_tracked$': _BATCHES}
  if 'heads.S.conv2d_list.0.weight' in shapes:
    return _corda(shapes, caffe, drops)
  if 'layer6.conv2d_list.0.bias' in shapes:
    return _two_branches(shapes, caffe, drops)
  if family == 'torchvision' or ('fc.weight' in shapes and family != 'init'):
    return Family(
      name='torchvision',
      title=f'torchvision {backbone}, ImageNet',
      module=_deeplab(2, caffe),
      whole=False,
      network={
        'backbone': backbone,
        'stride_at': 'conv2',
        **_TORCHVISION_INPUT,
      },
      drops={**drops, r'fc\.': _HEAD},
    )
  single = 'layer5.conv2d_list.0.bias' in shapes
  if single and (family == 'dacs' or (wrapped and family != 'init')):
    network = _asked(backbone, active_rates=2)
    classes = shapes['layer5.conv2d_list.0.bias'][0]
    return Family(
      name='dacs',
      title=f'DACS, {classes} classes',
      module=_deeplab(classes, network),
      key=as_layer5,
      network=network,
      structure={'classes': classes},
      drops=drops,
    )
  return Family(
    name='init',
    title=f'DeepLab-v2 {backbone} initialisation (Caffe)',
    module=_deeplab(2, caffe),
    whole=False,
    network=caffe,
    drops={**drops, r'(layer5|fc)\.': _HEAD},
  )


def _asked(backbone, **heads):
  """What published weights ask for; smaller networks are ours, and vary."""
  if backbone not in ('resnet101', 'resnet50'):
    return {'backbone': backbone}
  caffe = {'stride_at': 'conv1', **_CAFFE_INPUT}
  return {'backbone': backbone, **caffe, **heads}


def _two_branches(shapes, network, drops):
  """ADVENT, DADA and Depth Distribution."""
  classes = shapes['layer6.conv2d_list.0.bias'][0]
  if 'enc5_1.weight' in shapes:
    name, structure = 'depdis', {'depth': True, 'density': True}
    drops = {**drops, r'(enc4_4|dec4)\.': UNUSED_REASON}
  elif 'enc4_1.weight' in shapes:
    name = 'dada'
    structure = {'depth': True, 'fuse': 'dec4.weight' in shapes}
  else:
    name = 'advent'
    structure = {'multi_level': 'layer5.conv2d_list.0.bias' in shapes}
  titles = {'depdis': 'Depth Distribution', 'dada': 'DADA', 'advent': 'ADVENT'}
  return Family(
    name=name,
    title=f'{titles[name]}, {classes} classes',
    module=_deeplab(classes, network, **structure),
    network=_asked(network['backbone'], active_rates=0, depth_scale=1.0),
    structure={'classes': classes, **structure},
    drops=drops,
  )


def _corda(shapes, network, drops):
  classes = shapes['heads.S.conv2d_list.0.bias'][0]
  prefix = 'initial_task_prediction_heads.'
  structure = {'structure': 'simple_aux'}
  if f'{prefix}layers.S.0.conv1.weight' in shapes:
    width = shapes[f'{prefix}layers.S.0.conv3.weight'][0]
    structure = {'structure': 'no_attention', 'width': width}
    if f'{prefix}conv_out.S.weight' in shapes:
      structure |= {'structure': 'full', 'initial_semantic': 'bottleneck'}
    elif f'{prefix}conv_out.S.conv2d_list.0.weight' in shapes:
      structure |= {'structure': 'full', 'initial_semantic': 'backbone'}
  network = _asked(network['backbone'], active_rates=2)
  return Family(
    name='corda',
    title=f'CorDA ({", ".join(map(str, structure.values()))}), {classes}'
    ' classes',
    module=corda.CorDA(
      classes=classes, options=deeplab.Options(**network), **structure
    ),
    network=network,
    structure={'classes': classes, **structure},
    drops=drops,
  )


def _ctrl(shapes):
  inner = {
    k.removeprefix('backbone.'): v
    for k, v in shapes.items()
    if k.startswith('backbone.')
  }
  network = _asked(_backbone(inner))
  return Family(
    name='ctrl',
    title='CTRL, its backbone',
    module=_deeplab(2, network),
    key=lambda path: f'backbone.{pretrained.torch_key(path)}',
    whole=False,
    network=network,
    drops={
      r'.*num_batches_tracked$': _BATCHES,
      r'(decoder|head_\w+)\.': _CTRL,
    },
  )


def _vgg(shapes):
  pattern = re.compile(r'features\.\d+\.weight')
  count = sum(bool(pattern.fullmatch(k)) for k in shapes)
  if 'classifier.conv2d_list.0.bias' in shapes:
    classes = shapes['classifier.conv2d_list.0.bias'][0]
    network = {'backbone': 'vgg16_adaptsegnet', **_CAFFE_INPUT}
    return Family(
      name='adaptsegnet_vgg',
      title=f'AdaptSegNet VGG-16, {classes} classes',
      module=_gio_ada(classes, network, depth=False, decoder='aspp'),
      key=functools.partial(vgg_path, adaptsegnet=True),
      network=network,
      structure={'classes': classes, 'decoder': 'aspp', 'depth': False},
    )
  if count != 13 or 'features.28.weight' not in shapes:
    raise errors.UserError(
      f'a VGG of {count} convolutions; expected VGG-16 (13, without norms) or'
      " AdaptSegNet's"
    )
  network = {'backbone': 'vgg16', **_TORCHVISION_INPUT}
  return Family(
    name='vgg16',
    title='torchvision VGG-16, ImageNet',
    module=_gio_ada(2, network),
    key=vgg_path,
    whole=False,
    network=network,
    drops={r'classifier\.': _HEAD},
  )


def vgg_path(path: Sequence[str], *, adaptsegnet: bool = False) -> str:
  """Returns the key of a parameter of a network on VGG-16."""
  if path[0] == 'semantic':  # AdaptSegNet's head.
    key = pretrained.torch_key(('layer6', *path[1:]))
    return key.replace('layer6.', 'classifier.')
  return pretrained.vgg_key(path[1:], adaptsegnet=adaptsegnet)


def _discriminator(shapes):
  width, channels = shapes['0.weight'][:2]
  return Family(
    name='discriminator',
    title=f'discriminator of {channels} channels',
    module=discriminators.FcDiscriminator(width=width),
    example=(1, 32, 32, channels),
    structure={'channels': channels, 'width': width},
  )


def _patch_discriminator(shapes):
  width, channels = shapes['model.0.weight'][:2]
  return Family(
    name='patch_discriminator',
    title=f'PatchGAN discriminator of {channels} channels',
    module=discriminators.PatchDiscriminator(width=width),
    example=(1, 32, 32, channels),
    key=pretrained.patch_key,
    structure={'channels': channels, 'width': width},
    drops={r'.*\.(running_mean|running_var|num_batches_tracked)$': _INSTANCE},
  )


def _generator(shapes):
  blocks = len({k.split('.')[1] for k in shapes if '.conv_block.1.' in k})
  width, channels = shapes['model.1.weight'][:2]
  return Family(
    name='cyclegan',
    title=f'CycleGAN generator, {blocks} blocks, {channels} channels in',
    module=generators.Generator(width=width, blocks=blocks),
    example=(1, 16, 16, channels),
    key=functools.partial(pretrained.generator_key, blocks=blocks),
    structure={'channels': channels, 'width': width, 'blocks': blocks},
    drops={r'.*\.(running_mean|running_var|num_batches_tracked)$': _INSTANCE},
  )


def _deeplab(classes, network, **structure):
  return deeplab.DeepLab(
    classes=classes, options=deeplab.Options(**network), **structure
  )


def _gio_ada(classes, network, **structure):
  return gio_ada.GioAda(
    classes=classes, options=deeplab.Options(**network), **structure
  )


def as_layer5(path: Sequence[str]) -> str:
  """Returns DACS's key: its only head has the name of ADVENT's other one."""
  return pretrained.torch_key(path).replace('layer6.', 'layer5.')


def _backbone(shapes):
  """Returns the name of the ResNet that the entries are of."""
  first = [f'layer{i + 1}.0.conv1.weight' for i in range(4)]
  third = 'layer1.0.conv3.weight'
  if third not in shapes or not all(k in shapes for k in first):
    raise errors.UserError(
      'a ResNet without bottlenecks, such as ResNet-18 or 34; expected'
      ' ResNet-101 or 50'
    )
  blocks = tuple(
    len(
      {k.split('.')[1] for k in shapes if re.match(rf'layer{i + 1}\.\d+\.', k)}
    )
    for i in range(4)
  )
  planes = tuple(shapes[k][0] for k in first)
  stem = shapes['conv1.weight'][0]
  expansion = shapes[third][0] // planes[0]
  for name, size in resnet.SIZES.items():
    there = tuple(size.blocks), tuple(size.planes), size.stem, size.expansion
    if there == (blocks, planes, stem, expansion):
      return name
  raise errors.UserError(
    f'a ResNet of {blocks} blocks and {planes} planes; expected one of'
    f' {", ".join(resnet.SIZES)}'
  )
