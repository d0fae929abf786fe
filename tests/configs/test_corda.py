"""The configs of DACS and CorDA."""

import itertools

import pytest

from configs import corda
from jaxuda import errors
from jaxuda import methods
from jaxuda.ui import command

REAL = 'pair=synthia2cityscapes'


@pytest.mark.parametrize(
  'arguments',
  [
    *(f'ablation={row}' for row in corda.ABLATIONS),
    *(
      f'network=gta,difficulty={d},adversarial={a}'
      for d, a in itertools.product(('per_image', 'paper'), ('advent', 'dada'))
    ),
  ],
)
def test_every_row_of_corda_is_a_method(arguments):
  for pair in ('streets', 'gta2cityscapes'):
    method = methods.create(
      command.read_config(f'corda:pair={pair},{arguments}')
    )
    assert method.network.active_rates == 2


@pytest.mark.parametrize(
  ('arguments', 'message'),
  [
    ('ablation=F,difficulty=paper', 'difficulty=paper with ablation=F'),
    ('ablation=no_attention,difficulty=batch_mean', 'expected ablation=FD'),
    ('ablation=simple_aux,network=gta', 'network=gta with ablation=simple_aux'),
    ('ablation=no_attention,network=gta', 'expected ablation=F or FD'),
  ],
)
def test_what_a_row_does_not_have_is_refused(arguments, message):
  with pytest.raises(errors.UserError, match=message):
    command.read_config(f'corda:pair=streets,{arguments}')


def test_published_settings():
  config = command.read_config(f'corda:{REAL}')
  method = methods.create(config)
  assert (method.lambda_depth, method.lambda_mixed_depth) == (0.01, 0.001)
  assert (method.mixing.alpha, method.evaluate) == (0.999, 'student')
  assert method.difficulty == 'batch_mean'
  assert method.initial_until == 0
  assert config.batch_size == 2
  assert config.total_steps == config.stop_step == 250000
  assert config.data.far_depth == 'mask'
  assert tuple(config.data.source.size) == (720, 1280)
  assert tuple(config.data.source.crop) == (512, 512)
  assert config.data.target.dataset == 'cityscapes/stereo'
  gta = methods.create(
    command.read_config('corda:pair=gta2cityscapes,network=gta')
  )
  assert gta.initial_until == 25001
  assert (
    methods.create(command.read_config(f'dacs:{REAL}')).mixing.alpha == 0.99
  )


@pytest.mark.parametrize(
  ('arguments', 'semantic', 'steps'),
  [
    # Each source has the network that was published for it.
    ('pair=gta2cityscapes', 'backbone', 25001),
    ('pair=gta2cityscapes,ablation=F', 'backbone', 25001),
    ('pair=gta2cityscapes,network=synthia', 'bottleneck', 0),
    ('pair=gta2cityscapes,ablation=no_attention', 'bottleneck', 0),
    (REAL, 'bottleneck', 0),
    (f'{REAL},network=gta', 'backbone', 25001),
    ('pair=synthia2mapillary', 'bottleneck', 0),
    ('pair=streets', 'bottleneck', 0),
  ],
)
def test_the_network_is_that_of_the_source(arguments, semantic, steps):
  method = methods.create(command.read_config(f'corda:{arguments}'))
  assert method.initial_semantic == semantic
  assert method.initial_until == steps


@pytest.mark.parametrize('name', ['dacs', 'corda'])
def test_synthia_has_nineteen_outputs(name):
  for pair in ('synthia2cityscapes', 'synthia2cityscapes_low'):
    config = command.read_config(f'{name}:pair={pair}')
    assert (config.classes, config.num_classes) == ('cityscapes19', 19)
    assert methods.create(config).num_classes == 19
    config = command.read_config(f'{name}:pair={pair},classes=synthia16')
    assert (config.classes, config.num_classes) == ('synthia16', 16)
  config = command.read_config(f'{name}:pair=synthia2mapillary')
  assert config.classes == 'coarse7'
  # The others, as in their papers.
  for other in ('advent', 'dada', 'depdis', 'gio_ada', 'source_only'):
    config = command.read_config(f'{other}:{REAL}')
    assert (config.classes, config.num_classes) == ('synthia16', 16)


def test_depth_of_the_target():
  config = command.read_config(f'corda:{REAL},depth=mono')
  assert config.data.target.dataset == 'cityscapes/mono'
  assert config.data.target.depth_dir is None
  # 56.6 was measured with mono depth on GTA5 and stereo on Cityscapes.
  data = command.read_config('corda:pair=gta2cityscapes,network=gta').data
  assert data.source.dataset == 'gta5/mono'
  assert data.target.dataset == 'cityscapes/stereo'
  data = command.read_config('corda:pair=gta2cityscapes,depth=mono').data
  assert data.target.dataset == 'cityscapes/mono'
  config = command.read_config('corda:pair=streets,depth=stereo')
  assert config.data.target.dataset == 'streets/target'
  assert config.data.target.depth_dir == 'depth/streets_stereo'


def test_crops_make_one_size():
  # 760x1280 onto 768x1024, and 320x640 onto itself.
  for pair, crop in (
    ('synthia2mapillary', (512, 512)),
    ('synthia2cityscapes_low', (320, 512)),
  ):
    config = command.read_config(f'dacs:pair={pair}')
    assert tuple(config.data.source.crop) == crop
    assert tuple(config.data.target.crop) == crop


@pytest.mark.parametrize(
  ('name', 'arguments', 'message'),
  [
    ('corda', 'ablation=S1', "unknown ablation 'S1'"),
    ('corda', 'depth=sonar', "unknown depth 'sonar'"),
    ('corda', 'network=vgg', "unknown network 'vgg'"),
    ('dacs', 'weight=some', "unknown weight 'some'"),
    ('dacs', 'jitter=strong', "unknown jitter 'strong'"),
  ],
)
def test_unknown_arguments_are_named(name, arguments, message):
  with pytest.raises(errors.UserError, match=message):
    command.read_config(f'{name}:{arguments}')


def test_oracle_weights():
  """An upper bound, for DACS and for CorDA without and with difficulty."""
  assert methods.create(
    command.read_config('dacs:pair=streets,weight=oracle')
  ).needs['target'] == ('image', 'label')
  for row in ('F', 'FD'):
    config = command.read_config(
      f'corda:pair=streets,ablation={row}', ['--config.mixing.weight=oracle']
    )
    method = methods.create(config)
    assert method.needs['target'] == ('image', 'depth', 'label')
    assert (method.difficulty == 'none') == (row == 'F')


def test_arguments_of_dacs():
  config = command.read_config('dacs:pair=streets,weight=pixel,jitter=standard')
  method = methods.create(config)
  assert (method.mixing.weight, method.mixing.jitter) == ('pixel', 'standard')
