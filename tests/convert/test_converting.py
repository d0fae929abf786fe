import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxuda import errors
from jaxuda.convert import converting
from jaxuda.methods import dacs
from jaxuda.models import deeplab
from jaxuda.run import workdir as workdir_lib
from jaxuda.step import state as state_lib
from jaxuda.weights import reading
from tests import tiny
from tests.weights import official


@pytest.fixture
def source(tmp_path):
  path = tmp_path / 'a.pth'
  official.save(official.fill(official.dada()), path, 'legacy')
  return path


@pytest.mark.parametrize('name', ['b.pth', 'b.safetensors', 'b'])
def test_file_to_file(source, tmp_path, name):
  to = str(tmp_path / name)
  converting.write({'student': converting.read(str(source))}, to)
  again = converting.read(to)
  assert again.record['family'] == 'dada'
  converting.write({'student': again}, str(tmp_path / 'c.pth'))
  found = reading.read(tmp_path / 'c.pth').arrays()
  expected = reading.read(source).arrays()
  assert found.keys() == expected.keys()
  np.testing.assert_array_equal(
    found['layer4.0.conv2.weight'], expected['layer4.0.conv2.weight']
  )


def test_a_run_with_a_teacher(tmp_path, monkeypatch):
  """Under the names of the official files: 'model' and 'ema_model'."""
  method = dacs.Method(
    num_classes=19,
    total_steps=3,
    network=deeplab.Options(backbone='resnet_tiny', active_rates=2),
  )
  image = jax.ShapeDtypeStruct((1, 33, 33, 3), jnp.float32)
  shapes = jax.eval_shape(method.task.init, jax.random.key(0), image)

  def net(value):
    tree = jax.tree.map(lambda x: np.full(x.shape, value, x.dtype), shapes)
    return state_lib.create_net(tree, None)

  state = state_lib.create({'task': net(1)}, teacher=net(2))
  config = tiny.make_config(name='dacs')
  run = workdir_lib.Run(config=config, method=method, state=state, step=7)
  monkeypatch.setattr(workdir_lib, 'load', lambda *a, **k: run)
  (tmp_path / 'run').mkdir()
  (tmp_path / 'run' / 'config.json').write_text('{}')
  source, to = str(tmp_path / 'run'), str(tmp_path / 'b.pth')
  networks = {
    name: converting.read(source, network=name)
    for name in ('student', 'teacher')
  }
  converting.write(networks, to)
  file = reading.read(to)
  assert file.wrapped
  for network, value in (('student', 1), ('teacher', 2)):
    arrays = file.arrays(network)
    assert {k: v.shape for k, v in arrays.items()} == official.dacs()
    np.testing.assert_array_equal(arrays['layer5.conv2d_list.0.bias'], value)
  assert converting.read(to, network='teacher').record['family'] == 'dacs'
  with pytest.raises(
    errors.UserError, match='has no disc; expected one of stu'
  ):
    converting.read(source, network='disc')


def test_options_of_the_other_kind_of_source(source, tmp_path):
  with pytest.raises(errors.UserError, match='--checkpoint=3 applies to runs'):
    converting.read(str(source), checkpoint='3')
  (tmp_path / 'config.json').write_text('{}')
  for options in ({'family': 'dacs'}, {'partial': True}):
    (flag,) = options
    with pytest.raises(errors.UserError, match=f'--{flag}=.* applies to files'):
      converting.read(str(tmp_path), **options)


def test_nothing_there(tmp_path):
  with pytest.raises(errors.UserError, match='is not a file of weights, a con'):
    converting.read(str(tmp_path))
  with pytest.raises(errors.UserError, match='no known suffix'):
    converting.writing.check_path('a.bin')


def test_a_conversion_replaces_neither_its_source_nor_a_run(source, tmp_path):
  (tmp_path / 'link.pth').symlink_to(source)
  for to in (source, tmp_path / 'link.pth'):
    with pytest.raises(errors.UserError, match='is the input; expected anoth'):
      converting.check_place(source, to)
  run = tmp_path / 'run'
  (run / 'checkpoints').mkdir(parents=True)
  (run / 'config.json').touch()
  with pytest.raises(errors.UserError, match='is the folder of a run, which'):
    converting.check_place(source, run)
  for name in ('b.pth', 'new'):
    converting.check_place(source, tmp_path / name)
