"""What a file is taken for, and what is not written as one."""

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
import pytest

from jaxuda import errors
from jaxuda.methods import gio_ada
from jaxuda.methods import source_only
from jaxuda.models import deeplab
from jaxuda.run import workdir as workdir_lib
from jaxuda.step import state as state_lib
from jaxuda.weights import conversion
from jaxuda.weights import families
from jaxuda.weights import reading
from jaxuda.weights import runs
from jaxuda.weights import state_dict
from jaxuda.weights import writing
from tests import filling
from tests.weights import official

TINY = deeplab.Options(backbone='resnet_tiny')


@pytest.mark.parametrize(
  ('family', 'options', 'reason'),
  [
    ('advent', {'rates': (1, 3, 6, 9)}, r'network.rates=\(6, 12, 18, 24\)'),
    ('dacs', {'rates': [1, 3, 6, 9]}, r'network.rates=\(6, 12, 18, 24\)'),
    ('corda', {'depth_scale': 100.0}, r'network.depth_scale=1\.0'),
  ],
)
def test_a_file_that_would_be_read_as_another_network(family, options, reason):
  network = {**families.required(family, 'resnet101'), **options}
  record = dict(family=family, title='X', network=network, structure={})
  with pytest.raises(errors.UserError, match=f'X: files .* read with {reason}'):
    state_dict.from_network(conversion.Network(arrays={}, record=record))


def run_of(method, nets):
  config = ml_collections.ConfigDict({'name': type(method).__module__[15:]})
  state = state_lib.create(
    {k: state_lib.create_net(x, None) for k, x in nets.items()}
  )
  return workdir_lib.Run(config=config, method=method, state=state, step=3)


@pytest.mark.parametrize('norm', ['batch', 'none'])
def test_a_network_without_statistics_has_no_official_file(norm):
  method = source_only.Method(
    num_classes=5,
    total_steps=10,
    network=deeplab.Options(backbone='resnet_tiny', norm=norm),
  )
  image = jax.ShapeDtypeStruct((1, 33, 33, 3), jnp.float32)
  shapes = jax.eval_shape(method.task.init, jax.random.key(0), image)
  network = runs.of_run(run_of(method, {'task': filling.fill(shapes)}))
  if norm == 'batch':
    found = state_dict.from_network(network)
    assert found.keys() == official.advent(classes=5, multi_level=False).keys()
    return
  with pytest.raises(
    errors.UserError, match=r'files of advent have running stat.*norm=none'
  ):
    state_dict.from_network(network)


@pytest.mark.parametrize(
  ('kind', 'family'),
  [
    ('patch', 'patch_discriminator'),
    ('strided', 'discriminator'),
    ('local', ''),
  ],
)
@pytest.mark.parametrize('name', ['disc_output', 'disc_semantic', 'disc_depth'])
def test_a_discriminator_has_the_keys_of_its_kind(kind, family, name):
  method = gio_ada.Method(
    num_classes=5, total_steps=10, network=TINY, output_disc=kind, disc_width=4
  )
  critic = method.critic(name)
  net = jax.eval_shape(lambda: critic.create(jax.random.key(0), 6))
  run = run_of(method, {name: filling.fill({'params': net.params})})
  if not family:
    with pytest.raises(
      errors.UserError, match=f'{name} of gio_ada with method.output_disc=local'
    ):
      runs.of_run(run, network=name)
    return
  named = state_dict.from_network(runs.of_run(run, network=name))
  found = families.recognise({k: x.shape for k, x in named.items()})
  assert found.name == family
  match = found.match(named, found.variables())
  assert (match.missing, match.mismatched, match.unexpected) == ({}, {}, ())


def test_a_vgg_of_adaptsegnet_has_two_dilations():
  network = families.recognise(official.adaptsegnet_vgg()).network
  assert (network['active_rates'], network['rates']) == (2, (6, 12, 18, 24))


def test_a_resnet_without_a_head_is_guessed(tmp_path):
  shapes = {
    k: v for k, v in official.torchvision().items() if not k.startswith('fc.')
  }
  path = tmp_path / 'a.pth'
  official.save(official.fill(shapes), path, 'zip')
  network = conversion.convert(reading.read(path))
  assert network.record['family'] == 'init'
  (row,) = (row for row in network.report if row.status == 'guessed')
  assert row.note.endswith('convert with --family=torchvision')
  assert row.note in conversion.left_out(network)
  for family in ('init', 'torchvision'):
    network = conversion.convert(reading.read(path), family=family)
    assert network.record['family'] == family
    assert not network.record['guess']


def test_a_family_that_the_keys_contradict(tmp_path):
  path = tmp_path / 'a.pth'
  official.save(official.fill(official.dada()), path, 'zip')
  for family in families.ANSWERS:
    with pytest.raises(errors.UserError, match='but its keys are those of DAD'):
      conversion.convert(reading.read(path), family=family)


def test_weights_in_whole_numbers(tmp_path):
  arrays = official.fill(official.dada())
  key, path = 'layer2.0.conv1.weight', tmp_path / 'a.safetensors'
  arrays[key] = (100 * arrays[key]).astype(np.int8)
  writing.write(path, {'': arrays})
  with pytest.raises(errors.UserError, match=rf'numbers \(int8\) in {key}'):
    conversion.convert(reading.read(path))


@pytest.mark.parametrize(
  ('key', 'shape'),
  [
    ('blocks.0.attn.qkv.weight', (10, 4)),
    ('blocks.0.attn.qkv.weight', ()),
    ('block1.0.attn.kv.weight', (5, 4)),
  ],
)
def test_keys_and_values_that_cannot_be_split(tmp_path, key, shape):
  arrays = {key: shape, 'patch_embed1.proj.weight': (4, 3, 7, 7)}
  official.save(official.fill(arrays), tmp_path / 'a.pth', 'zip')
  with pytest.raises(errors.UserError, match='shapes of no known network'):
    conversion.convert(reading.read(tmp_path / 'a.pth'))


@pytest.mark.parametrize(
  ('family', 'name', 'rates', 'guesses'),
  [
    ('', 'advent', 0, 1),
    ('advent', 'advent', 0, 0),
    ('adaptsegnet', 'adaptsegnet', 2, 0),
  ],
)
def test_two_heads_are_those_of_advent_or_of_adaptsegnet(
  tmp_path, family, name, rates, guesses
):
  found = families.recognise(official.advent(official.FULL), family=family)
  assert (found.name, found.network['active_rates']) == (name, rates)
  path = tmp_path / 'a.pth'
  arrays = official.fill(official.advent())
  official.save(arrays, path, 'zip')
  network = conversion.convert(reading.read(path), family=family)
  said = [row.note for row in network.report if row.status == 'guessed']
  assert len(said) == guesses
  assert all(x.endswith('evaluate with --family=adaptsegnet') for x in said)
  assert state_dict.from_network(network).keys() == arrays.keys()


def test_all_dilations_are_the_same_however_they_are_counted():
  for one, other in ((0, 4), (4, 0), (4, 4), (2, 2)):
    options = deeplab.Options(active_rates=other)
    assert conversion.compare({'active_rates': one}, options) == {}
    needed = {'active_rates': one, 'rates': [6, 12, 18, 24]}
    assert conversion.compare(needed, options) == {}
  options = deeplab.Options(active_rates=2)
  assert conversion.compare({'active_rates': 4}, options) == {'active_rates': 4}
  options = deeplab.Options(rates=(6, 12))
  needed = {'active_rates': 0, 'rates': (6, 12, 18, 24)}
  assert conversion.compare(needed, options).keys() == {'rates'}
