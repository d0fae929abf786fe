import dataclasses
import functools
import importlib
import json
import pathlib
import sys

import jax
import jax.numpy as jnp
import pytest

from jaxuda import methods
from jaxuda.losses import features
from jaxuda.models import deeplab
from jaxuda.models import generators
from jaxuda.models import layers
from jaxuda.models import rewrites
from jaxuda.models.backbones import mit
from jaxuda.ops import masking
from jaxuda.ops import resize
from jaxuda.step import parallel
from jaxuda.step import rng
from jaxuda.ui import command

ROOT = pathlib.Path(__file__).resolve().parents[2]
# As when scripts are run: they import one another.
sys.path.append(str(ROOT / 'scripts'))
benchmark = importlib.import_module('benchmark')
necessary = importlib.import_module('necessary')


def test_operations_of_a_convolution_without_the_padding():
  def conv(x, kernel):
    return jax.lax.conv_general_dilated(
      x,
      kernel,
      (1, 1),
      [(2, 2), (2, 2)],
      rhs_dilation=(2, 2),
      dimension_numbers=('NHWC', 'HWIO', 'NHWC'),
    )

  x, kernel = jnp.zeros((2, 5, 5, 3)), jnp.zeros((3, 3, 3, 7))
  # 5 outputs a side: the outer taps miss the image at two of them.
  assert necessary.conv_flops(conv, x, kernel) == [
    2 * 2 * 3 * 7 * (3 + 5 + 3) ** 2
  ]


def _method(backbone, size, name='dada', network=None, **fields):
  network = {'backbone': backbone, **(network or {})}
  config = benchmark._Config(name, 16, 100, network, fields)
  method = methods.create(config)
  sizes = {'source': size, 'target': size}
  batch = benchmark.make_batch(method.needs, sizes, batch_size=1, classes=16)
  return method, batch, sizes


def test_operations_of_attention_and_not_of_resizing():
  style = layers.Style(rewrites=rewrites.NONE)
  module = mit.Mit('mit_tiny', style=style)
  run = functools.partial(module.apply, train=False)
  x = jax.ShapeDtypeStruct((2, 64, 96, 3), jnp.float32)
  init = functools.partial(module.init, train=False)
  variables = jax.eval_shape(init, jax.random.key(0), x)
  convs = necessary.find_convs(run, variables, x)
  # Queries at 16x24, 8x12, 4x6, 2x3 pixels of 4, 8, 8 and 16 channels; 2x3 keys
  # of each, as squares have sides of 8, 4, 2 and 1. Scores, then their values.
  expected = [
    2 * 2 * count * 6 * channels
    for count, channels in ((384, 4), (96, 8), (24, 8), (6, 16))
    for _ in range(2)
  ]
  assert [c.flops for c in convs if not c.kernel] == expected
  # A dense layer's kernel is read; resizing multiplies by constants.
  (dense,) = necessary.find_convs(
    lambda x, kernel: resize.resize_half_pixel(x @ kernel, (9, 11)),
    *(jnp.zeros((1, 5, 7, 3)), jnp.zeros((3, 4))),
  )
  assert (dense.flops, dense.kernel) == (2 * 5 * 7 * 3 * 4, 4 * 3 * 4)
  assert dense.output == 4 * 5 * 7 * 4


def test_floor_of_the_recipe_at_two_resolutions():
  network = {
    **{'decoder': 'daformer', 'decoder_width': 8, 'resolutions': 'hrda'},
    **{'detail_crop': (32, 32), 'window': (64, 64)},
  }
  depth = {'lambda_depth': 1.0, 'fuse': True, 'adversarial': 'dada'}
  method, batch, sizes = _method(
    *('mit_tiny', (64, 64), 'dacs', network), disc_width=4, **depth
  )
  method = dataclasses.replace(
    method,
    masking=masking.Options(weight=1.0),
    features=features.Options(weight=0.1, classes=(0,)),
  )
  state = jax.eval_shape(method.init, rng.for_init(0), batch)
  found = necessary.count(method, state, batch, sizes).flops
  # The small image and a part have one size.
  params, small = state.nets['task'].params, jnp.zeros((1, 32, 32, 3))
  stats = state.nets['task'].batch_stats
  off = dataclasses.replace(
    method.network, **dataclasses.asdict(rewrites.NONE), resolutions='one'
  )
  one = deeplab.DeepLab(classes=16, options=off, depth=True, fuse=True)
  looks = necessary.conv_flops(
    lambda *x: deeplab.run(one, *x, train=True)[0], params, stats, small
  )
  look, embedding = sum(looks), looks[0]
  # In the attention: four maps to 8 channels, these 32 to 8, and those to 16.
  pixels = 64 * 4 + 16 * 8 + 4 * 8 + 1 * 16
  attention = 2 * (pixels * 8 + 64 * 32 * 8 + 64 * 8 * 16)
  anchor = necessary.conv_flops(
    deeplab.Backbone(off).apply,
    {'params': {'backbone': params['backbone']}},
    small,
  )
  disc = necessary.conv_flops(
    method.adversary.learner.apply,
    *(state.nets['disc'].params, jnp.zeros((1, 64, 64, 16))),
  )
  # A teacher looks at nine parts. Passes of the source, of mixed, masked and
  # plain images; the discriminator's two, of which one goes on to the network.
  teacher = 10 * look + attention
  student = 3 * (2 * look + attention) - embedding
  critic = 7 * sum(disc) - 2 * disc[0]
  expected = teacher + sum(anchor) + 4 * student + critic
  assert found == pytest.approx(expected, rel=1e-9)


