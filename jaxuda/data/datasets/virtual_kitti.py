"""Virtual KITTI (Gaidon et al., CVPR 2016; Cabon et al., 2020): 21260 images.

Download the archives rgb, scenegt and depthgt of 1.3.1, or rgb,
classSegmentation and depth of 2.0.3, from https://europe.naverlabs.com.
'vkitti' is 1.3.1, which GIO-Ada used; 'vkitti/2.0.3' is the left camera of the
newer one. These files are read, where <video> is one of five worlds and ten
variations:

    vkitti_1.3.1_rgb/<video>/00000.png              1242x375
    vkitti_1.3.1_scenegt/<video>/00000.png          colours
    vkitti_1.3.1_scenegt/<world>_<variation>_scenegt_rgb_encoding.txt
    vkitti_1.3.1_depthgt/<video>/00000.png          16-bit, centimetres

    vkitti_2.0.3_rgb/<video>/frames/rgb/Camera_0/rgb_00000.jpg
    .../<video>/frames/classSegmentation/Camera_0/classgt_00000.png
    .../<video>/frames/depth/Camera_0/depth_00000.png

under any folder, and for 2.0.3 regardless of case. 1.3.1 gives every car a
colour of its own, which only the text file of the video decodes. Depth 65535,
655.35 m, is the sky or farther.
"""

import functools
import re

import numpy as np

from jaxuda import errors
from jaxuda.data.classes import label_tables
from jaxuda.data.files import decoding
from jaxuda.data.files import specs
from jaxuda.data.files import tree as tree_lib

_OLD = {
  'image': 'vkitti_1.3.1_rgb/<world>/<variation>/00000.png',
  'label': 'vkitti_1.3.1_scenegt/<world>/<variation>/00000.png',
  'depth': 'vkitti_1.3.1_depthgt/<world>/<variation>/00000.png',
  'extra': 'vkitti_1.3.1_scenegt/<world>_<variation>_scenegt_rgb_encoding.txt',
}
_NEW = {
  kind: f'<scene>/<variation>/frames/{file}'
  for kind, file in (
    ('image', 'rgb/Camera_0/rgb_00000.jpg'),
    ('label', 'classSegmentation/Camera_0/classgt_00000.png'),
    ('depth', 'depth/Camera_0/depth_00000.png'),
  )
}
_NAMES = ('vkitti', 'vkitti/1.3.1', 'vkitti/2.0.3')
_DEPTH = {'depth_code': 'metres', 'depth_unit': 0.01, 'depth_missing': []}
# The colours of 2.0.3, which are the same in all of its videos.
COLORS = {
  'Terrain': (210, 0, 200),
  'Sky': (90, 200, 255),
  'Tree': (0, 199, 0),
  'Vegetation': (90, 240, 0),
  'Building': (140, 140, 140),
  'Road': (100, 60, 100),
  'GuardRail': (250, 100, 255),
  'TrafficSign': (255, 255, 0),
  'TrafficLight': (200, 200, 0),
  'Pole': (255, 130, 0),
  'Misc': (80, 80, 80),
  'Truck': (160, 60, 60),
  'Car': (255, 127, 80),
  'Van': (0, 139, 139),
  'Undefined': (0, 0, 0),
}


def describe(name: str) -> specs.Spec:
  """Returns the spec of 'vkitti' (1.3.1) or 'vkitti/2.0.3'.

  Raises:
    UserError: the name is unknown.
  """
  specs.check_name(name, _NAMES)
  old = name != 'vkitti/2.0.3'
  return specs.Spec(
    dataset=name,
    ids='vkitti',
    homepage='https://europe.naverlabs.com/proxy-virtual-worlds',
    get='the archives rgb, scenegt and depthgt of 1.3.1'
    if old
    else 'the archives rgb, classSegmentation and depth of 2.0.3',
    spellings={
      kind: (specs.Spelling(shown=shown, any_case=not old),)
      for kind, shown in (_OLD if old else _NEW).items()
    },
    expected={'train': 21260},
    scored=(),
    depth=_DEPTH,
    read_label=_read_old if old else _read_new,
  )


@functools.lru_cache(maxsize=128)
def _read_encoding(tree: tree_lib.Tree, path: str) -> dict[int, int]:
  """Returns the colours of a video: packed RGB -> index in `VKITTI`."""
  where = tree.where(path)
  text = tree.read(path).decode('utf-8', 'replace')
  codes = {}
  for number, line in enumerate(text.splitlines()):
    match = re.fullmatch(
      r'(?P<name>[A-Za-z]+)(:\d+)?\s+(\d+)\s+(\d+)\s+(\d+)', line.strip()
    )
    if match is None:
      # The first line is the header of the columns.
      if number and line.strip():
        raise errors.UserError(
          f'{where}: line {number + 1} is {line!r}; expected'
          ' Category[:id] r g b'
        )
      continue
    if match['name'] not in label_tables.VKITTI:
      raise errors.UserError(
        f'{where}: unknown category {match["name"]!r}; expected one of'
        f' {", ".join(label_tables.VKITTI)}'
      )
    color = decoding.pack_colors([int(x) for x in match.groups()[2:]])
    codes[color.item()] = label_tables.VKITTI.index(match['name'])
  if not codes:
    raise errors.UserError(
      f'{where} has no colours; expected lines of Category[:id] r g b'
    )
  return codes


def _read_old(tree: tree_lib.Tree, item: specs.Item) -> np.ndarray:
  return _decode(tree, item, _read_encoding(tree, item.extra))


def _read_new(tree: tree_lib.Tree, item: specs.Item) -> np.ndarray:
  return _decode(tree, item, _NEW_CODES)


_NEW_CODES = {
  decoding.pack_colors(color).item(): label_tables.VKITTI.index(name)
  for name, color in COLORS.items()
}


def _decode(
  tree: tree_lib.Tree, item: specs.Item, codes: dict[int, int]
) -> np.ndarray:
  where = tree.where(item.label)
  packed = decoding.pack_colors(
    decoding.read_colors(tree.read(item.label), where)
  )
  ids, known = decoding.look_up(packed, codes)
  if not known.all():
    value = int(packed[~known][0])
    raise errors.UserError(
      f'{where} has the colour {(value >> 16, value >> 8 & 255, value & 255)}'
      f' in {(~known).sum()} pixels; expected the colours of '
      + (tree.where(item.extra) if item.extra else 'Virtual KITTI 2.0.3')
    )
  return ids
