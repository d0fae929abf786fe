"""The initial weights of trainings, in the configs of all methods."""

import pytest

from configs import common
from configs.parts import pairs
from jaxuda import errors
from jaxuda import methods
from jaxuda.ui import command
from jaxuda.weights import conversion
from jaxuda.weights import families
from tests.weights import official

# The files of the official codes.
CAFFE = 'pretrained/DeepLab_resnet_pretrained_imagenet.pth'
COCO = 'pretrained/resnet101COCO-41f33a49.pth'
OTHER_CAFFE = 'pretrained/DeepLab_resnet_pretrained_init-f81d91e8.pth'
VGG = 'pretrained/vgg16-397923af.pth'
BEGINNINGS = {
  'source_only': CAFFE,
  'advent': CAFFE,
  'dada': CAFFE,
  'depdis': CAFFE,
  'dacs': COCO,
  'corda': COCO,
  'gio_ada': VGG,
  'self_training': '',
  'cyclegan': '',
}
REAL = ('streets2camvid', 'streets2idd', 'camvid2idd', 'camvid_day2dusk')
SMALL = ('streets', *REAL, 'folder')


def test_every_group_of_options_is_there():
  assert ('method', *methods.GROUPS) == common.GROUPS
  config = common.base('pseudo_label', 'streets', seconds=3)
  assert config.seconds == 3
  config.mixing.alpha = 0.9
  with pytest.raises(AttributeError, match='alpa'):
    config.alpa = 0.9


def test_every_method_is_there():
  assert BEGINNINGS.keys() == common.INITIAL.keys() == {*methods.names()}


@pytest.mark.parametrize('name', BEGINNINGS)
def test_published_files_begin_the_papers_pairs(name):
  for pair in pairs.PAIRS:
    found = command.read_config(f'{name}:pair={pair}').initial
    expected = BEGINNINGS[name]
    if pair in SMALL and expected:
      # Or 'scratch', where the weights are not installed, see test_backbones.
      real = pair in REAL and name != 'cyclegan'
      expected = 'imagenet' if real else 'scratch'
    assert found == expected, pair


@pytest.mark.parametrize(
  ('arguments', 'expected'),
  [
    ('dada:pair=streets,init=imagenet', CAFFE),
    ('corda:pair=gta2cityscapes,init=coco', COCO),
    ('corda:pair=gta2cityscapes,init=imagenet', OTHER_CAFFE),
    ('dacs:pair=synthia2cityscapes,init=imagenet', OTHER_CAFFE),
    ('gio_ada:pair=vkitti2kitti,network=adaptsegnet', VGG),
    ('gio_ada:pair=vkitti2kitti,network=resnet', CAFFE),
    ('gio_ada:pair=vkitti2kitti,network=resnet,init=scratch', 'scratch'),
    *(
      (f'{name}:pair=synthia2cityscapes,init=scratch', 'scratch')
      for name, file in BEGINNINGS.items()
      if file
    ),
  ],
)
def test_init(arguments, expected):
  assert command.read_config(arguments).initial == expected


@pytest.mark.parametrize(
  ('arguments', 'known'),
  [
    ('dada:init=coco', 'imagenet, scratch'),
    ('corda:init=imagenet21k', 'coco, imagenet, scratch'),
  ],
)
def test_unknown_init(arguments, known):
  with pytest.raises(errors.UserError, match=f'unknown init .* of , {known}$'):
    command.read_config(arguments)


def test_a_method_of_ones_own_begins_as_dada():
  # The method of docs/extend.md.
  config = common.base('pseudo_label', 'synthia2cityscapes')
  assert config.initial == CAFFE
  assert common.base('pseudo_label', 'streets').initial == 'scratch'


@pytest.mark.parametrize(
  ('arguments', 'shapes'),
  [
    ('dada:pair=synthia2cityscapes', official.init()),
    ('corda:pair=gta2cityscapes', official.init()),
    ('gio_ada:pair=vkitti2kitti', official.torchvision_vgg16()),
    (
      'gio_ada:pair=vkitti2kitti,network=adaptsegnet',
      official.torchvision_vgg16(),
    ),
  ],
)
def test_the_input_is_that_of_the_file(arguments, shapes):
  """Order, mean and scale of the channels, which training would reject."""
  asked = dict(families.recognise(shapes).network)
  if 'vgg16' not in asked['backbone']:
    # A miniature is not informative; the file itself requires this.
    asked = dict(families._CAFFE_INPUT)
  asked = {k: v for k, v in asked.items() if k in conversion.INPUT}
  method = methods.create(command.read_config(arguments))
  assert not conversion.compare(asked, method.network)