def test_a_config_is_counted_at_its_sizes():
  config = command.read_config('hrda:pair=gta2cityscapes,depth=dada')
  method, batch, sizes = benchmark.create_from(config)
  assert sizes == {'source': (1024, 1024), 'target': (1024, 1024)}
  assert batch['source'].keys() == {'image', 'label', 'depth', 'depth_valid'}
  assert batch['target'].keys() == {'image', 'place'}
  assert batch['target']['image'].shape == (2, 1024, 1024, 3)
  assert method.adversarial == 'dada'
  config = command.read_config('dada:pair=streets')
  assert benchmark.sizes_of(config)['source'] == (96, 192)


def test_what_dada_needs():
  method, batch, sizes = _method('resnet101', (128, 256))
  state = jax.eval_shape(method.init, rng.for_init(0), batch)
  floor = necessary.count(method, state, batch, sizes)
  # Counted independently, by hand, for the performance notes.
  assert abs(floor.flops / 307.5e9 - 1) < 1e-3
  # By hand. Outputs of the backbone's convolutions, each with a norm: stem,
  # 64 at half the sides; 3, 4, 23 and 3 blocks of (1 + 1 + 4) k channels and a
  # shortcut of 4 k, at 33x65 and 17x33.
  blocks = [n * 6 * k + 4 * k for n, k in ((3, 64), (4, 128), (23, 256))]
  blocks.append(3 * 6 * 512 + 4 * 512)
  norms = 64 + sum(blocks)
  maps = 64 * 64 * 128 + blocks[0] * 33 * 65 + sum(blocks[1:]) * 17 * 33
  # Without norms: the depth block, four dilations; the discriminator.
  heads = 512 + 512 + 128 + 2048 + 4 * 16
  disc = 64 * 64 * 128 + 128 * 32 * 64 + 256 * 16 * 32 + 512 * 8 * 16 + 4 * 8
  # Two domains; the target's maps go back through the discriminator twice.
  moved = 2 * (14 * maps + 6 * heads * 17 * 33) + (6 + 8) * disc
  # Kernels, forward and back: all parameters but the norms' and the biases.
  task, critic = 47_418_624, 2_778_049
  moved += 2 * 2 * (task - 2 * norms - heads)
  moved += (2 + 3) * (critic - (64 + 128 + 256 + 512 + 1))
  # SGD, whose norms are frozen, in four groups; Adam. Each with its counters.
  moved += 4 * task + 2 * (task - 2 * norms + 4)
  moved += 4 * critic + 2 * (2 * critic + 2)
  assert floor.bytes == 4 * moved


def test_norms_of_a_generator_take_statistics_of_their_maps():
  style = layers.Style(rewrites=rewrites.NONE)
  module = generators.Generator(width=4, blocks=1, style=style)
  x = jax.ShapeDtypeStruct((1, 16, 24, 3), jnp.bfloat16)
  variables = jax.eval_shape(module.init, jax.random.key(0), x)
  convs = necessary.find_convs(module.apply, variables, x)
  # Only the last layer has none.
  assert [conv.normed for conv in convs] == [True] * 7 + [False]


