"""The argument `backbone` of the configs."""

import importlib.util

import ml_collections
import pytest

from configs import common
from jaxuda import errors
from jaxuda import methods
from jaxuda.models import deeplab
from jaxuda.ui import command
from jaxuda.weights import families
from jaxuda.weights import initial
from jaxuda.weights import packaged
from tests.weights import official

METHODS = [x for x in methods.names() if x != 'cyclegan']
REAL = ('streets2camvid', 'streets2idd', 'camvid2idd', 'camvid_day2dusk')


@pytest.mark.parametrize('pair', ['streets', 'synthia2cityscapes'])
@pytest.mark.parametrize('name', METHODS)
def test_every_method_takes_it(name, pair):
  own = command.read_config(f'{name}:pair={pair}')
  config = command.read_config(
    f'{name}:pair={pair},backbone=efficientnet_lite0'
  )
  # The last stage of Depth Distribution starts from a run.
  begins = '' if name == 'self_training' else 'imagenet'
  assert config.initial == begins
  network = methods.create(config).network
  assert network.backbone == 'efficientnet_lite0'
  # What the weights require, according to the keys of their file.
  asked = families.recognise(official.efficientnet()).network
  for field in ('image_order', 'image_mean', 'image_scale'):
    assert getattr(network, field) == asked[field]
  assert network.norm_momentum == 0.01
  # Everything else is that of the pair.
  changed = {'backbone', *common.BACKBONES[network.backbone]}
  trees = [x.network.to_dict() for x in (own, config)]
  differ = {field for field in trees[1] if trees[0][field] != trees[1][field]}
  if name != 'gio_ada':
    assert differ == changed
  for group in ('optim', 'data', 'total_steps'):
    assert config[group] == own[group]
  assert network.decoder == 'aspp'


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


@pytest.fixture
def install(monkeypatch):
  """Sets whether weights are installed."""

  def set_installed(value):
    monkeypatch.setattr(
      importlib.util, 'find_spec', lambda package: value or None
    )
    common._has_weights.cache_clear()

  yield set_installed
  common._has_weights.cache_clear()


@pytest.mark.parametrize('pair', REAL)
@pytest.mark.parametrize('name', METHODS)
def test_small_pairs_with_real_targets_begin_with_weights(
  install, capsys, name, pair
):
  install(True)
  config = command.read_config(f'{name}:pair={pair}')
  named = command.read_config(f'{name}:pair={pair},backbone=efficientnet_lite0')
  assert config.to_json() == named.to_json()
  assert config.network.backbone == 'efficientnet_lite0'
  assert config.batch_size == 4
  if name != 'self_training':
    assert config.initial == 'imagenet'
    assert config.optim.learning_rate == 2e-3
    assert config.network.output_stride == 16
  assert capsys.readouterr().err == ''


@pytest.mark.parametrize('name', METHODS)
def test_without_the_weights_one_line_says_so(install, capsys, name):
  install(False)
  config = command.read_config(f'{name}:pair=streets2idd')
  line = capsys.readouterr().err
  assert line.startswith('note: pair=streets2idd trains the small network')
  assert "pip install 'jaxuda[pretrained]'" in line
  assert line.count('\n') == 1
  small = command.read_config(f'{name}:pair=streets2idd,backbone=resnet_small')
  assert config.to_json() == small.to_json()
  assert capsys.readouterr().err == ''
  assert config.network.backbone == 'resnet_small'
  assert config.batch_size == 2
  # Breadth needs no weights.
  assert config.data.source.dataset == 'streets/wide_176x248'


def test_the_small_network_is_of_small_pairs():
  with pytest.raises(errors.UserError, match="backbone 'resnet_small'; exp"):
    command.read_config('dada:pair=synthia2cityscapes,backbone=resnet_small')


def test_the_packages_are_those_that_are_read():
  packages = {k: package for k, (package, *_) in packaged._FILES.items()}
  assert packages == common.PACKAGES


def test_known_to_the_networks():
  for name, own in common.BACKBONES.items():
    deeplab.Options(backbone=name, **own)


@pytest.mark.parametrize(
  ('backbone', 'decoder'),
  [
    ('mit_b2', 'daformer'),
    ('dinov2_b', 'vfm_uda'),
    ('dinov2_s_reg', 'vfm_uda'),
  ],
)
@pytest.mark.parametrize('pair', ['streets', 'synthia2cityscapes'])
@pytest.mark.parametrize('name', METHODS)
def test_every_method_takes_a_transformer(name, pair, backbone, decoder):
  config = command.read_config(f'{name}:pair={pair},backbone={backbone}')
  network = methods.create(config).network
  assert (network.backbone, network.decoder) == (backbone, decoder)
  assert network.draws == (decoder == 'daformer')
  if decoder == 'daformer':
    assert (network.decoder_width, network.dropout) == (256, 0.1)
  assert network.image_mean == (123.675, 116.28, 103.53)
  small = {'streets': 'scratch', 'synthia2cityscapes': ''}
  if name != 'self_training':
    assert config.initial == small[pair]
  if config.initial == '' and name != 'self_training':
    with pytest.raises(errors.UserError, match=r'expected --config\.initial'):
      initial.check(config.initial, methods.create(config))
    arguments = f'{name}:pair={pair},backbone={backbone},init=scratch'
    assert command.read_config(arguments).initial == 'scratch'


def test_older_runs_of_gio_ada_are_read():
  config = command.read_config('gio_ada:pair=streets')
  new = methods.create(config)
  assert new.network.decoder == 'aspp'
  older = config.to_dict()
  older['method']['decoder'] = older['network'].pop('decoder')
  older = ml_collections.ConfigDict(older)
  assert methods.create(older) == new
  with pytest.raises(errors.UserError, match=r'method\.decoder'):
    methods.create(
      ml_collections.ConfigDict({**older.to_dict(), 'name': 'dada'})
    )


@pytest.mark.parametrize('name', ['dada', 'corda', 'depdis', 'depth_mic'])
@pytest.mark.parametrize(
  ('pair', 'backbone', 'weight'),
  [
    ('streets2idd', 'efficientnet_lite0', 1e-3),
    ('streets2idd', 'resnet_small', 1e-2),
    ('streets', 'resnet_small', 1e-2),
    ('streets', 'efficientnet_lite0', 1e-2),
  ],
)
def test_depth_weighs_less_where_training_is_begun(
  name, pair, backbone, weight
):
  config = command.read_config(f'{name}:pair={pair},backbone={backbone}')
  assert config.method.lambda_depth == weight
