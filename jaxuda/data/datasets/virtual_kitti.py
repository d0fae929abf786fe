"""Virtual KITTI (Gaidon et al., CVPR 2016; Cabon et al., 2020): 21260 images.

Download from https://europe.naverlabs.com: of 1.3.1 the archives rgb, scenegt
and depthgt, of 2.0.3 rgb, classSegmentation, depth and textgt. 'vkitti' is
1.3.1, which GIO-Ada used; 'vkitti/2.0.3' the newer one, its left camera. Read
are, with <video> one of five worlds and ten variations,

    vkitti_1.3.1_rgb/<video>/00000.png              1242x375
    vkitti_1.3.1_scenegt/<video>/00000.png          colours
    vkitti_1.3.1_scenegt/<world>_<variation>_scenegt_rgb_encoding.txt
    vkitti_1.3.1_depthgt/<video>/00000.png          16-bit, centimetres

    vkitti_2.0.3_rgb/<video>/frames/rgb/Camera_0/rgb_00000.jpg
    .../<video>/frames/classSegmentation/Camera_0/classgt_00000.png
    .../<video>/frames/depth/Camera_0/depth_00000.png

in any case and under any folder. 1.3.1 gives every car a colour of its own,
which only the text file of the video decodes. Depth 65535, 655.35 m, is the sky
or farther.
"""

import functools
import re

import numpy as np

from jaxuda import errors
from jaxuda.data.classes import label_tables
from jaxuda.data.files import decoding
from jaxuda.data.files import layout as layout_lib
from jaxuda.data.files import tree as tree_lib

_NAMES = ('vkitti', 'vkitti/1.3.1', 'vkitti/2.0.3')
_DEPTH = {'depth_code': 'metres', 'depth_unit': 0.01, 'depth_missing': []}
# Those of 2.0.3, the same in all of its videos.
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


def describe(name: str, manual_dir: str | None = None) -> layout_lib.Spec:
  """Returns 'vkitti' (1.3.1) or 'vkitti/2.0.3'.

  Raises:
    UserError: another name.
  """
  del manual_dir
  if name not in _NAMES:
    raise errors.UserError(
      f'unknown dataset {name!r}; expected one of {", ".join(_NAMES)}'
    )
  old = name != 'vkitti/2.0.3'
  kinds = ('image', 'label', 'depth', 'extra') if old else _FRAMES
  return layout_lib.Spec(
    dataset=name,
    ids='vkitti',
    homepage='https://europe.naverlabs.com/proxy-virtual-worlds',
    get='the archives rgb, scenegt and depthgt of 1.3.1'
    if old
    else 'the archives rgb, classSegmentation and depth of 2.0.3',
    spellings={k: (_spell_old(k) if old else _spell_new(k),) for k in kinds},
    expected={'train': 21260},
    scored=(),
    depth=_DEPTH,
    read_label=_read_old if old else _read_new,
    name_extra=_name_encoding if old else None,
  )


_WORLD = r'\d{4}'
_FRAMES = {
  'image': ('rgb', 'rgb', 'jpg'),
  'label': ('classSegmentation', 'classgt', 'png'),
  'depth': ('depth', 'depth', 'png'),
}


def _spell_old(kind: str) -> layout_lib.Spelling:
  folder = {'image': 'rgb', 'depth': 'depthgt'}.get(kind, 'scenegt')
  folder = f'vkitti_1.3.1_{folder}'
  if kind == 'extra':
    ending = 'scenegt_rgb_encoding.txt'
    return layout_lib.Spelling(
      shown=f'{folder}/<world>_<variation>_{ending}',
      pattern=rf'{folder}/(?P<key>{_WORLD}_[^/]+)_{ending}'.replace('.', r'\.'),
    )
  return layout_lib.Spelling(
    shown=f'{folder}/<world>/<variation>/00000.png',
    pattern=folder.replace('.', r'\.')
    + rf'/(?P<key>{_WORLD}/[^/]+/\d{{5}})\.png',
  )


def _spell_new(kind: str) -> layout_lib.Spelling:
  folder, stem, ending = _FRAMES[kind]
  below = f'frames/{folder}/Camera_0'
  return layout_lib.Spelling(
    shown=f'<scene>/<variation>/{below}/{stem}_00000.{ending}',
    # The folder and the number are captured apart, and joined as the key.
    pattern=rf'(?i:(?P<key>Scene\d\d/[^/]+)/{below}/{stem}_(?P<key2>\d{{5}})'
    rf'\.{ending})',
  )


def _name_encoding(key: str) -> str:
  """Returns the key of a frame's colour file."""
  return '_'.join(key.split('/')[:2])


@functools.lru_cache(maxsize=128)
def _read_encoding(tree: tree_lib.Tree, path: str) -> dict[int, int]:
  """Reads a video's colours: packed RGB -> place in `label_tables.VKITTI`."""
  where = tree.where(path)
  text = tree.read(path).decode('utf-8', 'replace')
  codes = {}
  for number, line in enumerate(text.splitlines()):
    match = re.fullmatch(
      r'(?P<name>[A-Za-z]+)(:\d+)?\s+(\d+)\s+(\d+)\s+(\d+)', line.strip()
    )
    if match is None:
      # The first line says what the columns are.
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
    color = tuple(int(x) for x in match.groups()[2:])
    codes[_pack(np.array(color)).item()] = label_tables.VKITTI.index(
      match['name']
    )
  if not codes:
    raise errors.UserError(
      f'{where} has no colours; expected lines of Category[:id] r g b'
    )
  return codes


def _read_old(tree: tree_lib.Tree, item: layout_lib.Item) -> np.ndarray:
  return _decode(tree, item, _read_encoding(tree, item.extra))


def _read_new(tree: tree_lib.Tree, item: layout_lib.Item) -> np.ndarray:
  return _decode(tree, item, _NEW_CODES)


def _pack(color: np.ndarray) -> np.ndarray:
  color = color.astype(np.int32)
  return color[..., 0] << 16 | color[..., 1] << 8 | color[..., 2]


_NEW_CODES = {
  _pack(np.array(color)).item(): label_tables.VKITTI.index(name)
  for name, color in COLORS.items()
}


def _decode(
  tree: tree_lib.Tree, item: layout_lib.Item, codes: dict[int, int]
) -> np.ndarray:
  where = tree.where(item.label)
  packed = _pack(decoding.read_colors(tree.read(item.label), where))
  known = np.array(sorted(codes), np.int32)
  place = np.searchsorted(known, packed).clip(max=len(known) - 1)
  wrong = known[place] != packed
  if wrong.any():
    value = int(packed[wrong][0])
    raise errors.UserError(
      f'{where} has the colour {(value >> 16, value >> 8 & 255, value & 255)}'
      f' in {wrong.sum()} pixels; expected the colours of '
      + (tree.where(item.extra) if item.extra else 'Virtual KITTI 2.0.3')
    )
  return np.array([codes[x] for x in known.tolist()], np.uint8)[place]
