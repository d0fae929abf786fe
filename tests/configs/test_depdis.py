"""The rows and settings of Depth Distribution are methods that fit together."""

import dataclasses

import numpy as np
import pytest

from configs import depdis
from configs import self_training
from configs.parts import pairs
from jaxuda import errors
from jaxuda import methods
from jaxuda.depdis.fit import fitting
from jaxuda.depdis.pseudo import labelling
from jaxuda.depdis.pseudo import prior
from jaxuda.depdis.run import stages
from jaxuda.run import workdir as workdir_lib
from jaxuda.ui import command

# From the facts: what the discriminator sees; what the source's density is
# regressed on (class, depth); whether the target's density is regressed.
ROWS = {
  'M1': ({'seg'}, None, False),
  **dict.fromkeys(
    ('M2', 'M3', 'M4', 'S5'),
    ({'seg', 'density'}, ('predicted', 'true'), True),
  ),
  'S1': ({'seg', 'density'}, ('true', 'true'), False),
  'S2': ({'seg', 'density'}, ('predicted', 'predicted'), True),
  'S3': ({'seg', 'depth', 'density'}, ('predicted', 'true'), True),
  'S4': ({'seg', 'depth'}, ('predicted', 'true'), True),
}
MAPS = {
  'true_depth': ('predicted', 'true'),
  'truth': ('true', 'true'),
  'predicted_depth': ('predicted', 'predicted'),
}


def test_rows_are_the_papers():
  assert depdis.ABLATIONS.keys() == ROWS.keys()


@pytest.mark.parametrize('pair', ['synthia2cityscapes', 'streets'])
@pytest.mark.parametrize('row', ROWS)
def test_what_a_row_trains(row, pair):
  config = command.read_config(f'depdis:pair={pair},ablation={row}')
  method = methods.create(config)
  seen, source_map, target = ROWS[row]
  assert set(method.parts) == seen
  assert method.task.depth
  assert method.lambda_depth > 0
  assert method.lambda_adv > 0
  assert method.task.density == (method.lambda_balance > 0)
  assert source_map == (
    MAPS[method.source_map] if method.lambda_balance else None
  )
  assert (method.lambda_balance_target > 0) == target
  assert not method.balance_transfer


@pytest.mark.parametrize('row', depdis.ABLATIONS)
def test_stages_of_rows(row):
  config = command.read_config(f'depdis:pair=synthia2cityscapes,ablation={row}')
  method = methods.create(config)
  options = labelling.read_options(config)
  fitting.read_options(config)
  assert (options.rounds > 0) == (row in ('M3', 'M4'))
  assert options.spatial_prior == (row == 'M4')
  # The official class weights need no mixtures, the density does.
  assert method.needs_mixtures == (row != 'M1')


# From the facts: weights of depth, balance (source, target), adversarial loss;
# rate of the discriminator, steps of self-training, images, thresholds.
OFFICIAL = {
  'synthia2cityscapes': (0.005, 0.01, 0.05, 0.05, 1e-3, 30000, 0, 50, 5000),
  'synthia2cityscapes,classes=coarse7': (
    *(0.005, 0.01, 0.05, 0.05, 1e-3, 10000, 0, 100, 1000),
  ),
  'synthia2cityscapes_low': (
    *(0.001, 0.01, 0.05, 0.05, 1e-3, 30000, 0, 100, 1000),
  ),
  'synthia2mapillary': (1e-4, 0.005, 1e-3, 1e-3, 1e-4, 30000, 9000, 50, 100),
  'synthia2mapillary_low': (
    *(1e-4, 0.005, 1e-3, 1e-3, 1e-4, 30000, 9000, 50, 100),
  ),
}


@pytest.mark.parametrize('pair', OFFICIAL)
def test_settings_of_the_official_code(pair):
  config = command.read_config(f'depdis:pair={pair}')
  method, options = methods.create(config), labelling.read_options(config)
  least = prior.thresholds(
    np.array([1, 9]), base=options.base, extent=options.range
  )
  assert OFFICIAL[pair] == (
    method.lambda_depth,
    method.lambda_balance,
    method.lambda_balance_target,
    method.lambda_adv,
    method.optim.disc_learning_rate,
    options.stop_step,
    options.first,
    *least,
  )
  size = (320, 640) if 'low' in pair else (760, 1280)
  assert config.data.source.size == config.data.target.size == size
  # One group of parameters, each stepped once and at the same rate.
  assert (method.optim.head_multiplier, method.optim.repeats) == (1, 'plain')
  mapillary = 'mapillary' in pair
  assert method.balance_classes == (not mapillary)
  assert len(method.class_weights) == (0 if mapillary else method.num_classes)
  assert config.data.target.eval_labels == ('input' if mapillary else 'native')
  assert not options.scale_area
  assert options.share == 1
  # Snapshots, the best of which is used, in both stages.
  for one in (config, command.read_config(f'self_training:pair={pair}')):
    assert one.eval_every == one.checkpoint_every == 1000


