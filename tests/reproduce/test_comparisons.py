"""Rows compared with baselines, without depth, and image by image."""

import csv
import json

import pytest

from jaxuda import errors
from jaxuda.evaluate import tables
from jaxuda.reproduce import presenting
from jaxuda.reproduce import results as results_lib
from tests.reproduce import fake_runs

STATISTICS = 'source-only + target statistics'
FOLDER = 'source-only_+_target_statistics'


def _write(tmp_path, values, **options):
  """Writes the scores of runs: folder -> a value for each seed."""
  for name, of_seeds in values.items():
    for seed, value in enumerate(of_seeds, 1):
      workdir = tmp_path / name / f'seed{seed}'
      fake_runs.write_scores(workdir, {'mIoU19': value}, **options)


def _cells(results, label):
  header, *lines = presenting.make_lines(results)
  (line,) = (x for x in lines if x[0] == label)
  return dict(zip(header, line, strict=True))


def _read_csv(tmp_path, row, figure):
  with (tmp_path / 'table.csv').open() as f:
    (line,) = (
      x for x in csv.DictReader(f) if (x['row'], x['figure']) == (row, figure)
    )
  return line


def test_differences_to_both_baselines(tmp_path):
  plan = fake_runs.make_plan(tmp_path, rows=('S7',), baselines=True)
  # To the first 5, 6, 7; to the second 2, 1, 3; between them 3, 5, 4.
  _write(
    tmp_path,
    {'source-only': (18, 20, 22), FOLDER: (21, 25, 26), 'S7': (23, 26, 29)},
  )
  results = results_lib.collect(plan)
  mean = tables.Mean
  assert {k: x['mIoU19'] for k, x in results.differences.items()} == {
    'source-only': {STATISTICS: mean(4, 1, 3), 'S7': mean(6, 1, 3)},
    STATISTICS: {'source-only': mean(-4, 1, 3), 'S7': mean(2, 1, 3)},
  }
  first, second = (f'mIoU19, diff. to {x}' for x in ('source-only', STATISTICS))
  cells = _cells(results, 'S7')
  assert (cells[first], cells[second]) == ('+6.00 +- 1.00', '+2.00 +- 1.00')
  cells = _cells(results, 'source-only')
  assert (cells[first], cells[second]) == ('', '-4.00 +- 1.00')
  cells = _cells(results, STATISTICS)
  assert (cells[first], cells[second]) == ('+4.00 +- 1.00', '')
  presenting.write(results, tmp_path)
  text = (tmp_path / 'table.md').read_text()
  assert f'diff.: to source-only and to {STATISTICS}, mean and' in text
  assert (
    f'running statistics source (source-only), target ({STATISTICS}, S7)'
    in text
  )
  line = _read_csv(tmp_path, 'S7', 'mIoU19')
  assert (line['difference'], line['difference_to']) == (
    *('6.0000', 'source-only'),
  )
  assert (line['difference2'], line['difference2_to']) == (
    *('2.0000', STATISTICS),
  )
  assert line['difference2_deviation'] == '1.0000'


def test_differences_are_over_the_seeds_that_both_have(tmp_path):
  plan = fake_runs.make_plan(tmp_path, rows=('S7',), baselines=True)
  _write(tmp_path, {'source-only': (18, 20, 22), 'S7': (23, 26, 29)})
  fake_runs.write_scores(tmp_path / FOLDER / 'seed2', {'mIoU19': 25.0})
  results = results_lib.collect(plan)
  found = results.differences[STATISTICS]['mIoU19']['S7']
  assert (found.value, found.count) == (1.0, 1)


def test_what_depth_gains(tmp_path):
  plan = fake_runs.make_plan(
    *(tmp_path,),
    table='dada/results',
    rows=('SPIGAN-no-PI', 'SPIGAN', 'CLAN', 'AdvEnt', 'DADA'),
  )
  # 3, 2 and 4.
  _write(tmp_path, {'AdvEnt': (20, 22, 24), 'DADA': (23, 24, 28)})
  results = results_lib.collect(plan)
  assert results.gains['DADA']['mIoU19'] == tables.Mean(3, 1, 3)
  found = {
    label: (cells['D-gain'], cells['paper D-gain'])
    for label in ('SPIGAN-no-PI (quoted)', 'SPIGAN (quoted)', 'AdvEnt', 'DADA')
    for cells in [_cells(results, label)]
  }
  assert found == {
    'SPIGAN-no-PI (quoted)': ('', ''),
    'SPIGAN (quoted)': ('-', '+1.0'),
    'AdvEnt': ('', ''),
    'DADA': ('+3.00 +- 1.00', '+1.8'),
  }
  # The others are compared with the first row that is trained.
  assert plan.references == ('AdvEnt',)
  cells = _cells(results, 'CLAN (quoted)')
  assert cells['seeds'] == ''
  assert (cells['mIoU19'], cells['mIoU19, diff.']) == ('-', '-')
  assert (cells['paper mIoU16'], cells['paper mIoU13']) == ('-', '47.8')
  presenting.write(results, tmp_path)
  text = (tmp_path / 'table.txt').read_text()
  assert 'gain from depth, SPIGAN over SPIGAN-no-PI, DADA over AdvEnt.' in text
  assert "CLAN: quoted from CTRL's README, not run." in text
  line = _read_csv(tmp_path, 'DADA', 'mIoU13')
  assert (line['paper_d_gain'], line['d_gain']) == ('2.2', '')
  line = _read_csv(tmp_path, 'DADA', 'mIoU19')
  assert (line['paper_d_gain'], line['d_gain']) == ('', '3.0000')
  line = _read_csv(tmp_path, 'CLAN', 'mIoU13')
  assert (line['paper'], line['quoted']) == ('47.8', "CTRL's README")


