"""Foreign weights in place of ours: to start a training, to evaluate."""

import dataclasses
import errno
import pathlib

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
import pytest

from configs.parts import published
from jaxuda import errors
from jaxuda import methods
from jaxuda.methods import dacs
from jaxuda.methods import dada
from jaxuda.methods import source_only
from jaxuda.models import deeplab
from jaxuda.run import config_fields
from jaxuda.run import workdir as workdir_lib
from jaxuda.step import parallel
from jaxuda.step import state as state_lib
from jaxuda.train import warm_start
from jaxuda.ui import command
from jaxuda.weights import conversion
from jaxuda.weights import converted
from jaxuda.weights import families
from jaxuda.weights import reading
from jaxuda.weights import runs
from jaxuda.weights import state_dict
from jaxuda.weights import writing
from tests import filling
from tests.weights import official

OPTIONS = deeplab.Options(backbone='resnet_tiny')


def method(**changes):
  return source_only.Method(
    num_classes=5,
    total_steps=10,
    network=OPTIONS,
    lambda_depth=1e-3,
    fuse=True,
    **changes,
  )


def example(size=(33, 33)):
  batch = {
    'image': np.full((2, *size, 3), 100, np.uint8),
    'label': np.ones((2, *size), np.int32),
    'depth': np.full((2, *size), 10, np.float32),
    'depth_valid': np.ones((2, *size), bool),
  }
  batch['image'][:, ::3] = 30
  return {'source': batch}


@pytest.fixture(scope='module')
def fresh():
  """Returns a state before the first step."""
  return jax.jit(method().init)(jax.random.key(0), example())


def file(tmp_path, shapes, name='a.pth', wrapper=''):
  arrays = official.fill(shapes)
  path = tmp_path / name
  official.save({wrapper: arrays} if wrapper else arrays, path, 'legacy')
  return path, arrays


def as_run(state):
  config = ml_collections.ConfigDict({'name': 'source_only'})
  return workdir_lib.Run(config=config, method=method(), state=state, step=0)


def test_a_training_in_between(tmp_path, fresh):
  """From a file, one step, and back to it: the same names and shapes."""
  path, arrays = file(tmp_path, official.dada(classes=5))
  state = warm_start.load(fresh, str(path), options=OPTIONS, report=str)
  before = runs.of_run(as_run(state))
  for key, value in state_dict.from_network(before).items():
    expected = 0 if key.endswith('tracked') else arrays[key]
    np.testing.assert_array_equal(value, expected, err_msg=key)
  state = jax.tree.map(jnp.copy, state)
  step = parallel.pmap_step(method().train_step)
  state, _ = step(state, parallel.shard(example()), jax.random.key(0))
  after = runs.of_run(as_run(state))
  writing.write(tmp_path / 'b.pth', {'': state_dict.from_network(after)})
  found = reading.read(tmp_path / 'b.pth').arrays()
  assert {k: v.shape for k, v in found.items()} == {
    k: v.shape for k, v in arrays.items()
  }
  moved = {k for k, v in found.items() if not np.array_equal(v, arrays[k])}
  assert {'conv1.weight', 'layer6.conv2d_list.0.bias', 'dec4.bias'} <= moved
  assert 'bn1.running_mean' in moved
  assert 'bn1.weight' not in moved


def test_what_stays_random_is_said(tmp_path, fresh):
  said = []
  path, arrays = file(tmp_path, official.init())
  state = warm_start.load(fresh, str(path), options=OPTIONS, report=said.append)
  assert said == [
    'initial weights: 85 arrays of a.pth (DeepLab-v2 resnet_tiny initialisation'
    ' (Caffe)); random: depth, layer6; of the file: dropped 8'
    ' layer5.conv2d_list.0.weight and 7 more (a head of the classes that it was'
    ' pretrained on); its head of 21 classes is taken for one of an'
    ' initialisation, which its keys do not tell; if not, convert or evaluate'
    ' with --family=dacs'
  ]
  params, old = state.nets['task'].params, fresh.nets['task'].params
  np.testing.assert_array_equal(
    params['backbone']['conv1']['kernel'],
    arrays['conv1.weight'].transpose(2, 3, 1, 0),
  )
  np.testing.assert_array_equal(
    params['layer6']['conv0_kernel'], old['layer6']['conv0_kernel']
  )
  # Heads of another number of classes; the same through a folder.
  path, _ = file(tmp_path, official.dada(classes=7))
  converted.write(tmp_path / 'dir', converted.read(path))
  teacher = fresh.nets['task'].replace(opt_state=())
  state = warm_start.load(
    fresh.replace(teacher=teacher), str(tmp_path / 'dir'), report=said.append
  )
  assert said[-1].endswith('; random: layer6; not used: layer6')
  jax.tree.map(
    np.testing.assert_array_equal,
    state.teacher.params,
    state.nets['task'].params,
  )


