"""The input rates that accelerators need, and the cost of preparing."""

import importlib
import pathlib

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def _find_scripts(monkeypatch):
  monkeypatch.syspath_prepend(str(ROOT / 'scripts'))


def test_needs_by_hand(monkeypatch, capsys, tmp_path):
  needs = importlib.import_module('input_needs')
  floor = needs.necessary.Needs(2e12, 0)
  monkeypatch.setattr(needs.necessary, 'count', lambda *unused: floor)
  rates = {
    x: {'images_per_core_second': y}
    for x, y in zip(needs.WAYS, (5, 20, 40), strict=True)
  }
  path = tmp_path / 'input.json'
  path.write_text(needs.json.dumps({'ways': rates}))
  # Two images of each domain per step; 2 * 0.5 * 100 / 2 = 50 steps/s.
  needs.main(
    [
      *('--config=dada:pair=streets', '--config=source_only:pair=streets'),
      *('--devices=2', '--peak=100', '--share=0.5', f'--rates={path}'),
    ]
  )
  lines = capsys.readouterr().out.splitlines()
  assert lines[0].endswith('| cores, raw | cores, png | cores, jpeg |')
  assert lines[2:] == [
    '| `dada:pair=streets` | 2.00 | 4 | 200 | 40 | 10 | 5 |',
    '| `source_only:pair=streets` | 2.00 | 2 | 100 | 20 | 5 | 2 |',
  ]


@pytest.mark.parametrize(
  ('flags', 'message'),
  [
    (['--devices=0'], '--devices=0; expected at least 1'),
    (['--peak=-989'], '--peak=-989.0; expected TFLOP/s above 0'),
    (['--share=40'], '--share=40.0; expected above 0 and at most 1'),
    (['--config=dadda'], 'error: no config dadda; expected FILE.py, or one of'),
    (['--rates=none.json'], 'error: --rates=none.json cannot be read'),
    (['--rates=LIST'], 'expected a file with the output of benchmark_input.py'),
  ],
)
def test_mistakes_in_needs_are_named(
  monkeypatch, capsys, tmp_path, flags, message
):
  needs = importlib.import_module('input_needs')
  monkeypatch.chdir(tmp_path)
  (tmp_path / 'LIST').write_text('[]')
  try:
    status = needs.benchmark.run(lambda: needs.main(flags))
  except SystemExit as e:
    status = e.code
  assert status in (1, 2)
  assert message in capsys.readouterr().err.splitlines()[-1]


def test_every_linked_image_is_one(monkeypatch, tmp_path):
  """The frames' own number, 19, is not taken for that of the image."""
  prepare = importlib.import_module('benchmark_prepare')
  prepare.make_files(tmp_path, 41, distinct=20, size=(32, 64))
  for folder in ('leftImg8bit', 'gtFine', 'disparity'):
    assert len(list((tmp_path / folder).rglob('*.png'))) == 41


def test_preparing_is_measured_and_extrapolated(monkeypatch, tmp_path):
  prepare = importlib.import_module('benchmark_prepare')
  monkeypatch.setattr(prepare.benchmark_input, 'SIZE', (32, 64))
  monkeypatch.setattr(prepare.benchmark_input, 'NETWORK', (16, 32))
  stores = ['raw', 'png']
  report = prepare.run(tmp_path, images=3, distinct=2, stores=stores)
  assert len(list((tmp_path / 'raw').rglob('*_leftImg8bit.png'))) == 6
  assert all(
    x['bytes'] > 0 < x['core_seconds'] for x in report['measured'].values()
  )
  measured = {
    'raw': {'seconds': 36.0, 'core_seconds': 72.0, 'bytes': 2e6},
    'png': {'seconds': 72.0, 'core_seconds': 72.0, 'bytes': 1e6},
  }
  found = prepare.extrapolate(measured, images=100, pixels=2048 * 1024)
  # 29.75 times the number of images, of the same size.
  raw, png = found['cityscapes']['raw'], found['cityscapes']['png']
  assert raw == pytest.approx(
    {'hours': 0.2975, 'core_hours': 0.595, 'GB': 0.0595}
  )
  assert png['GB'] == pytest.approx(0.02975)
  factor = 9_000_000 / (2048 * 1024)
  raw, png = found['mapillary']['raw'], found['mapillary']['png']
  assert raw['GB'] == pytest.approx(180 * factor * 2e-3)
  assert png['GB'] == pytest.approx(180 * 1e-3)
  assert '| `gta5` | 24,966 | `raw` | ' in prepare.make_table(found)