@pytest.mark.parametrize('pair', pairs.PAIRS)
def test_positions_are_those_of_the_mixtures(pair):
  config = command.read_config(f'depdis:pair={pair}')
  source, target = config.data.source, config.data.target
  assert (source.size, source.crop) == (target.size, target.crop)


@pytest.mark.parametrize('weight', [0.1, 0.001])
def test_the_sensitivity_study_is_two_fields(weight):
  """The paper's weights of density and depth, and other values of both."""
  config = command.read_config('depdis:pair=synthia2cityscapes,ablation=M2')
  method = methods.create(config)
  assert (method.lambda_balance, method.lambda_depth) == (0.01, 0.005)
  config.method.update(lambda_balance=weight, lambda_depth=weight)
  other = methods.create(config)
  # Nothing else changes with them.
  changes = {'lambda_balance': weight, 'lambda_depth': weight}
  assert other == dataclasses.replace(method, **changes)


def test_the_small_setting_takes_its_weights_from_its_own_source():
  config = command.read_config('depdis:pair=streets')
  method = methods.create(config)
  assert method.balance_classes
  assert method.class_weights == ()
  # The sharpness of the density map, too, which the official code gives as
  # a number for its own grid.
  assert method.sharpness == 0
  official = command.read_config('depdis:pair=synthia2cityscapes_low')
  assert methods.create(official).sharpness == 1e6
  assert labelling.read_options(config).scale_area


def test_bad_arguments_are_named():
  for argument in ('ablation=M5', 'rounds=9', 'resolution=low'):
    with pytest.raises(errors.UserError, match=argument.split('=')[0]):
      command.read_config(f'depdis:{argument}')


def test_rounds_are_refused_in_rows_without_self_training():
  for row in ('M1', 'M2', 'S1'):
    with pytest.raises(errors.UserError, match=f'rounds=1 with ablation={row}'):
      command.read_config(f'depdis:ablation={row},rounds=1')
    for text in ('', ',rounds=0'):
      config = command.read_config(f'depdis:ablation={row}{text}')
      assert config.self_training.rounds == 0
  for text, rounds in (('', 2), (',rounds=0', 0), (',rounds=3', 3)):
    config = command.read_config(f'depdis:ablation=M3{text}')
    assert config.self_training.rounds == rounds


@pytest.mark.parametrize('branches', self_training.BRANCHES)
def test_self_training_alone(branches):
  config = command.read_config(f'self_training:branches={branches}')
  method = methods.create(config)
  parts = {k for k in ('depth', 'density', 'fuse') if getattr(method, k)}
  assert parts == set(branches.split('+')) - {'none'}
  assert config.data.target.label_dir == ''


@pytest.mark.parametrize('pair', [*OFFICIAL, 'gta2cityscapes', 'streets'])
def test_the_last_stage_alone_is_that_of_all_stages(pair):
  config = command.read_config(f'depdis:pair={pair}')
  options = labelling.read_options(config)
  later = stages.derive(config, options, initial='a', label_dir='b')
  alone = command.read_config(
    f'self_training:pair={pair}',
    ['--config.initial=a', '--config.data.target.label_dir=b'],
  )
  # There is no discriminator.
  alone.optim.disc_learning_rate = later.optim.disc_learning_rate
  assert methods.create(alone) == methods.create(later)
  alone, later = map(workdir_lib.config_to_dict, (alone, later))
  assert alone['data']['target'] == later['data']['target']
  for field in ('total_steps', 'stop_step', 'initial_checkpoint', 'batch_size'):
    assert alone[field] == later[field], field


def test_after_another_method_the_last_stage_has_its_sizes():
  for branches in ('depth+fuse', 'none'):
    text = f'pair=synthia2mapillary,branches={branches}'
    target = command.read_config(f'self_training:{text}').data.target
    dada = command.read_config('dada:pair=synthia2mapillary').data.target
    assert (target.size, target.eval_labels) == (dada.size, dada.eval_labels)
