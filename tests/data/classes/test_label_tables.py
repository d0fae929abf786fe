import numpy as np
import pytest

from jaxuda import errors
from jaxuda.data.classes import label_tables
from jaxuda.data.classes import labels

# DADA's list, by id.
MAPILLARY = (
  *(255, 255, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 5, 5, 5, 5),
  *(0, 0, 255, 255, 4, 255, 0, 3, 255, 255, 255, 255, 255, 255, 255, 255, 255),
  *(255, 255, 255, 2, 2, 2, 2, 2, 2, 2, 2, 255, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6),
  *(6, 255, 255, 255),
)
# Raw ids of v2.0 that carry the names of v1.2.
SAME_NAMES = {
  0: 0, 1: 1, 4: 2, 5: 3, 6: 4, 7: 5, 12: 6, 13: 7, 14: 8, 15: 9, 17: 10,
  19: 11, 20: 12, 21: 13, 23: 14, 24: 15, 26: 16, 27: 17, 29: 18, 30: 19,
  32: 20, 33: 21, 34: 22, 45: 23, 59: 25, 60: 26, 61: 27, 62: 28, 63: 29,
  64: 30, 65: 31, 66: 32, 67: 33, 68: 34, 69: 36, 70: 37, 71: 38, 72: 39,
  73: 40, 74: 41, 76: 42, 77: 43, 84: 44, 85: 45, 87: 46, 88: 47, 97: 49,
  100: 50, 104: 51, 105: 52, 106: 53, 107: 54, 108: 55, 109: 56, 110: 57,
  111: 58, 112: 59, 113: 60, 114: 61, 116: 62, 118: 63, 120: 64, 123: 65,
}  # fmt: skip


def test_mapillary_is_dadas():
  table = labels.label_map('mapillary', 'coarse7')
  np.testing.assert_array_equal(table[:66], MAPILLARY)
  assert (table[66:] == 255).all()


def test_mapillary_v2_agrees_with_v1_by_name():
  table = labels.label_map('mapillary_v2', 'coarse7')
  for new, old in SAME_NAMES.items():
    assert table[new] == MAPILLARY[old], (new, old)
  assert (table[124:] == 255).all()


def test_virtual_kitti_has_the_ten_classes_of_kitti():
  table = labels.label_map('vkitti', 'kitti10')
  names = labels.get_class_set('kitti10').names
  by_name = {
    raw: names[table[i]]
    for i, raw in enumerate(label_tables.VKITTI)
    if table[i] != 255
  }
  assert by_name == {
    'Terrain': 'terrain',
    'Sky': 'sky',
    'Tree': 'vegetation',
    'Vegetation': 'vegetation',
    'Building': 'building',
    'Road': 'road',
    'TrafficSign': 'traffic sign',
    'TrafficLight': 'traffic light',
    'Pole': 'pole',
    'Truck': 'truck',
    'Car': 'car',
    'Van': 'car',
  }


def test_kitti_ids():
  table = labels.label_map('kitti', 'kitti10')
  raw = (7, 11, 17, 19, 20, 21, 22, 23, 26, 27)
  np.testing.assert_array_equal(table[list(raw)], np.arange(10))
  assert (np.delete(table, raw) == 255).all()


def test_seven_classes_do_not_become_more():
  with pytest.raises(errors.UserError, match=r'no map to .*one of coarse7'):
    labels.label_map('mapillary', 'synthia16')


def test_every_mapped_id_is_a_raw_id():
  for dataset, tables in label_tables.TABLES.items():
    for classes, table in tables.items():
      assert set(table) <= set(label_tables.RAW_IDS[dataset])
      count = len(labels.get_class_set(classes).names)
      assert set(table.values()) <= set(range(count))
