import importlib.metadata
import subprocess
import sys
import types

import jax
import pytest

from jaxuda.notebook import runtime

NEEDED = (
  'jax>=0.10',
  'numpy>=2.0',
  "tensorflow-cpu>=2.20; sys_platform == 'linux'",
  "tensorflow>=2.20; sys_platform != 'linux'",
  'jax[cuda]>=0.10; extra == "cuda"',
  'pytest>=8.3; extra == "test"',
)
NEW = {'jax': '0.10.2', 'numpy': '2.3.1', 'tensorflow': '2.20.0'}


def find(accelerator='', **versions):
  versions = {name.replace('_', '-'): x for name, x in versions.items()}

  def version(name):
    if name not in versions:
      raise importlib.metadata.PackageNotFoundError(name)
    return versions[name]

  return runtime.find_missing(NEEDED, accelerator=accelerator, version=version)


@pytest.fixture(autouse=True)
def _on_linux(monkeypatch):
  # The markers are read by a library that asks the real machine.
  if sys.platform != 'linux':
    pytest.skip('the requirements are those of Linux')


def test_what_is_new_enough_stays():
  # Another name of TensorFlow's counts.
  assert find(**NEW) == []
  assert find('gpu', **NEW, jax_cuda12_plugin='0.10.2') == []
  assert find('tpu', **NEW, libtpu='0.0.30') == []


def test_an_old_tensorflow_is_replaced_under_its_own_name():
  assert find(**{**NEW, 'tensorflow': '2.19.0'}) == ['tensorflow>=2.20']


def test_a_bare_python_lacks_everything():
  bare = ['jax>=0.10', 'numpy>=2.0', 'tensorflow-cpu>=2.20']
  assert find() == bare
  assert find('gpu') == ['jax[cuda]>=0.10', *bare[1:]]
  assert find('tpu') == ['jax[tpu]>=0.10', *bare[1:]]


def test_an_old_jax_is_replaced_by_one_for_the_same_accelerator():
  old = {**NEW, 'jax': '0.7.2'}
  assert find(**old) == ['jax>=0.10']
  assert find('tpu', **old, libtpu='0.0.21') == ['jax[tpu]>=0.10']
  for kind in ('cuda12', 'cuda13'):
    plugin = {f'jax_{kind}_plugin': '0.7.2'}
    assert find('gpu', **old, **plugin) == [f'jax[{kind}]>=0.10']


def test_a_jax_without_the_accelerator_gets_its_plugin_alone():
  assert find('gpu', **NEW) == ['jax[cuda]==0.10.2']
  assert find('tpu', **NEW) == ['jax[tpu]==0.10.2']


def test_this_environment_lacks_nothing(monkeypatch):
  monkeypatch.setattr(runtime, 'find_accelerator', lambda: '')
  assert len(runtime._read_needed()) > 10
  calls = []
  monkeypatch.setattr(subprocess, 'run', lambda *a, **k: calls.append(a))
  runtime.complete()
  assert calls == []


def test_what_is_missing_is_installed(monkeypatch, capsys):
  calls = []
  monkeypatch.setattr(subprocess, 'run', lambda x, **k: calls.append((x, k)))
  monkeypatch.setattr(runtime, 'find_accelerator', lambda: 'gpu')
  monkeypatch.setattr(
    runtime, 'find_missing', lambda accelerator: ['jax[cuda]>=9', 'absent>=1']
  )
  runtime.complete()
  pip = [sys.executable, '-m', 'pip', 'install', '--quiet']
  assert calls == [([*pip, 'jax[cuda]>=9', 'absent>=1'], {'check': True})]
  said = capsys.readouterr().out
  assert 'jax was already loaded: restart the runtime' in said


@pytest.mark.parametrize(
  ('kinds', 'accelerator', 'text'),
  [
    (['cpu'], '', 'on the CPU, '),
    (
      ['cpu'],
      'gpu',
      'cores; jax does not see the GPU: restart the runtime, or install'
      " 'jax[cuda]'",
    ),
    (['Tesla T4'] * 2, 'gpu', 'on 2 Tesla T4'),
    (['TPU v5 lite'], 'tpu', 'on 1 TPU v5 lite'),
  ],
)
def test_says_what_it_runs_on(monkeypatch, kinds, accelerator, text):
  devices = [types.SimpleNamespace(device_kind=x) for x in kinds]
  monkeypatch.setattr(jax, 'devices', lambda: devices)
  monkeypatch.setattr(runtime, 'find_accelerator', lambda: accelerator)
  said = runtime.describe()
  assert said.startswith(f'Python 3.{sys.version_info.minor}.')
  assert f'jax {jax.__version__} on ' in said
  assert text in said
  assert ('restart' in said) == ('restart' in text)


def test_the_accelerator_is_found_without_jax(monkeypatch):
  for name in runtime._TPU:
    monkeypatch.delenv(name, raising=False)
  monkeypatch.setattr(runtime.os.path, 'exists', lambda path: False)
  listed = types.SimpleNamespace(returncode=0, stdout=b'GPU 0: Tesla T4')
  monkeypatch.setattr(subprocess, 'run', lambda *a, **k: listed)
  assert runtime.find_accelerator() == 'gpu'
  # A driver without a device.
  listed.stdout = b'No devices found.'
  assert runtime.find_accelerator() == ''
  monkeypatch.setenv('TPU_ACCELERATOR_TYPE', 'v5e-1')
  assert runtime.find_accelerator() == 'tpu'
