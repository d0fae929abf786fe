"""Recognition of published networks by the keys and shapes of a state dict."""

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
from jaxuda.models import hrda
from jaxuda.models import pretrained
from jaxuda.weights import mmseg
from jaxuda.weights import sizes

TORCHVISION_INPUT = mmseg.TORCHVISION_INPUT
_LITE_INPUT = {
  'image_order': 'rgb',
  'image_mean': (127.0, 127.0, 127.0),
  'image_scale': (1 / 128, 1 / 128, 1 / 128),
}
_CAFFE_INPUT = {
  'image_order': 'bgr',
  'image_mean': deeplab.Options().image_mean,
  'image_scale': (1.0, 1.0, 1.0),
}

# Families of a DeepLab on a ResNet -> what else published weights require. The
# heads of AdaptSegNet return inside the loop over their dilations.
_ALL, _TWO = ({'rates': (6, 12, 18, 24), 'active_rates': n} for n in (0, 2))
_DEEPLAB = {
  'advent': _ALL,
  'adaptsegnet': _TWO,
  'dada': {**_ALL, 'depth_scale': 1.0},
  'depdis': {**_ALL, 'depth_scale': 1.0},
  'dacs': _TWO,
  'corda': {**_TWO, 'depth_scale': 1.0},
}

# Families that keys may not tell from one another.
ANSWERS = ('init', 'dacs', 'torchvision', 'advent', 'adaptsegnet')

