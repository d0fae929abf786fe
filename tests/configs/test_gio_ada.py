"""The configs of GIO-Ada and CycleGAN."""

import jax
import jax.numpy as jnp
import pytest

from configs import gio_ada
from jaxuda import errors
from jaxuda import methods
from jaxuda.ui import command

PAIRS = ('streets', 'streets2camvid', 'vkitti2kitti', 'synthia2cityscapes')


@pytest.mark.parametrize('pair', PAIRS)
@pytest.mark.parametrize('row', [*gio_ada.ABLATIONS, '+sd', 'output'])
def test_every_row_is_a_method(pair, row):
  config = command.read_config(f'gio_ada:pair={pair},ablation={row}')
  method = methods.create(config)
  assert ('generator' in config) == (method.transform == 'frozen')
  own = {'streets': 'resnet_small', 'streets2camvid': 'efficientnet_lite0'}
  assert method.network.backbone == own.get(pair, 'vgg16')
  assert config.data.source.flip
  assert config.data.target.flip


def test_published_settings():
  config = command.read_config('gio_ada:pair=vkitti2kitti')
  method = methods.create(config)
  assert (config.total_steps, config.batch_size) == (212600, 1)
  assert config.num_classes == 10
  assert (method.lambda_seg, method.lambda_depth) == (1, 0.1)
  assert (method.lambda_input, method.lambda_output) == (0.1, 0.001)
  assert method.optim.learning_rate == method.optim.disc_learning_rate == 2e-4
  assert method.optim.betas == method.optim.disc_betas == (0.5, 0.999)
  assert (method.optim.name, method.optim.weight_decay) == ('adamw', 0)
  assert (method.depth_encoding, method.depth_near) == ('linear', 0)
  assert (method.network.decoder, method.gen_blocks) == ('aspp_l', 9)
  assert (method.input_disc, method.output_disc) == ('patch', 'patch')
  # The config agrees with the method's defaults.
  assert method == type(method)(
    num_classes=10,
    total_steps=212600,
    network=method.network,
    optim=method.optim,
  )
  config = command.read_config('gio_ada:pair=synthia2cityscapes')
  assert (config.total_steps, config.num_classes) == (94000, 16)


def test_discriminators():
  for pair, default in (('streets', 'strided'), ('vkitti2kitti', 'patch')):
    method = methods.create(command.read_config(f'gio_ada:pair={pair}'))
    assert (method.input_disc, method.output_disc) == (default, default)
    for kind in ('patch', 'strided', 'local'):
      method = methods.create(
        command.read_config(f'gio_ada:pair={pair},output_disc={kind}')
      )
      assert (method.input_disc, method.output_disc) == (default, kind)


def test_rows_without_norms():
  """No running statistics, so that no row gains from those of the target."""
  for row in ('na', 'joint'):
    config = command.read_config(
      f'gio_ada:pair=streets,ablation={row}', ['--config.network.norm=none']
    )
    method = methods.create(config)
    image = jax.ShapeDtypeStruct((1, 64, 64, 3), jnp.float32)
    found = jax.eval_shape(method.task.init, jax.random.key(0), image)
    assert found.keys() == {'params'}


def test_statistics_of_rows_without_a_target_pass():
  for row, own in (('na', 'both'), ('sd', 'both'), ('joint', 'target')):
    for asked in ('', 'both', 'target'):
      flags = [f'--config.method.statistics={asked}'] * bool(asked)
      config = command.read_config(
        f'gio_ada:pair=streets,ablation={row}', flags
      )
      method = methods.create(config)
      assert method.statistics == (asked or own)
      assert ('target' in method.needs) == (row != 'na' or asked == 'target')


def test_alternatives():
  method = methods.create(
    command.read_config(
      'gio_ada:pair=vkitti2kitti_v2,depth=inverse,output_gradient=both,'
      'network=adaptsegnet'
    )
  )
  assert (method.depth_encoding, method.depth_near) == ('inverse', 2)
  assert method.output_gradient == 'both'
  network = method.network
  assert (network.decoder, network.active_rates) == ('aspp', 2)
  method = methods.create(
    command.read_config('cyclegan:pair=vkitti2kitti,identity=1')
  )
  assert method.lambda_identity == 5
  assert (method.lambda_cycle, method.pool_size) == (10, 50)


def test_a_frozen_generator_is_that_of_cyclegans_config():
  for pair in PAIRS:
    frozen = command.read_config(f'gio_ada:pair={pair},ablation=cg').method
    made = command.read_config(f'cyclegan:pair={pair}').method
    for field in ('gen_width', 'gen_blocks', 'gen_residual'):
      assert frozen[field] == made[field]


@pytest.mark.parametrize(
  ('arguments', 'message'),
  [
    ('ablation=na,output_gradient=both', 'output_gradient=both with ablation'),
    ('ablation=input,output_disc=local', 'no output discriminator; expected'),
    ('network=adaptsegnet', 'network=adaptsegnet with pair=streets, whose'),
    (
      'pair=vkitti2kitti,backbone=mit_b5,network=resnet',
      'network=resnet with backbone=mit_b5, which replaces it',
    ),
  ],
)
def test_arguments_without_an_effect_are_refused(arguments, message):
  with pytest.raises(errors.UserError, match=message):
    command.read_config(f'gio_ada:{arguments}')


@pytest.mark.parametrize(
  ('arguments', 'message'),
  [
    ('ablation=S1', "unknown ablation 'S1'"),
    ('depth=log', "unknown depth 'log'"),
    ('output_gradient=none', "unknown output_gradient 'none'"),
    ('network=vgg19', "unknown network 'vgg19'"),
    ('output_disc=pixel', "unknown output_disc 'pixel'"),
  ],
)
def test_unknown_arguments_are_named(arguments, message):
  with pytest.raises(errors.UserError, match=message):
    command.read_config(f'gio_ada:{arguments}')
  with pytest.raises(errors.UserError, match="unknown identity '2'"):
    command.read_config('cyclegan:identity=2')
