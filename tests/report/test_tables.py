import json

import pytest

from jaxuda import errors
from jaxuda.evaluate import comparison
from jaxuda.report import runs
from jaxuda.report import tables
from tests.report import hand


def _figures(folder, kind='last'):
  return comparison.read_figures(folder, checkpoint=kind)


def test_differences_and_the_best_of_a_row(tmp_path):
  figures = [
    _figures(hand.write_run(tmp_path / 'a', road=50.0, miou=40.0, rms=5.0)),
    _figures(hand.write_run(tmp_path / 'b', road=47.5, miou=40.0, rms=4.0)),
    _figures(hand.write_run(tmp_path / 'c', road=61.25, miou=40.0)),
  ]
  made = tables.make_tables(['a', 'b', 'c'], figures)
  rows = {row.name: row for table in made.values() for row in table}
  assert list(made) == ['IoU', 'mIoU', 'depth']
  road = rows['flat'].cells
  assert [cell.text for cell in road] == ['50.00', '47.50', '61.25']
  assert [cell.change for cell in road] == ['', '−2.50', '+11.25']
  assert [cell.better for cell in road] == [None, False, True]
  assert [cell.best for cell in road] == [False, False, True]
  # All alike: none is the best, and no difference has a sign.
  sky = rows['sky'].cells
  assert [cell.change for cell in sky] == ['', '0.00', '0.00']
  assert not any(cell.best for cell in sky)
  assert [cell.text for cell in rows['vehicle'].cells] == ['–'] * 3
  # An error is the better the lower, a share of pixels the higher.
  rms, delta = rows['RMS, m'].cells, rows['δ < 1.25'].cells
  assert [cell.best for cell in rms] == [False, True, False]
  assert [cell.better for cell in rms] == [None, True, None]
  assert [cell.best for cell in delta] == [True, False, False]
  assert [cell.better for cell in delta] == [None, False, None]
  assert rows['mIoU7'].note == 'flat, sky'


def test_other_protocols_are_refused(tmp_path):
  folders = [
    hand.write_run(tmp_path / 'a'),
    hand.write_run(tmp_path / 'b', protocol={'images': 4}),
  ]
  with pytest.raises(errors.UserError, match='images=4'):
    tables.make_tables(['a', 'b'], [_figures(f) for f in folders])


def test_only_fields_that_differ():
  one = {'seed': 1, 'optim.power': 0.9, 'size': [8, 16], 'scale': 1.0}
  other = {'seed': 2, 'size': [8, 16], 'scale': 1}
  assert tables.differing_fields([one, other]) == [
    ('optim.power', ['0.9', 'absent']),
    ('seed', ['1', '2']),
  ]


def test_cost(tmp_path):
  (run,) = runs.read([hand.write_run(tmp_path / 'a', rates=(0.1, 0.3))])
  cost = tables.describe_cost(run)
  # 12 steps at 0.2 a second.
  assert cost['time of these steps'] == '1 min 00 s'
  assert cost['steps per second'] == '0.2'
  assert cost['parameters, all networks'] == '–'
  (tmp_path / 'a' / 'metrics.jsonl').write_text('')
  cost = tables.describe_cost(*runs.read([str(tmp_path / 'a')]))
  assert cost['steps'] == cost['time of these steps'] == '–'


def test_curves_in_order(tmp_path):
  folders = [hand.write_run(tmp_path / name) for name in 'ab']
  lines = [
    {'kind': 'train', 'step': 2, 'quality': 0.5, 'loss_adv': None},
    {'kind': 'train', 'step': 4, 'learning_rate': 0.1, 'loss_adv': 3},
    {'kind': 'eval', 'step': 4, 'mIoU7': 9, 'mIoU19': 5, 'depth_pixels': 7},
  ]
  path = tmp_path / 'b' / 'metrics.jsonl'
  path.write_text('\n'.join(map(json.dumps, lines)))
  curves = tables.list_curves(runs.read(folders))
  assert list(curves) == [
    *('mIoU19', 'mIoU7', 'learning_rate', 'loss_adv', 'loss_seg', 'quality'),
  ]
  assert curves['mIoU7'] == [(0, [12], [40.0]), (1, [4], [9])]
  assert curves['loss_seg'] == [(0, [6, 12], [2.5, 1.5])]
  assert curves['loss_adv'] == [(1, [4], [3])]
