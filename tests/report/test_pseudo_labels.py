"""The precision of the pseudo-labels of runs, on the page."""

import json

from jaxuda.report import pseudo_labels
from jaxuda.report import reporting
from jaxuda.report import runs
from tests.report import hand


def write_labels(folder, shares, *, classes='coarse7'):
  """Writes a folder of labels with a precision for each class."""
  kinds = {'labelled': 0.5, 'recall': 0.25}
  per_class = {
    name: {'kept': 7, 'precision': share, **kinds}
    for name, share in shares.items()
  }
  summary = {'classes': classes, 'per_class': per_class, 'precision': 0.875}
  folder.mkdir()
  (folder / 'summary.json').write_text(json.dumps({**summary, **kinds}))
  return {'dataset': 'tiny', 'eval_split': 'val', 'label_dir': str(folder)}


def test_runs_stand_side_by_side(tmp_path):
  shares = {'flat': 0.5, 'sky': None}
  first = write_labels(tmp_path / 'labels1', shares)
  second = write_labels(tmp_path / 'labels2', {'flat': 1.0, 'sky': 0.125})
  other = write_labels(tmp_path / 'labels3', shares, classes='other')
  folders = [
    hand.write_run(tmp_path / 'a', data={'target': first}),
    hand.write_run(tmp_path / 'plain'),
    hand.write_run(tmp_path / 'b', data={'target': second}),
    hand.write_run(tmp_path / 'c', data={'target': other}),
  ]
  shown = hand.Page(reporting.render(reporting.collect(folders, predict=False)))
  heading, *rows = [
    [text for text, _ in row] for row in shown.table(pseudo='1')
  ]
  assert heading == [
    *('class', 'a labelled', 'precision', 'recall'),
    *('b labelled', 'precision', 'recall'),
  ]
  assert rows == [
    ['flat', '50.0', '50.0', '25.0', '50.0', '100.0', '25.0'],
    ['sky', '50.0', '–', '25.0', '50.0', '12.5', '25.0'],
    ['all', '50.0', '87.5', '25.0', '50.0', '87.5', '25.0'],
  ]
  # Other classes have other rows.
  assert shown.table(pseudo='2')[0][1][0] == 'c labelled'


def test_nothing_to_say_is_no_section(tmp_path):
  gone = {'dataset': 'tiny', 'eval_split': 'val', 'label_dir': '/nowhere'}
  unknown = write_labels(tmp_path / 'labels', {'flat': 0.5})
  path = tmp_path / 'labels' / 'summary.json'
  summary = json.loads(path.read_text())
  del summary['precision']
  path.write_text(json.dumps(summary))
  folders = [
    hand.write_run(tmp_path / 'plain'),
    hand.write_run(tmp_path / 'gone', data={'target': gone}),
    hand.write_run(tmp_path / 'unknown', data={'target': unknown}),
  ]
  assert pseudo_labels.describe(runs.read(folders)) == []
  content = reporting.collect(folders, predict=False)
  assert 'Pseudo-labels' not in hand.Page(reporting.render(content)).text
