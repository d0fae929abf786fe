import pytest

from jaxuda import errors
from jaxuda.evaluate import tables
from jaxuda.report import sections
from tests.report import hand


def _figures(folder):
  return tables.read_figures(folder, checkpoint='last')


def test_differences_and_the_best_of_a_row(tmp_path):
  runs = {
    'a': hand.write_run(tmp_path / 'a', road=50.0, miou=40.0, rms=5.0),
    'b': hand.write_run(tmp_path / 'b', road=47.5, miou=40.0, rms=4.0),
    'c': hand.write_run(tmp_path / 'c', road=61.25, miou=40.0),
  }
  made = sections.make_tables({k: _figures(v) for k, v in runs.items()})
  rows = {row['name']: row for table in made for row in table['rows']}
  assert [(table['kind'], table['names']) for table in made] == [
    ('IoU', ['a', 'b', 'c']),
    ('mIoU', ['a', 'b', 'c']),
    # The third run does not predict depth.
    ('depth', ['a', 'b']),
  ]
  road = rows['flat']['cells']
  assert [cell['text'] for cell in road] == ['50.00', '47.50', '61.25']
  assert [cell['change'] for cell in road] == ['', '−2.50', '+11.25']
  assert [cell['better'] for cell in road] == [None, False, True]
  assert [cell['best'] for cell in road] == [False, False, True]
  # All equal: none is the best, and no difference has a sign.
  sky = rows['sky']['cells']
  assert [cell['change'] for cell in sky] == ['', '0.00', '0.00']
  assert not any(cell['best'] for cell in sky)
  assert [cell['text'] for cell in rows['vehicle']['cells']] == ['–'] * 3
  # Lower errors are better, higher shares of pixels are better.
  rms, delta = rows['RMS, m']['cells'], rows['δ < 1.25']['cells']
  assert [cell['best'] for cell in rms] == [False, True]
  assert [cell['better'] for cell in rms] == [None, True]
  assert [cell['best'] for cell in delta] == [True, False]
  assert [cell['better'] for cell in delta] == [None, False]
  assert rows['mIoU7']['note'] == 'flat, sky'


def test_other_protocols_are_refused(tmp_path):
  folders = [
    hand.write_run(tmp_path / 'a'),
    hand.write_run(tmp_path / 'b', protocol={'images': 4}),
  ]
  with pytest.raises(errors.UserError, match='images=4'):
    sections.make_tables({f: _figures(f) for f in folders})