def test_before_the_first_score_every_row_has_all_cells(tmp_path):
  plan = fake_runs.make_plan(
    tmp_path, table='dada/results', rows=('SPIGAN', 'AdvEnt', 'DADA')
  )
  head, *rows = presenting.make_lines(results_lib.collect(plan))
  assert 'D-gain' in head
  assert {len(row) for row in rows} == {len(head)}


def test_negative_transfer(tmp_path):
  plan = fake_runs.make_plan(
    tmp_path, table='dada/coarse7', rows=('source-only', 'DADA')
  )
  names = 'abcd'
  for seed in (1, 2, 3):
    for label, lower in (('source-only', 0), ('DADA', seed)):
      fake_runs.write_scores(
        tmp_path / label / f'seed{seed}',
        {'mIoU7': 50.0},
        # As many images are worse as the seed; the last one is equal.
        each={x: 40.0 if i < lower else 50.0 for i, x in enumerate(names)},
      )
  results = results_lib.collect(plan)
  _, negative = results.figures
  assert negative.name == 'negative_transfer_rate'
  assert negative.means['DADA'] == tables.Mean(50.0, 25.0, 3)
  cells = _cells(results, 'DADA')
  assert cells['negative_transfer_rate'] == '50.00 +- 25.00'
  assert cells['paper negative_transfer_rate'] == '5.0'
  assert _cells(results, 'source-only')['negative_transfer_rate'] == '-'
  presenting.write(results, tmp_path)
  text = (tmp_path / 'table.txt').read_text()
  assert 'a lower mIoU than under source-only of the same seed.' in text


def test_negative_transfer_is_of_the_same_images(tmp_path):
  plan = fake_runs.make_plan(
    tmp_path, table='dada/coarse7', rows=('source-only', 'DADA'), seeds=(1,)
  )
  for label, name in (('source-only', 'a'), ('DADA', 'b')):
    workdir = tmp_path / label / 'seed1'
    fake_runs.write_scores(workdir, {'mIoU7': 50.0}, each={name: 1.0})
  with pytest.raises(errors.UserError, match='was scored on other images'):
    results_lib.collect(plan)


def test_runs_of_earlier_versions_have_no_rate(tmp_path):
  plan = fake_runs.make_plan(
    tmp_path, table='dada/coarse7', rows=('source-only', 'DADA'), seeds=(1,)
  )
  for label in ('source-only', 'DADA'):
    path = tmp_path / label / 'seed1' / 'scores.json'
    fake_runs.write_scores(path.parent, {'mIoU7': 50.0}, each={'a': 1.0})
    if label == 'DADA':
      scores = json.loads(path.read_text())
      del scores['last']['images']
      path.write_text(json.dumps(scores))
  assert [x.name for x in results_lib.collect(plan).figures] == ['mIoU7']


def test_classes_are_rows(tmp_path):
  plan = fake_runs.make_plan(
    tmp_path, table='gio_ada/kitti', rows=('na', 'full'), seeds=(1, 2)
  )
  for label, values in (('na', (60.0, 62.0)), ('full', (70.0, 74.0))):
    for seed, value in enumerate(values, 1):
      fake_runs.write_scores(
        tmp_path / label / f'seed{seed}',
        {'mIoU19': 20.0},
        classes={'road': value, 'sidewalk': 5.0},
      )
  results = results_lib.collect(plan)
  header, *lines = presenting.make_class_lines(results)
  assert header == ['class', 'na', 'full', 'paper na', 'paper full']
  assert lines == [
    ['road', '61.00 +- 1.41', '72.00 +- 2.83', '79.3', '81.4'],
    ['sidewalk', '5.00 +- 0.00', '5.00 +- 0.00', '-', '-'],
  ]
  assert results.paper_names == ['mIoU10']
  presenting.write(results, tmp_path)
  assert '| road | 61.00 +- 1.41 |' in (tmp_path / 'table.md').read_text()
  assert 'IoU of each class in %' in (tmp_path / 'table.txt').read_text()
  line = _read_csv(tmp_path, 'full', 'road')
  assert (line['mean'], line['paper'], line['difference']) == (
    *('72.0000', '81.4', '11.0000'),
  )
  # Figures of the paper that were not measured here.
  assert _read_csv(tmp_path, 'full', 'sky')['paper'] == '88.4'


def test_depth_errors(tmp_path):
  plan = fake_runs.make_plan(
    tmp_path, table='depdis/depth', rows=(), seeds=(1,)
  )
  for label, error in (('M1', 0.6), ('M2', 0.25)):
    fake_runs.write_scores(
      tmp_path / label / 'seed1', {'mIoU19': 20.0, 'depth_abs_rel': error}
    )
  results = results_lib.collect(plan)
  cells = _cells(results, 'M2')
  assert (cells['depth_abs_rel'], cells['paper depth_abs_rel']) == (
    *('0.25', '0.5'),
  )
  assert cells['paper depth_delta1'] == '0.26'