def test_misfits(tmp_path, fresh):
  path, _ = file(tmp_path, official.torchvision())
  with pytest.raises(errors.UserError, match=r'expected --config.network'):
    warm_start.load(fresh, str(path), options=OPTIONS)
  with pytest.raises(errors.UserError, match=r'pretrained/a\.pth: there is no'):
    warm_start.load(fresh, 'pretrained/a.pth')
  with pytest.raises(errors.UserError, match=r'config.json is missing'):
    warm_start.load(fresh, str(tmp_path))
  path, _ = file(tmp_path, official.discriminator())
  with pytest.raises(errors.UserError, match=r'has nothing for .*backbone'):
    warm_start.load(fresh, str(path))
  # Weights that a network without statistics would use otherwise.
  path, _ = file(tmp_path, official.init())
  task = fresh.nets['task'].replace(batch_stats={})
  bare = fresh.replace(nets={**fresh.nets, 'task': task})
  with pytest.raises(errors.UserError, match=r'leaves out; expected --config'):
    warm_start.load(bare, str(path), options=OPTIONS)


def test_a_published_file_is_evaluated(tmp_path):
  """With the config of its method, and the options that it requires."""
  config = command.read_config('dada:pair=streets')
  path, arrays = file(tmp_path, official.dada(classes=19))
  said = []
  run = runs.from_weights(converted.read(path), config, report=said.append)
  assert said == [
    'a.pth: dropped 17 bn1.num_batches_tracked and 16 more (running statistics'
    ' have a constant momentum here)',
    'as a.pth requires: network.backbone=resnet_tiny',
  ]
  assert config.network.backbone == 'resnet_small'
  np.testing.assert_array_equal(
    run.state.nets['task'].params['depth']['dec4']['bias'], arrays['dec4.bias']
  )
  image = jax.ShapeDtypeStruct((1, 33, 65, 3), np.uint8)
  out = jax.eval_shape(run.method.predict, run.state, image)
  assert out['logits'].shape == (1, 33, 65, 19)
  config.num_classes = 16
  with pytest.raises(errors.UserError, match=r'\[19\] for params/layer6'):
    runs.from_weights(converted.read(path), config, report=str)
  config = command.read_config('dada:pair=streets,ablation=S2')
  with pytest.raises(errors.UserError, match='also has depth, which the netwo'):
    runs.from_weights(converted.read(path), config, report=str)


@pytest.mark.parametrize(
  ('config', 'shapes'),
  [
    ('advent.py:pair=streets', official.advent(multi_level=False)),
    ('advent.py:pair=streets,multi_level=1', official.advent()),
    ('depdis.py:pair=streets', official.depdis(classes=19)),
    ('dacs.py:pair=streets', official.dacs()),
    ('corda.py:pair=streets', official.corda(width=128)),
    ('corda.py:pair=synthia2cityscapes', official.corda(width=256)),
    (
      'corda.py:pair=streets,network=gta',
      official.corda(variant='gta', width=128),
    ),
    (
      'corda.py:pair=streets,ablation=simple_aux',
      official.corda(variant='multitask'),
    ),
    (
      'corda.py:pair=streets,ablation=no_attention',
      official.corda(variant='noatt', width=128),
    ),
  ],
)
def test_each_method_takes_its_file(tmp_path, config, shapes):
  path, _ = file(tmp_path, shapes, wrapper='model')
  run = runs.from_weights(
    converted.read(path), command.read_config(config), report=str
  )
  image = jax.ShapeDtypeStruct((1, 33, 65, 3), np.uint8)
  out = jax.eval_shape(run.method.predict, run.state, image)
  assert out['logits'].shape == (1, 33, 65, 19)


