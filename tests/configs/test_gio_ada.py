"""The configs of GIO-Ada and CycleGAN."""

import pytest

from configs import cyclegan
from configs import gio_ada
from jaxuda import methods

PAIRS = ('streets', 'streets2camvid', 'vkitti2kitti', 'synthia2cityscapes')


@pytest.mark.parametrize('pair', PAIRS)
@pytest.mark.parametrize('row', [*gio_ada.ABLATIONS, '+sd', 'output'])
def test_every_row_is_a_method(pair, row):
  config = gio_ada.get_config(f'pair={pair},ablation={row}')
  method = methods.create(config)
  assert ('generator' in config) == (method.transform == 'frozen')
  small = pair.startswith('streets')
  assert method.network.backbone == ('resnet_small' if small else 'vgg16')
  assert config.data.source.flip
  assert config.data.target.flip


def test_published_settings():
  config = gio_ada.get_config('pair=vkitti2kitti')
  method = methods.create(config)
  assert (config.total_steps, config.batch_size) == (212600, 1)
  assert config.num_classes == 10
  assert (method.lambda_seg, method.lambda_depth) == (1, 0.1)
  assert (method.lambda_input, method.lambda_output) == (0.1, 0.001)
  assert method.optim.learning_rate == method.optim.disc_learning_rate == 2e-4
  assert method.optim.betas == method.optim.disc_betas == (0.5, 0.999)
  assert (method.optim.name, method.optim.weight_decay) == ('adamw', 0)
  assert (method.depth_encoding, method.depth_near) == ('linear', 0)
  assert (method.decoder, method.gen_blocks) == ('aspp_l', 9)
  # What the config says is what the method's defaults are.
  assert method == type(method)(
    num_classes=10,
    total_steps=212600,
    network=method.network,
    optim=method.optim,
  )
  config = gio_ada.get_config('pair=synthia2cityscapes')
  assert (config.total_steps, config.num_classes) == (94000, 16)


def test_alternatives():
  method = methods.create(
    gio_ada.get_config(
      'pair=vkitti2kitti_v2,depth=inverse,output_gradient=both,'
      'network=adaptsegnet'
    )
  )
  assert (method.depth_encoding, method.depth_near) == ('inverse', 2)
  assert method.output_gradient == 'both'
  assert (method.decoder, method.network.active_rates) == ('aspp', 2)
  method = methods.create(cyclegan.get_config('pair=vkitti2kitti,identity=1'))
  assert method.lambda_identity == 5
  assert (method.lambda_cycle, method.pool_size) == (10, 50)


def test_a_frozen_generator_is_that_of_cyclegans_config():
  for pair in PAIRS:
    frozen = gio_ada.get_config(f'pair={pair},ablation=cg').method
    made = cyclegan.get_config(f'pair={pair}').method
    for field in ('gen_width', 'gen_blocks', 'gen_residual'):
      assert frozen[field] == made[field]


@pytest.mark.parametrize(
  ('arguments', 'message'),
  [
    ('ablation=S1', "unknown ablation 'S1'"),
    ('depth=log', "unknown depth 'log'"),
    ('output_gradient=none', "unknown output_gradient 'none'"),
    ('network=vgg19', "unknown network 'vgg19'"),
  ],
)
def test_unknown_arguments_are_named(arguments, message):
  with pytest.raises(ValueError, match=message):
    gio_ada.get_config(arguments)
  with pytest.raises(ValueError, match="unknown identity '2'"):
    cyclegan.get_config('identity=2')