# Why keys are left out on purpose.
_UNUSED = 'saved by the official code but not used'
_HEAD = mmseg.HEAD
_BATCHES = {
  r'.*num_batches_tracked$': 'running statistics have a constant momentum here'
}
_INSTANCE = {
  r'.*\.(running_mean|running_var|num_batches_tracked)$': (
    'running statistics of instance norms, which do not use them'
  )
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Family:
  """A published network that a state dict was recognised as.

  Attributes:
    name: 'dada', 'corda', ...
    title: the same in words.
    module: the network of ours that the state dict fills.
    example: shape of the module's input, channels last.
    whole: False if only the module's backbone is filled.
    network: fields of `deeplab.Options` that the weights require.
    structure: further fields that tell which network it is, for the record.
    drops: pattern of keys -> why they are left out.
    guess: what else the keys may mean, and the flag that says so; '' if they
      can only be of one network.
  """

  name: str
  title: str
  module: nn.Module
  example: Sequence[int] = (1, 64, 64, 3)
  whole: bool = True
  network: Mapping[str, Any] = dataclasses.field(default_factory=dict)
  structure: Mapping[str, Any] = dataclasses.field(default_factory=dict)
  drops: Mapping[str, str] = dataclasses.field(default_factory=dict)
  guess: str = ''

  @property
  def key(self) -> Callable[[Sequence[str]], str]:
    """The map from our paths, without the collection, to official keys."""
    return key_of(self.name, self.structure)

  def variables(self) -> dict[str, Any]:
    """Returns the shapes of all arrays that the state dict must fill."""
    example = jax.ShapeDtypeStruct(tuple(self.example), jnp.float32)
    variables = jax.eval_shape(self.module.init, jax.random.key(0), example)
    if self.whole:
      return variables
    return {
      kind: {'backbone': tree['backbone']} for kind, tree in variables.items()
    }

  def match(
    self, state_dict: Mapping[str, Any], variables: Any
  ) -> pretrained.Match:
    """Looks up every entry of `variables`, see `pretrained.match`."""
    return pretrained.match(state_dict, variables, naming=self.key)

  def reason(self, key: str) -> str | None:
    """Returns why a key is left out on purpose; None if it is not."""
    for pattern, reason in (*self.drops.items(), *_BATCHES.items()):
      if re.match(pattern, key):
        return reason
    return None


def key_of(
  family: str, structure: Mapping[str, Any]
) -> Callable[[Sequence[str]], str]:
  """Returns the map from our paths to the keys of a family.

  Args:
    family: see `Family.name`.
    structure: see `Family.structure`; for a CycleGAN generator its 'blocks'.
  """
  if family == 'cyclegan':
    return functools.partial(
      pretrained.generator_key, blocks=structure['blocks']
    )
  return {
    # The only head of DACS has the name of ADVENT's other one.
    'dacs': lambda p: pretrained.torch_key(p).replace('layer6.', 'layer5.'),
    'ctrl': lambda p: f'backbone.{pretrained.torch_key(p)}',
    'patch_discriminator': pretrained.patch_key,
    'vgg16': lambda p: pretrained.vgg_key(p[1:]),
    'efficientnet': lambda p: pretrained.efficientnet_key(p[1:]),
    'mit': lambda p: pretrained.mit_key(p[1:]),
    'daformer': pretrained.daformer_key,
    'hrda': pretrained.hrda_key,
    'adaptsegnet_vgg': pretrained.adaptsegnet_key,
  }.get(family, pretrained.torch_key)


def required(family: str, backbone: str) -> dict[str, Any] | None:
  """Returns the options with which a file of a family is read.

  Args:
    family: see `Family.name`.
    backbone: name of the network's backbone.

  Returns:
    Field of `deeplab.Options` -> value; None unless it is the family of a
    DeepLab on a ResNet.
  """
  if family not in _DEEPLAB:
    return None
  return _caffe(backbone, **_DEEPLAB[family])


def recognise(
  shapes: Mapping[str, tuple[int, ...]],
  *,
  wrapped: bool = False,
  family: str = '',
  whole: bool = False,
) -> Family:
  """Finds the network that a state dict holds.

  Args:
    shapes: PyTorch key, without prefix, -> shape.
    wrapped: whether the state dict was one entry of a training checkpoint.
    family: the answer if keys do not tell: one of `ANSWERS`.
    whole: whether the network must predict as it is, so that it is not taken
      for an initialisation if it can be more.

  Raises:
    UserError: no known network, or none called `family`.
  """
  if family and family not in ANSWERS:
    raise errors.UserError(
      f'unknown family {family!r}; expected one of {", ".join(ANSWERS)}, which'
      ' keys alone may not tell apart'
    )
  if 'model.10.conv_block.1.weight' in shapes:
    blocks = len({k.split('.')[1] for k in shapes if '.conv_block.1.' in k})
    title = f'CycleGAN generator, {blocks} blocks, {{channels}} channels in'
    module, kernel = generators.Generator, shapes['model.1.weight']
    return _plain('cyclegan', title, module, kernel, _INSTANCE, blocks=blocks)
  if 'features.0.weight' in shapes:
    return _vgg(shapes)
  if '_conv_stem.weight' in shapes:
    return _efficientnet(shapes)
  if 'stages.0.patch_embeddings.proj.weight' in shapes:
    return _built(**mmseg.describe(shapes))
  if {'0.weight', '2.weight', '8.weight'} <= shapes.keys():
    title = 'discriminator of {channels} channels'
    module, kernel = discriminators.FcDiscriminator, shapes['0.weight']
    return _plain('discriminator', title, module, kernel)
  if {'model.0.weight', 'model.11.weight'} <= shapes.keys():
    title = 'PatchGAN discriminator of {channels} channels'
    module, kernel = discriminators.PatchDiscriminator, shapes['model.0.weight']
    return _plain('patch_discriminator', title, module, kernel, _INSTANCE)
  if 'backbone.layer1.0.conv1.weight' in shapes:
    inner = {k.removeprefix('backbone.'): v for k, v in shapes.items()}
    reason = 'the decoders of CTRL, which are not implemented here'
    network, drops = (
      _caffe(sizes.of_resnet(inner)),
      {r'(decoder|head_\w+)\.': reason},
    )
    return _built('ctrl', 'CTRL, its backbone', network, drops)
  if 'layer1.0.conv1.weight' in shapes:
    return _resnet(shapes, wrapped, whole, family)
  raise errors.UserError(
    f'keys such as {", ".join(sorted(shapes)[:3])} belong to no known'
    ' network; expected an initialisation (ResNet-101, VGG-16, EfficientNet or'
    ' MiT), DADA, ADVENT, DepDis, CTRL, DACS, CorDA, DAFormer, HRDA, MIC, a'
    ' discriminator, a CycleGAN generator, DINOv2 or Depth Anything (from the'
    ' Hugging Face hub)'
  )


def _resnet(shapes, wrapped, whole, family):
  backbone = sizes.of_resnet(shapes)
  if 'heads.S.conv2d_list.0.weight' in shapes:
    return _corda(shapes, backbone)
  if 'layer6.conv2d_list.0.bias' in shapes:
    return _two_branches(shapes, backbone, family)
  if family == 'torchvision' or ('fc.weight' in shapes and family != 'init'):
    network = {'backbone': backbone, 'stride_at': 'conv2', **TORCHVISION_INPUT}
    title = f'torchvision {backbone}, ImageNet'
    return _built('torchvision', title, network, {r'fc\.': _HEAD})
  single = 'layer5.conv2d_list.0.bias' in shapes
  classes = shapes['layer5.conv2d_list.0.bias'][0] if single else 21
  # The published initialisations have a head for PASCAL VOC, and are older than
  # counted batches.
  counted = 'bn1.num_batches_tracked' in shapes
  trained = wrapped or whole or classes != 21 or counted
  kind, other = ('DACS', 'init') if trained else ('an initialisation', 'dacs')
  guess = (
    f'its head of {classes} classes is taken for one of {kind}, which its keys'
    f' do not tell; if not, convert or evaluate with --family={other}'
  )
  if not single:
    guess = (
      'it is taken for a Caffe network, but its keys do not tell it from one of'
      ' torchvision, whose strides and input differ; if it is one, convert with'
      ' --family=torchvision'
    )
  guess = '' if family or (wrapped and single) else guess
  if single and family != 'init' and (trained or family == 'dacs'):
    network = required('dacs', backbone)
    return _built('dacs', 'DACS', network, classes=classes, guess=guess)
  title = f'DeepLab-v2 {backbone} initialisation (Caffe)'
  drops = {r'(layer5|fc)\.': _HEAD}
  return _built('init', title, _caffe(backbone), drops, guess=guess)


def _caffe(backbone, **heads):
  """What published weights require; smaller networks are ours, and vary."""
  if backbone not in ('resnet101', 'resnet50'):
    return {'backbone': backbone}
  return {'backbone': backbone, 'stride_at': 'conv1', **_CAFFE_INPUT, **heads}


def _two_branches(shapes, backbone, family):
  """ADVENT, AdaptSegNet, DADA and Depth Distribution."""
  drops, guess = {}, ''
  if 'enc5_1.weight' in shapes:
    name, title = 'depdis', 'Depth Distribution'
    structure = {'depth': True, 'density': True}
    drops = {r'(enc4_4|dec4)\.': _UNUSED}
  elif 'enc4_1.weight' in shapes:
    name, title = 'dada', 'DADA'
    structure = {'depth': True, 'fuse': 'dec4.weight' in shapes}
  else:
    structure = {'multi_level': 'layer5.conv2d_list.0.bias' in shapes}
    name, title = 'advent', 'ADVENT'
    if family == 'adaptsegnet':
      name, title = 'adaptsegnet', 'AdaptSegNet'
    elif structure['multi_level'] and not family:
      guess = (
        "its two heads are taken for ADVENT's, with four dilations, which its"
        ' keys do not tell; if they are of AdaptSegNet, which uses two, convert'
        ' or evaluate with --family=adaptsegnet'
      )
  network = required(name, backbone)
  classes = shapes['layer6.conv2d_list.0.bias'][0]
  return _built(
    *(name, title, network, drops), guess=guess, classes=classes, **structure
  )


def _corda(shapes, backbone):
  prefix = 'initial_task_prediction_heads.'
  structure = {'structure': 'simple_aux'}
  if f'{prefix}layers.S.0.conv1.weight' in shapes:
    width = shapes[f'{prefix}layers.S.0.conv3.weight'][0]
    structure = {'structure': 'no_attention', 'width': width}
    if f'{prefix}conv_out.S.weight' in shapes:
      structure |= {'structure': 'full', 'initial_semantic': 'bottleneck'}
    elif f'{prefix}conv_out.S.conv2d_list.0.weight' in shapes:
      structure |= {'structure': 'full', 'initial_semantic': 'backbone'}
  return _built(
    'corda',
    f'CorDA ({", ".join(map(str, structure.values()))})',
    required('corda', backbone),
    classes=shapes['heads.S.conv2d_list.0.bias'][0],
    module=corda.CorDA,
    **structure,
  )


def _vgg(shapes):
  if 'classifier.conv2d_list.0.bias' in shapes:
    return _built(
      'adaptsegnet_vgg',
      'AdaptSegNet VGG-16',
      {
        'backbone': 'vgg16_adaptsegnet',
        'decoder': 'aspp',
        **_TWO,
        **_CAFFE_INPUT,
      },
      classes=shapes['classifier.conv2d_list.0.bias'][0],
      module=gio_ada.GioAda,
      depth=False,
    )
  count = sum(bool(re.fullmatch(r'features\.\d+\.weight', k)) for k in shapes)
  if count != 13 or 'features.28.weight' not in shapes:
    raise errors.UserError(
      f'a VGG of {count} convolutions; expected VGG-16 (13, without norms) or'
      " AdaptSegNet's"
    )
  return _built(
    'vgg16',
    'torchvision VGG-16, ImageNet',
    {'backbone': 'vgg16', **TORCHVISION_INPUT},
    {r'classifier\.': _HEAD},
    module=gio_ada.GioAda,
  )


def _efficientnet(shapes):
  name = sizes.of_efficientnet(shapes)
  network, drops = {'backbone': name, **_LITE_INPUT}, r'_(conv_head|bn1|fc)\.'
  return _built('efficientnet', f'{name}, ImageNet', network, {drops: _HEAD})


def _built(
  name,
  title,
  network,
  drops=(),
  *,
  module=deeplab.DeepLab,
  guess='',
  **fields,
):
  """A network of `module`; without `classes` only its backbone is filled."""
  whole = 'classes' in fields
  if whole:
    title += f', {fields["classes"]} classes'
  options = deeplab.Options(**network)
  built = module(**{'classes': 2, 'options': options, **fields})
  return Family(
    name=name,
    title=title,
    module=hrda.wrap(built),
    whole=whole,
    network=network,
    structure=fields,
    drops=dict(drops),
    guess=guess,
  )


def _plain(name, title, module, kernel, drops=(), **fields):
  """A network without a backbone; `kernel` is the shape of its first kernel."""
  width, channels = kernel[:2]
  return Family(
    name=name,
    title=title.format(channels=channels),
    module=module(width=width, **fields),
    example=(1, 32, 32, channels),
    structure={'channels': channels, 'width': width, **fields},
    drops=dict(drops),
  )
