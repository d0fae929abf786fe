"""Means, deviations and differences, by hand."""

import csv
import json
import math

import pytest

from jaxuda import errors
from jaxuda.evaluate import tables
from jaxuda.reproduce import presenting
from jaxuda.reproduce import results as results_lib
from jaxuda.run import provenance
from tests.reproduce import fake_runs

# Means 20 and 26, deviations 2 and 3; differences 5, 6 and 7.
FIGURES = {'S1': (18.0, 20.0, 22.0), 'S7': (23.0, 26.0, 29.0)}


def _write(tmp_path, **options):
  for label, values in FIGURES.items():
    for seed, value in enumerate(values, 1):
      fake_runs.write_scores(
        tmp_path / label / f'seed{seed}',
        {'mIoU19': value, 'mIoU7': 2 * value},
        **options,
      )
  return fake_runs.make_plan(tmp_path)


def test_means_by_hand(tmp_path):
  plan = _write(tmp_path)
  provenance.note(tmp_path / 'S1' / 'seed1', 'commit a')
  results = results_lib.collect(plan)
  main, coarse = results.figures
  assert (main.name, coarse.name) == ('mIoU19', 'mIoU7')
  assert main.means == {
    'S1': tables.Mean(20.0, 2.0, 3),
    'S7': tables.Mean(26.0, 3.0, 3),
  }
  assert coarse.means['S7'] == tables.Mean(52.0, 6.0, 3)
  assert results.differences['S1']['mIoU19'] == {'S7': tables.Mean(6.0, 1.0, 3)}
  assert results.paper_names == ['mIoU16', 'mIoU13']
  assert results.codes == ('commit a',)
  assert results.protocols['S7']['steps'] == '1500'


def test_missing_seeds_are_named_and_left_out(tmp_path):
  plan = _write(tmp_path)
  # The second seed of S7 has not finished.
  fake_runs.write_scores(tmp_path / 'S7/seed2', {'mIoU19': 99.0}, step=1000)
  results = results_lib.collect(plan, reasons={'S7/seed2': 'exit status 1'})
  main = results.figures[0]
  assert results.missing == {'S1': {}, 'S7': {2: 'exit status 1'}}
  # Of 23 and 29: 18 / sqrt(18).
  mean = main.means['S7']
  assert (mean.value, mean.count) == (26.0, 2)
  assert mean.deviation == pytest.approx(math.sqrt(18))
  # Seeds that both have: 5 and 7.
  difference = results.differences['S1']['mIoU19']['S7']
  assert difference.value == 6.0
  assert difference.deviation == pytest.approx(math.sqrt(2))
  assert presenting.make_lines(results)[2][0] == 'S7 (incomplete)'
  assert 'S7: seed 2 is missing: exit status 1.' in presenting.make_notes(
    results
  )


def test_best_checkpoint(tmp_path):
  plan = _write(tmp_path)
  for name in plan.runs:
    best = fake_runs.make_scores({'mIoU19': 50.0}, step=1000)['last']
    fake_runs.write_scores(tmp_path / name, {'mIoU19': 10.0}, best=best)
  results = results_lib.collect(plan, checkpoint='best')
  assert results.figures[0].means['S1'] == tables.Mean(50.0, 0.0, 3)
  notes = ' '.join(presenting.make_notes(results))
  assert 'the best checkpoint by the main mIoU on the split' in notes


@pytest.mark.parametrize(
  ('protocol', 'message'),
  [
    ({'images': 10}, 'S7/seed3 was scored with images=10, S1/seed1 with 150'),
    ({'network': 'teacher'}, 'S7/seed3 was scored with network teacher'),
  ],
)
def test_other_protocols_do_not_stand_side_by_side(tmp_path, protocol, message):
  plan = _write(tmp_path)
  fake_runs.write_scores(
    tmp_path / 'S7/seed3', {'mIoU19': 1.0, 'mIoU7': 1.0}, **protocol
  )
  with pytest.raises(errors.UserError, match=message):
    results_lib.collect(plan)


def test_files(tmp_path):
  results = results_lib.collect(_write(tmp_path))
  presenting.write(results, tmp_path)
  header, first, last = (
    [cell.strip() for cell in line.strip('|').split('|')]
    for line in (tmp_path / 'table.md').read_text().splitlines()
    if line.startswith('| ') and '---' not in line
  )
  assert header == [
    *('row', 'seeds', 'mIoU19', 'mIoU19, diff.', 'mIoU7'),
    *('paper mIoU16', 'paper mIoU13'),
  ]
  assert first == ['S1', '3', '20.00 +- 2.00', '', '40.00 +- 4.00', '32.2', '-']
  assert last == [
    *('S7', '3', '26.00 +- 3.00', '+6.00 +- 1.00', '52.00 +- 6.00'),
    *('42.6', '49.8'),
  ]
  text = (tmp_path / 'table.txt').read_text()
  for part in (
    *('dada/ablation on streets.', '26.00 +- 3.00', '+6.00 +- 1.00'),
    'standard deviation (n - 1) over the seeds 1, 2, 3',
    "the authors' figures on synthia2cityscapes, not this pair",
    'Scored on streets/target val, 150 images at 160x320, classes cityscapes19',
    *('network task (student)', 'network input 96x192', 'steps 1500'),
    *('batch 2', 'backbone resnet_small', 'initial weights scratch'),
  ):
    assert part in text
  with (tmp_path / 'table.csv').open() as f:
    lines = list(csv.DictReader(f))
  (line,) = (x for x in lines if (x['row'], x['figure']) == ('S7', 'mIoU19'))
  for field, value in {
    **{'mean': '26.0000', 'deviation': '3.0000', 'count': '3'},
    **{'difference': '6.0000', 'difference_deviation': '1.0000'},
    **{'seeds': '1 2 3', 'missing_seeds': '', 'checkpoint': 'last'},
    **{'label_resolution': '160x320', 'images': '150', 'steps': '1500'},
  }.items():
    assert line[field] == value
  # Also figures of the paper that these runs do not have.
  (line,) = (x for x in lines if (x['row'], x['figure']) == ('S7', 'mIoU16'))
  assert (line['paper'], line['mean'], line['count']) == ('42.6', '', '0')
  assert line['paper_pair'] == 'synthia2cityscapes'


def test_nothing_done_yet(tmp_path):
  plan = fake_runs.make_plan(tmp_path, seeds=(1,))
  results = results_lib.collect(plan, reasons={'S1/seed1': 'stopped'})
  presenting.write(results, tmp_path)
  assert 'S1: seed 1 is missing: stopped.' in (
    (tmp_path / 'table.txt').read_text()
  )


def test_a_class_that_no_image_has_is_not_averaged(tmp_path):
  plan = _write(tmp_path)
  path = tmp_path / 'S7/seed3/scores.json'
  scores = json.loads(path.read_text())
  scores['last']['figures']['mIoU7']['value'] = None
  path.write_text(json.dumps(scores))
  _, coarse = results_lib.collect(plan).figures
  mean = coarse.means['S7']
  assert (mean.value, mean.count) == (49.0, 2)
