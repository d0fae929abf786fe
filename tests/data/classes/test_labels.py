import numpy as np
import pytest

from jaxuda import errors
from jaxuda.data.classes import labels

IGNORE = 255
# Raw id, 16 classes, 7 classes: DADA's ADVENT-style tables.
SYNTHIA = """
0 255 255 | 1 9 4 | 2 2 1 | 3 0 0 | 4 1 0 | 5 4 1 | 6 8 3 | 7 5 2 | 8 12 6
9 7 2 | 10 10 5 | 11 15 6 | 12 14 255 | 13 255 255 | 14 255 255 | 15 6 2
16 255 255 | 17 11 255 | 18 255 255 | 19 13 255 | 20 255 255 | 21 3 255
22 255 0
"""
# Raw id, 16 classes, 7 classes, 19 classes.
CITYSCAPES = """
7 0 0 0 | 8 1 0 1 | 11 2 1 2 | 12 3 1 3 | 13 4 1 4 | 17 5 2 5 | 19 6 2 6
20 7 2 7 | 21 8 3 8 | 22 255 3 9 | 23 9 4 10 | 24 10 5 11 | 25 11 5 12
26 12 6 13 | 27 255 6 14 | 28 13 6 15 | 29 255 6 255 | 30 255 6 255
31 255 6 16 | 32 14 6 17 | 33 15 6 18
"""


def rows(table):
  cells = table.replace('\n', '|').split('|')
  return [[int(x) for x in cell.split()] for cell in cells if cell.strip()]


@pytest.mark.parametrize('column', [(1, 'synthia16'), (2, 'coarse7')])
def test_synthia_ids(column):
  index, classes = column
  expected = np.full(256, IGNORE)
  for row in rows(SYNTHIA):
    expected[row[0]] = row[index]
  np.testing.assert_array_equal(labels.label_map('synthia', classes), expected)


@pytest.mark.parametrize('dataset', ['cityscapes', 'gta5'])
@pytest.mark.parametrize(
  'column', [(1, 'synthia16'), (2, 'coarse7'), (3, 'cityscapes19')]
)
def test_cityscapes_ids(dataset, column):
  index, classes = column
  expected = np.full(256, IGNORE)
  for row in rows(CITYSCAPES):
    expected[row[0]] = row[index]
  np.testing.assert_array_equal(labels.label_map(dataset, classes), expected)


def test_synthia_is_numbered_as_cityscapes():
  ours = labels.label_map('synthia', 'cityscapes19')
  names = labels.CLASS_SETS['cityscapes19'].names
  by_name = {
    'road': 3,
    'wall': 21,
    'terrain': 16,
    'sky': 1,
    'rider': 17,
    'truck': 18,
    'bus': 19,
    'train': 20,
    'motorcycle': 12,
    'bicycle': 11,
  }
  for name, raw in by_name.items():
    assert names[ours[raw]] == name
  assert (ours[[0, 13, 14, 22]] == IGNORE).all()


def test_streets_are_train_ids():
  full = labels.label_map('streets', 'cityscapes19')
  np.testing.assert_array_equal(full[:19], np.arange(19))
  assert (full[19:] == IGNORE).all()
  # Person, rider, car, truck ... of the 7-class column.
  np.testing.assert_array_equal(
    labels.label_map('streets', 'coarse7')[:19],
    [0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 4, 5, 5, 6, 6, 6, 6, 6, 6],
  )


def test_map_to_camvid():
  np.testing.assert_array_equal(
    labels.label_map('streets', 'camvid11')[:19],
    [3, 4, 1, 1, 7, 2, 6, 6, 5, 5, 0, 9, 10, 8, 8, 8, 8, 10, 10],
  )
  assert labels.CLASS_SETS['camvid11'].names == (
    'sky',
    'building',
    'pole',
    'road',
    'pavement',
    'tree',
    'sign',
    'fence',
    'car',
    'pedestrian',
    'bicyclist',
  )


def test_idd_has_two_levels_of_road_and_of_roadside():
  # Road, sidewalk, building, wall, fence, pole, light, sign, vegetation,
  # terrain, sky, person, rider, car, truck, bus, train, motorcycle, bicycle.
  expected = [0, 1, 5, 4, 4, 4, 4, 4, 5, 1, 6, 2, 2, 3, 3, 3, 3, 3, 3]
  for dataset in ('streets', 'synthia', 'gta5', 'cityscapes'):
    full = labels.label_map(dataset, 'cityscapes19')
    ours = labels.label_map(dataset, 'idd7')
    np.testing.assert_array_equal(
      ours[full < 19], np.take(expected, full[full < 19])
    )
    assert (ours[full == IGNORE] == IGNORE).all()
  own = labels.label_map('idd_lite', 'idd7')
  np.testing.assert_array_equal(own[:8], [*range(7), IGNORE])
  # Sky, building, pole, road, pavement, tree, sign, fence, car, pedestrian,
  # bicyclist.
  np.testing.assert_array_equal(
    labels.label_map('camvid', 'idd7')[:12],
    [6, 5, 4, 0, 1, 5, 4, 4, 3, 2, 2, IGNORE],
  )
  colors = labels.CLASS_SETS['idd7'].colors.tolist()
  assert colors[:2] == [[128, 64, 128], [244, 35, 232]]