def test_published_checkpoints():
  page = pathlib.Path(__file__).parents[2] / 'docs' / 'checkpoints.md'
  text = page.read_text()
  for row in (*published.INITIAL, *published.TRAINED):
    assert f'`{row.file}`' in text, row.file
    if not row.config:
      continue
    assert row.config in text
    config = command.read_config(row.config)
    backbones = ('resnet101', 'mit_b5', 'dinov2_b', 'dinov2_l')
    assert config.network.backbone in backbones
    methods.create(config)
    for value in row.expected.values():
      assert str(value) in text


@pytest.mark.parametrize('name', ['disc', 'disc_aux', 'disc_seg', 'disc_depth'])
def test_discriminators_of_a_run_have_the_official_names(name):
  judge = dada.Method(
    num_classes=5, total_steps=10, network=OPTIONS, disc_width=2
  )
  net = judge.adversary.create(jax.random.key(0), 3)
  config = ml_collections.ConfigDict({'name': 'dada'})
  run = workdir_lib.Run(
    config=config, method=judge, state=state_lib.create({name: net}), step=0
  )
  network = runs.of_run(run, network=name)
  assert network.record['family'] == 'discriminator'
  assert state_dict.from_network(network)['0.weight'].shape == (2, 3, 4, 4)


@pytest.mark.parametrize(
  ('fields', 'family', 'head'),
  [
    ({}, 'dacs', 'layer5.conv2d_list.0.bias'),
    # With DADA's depth it is DADA's network.
    ({'lambda_depth': 1.0, 'fuse': True}, 'dada', 'dec4.bias'),
  ],
)
def test_a_run_of_dacs_has_the_names_of_its_network(fields, family, head):
  teacher = dacs.Method(
    num_classes=5, total_steps=10, network=OPTIONS, **fields
  )
  image = jax.ShapeDtypeStruct((1, 33, 33, 3), jnp.float32)
  shapes = jax.eval_shape(teacher.task.init, jax.random.key(0), image)
  net = state_lib.create_net(filling.fill(shapes), None)
  config = ml_collections.ConfigDict({'name': 'dacs'})
  run = workdir_lib.Run(
    config=config, method=teacher, state=state_lib.create({'task': net}), step=0
  )
  network = runs.of_run(run)
  assert network.record['family'] == family
  named = state_dict.from_network(network)
  assert head in named
  found = families.recognise({k: x.shape for k, x in named.items()}, whole=True)
  assert (found.name, dict(found.structure)['classes']) == (family, 5)


@pytest.mark.parametrize(
  ('scale', 'unit'), [(0.25, 32), pytest.param(1 / 3, 24, id='no cells of 64')]
)
def test_a_run_at_two_resolutions_is_evaluated_at_them(scale, unit):
  sizes = {'detail_crop': (unit, 2 * unit), 'window': (2 * unit, 4 * unit)}
  sizes['context_scale'] = scale
  options = dataclasses.replace(
    OPTIONS, resolutions='hrda', detail_overlap=False, **sizes
  )
  config = ml_collections.ConfigDict(
    {
      **{'name': 'source_only', 'num_classes': 5, 'total_steps': 10},
      **{'method': {}, 'optim': {}},
      'network': {'backbone': 'resnet_tiny', 'resolutions': 'hrda'},
    }
  )
  trained = source_only.Method(num_classes=5, total_steps=10, network=options)
  image = jax.ShapeDtypeStruct((1, 2 * unit, 4 * unit, 3), jnp.float32)
  shapes = jax.eval_shape(trained.task.init, jax.random.key(0), image)
  net = state_lib.create_net(filling.fill(shapes), None)
  state = state_lib.create({'task': net})
  run = workdir_lib.Run(config=config, method=trained, state=state, step=0)
  again = runs.from_weights(runs.of_run(run), config, report=str)
  assert again.method.network == options


def test_a_run_may_go_on_without_what_it_began_with():
  assert {'initial', 'initial_checkpoint'} <= {*config_fields._FREE}