@pytest.mark.parametrize(
  ('name', 'fields'), [('dada', {}), ('advent', {'multi_level': True})]
)
def test_no_pass_is_run_twice(name, fields):
  # The tiny backbone leaves nearly all operations to the discriminators, of
  # which a repeated forward would add a seventh.
  method, batch, sizes = _method('resnet_tiny', (128, 256), name, **fields)
  state = jax.eval_shape(method.init, rng.for_init(0), batch)
  floor = necessary.count(method, state, batch, sizes).flops
  mapped = jax.pmap(
    method.train_step,
    axis_name=parallel.AXIS,
    in_axes=(None, 0, None),
    out_axes=None,
    devices=jax.devices()[:1],
  )
  split = jax.tree.map(lambda x: x[None], batch)
  cost = mapped.lower(state, split, rng.root(0)).compile().cost_analysis()
  assert cost['flops'] / floor < 1.05


def test_the_statistics_of_the_target_take_a_forward_pass_of_the_backbone():
  totals = []
  for statistics in ('source', 'target'):
    fields = {'statistics': statistics}
    method, batch, sizes = _method(
      'resnet101', (64, 96), 'source_only', **fields
    )
    state = jax.eval_shape(method.init, rng.for_init(0), batch)
    totals.append(necessary.count(method, state, batch, sizes).flops)
  # By hand: the head at 9x13, of which no outer tap of 18 and 24 meets the map;
  # the stem, whose 7x7 taps miss it at the rims.
  sides = [(9 + 2 * max(9 - r, 0), 13 + 2 * max(13 - r, 0)) for r in (6, 12)]
  head = 2 * 2048 * 16 * (sum(a * b for a, b in sides) + 2 * 9 * 13)
  taps = [n // 2 * 7 - (3 + 1) - 2 for n in (64, 96)]
  stem = 2 * 3 * 64 * taps[0] * taps[1]
  # A training step is three times the forward pass, less the image's gradient.
  forward = (totals[0] + stem) / 3
  assert totals[1] - totals[0] == pytest.approx(forward - head, rel=1e-9)


def test_statistics_alone_cost_the_same_in_every_method():
  plain = {'statistics': 'target', 'lambda_depth': 0.0}
  none = {**plain, 'align': 'none'}
  rows = {
    'source_only': plain,
    'dada': {**none, 'fuse': False},
    'depdis': {
      **{**none, 'lambda_balance': 0.0, 'lambda_balance_target': 0.0},
      'class_weights': (1.0,) * 16,
    },
  }

  def count(name, fields):
    method, batch, sizes = _method('resnet_tiny', (64, 96), name, **fields)
    state = jax.eval_shape(method.init, rng.for_init(0), batch)
    return necessary.count(method, state, batch, sizes).flops

  totals = {name: count(name, fields) for name, fields in rows.items()}
  assert totals['source_only'] == totals['dada'] == totals['depdis']
  # GIO-Ada's heads are others; the target's pass is again the backbone's alone.
  plain = {'transform': 'none', 'input_label': False, 'input_depth': False}
  costs = [
    count(name, fields) - count(name, {**fields, 'statistics': without})
    for name, fields, without in (
      ('source_only', rows['source_only'], 'source'),
      ('gio_ada', none | plain, 'both'),
    )
  ]
  assert costs[0] == pytest.approx(costs[1], rel=1e-9)
  assert costs[0] > 1e6


def test_floor_of_self_training_and_no_pass_twice():
  # With the tiny backbone the attention's 3x3 convolutions are most of it. Two
  # passes forward and back, one forward: a repeated forward would be a seventh.
  # Products per tap multiply the zeros around a map too, 6 % at this size.
  network = {'dot_wgrad': False}
  method, batch, sizes = _method('resnet_tiny', (64, 128), 'corda', network)
  state = jax.eval_shape(method.init, rng.for_init(0), batch)
  floor = necessary.count(method, state, batch, sizes).flops
  step = jax.jit(lambda *args: parallel.run_alone(method.train_step, *args))
  cost = step.lower(state, batch, rng.root(0)).cost_analysis()
  assert 1 < cost['flops'] / floor < 1.05


def test_branches_that_no_loss_reaches_count_nothing():
  method, batch, sizes = _method('resnet_tiny', (64, 128), 'self_training')

  def count(**branches):
    changed = dataclasses.replace(method, **branches)
    state = jax.eval_shape(changed.init, rng.for_init(0), batch)
    return necessary.count(changed, state, batch, sizes).flops

  alone = count(depth=False, density=False, fuse=False)
  assert count(depth=True, density=True, fuse=False) == alone
  # What is multiplied into the features is needed.
  assert count(depth=True, density=False, fuse=True) > alone


def test_operations_of_a_transposed_convolution():
  def conv(x, kernel):
    return jax.lax.conv_general_dilated(
      x,
      kernel,
      (1, 1),
      [(1, 2), (1, 2)],
      lhs_dilation=(2, 2),
      dimension_numbers=('NHWC', 'HWIO', 'NHWC'),
    )

  x, kernel = jnp.zeros((1, 4, 4, 3)), jnp.zeros((3, 3, 3, 5))
  # Per side: 1 tap in even places; 2 in odd ones, 1 in the last.
  assert necessary.conv_flops(conv, x, kernel) == [2 * 3 * 5 * 11**2]


@pytest.mark.parametrize(
  ('name', 'fields'),
  [
    ('gio_ada', {'gen_blocks': 1}),
    ('cyclegan', {'gen_blocks': 1}),
  ],
)
def test_no_pass_of_a_translation_is_run_twice(name, fields):
  # Nearly all operations are the transform network's and the PatchGANs'.
  network = {'dot_wgrad': False}
  size = (48, 64)
  method, batch, _ = _method('resnet_tiny', size, name, network, **fields)
  state = jax.eval_shape(method.init, rng.for_init(0), batch)
  floor = necessary.count(method, state, batch, {}).flops
  step = jax.jit(lambda *args: parallel.run_alone(method.train_step, *args))
  cost = step.lower(state, batch, rng.root(0)).compile().cost_analysis()
  assert 1 < cost['flops'] / floor < 1.05


def test_counting_alone(monkeypatch, capsys):
  # Only the devices that JAX started with can be requested.
  devices = jax.device_count()
  size = '--source=128x256 --target=128x256'
  arguments = ['x', '--count', f'--devices={devices}', *size.split()]
  monkeypatch.setattr('sys.argv', arguments)
  assert benchmark.main() == 0
  shown = json.loads(capsys.readouterr().out)
  # As above, except for the simulated devices, each with its batch.
  assert abs(shown['necessary_flops'] / devices / 307.5e9 - 1) < 1e-3
  # The official networks' parameters, scale and bias of the norms included.
  assert shown['parameters'] == {'task': 47_418_624, 'disc': 2_778_049}


@pytest.mark.parametrize(
  ('flags', 'message'),
  [
    (['--rounds=0'], '--rounds=0; expected at least 1'),
    (['--batch=-1'], '--batch=-1; expected at least 1'),
    (['--source=256'], "--source: '256'; expected HEIGHTxWIDTH, such as"),
    (['--config=dadda', '--count'], 'error: no config dadda; expected FILE.py'),
    (['--backbone=resnet', '--count'], "error: unknown backbone 'resnet'; exp"),
    (['--field=algin=seg', '--count'], 'error: unknown field method.algin; ex'),
  ],
)
def test_mistakes_are_named(monkeypatch, capsys, flags, message):
  monkeypatch.setattr('sys.argv', ['x', *flags])
  monkeypatch.setattr(benchmark.jax.config, 'update', lambda *_: None)
  try:
    status = benchmark.run(benchmark.main)
  except SystemExit as e:
    status = e.code
  assert status in (1, 2)
  assert message in capsys.readouterr().err.splitlines()[-1]


def test_a_class_table_of_ones_own_is_counted(tmp_path):
  path = tmp_path / 'own.yaml'
  path.write_text('classes: [a, b, c]\n')
  config = command.read_config(f'dada:pair=folder,classes={path}')
  method, batch, _ = benchmark.create_from(config)
  assert method.num_classes == 3
  assert batch['source']['label'].max() == 2


def test_arguments():
  assert benchmark.parse_size('256x512') == (256, 512)
  assert benchmark.parse_rewrites('auto')['barriers'] == 'auto'
  assert benchmark.parse_rewrites('all')['barriers'] == 'on'
  assert benchmark.parse_rewrites('dot_1x1+barriers') == {
    'dot_1x1': 'on',
    'dot_wgrad': 'off',
    'barriers': 'on',
    'aspp_dot': 'off',
    'shift_depthwise': 'off',
  }
  with pytest.raises(SystemExit, match='unknown rewrite'):
    benchmark.parse_rewrites('fast')
  fields = benchmark.parse_fields(['align=seg', 'lambda_adv=0.5'])
  assert fields == {'align': 'seg', 'lambda_adv': 0.5}
