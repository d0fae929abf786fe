"""Names and colours of the built-in classes, as data; `labels` uses them."""

from collections.abc import Mapping, Sequence

# In the order of the 19 classes; RGB.
CITYSCAPES = {
  'road': (128, 64, 128),
  'sidewalk': (244, 35, 232),
  'building': (70, 70, 70),
  'wall': (102, 102, 156),
  'fence': (190, 153, 153),
  'pole': (153, 153, 153),
  'traffic light': (250, 170, 30),
  'traffic sign': (220, 220, 0),
  'vegetation': (107, 142, 35),
  'terrain': (152, 251, 152),
  'sky': (70, 130, 180),
  'person': (220, 20, 60),
  'rider': (255, 0, 0),
  'car': (0, 0, 142),
  'truck': (0, 0, 70),
  'bus': (0, 60, 100),
  'train': (0, 80, 100),
  'motorcycle': (0, 0, 230),
  'bicycle': (119, 11, 32),
}
_NOT_IN_16 = ('terrain', 'truck', 'train')
_NOT_IN_13 = (*_NOT_IN_16, 'wall', 'fence', 'pole')
NAMES_19 = tuple(CITYSCAPES)
NAMES_16 = tuple(x for x in NAMES_19 if x not in _NOT_IN_16)
NAMES_13 = tuple(x for x in NAMES_19 if x not in _NOT_IN_13)
# The classes of GIO-Ada on Virtual KITTI -> KITTI.
NAMES_10 = (
  *('road', 'building', 'pole', 'traffic light', 'traffic sign'),
  *('vegetation', 'terrain', 'sky', 'car', 'truck'),
)

# Name of a coarse class -> the classes in it; the first provides its colour.
COARSE_7 = {
  'flat': ('road', 'sidewalk'),
  'construction': ('building', 'wall', 'fence'),
  'object': ('pole', 'traffic light', 'traffic sign'),
  'nature': ('vegetation', 'terrain'),
  'sky': ('sky',),
  'human': ('person', 'rider'),
  'vehicle': ('car', 'truck', 'bus', 'train', 'motorcycle', 'bicycle'),
}
CAMVID_11 = {
  'sky': ('sky',),
  'building': ('building', 'wall'),
  'pole': ('pole',),
  'road': ('road',),
  'pavement': ('sidewalk',),
  'tree': ('vegetation', 'terrain'),
  'sign': ('traffic sign', 'traffic light'),
  'fence': ('fence',),
  'car': ('car', 'truck', 'bus', 'train'),
  'pedestrian': ('person',),
  'bicyclist': ('rider', 'bicycle', 'motorcycle'),
}
# The first level of IDD's hierarchy, as used in IDD-Lite.
IDD_7 = {
  'drivable': ('road',),
  'non-drivable': ('sidewalk', 'terrain'),
  'living thing': ('person', 'rider'),
  'vehicle': ('car', 'truck', 'bus', 'train', 'motorcycle', 'bicycle'),
  'roadside object': ('wall', 'fence', 'pole', 'traffic light', 'traffic sign'),
  'far object': ('building', 'vegetation'),
  'sky': ('sky',),
}

# Name of a class set -> {name of a class: the Cityscapes classes in it}.
PARTS: Mapping[str, Mapping[str, Sequence[str]]] = {
  'cityscapes19': {x: (x,) for x in NAMES_19},
  'synthia16': {x: (x,) for x in NAMES_16},
  'synthia13': {x: (x,) for x in NAMES_13},
  'kitti10': {x: (x,) for x in NAMES_10},
  'coarse7': COARSE_7,
  'camvid11': CAMVID_11,
  'idd7': IDD_7,
}

# Name of a class set -> {name of a mean IoU: the classes it is taken over}.
SUBSETS: Mapping[str, Mapping[str, Sequence[str]]] = {
  'cityscapes19': {'mIoU19': NAMES_19, 'mIoU16': NAMES_16, 'mIoU13': NAMES_13},
  'synthia16': {'mIoU16': NAMES_16, 'mIoU13': NAMES_13},
  'synthia13': {'mIoU13': NAMES_13},
  'kitti10': {'mIoU10': NAMES_10},
  'coarse7': {'mIoU7': tuple(COARSE_7)},
  'camvid11': {'mIoU11': tuple(CAMVID_11)},
  'idd7': {'mIoU7': tuple(IDD_7)},
}
