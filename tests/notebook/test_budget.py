import jax
import pytest

from jaxuda import errors
from jaxuda import methods
from jaxuda.notebook import budget
from jaxuda.ui import command


def make_config(name, arguments='pair=streets'):
  return command.read_config(f'{name}:{arguments}')


def test_full_is_the_default(monkeypatch):
  monkeypatch.delenv(budget.VARIABLE, raising=False)
  config = make_config('corda')
  before = config.copy_and_resolve_references()
  budget.limit(config, steps=70)
  assert (config.total_steps, config.stop_step, config.eval_every) == (70,) * 3
  assert budget.choose(full=5, test=1) == 5
  for field in ('data', 'network', 'method', 'optim', 'mixing', 'log_every'):
    assert config[field] == before[field]


@pytest.mark.parametrize(('devices', 'batch'), [(1, 2), (2, 2), (3, 3), (8, 8)])
def test_every_device_has_a_share(monkeypatch, devices, batch):
  monkeypatch.setattr(jax, 'device_count', lambda: devices)
  config = make_config('dada')
  assert config.batch_size == 2
  budget.limit(config, steps=70)
  assert config.batch_size == batch


@pytest.mark.parametrize('name', ['source_only', 'corda', 'depdis', 'gio_ada'])
def test_the_smallest_is_small_and_complete(monkeypatch, name):
  monkeypatch.setenv(budget.VARIABLE, 'test')
  config = make_config(name)
  budget.limit(config, steps=70)
  assert (config.total_steps, config.stop_step) == (2, 2)
  for domain in ('source', 'target'):
    side = config.data[domain]
    assert tuple(side.size) == (32, 64)
    assert side.dataset == f'streets/{domain}_32x64_train4_val3'
  method = methods.create(config)
  assert method.network.backbone == 'resnet_tiny'
  assert getattr(method, 'disc_width', 4) == 4
  assert getattr(method, 'gen_width', 4) == 4


def test_own_folders_keep_their_names(monkeypatch):
  monkeypatch.setenv(budget.VARIABLE, 'test')
  config = make_config('dada', 'pair=folder')
  budget.limit(config, steps=70)
  assert config.data.source.dataset == 'folder/source'
  assert budget.choose(full=5, test=1) == 1


def test_other_budgets_are_an_error(monkeypatch):
  monkeypatch.setenv(budget.VARIABLE, 'tiny')
  message = "JAXUDA_BUDGET='tiny'; expected one of full, test"
  with pytest.raises(errors.UserError, match=message):
    budget.read()
