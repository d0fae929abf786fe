import importlib.util
import pathlib

import pytest

from jaxuda import errors
from jaxuda.ui import command

_PATH = pathlib.Path(__file__).parents[2] / 'scripts' / 'benchmark_predict.py'
_spec = importlib.util.spec_from_file_location('benchmark_predict', _PATH)
benchmark = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(benchmark)


@pytest.fixture(name='run', scope='module')
def _run():
  config = command.read_config('dada:pair=streets')
  config.network.backbone = 'resnet_tiny'
  for domain in (config.data.source, config.data.target):
    domain.size = (32, 64)
  return benchmark.make_run(config)


def test_every_way_labels_alike(run):
  found = benchmark.measure(
    run,
    ['float32', 'bfloat16', 'stablehlo'],
    image=(48, 80),
    batch_size=2,
    count=3,
    rounds=1,
  )
  assert list(found) == ['float32', 'bfloat16', 'stablehlo']
  assert all(rate > 0 for rate, _ in found.values())
  shares = [share for _, share in found.values()]
  # The same precision; and one with 8 bits, on noise.
  assert shares[0] == 1
  assert shares[2] > 0.999
  assert 0.8 < shares[1] <= 1


@pytest.mark.parametrize('ways', [[], ['float32', 'onnx']])
def test_unknown_ways_are_named(ways):
  with pytest.raises(errors.UserError, match=f'^--ways={",".join(ways)}; exp'):
    benchmark.check_ways(ways)


def test_a_class_table_of_ones_own_is_counted(tmp_path, monkeypatch):
  path = tmp_path / 'own.yaml'
  path.write_text('classes: [a, b, c]\n')
  config = command.read_config(f'source_only:pair=folder,classes={path}')
  monkeypatch.setattr(benchmark.jax, 'jit', lambda init: lambda *_: None)
  assert benchmark.make_run(config).method.num_classes == 3
