import math

import pytest

from jaxuda import errors
from jaxuda.evaluate import tables
from jaxuda.run import workdir as workdir_lib

PROTOCOL = {
  'classes': 'two',
  'dataset': 'streets/target',
  'split': 'val',
  'images': 5,
  'label_resolution': [160, 320],
}


def _figures(*, road, train=None, miou=None, rms=None, **protocol):
  protocol = {**PROTOCOL, **protocol, 'unit': '%'}
  figures = {
    'mIoU2': {'value': miou, 'subset': ['road', 'train'], **protocol},
    'IoU': {'value': {'road': road, 'train': train}, **protocol},
  }
  if rms is not None:
    figures['depth_rms'] = {**protocol, 'value': rms, 'unit': 'm'}
    figures['depth_pixels'] = {**protocol, 'value': 9, 'unit': 'pixels'}
  return figures


def _mean(value):
  return tables.Mean(value, pytest.approx(math.nan, nan_ok=True), 1)


def test_runs_side_by_side():
  columns = {
    'a': {0: _figures(road=60.0, miou=60.0)},
    'b': {0: _figures(road=72.5, train=0.0, miou=36.25, rms=4.5)},
  }
  rows = tables.make_table(columns)
  assert [(row.kind, row.name) for row in rows] == [
    *(('IoU', 'road'), ('IoU', 'train'), ('mIoU', 'mIoU2')),
    ('depth', 'depth_rms'),
  ]
  road, train, mean, rms = rows
  assert road.means == {'a': _mean(60.0), 'b': _mean(72.5)}
  assert road.differences == {'b': _mean(12.5)}
  assert mean.subset == ('road', 'train')
  for row in (train, rms):
    assert (row.means['a'].count, row.differences['b'].count) == (0, 0)
  assert tables.show_rows(rows, differences=True) == [
    ['road', '60.00', '72.50', '+12.50'],
    ['train', '-', '0.00', '-'],
    [],
    ['mIoU2', '60.00', '36.25', '-23.75'],
    [],
    ['depth_rms', '-', '4.50', '-'],
  ]
  counted = tables.make_table(columns, counts=True)
  assert counted[-1].show() == ['depth_pixels', '-', '9.00']
  assert tables.make_table({'a': {}}) == []


def test_means_and_differences_over_seeds():
  columns = {
    'a': {1: _figures(road=18.0), 2: _figures(road=20.0)},
    # The first seed is missing; the third has no counterpart.
    'b': {2: _figures(road=23.0), 3: _figures(road=29.0)},
  }
  road, *_ = tables.make_table(columns)
  assert road.means['a'] == tables.Mean(19.0, math.sqrt(2), 2)
  assert road.means['b'] == tables.Mean(26.0, math.sqrt(18), 2)
  assert road.differences == {'b': _mean(3.0)}
  assert road.show(differences=True) == [
    *('road', '19.00 +- 1.41', '26.00 +- 4.24', '+3.00')
  ]


def test_average_of_few():
  assert tables.average([3.0]).value == 3.0
  assert math.isnan(tables.average([3.0]).deviation)
  assert math.isnan(tables.average([]).value)
  assert tables.average([1.0, 2.0, 3.0]) == tables.Mean(2.0, 1.0, 3)


@pytest.mark.parametrize(
  ('field', 'value'), [('images', 4), ('label_resolution', [8, 16])]
)
def test_other_protocols_are_refused(field, value):
  runs = {'a': _figures(road=1.0), 'b': _figures(road=1.0)}
  tables.check_protocols(runs)
  tables.check_protocols({})
  runs['c'] = _figures(road=1.0, **{field: value})
  with pytest.raises(errors.UserError) as caught:
    tables.check_protocols(runs)
  assert str(caught.value) == (
    f'c was scored with {field}={value}, a with {PROTOCOL[field]}; expected the'
    ' same'
  )


def test_a_run_without_labels_has_a_protocol_and_no_scores(tmp_path):
  figures = {'blind_entropy': {**PROTOCOL, 'value': 0.5}}
  assert tables.read_protocol(figures) == PROTOCOL
  workdir_lib.write_json(
    tmp_path / 'scores.json', {'last': {'figures': figures}}
  )
  with pytest.raises(errors.UserError, match='json has no scores: the target'):
    tables.read_figures(str(tmp_path), checkpoint='last')


def test_names_are_as_short_as_they_can_be():
  assert tables.unique_names(['x/a', 'x/b/']) == ['a', 'b']
  assert tables.unique_names(['x/a/1', 'y/a/1']) == ['x/a/1', 'y/a/1']
  with pytest.raises(errors.UserError, match='x/a/ is given twice'):
    tables.unique_names(['x/a', 'x/a/'])


def test_protocol_in_words():
  assert tables.describe_protocol(PROTOCOL) == (
    'streets/target val, 5 images at 160x320'
  )
  assert tables.format_size([160, 320], times='×') == '160×320'
  sizes = [[1, 2], [3, 4], [5, 6]]
  assert tables.format_size(sizes) == '1x2 and 2 other sizes'


def test_no_runs_are_named():
  with pytest.raises(errors.UserError, match='no folder of a run is given'):
    tables.unique_names([])
