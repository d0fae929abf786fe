import importlib.util
import json
import pathlib
import sys

import numpy as np
import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
_spec = importlib.util.spec_from_file_location(
  'benchmark_input', ROOT / 'scripts' / 'benchmark_input.py'
)
benchmark = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(benchmark)


@pytest.fixture(autouse=True)
def _small(monkeypatch):
  monkeypatch.setattr(benchmark, 'NETWORK', (16, 32))
  # The reader's workers import the module by its name.
  monkeypatch.setitem(sys.modules, 'benchmark_input', benchmark)


@pytest.fixture(name='raw')
def _raw(tmp_path):
  benchmark.make_files(tmp_path / 'raw', 2, size=(32, 64))
  return tmp_path / 'raw'


def test_the_pipeline_reads_what_the_reader_reads(raw, capsys):
  """Labels and inverse depth of the two are equal."""
  examples = [benchmark.read_example(raw, i) for i in range(2)]
  for store in ('raw', 'png', 'jpeg'):
    batches = benchmark.open_stream(raw.parent, store, benchmark.FIELDS)
    batch = next(batches)['source']
    label, depth = batch['label'][0], batch['depth'][0]
    image = batch['image'][0].astype(np.float32)
    same = [np.array_equal(label, x[1]) for x in examples]
    assert sum(same) == 1
    wanted = examples[same.index(True)]
    np.testing.assert_allclose(655.36 / (depth + 0.01), wanted[2], rtol=1e-4)
    bgr = wanted[0].transpose(1, 2, 0) + benchmark._MEAN
    assert np.abs(image[..., ::-1] - bgr).mean() < (8 if store == 'jpeg' else 1)
    # Only unchanged files could be read faster; this is reported once.
    advice = 'mono are 64x32 but trained on at 32x16; stored at that size (--co'
    assert (advice in capsys.readouterr().err) == (store == 'raw')


def test_only_the_fields_that_are_asked_for(raw):
  (image,) = benchmark.read_example(raw, 0, ('image',))
  assert image.shape == (3, 16, 32)
  batch = next(benchmark.open_stream(raw.parent, 'png', ('image',)))
  assert set(batch['source']) == {'image'}


def test_rates_by_hand():
  # (wall, CPU) seconds for 6 images.
  times = {'reader': [(3.0, 6.0)] * 3, 'png': [(1.0, 2.0), (1.5, 1.0), (9, 9)]}
  rates = benchmark.summarize(times, 6)
  assert rates['reader']['images_per_core_second'] == 1
  assert rates['png']['images_per_second'] == 4
  assert rates['png']['ratio_per_second'] == 2
  assert rates['png']['ratio_per_core_second'] == 3


def test_a_stream_is_timed_after_it_is_warm():
  batches = iter(range(20))
  benchmark.time_stream(batches, 5, warm=2)
  assert next(batches) == 7


@pytest.mark.parametrize(
  'argument', ['--images=0', '--fields=image,pose', '--folder=nowhere']
)
def test_arguments_are_checked(argument, capsys):
  with pytest.raises(SystemExit):
    benchmark.parse_args([argument])
  assert 'expected' in capsys.readouterr().err


def test_what_is_measured_leaves_no_folder(tmp_path, capsys):
  def measure(root, **options):
    (root / 'file').write_text('12345')
    return {'bytes': benchmark.count_bytes(tmp_path), **options}

  args = benchmark.parse_args([f'--folder={tmp_path}', '--images=3'])
  found = benchmark.report(measure, args)
  assert not list(tmp_path.iterdir())
  assert json.loads(capsys.readouterr().out) == {
    **found,
    'fields': list(benchmark.FIELDS),
  }
  assert (found['bytes'], found['images'], 'folder' in found) == (5, 3, False)
  with pytest.raises(SystemExit):
    benchmark.parse_args(['--rounds=0'])
  assert '--rounds=0; expected at least 1' in capsys.readouterr().err
