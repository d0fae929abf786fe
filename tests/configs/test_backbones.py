"""The argument `backbone` of the configs."""

import pytest

from configs import common
from jaxuda import errors
from jaxuda import methods
from jaxuda.models import deeplab
from jaxuda.ui import command
from jaxuda.weights import families
from tests.weights import official

METHODS = [x for x in methods.names() if x != 'cyclegan']


@pytest.mark.parametrize('pair', ['streets', 'synthia2cityscapes'])
@pytest.mark.parametrize('name', METHODS)
def test_every_method_takes_it(name, pair):
  own = command.read_config(f'{name}:pair={pair}')
  config = command.read_config(
    f'{name}:pair={pair},backbone=efficientnet_lite0'
  )
  # The last stage of Depth Distribution begins with a run.
  begins = '' if name == 'self_training' else 'imagenet'
  assert config.initial == begins
  network = methods.create(config).network
  assert network.backbone == 'efficientnet_lite0'
  # What the weights ask for, as the keys of their file say.
  asked = families.recognise(official.efficientnet()).network
  for field in ('image_order', 'image_mean', 'image_scale'):
    assert getattr(network, field) == asked[field]
  assert network.norm_momentum == 0.01
  # Everything else is the pair's.
  changed = {'backbone', *common.BACKBONES[network.backbone]}
  trees = [x.network.to_dict() for x in (own, config)]
  differ = {field for field in trees[1] if trees[0][field] != trees[1][field]}
  if name != 'gio_ada':
    assert differ == changed
  for group in ('optim', 'data', 'total_steps'):
    assert config[group] == own[group]
  assert config.method.get('decoder', 'aspp') == 'aspp'


def test_weights_are_the_backbones():
  backbone = 'backbone=efficientnet_lite0'
  for init in ('', ',init=imagenet'):
    config = command.read_config(f'dacs:pair=streets,{backbone}{init}')
    assert config.initial == 'imagenet'
  for arguments, message in (
    (f'{backbone},init=coco', "init 'coco'; expected one of imagenet"),
    ('backbone=resnet18', "backbone 'resnet18'; expected one of efficientnet"),
  ):
    with pytest.raises(errors.UserError, match=message):
      command.read_config(f'dacs:pair=streets,{arguments}')


def test_known_to_the_networks():
  for name, own in common.BACKBONES.items():
    deeplab.Options(backbone=name, **own)