def test_weights_or_a_run():
  both = {'workdir': 'a', 'weights': 'b.pth'}
  for given, message in (
    ({}, 'expected either --workdir or --weights'),
    (both, 'expected either --workdir or --weights'),
    ({'weights': 'b.pth'}, '--weights is given without --config'),
    ({'workdir': 'a'}, r'a/config\.json is missing'),
    ({'workdir': 'a', 'family': 'dacs'}, '--family=dacs applies to files of'),
    ({'workdir': 'a', 'network': 'teacher'}, '--network=teacher applies to'),
    (
      {'workdir': 'a', 'config': command.read_config('dacs:pair=streets')},
      '--config=dacs applies to files of weights',
    ),
    (
      {'weights': 'b.pth', 'which': 'best', 'config': 'X'},
      '--checkpoint=best applies to runs; expected one',
    ),
  ):
    with pytest.raises(errors.UserError, match=message):
      runs.load(**given)
  config = command.read_config('cyclegan:pair=streets')
  with pytest.raises(errors.UserError, match='=cyclegan labels no pixels'):
    runs.from_weights(None, config)


@pytest.mark.parametrize('text', ['', '{}', '[]', '{"of": "student"}'])
def test_a_folder_that_is_not_whole_is_named(tmp_path, text):
  (tmp_path / 'weights.json').write_text(text)
  writing.write_arrays(tmp_path / 'weights.safetensors', {'a': np.zeros(1)})
  with pytest.raises(errors.UserError, match=r'is damaged .*; convert again'):
    converted.read(tmp_path)


def test_a_flat_file_of_dacs_is_used_as_it_is(tmp_path):
  """Evaluated whole; used as initial weights with its head, if that fits."""
  path, arrays = file(tmp_path, official.dacs())
  config = command.read_config('dacs:pair=streets')
  run = runs.load(weights=str(path), config=config)
  bias = arrays['layer5.conv2d_list.0.bias']
  head = run.state.nets['task'].params['layer6']['conv0_bias']
  np.testing.assert_array_equal(head, bias)
  with pytest.raises(errors.UserError, match='has nothing for params/layer6'):
    runs.load(weights=str(path), config=config, family='init')
  path, _ = file(tmp_path, official.dacs(classes=7))
  with pytest.raises(
    errors.UserError, match=r'has \[7\] for params/layer6.*--family=init$'
  ):
    runs.load(weights=str(path), config=config)
  path, arrays = file(tmp_path, official.dacs(classes=5))
  start = source_only.Method(num_classes=5, total_steps=10, network=OPTIONS)
  state = jax.jit(start.init)(jax.random.key(0), example())
  said = []
  state = warm_start.load(state, str(path), report=said.append)
  np.testing.assert_array_equal(
    state.nets['task'].params['layer6']['conv0_bias'],
    arrays['layer5.conv2d_list.0.bias'],
  )
  assert 'random' not in said[0]
  assert said[0].endswith('if not, convert or evaluate with --family=init')


def test_a_full_disk_leaves_the_earlier_conversion(tmp_path, monkeypatch):
  """Not new arrays beside the record of the ones before."""
  folder, write_text = tmp_path / 'dir', pathlib.Path.write_text
  for name, value, full in (('a', 1, False), ('b', 2, True)):
    record = {'file': name, 'of': 'student', 'family': 'dada'}
    network = conversion.Network(arrays={'x': np.full(3, value)}, record=record)

    def fill(path, text, full=full):
      write_text(path, text[:5] if full else text)
      if full:
        raise OSError(errno.ENOSPC, 'No space left')

    monkeypatch.setattr(pathlib.Path, 'write_text', fill)
    if full:
      with pytest.raises(
        errors.UserError, match=r'weights\.json cannot be wri'
      ):
        converted.write(folder, network)
    else:
      converted.write(folder, network)
    found = converted.read(folder)
    assert found.record['file'] == 'a'
    np.testing.assert_array_equal(found.arrays['x'], 1)
    assert len(list(folder.iterdir())) == 2


def test_a_list_of_another_length_is_another_option():
  options = deeplab.Options(backbone='resnet_tiny')
  needed = {'rates': [6, 12], 'backbone': 'resnet_tiny'}
  assert conversion.compare(needed, options) == {'rates': (6, 12)}