def test_camvid_ids():
  own = labels.label_map('camvid', 'camvid11')
  np.testing.assert_array_equal(own[:12], [*range(11), IGNORE])
  full = labels.label_map('camvid', 'cityscapes19')
  np.testing.assert_array_equal(
    full[:12], [10, 2, 5, 0, 1, 8, 7, 4, 13, 11, 12, IGNORE]
  )
  # There and back is the identity.
  back = labels.merge_map('cityscapes19', 'camvid11')[full]
  np.testing.assert_array_equal(back[:11], np.arange(11))


def test_thirteen_classes_leave_out_wall_fence_pole():
  merged = labels.merge_map('synthia16', 'synthia13')
  np.testing.assert_array_equal(
    merged[:16], [0, 1, 2, 255, 255, 255, *range(3, 13)]
  )
  full = labels.CLASS_SETS['cityscapes19']
  assert full.subsets['mIoU16'] == (*range(9), 10, 11, 12, 13, 15, 17, 18)
  assert full.subsets['mIoU13'] == (0, 1, 2, *full.subsets['mIoU16'][6:])
  assert labels.CLASS_SETS['synthia16'].subsets == {
    'mIoU16': tuple(range(16)),
    'mIoU13': (0, 1, 2, *range(6, 16)),
  }


@pytest.mark.parametrize('classes', list(labels.CLASS_SETS))
def test_class_sets_are_whole(classes):
  class_set = labels.CLASS_SETS[classes]
  count = len(class_set.names)
  assert classes.endswith(str(count))
  assert class_set.colors.shape == (count, 3)
  assert class_set.colors.dtype == np.uint8
  assert len({tuple(x) for x in class_set.colors}) == count
  assert class_set.subsets[f'mIoU{count}'] == tuple(range(count))
  np.testing.assert_array_equal(
    labels.merge_map(classes, classes)[:count], np.arange(count)
  )


@pytest.mark.parametrize('dataset', ['streets', 'cityscapes', 'gta5'])
def test_merging_later_gives_the_same(dataset):
  full = labels.label_map(dataset, 'cityscapes19')
  for classes in ('synthia16', 'synthia13', 'camvid11'):
    np.testing.assert_array_equal(
      labels.merge_map('cityscapes19', classes)[full],
      labels.label_map(dataset, classes),
    )


def test_colors():
  colors = labels.get_class_set('cityscapes19').colors
  assert colors.dtype == np.uint8
  np.testing.assert_array_equal(
    colors[[0, 1, 18]], [[128, 64, 128], [244, 35, 232], [119, 11, 32]]
  )
  vehicle = labels.get_class_set('coarse7').colors[6]
  np.testing.assert_array_equal(vehicle, [0, 0, 142])


def test_ids_outside_the_table():
  labels.check_ids(np.array([0, 11]), dataset='camvid', file='a.png')
  with pytest.raises(errors.UserError, match=r'a\.png.* 12, 200 .*0\.\.11$'):
    labels.check_ids(np.array([200, 1, 12]), dataset='camvid', file='a.png')
  labels.check_ids(np.array([255, 18]), dataset='streets', file='a.png')
  with pytest.raises(errors.UserError, match=r'0\.\.18 or 255'):
    labels.check_ids(np.array([19]), dataset='streets', file='a.png')
  with pytest.raises(errors.UserError, match='and 12 more'):
    labels.check_ids(np.arange(20, 40), dataset='streets', file='a.png')


@pytest.mark.parametrize(
  ('call', 'message'),
  [
    (lambda: labels.label_map('camvid', 'coarse7'), 'cityscapes19, camvid11'),
    (lambda: labels.label_map('ade', 'coarse7'), 'streets, camvid'),
    (lambda: labels.label_map('camvid', 'city'), 'unknown class set'),
    (
      lambda: labels.merge_map('coarse7', 'synthia16'),
      'expected one of coarse7',
    ),
    (lambda: labels.merge_map('synthia13', 'camvid11'), 'cannot be merged'),
    (
      lambda: labels.check_ids(np.uint8(0), dataset='x', file='f'),
      'no label ids',
    ),
  ],
)
def test_mistakes_name_the_alternatives(call, message):
  with pytest.raises(errors.UserError, match=message):
    call()
