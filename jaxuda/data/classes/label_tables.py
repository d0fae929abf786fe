"""The class of each dataset's raw ids, as data; `labels` uses them.

Raw ids are those in a dataset's stored labels:

* 'streets': Cityscapes train ids 0..18, 255;
* 'camvid': the SegNet release, 0..10 and 11 = unlabelled;
* 'idd_lite': IDD-Lite, 0..6, 255;
* 'cityscapes', 'gta5', 'kitti' and 'folder': Cityscapes label ids 0..33; 34
  and 255 are void (a folder with other names has ids of its own: the positions
  of the names in its table, counted from 1; 0 and 255 are void);
* 'synthia': SYNTHIA-RAND-CITYSCAPES, 0..22;
* 'mapillary': Mapillary Vistas v1.2, 0..65; 'mapillary_v2': v2.0, 0..123;
* 'vkitti': indices in `VKITTI`; the files hold colours.

Sources: DADA (synthia, cityscapes, mapillary), ADVENT (gta5), GIO-Ada (kitti,
vkitti: the paper names ten classes; how Virtual KITTI's classes merge into them
is inferred).
"""

from collections.abc import Mapping

# Categories of Virtual KITTI; a stored label holds indices in this list.
VKITTI = (
  *('Undefined', 'Terrain', 'Sky', 'Tree', 'Vegetation', 'Building', 'Road'),
  *('GuardRail', 'TrafficSign', 'TrafficLight', 'Pole', 'Misc', 'Truck'),
  *('Car', 'Van'),
)

STREETS_19 = {i: i for i in range(19)}
LABEL_IDS_19 = {
  raw: i
  for i, raw in enumerate(
    (7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33)
  )
}
# Names that are in no class set.
LABEL_IDS_MORE = {'caravan': (29,), 'trailer': (30,)}
# Leaves out 14..16, 18 (guard rail, bridge, tunnel, polegroup), 9 and 10
# (parking, rail track). Caravan 29 and trailer 30 are vehicles.
LABEL_IDS_7 = {
  **dict.fromkeys((7, 8), 0),
  **dict.fromkeys((11, 12, 13), 1),
  **dict.fromkeys((17, 19, 20), 2),
  **dict.fromkeys((21, 22), 3),
  23: 4,
  **dict.fromkeys((24, 25), 5),
  **dict.fromkeys(range(26, 34), 6),
}
# Terrain 16, truck 18 and train 20 are in the table but hardly in the pictures.
SYNTHIA_19 = {
  raw: i
  for i, raw in enumerate(
    (3, 4, 2, 21, 5, 7, 15, 9, 6, 16, 1, 10, 17, 8, 18, 19, 20, 12, 11)
  )
}
SYNTHIA_7 = {
  **dict.fromkeys((3, 4, 22), 0),
  **dict.fromkeys((2, 5), 1),
  **dict.fromkeys((7, 9, 15), 2),
  6: 3,
  1: 4,
  10: 5,
  **dict.fromkeys((8, 11), 6),
}
CAMVID_11 = {i: i for i in range(11)}
# For reference: CamVid's sign includes lights, its car includes trucks and
# buses, and its bicyclist includes rider and bicycle (rider here).
CAMVID_19 = dict(enumerate((10, 2, 5, 0, 1, 8, 7, 4, 13, 11, 12)))
# By the same names: a bicyclist, here with the bicycle, is a living thing.
CAMVID_TO_IDD = dict(enumerate((6, 5, 4, 0, 1, 5, 4, 4, 3, 2, 2)))
IDD_7 = {i: i for i in range(7)}
# DADA's table: terrain 29 is flat, pothole 43 an object; bench 33, billboard 35
# and trash can 51 are ignored, and so is the padding, 65.
MAPILLARY_7 = {
  **dict.fromkeys((*range(7, 16), 23, 24, 29), 0),
  **dict.fromkeys((*range(2, 7), 16, 17, 18), 1),
  **dict.fromkeys(range(43, 51), 2),
  30: 3,
  27: 4,
  **dict.fromkeys(range(19, 23), 5),
  **dict.fromkeys(range(52, 63), 6),
}
# No paper uses v2.0: this is v1.2's table, carried over by class name. Lane
# markings 35..58 are flat; signboards 78..83 and cones 89 are ignored.
MAPILLARY_V2_7 = {
  **dict.fromkeys((*range(13, 26), *range(35, 59), 63), 0),
  **dict.fromkeys((*range(2, 13), *range(26, 30)), 1),
  **dict.fromkeys((77, *range(84, 89), *range(90, 104)), 2),
  64: 3,
  61: 4,
  **dict.fromkeys(range(30, 35), 5),
  **dict.fromkeys(range(105, 117), 6),
}
# A van is a car, as in most work on Virtual KITTI; T2Net ignores vans.
_VKITTI_NAMES = {
  'Road': 0,
  'Building': 1,
  'Pole': 2,
  'TrafficLight': 3,
  'TrafficSign': 4,
  'Tree': 5,
  'Vegetation': 5,
  'Terrain': 6,
  'Sky': 7,
  'Car': 8,
  'Van': 8,
  'Truck': 9,
}
VKITTI_10 = {VKITTI.index(name): i for name, i in _VKITTI_NAMES.items()}

_LABEL_IDS = {'cityscapes19': LABEL_IDS_19, 'coarse7': LABEL_IDS_7}

# Dataset -> class set -> {raw id: class}. If a dataset has cityscapes19, other
# class sets follow from it by merging.
TABLES: Mapping[str, Mapping[str, Mapping[int, int]]] = {
  'streets': {'cityscapes19': STREETS_19},
  'camvid': {
    'camvid11': CAMVID_11,
    'cityscapes19': CAMVID_19,
    'idd7': CAMVID_TO_IDD,
  },
  'idd_lite': {'idd7': IDD_7},
  'cityscapes': _LABEL_IDS,
  'gta5': _LABEL_IDS,
  'kitti': _LABEL_IDS,
  'folder': _LABEL_IDS,
  'synthia': {'cityscapes19': SYNTHIA_19, 'coarse7': SYNTHIA_7},
  'mapillary': {'coarse7': MAPILLARY_7},
  'mapillary_v2': {'coarse7': MAPILLARY_V2_7},
  'vkitti': {'kitti10': VKITTI_10},
}
# Cityscapes classes that are in a dataset's table but in none of its labels.
ABSENT: Mapping[str, tuple[str, ...]] = {
  'synthia': ('terrain', 'truck', 'train')
}
# CamVid's classes cannot be refined: its cityscapes19 table is not merged.
NOT_MERGED = ('camvid',)

RAW_IDS: Mapping[str, tuple[int, ...]] = {
  'streets': (*range(19), 255),
  'camvid': tuple(range(12)),
  'idd_lite': (*range(7), 255),
  **dict.fromkeys(('cityscapes', 'gta5', 'kitti', 'folder'), (*range(35), 255)),
  'synthia': tuple(range(23)),
  'mapillary': tuple(range(66)),
  'mapillary_v2': tuple(range(124)),
  'vkitti': tuple(range(len(VKITTI))),
}
