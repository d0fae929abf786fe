"""Miniatures of the datasets in their official layouts.

Every writer puts all ids of its table and the special values of depth into the
first example, and returns the raw ids of that example's label.
"""

import io
import json
import pathlib
import shutil
import tarfile
import zipfile

import cv2
import numpy as np
from PIL import Image
import scipy.io

from jaxuda.data.classes import label_tables
from jaxuda.data.datasets import virtual_kitti

SIZE = (16, 24)
# No depth, 1 cm, 10 m, the last value that counts, sky.
SPECIAL = (0, 1, 1000, 65534, 65535)


def ids_of(dataset):
  """Returns a label uint8 SIZE with every raw id of a dataset."""
  known = [x for x in label_tables.RAW_IDS[dataset] if x != 255]
  return np.resize(np.array(known, np.uint8), SIZE)


def depth_of(i=0):
  depth = np.full(SIZE, 500 + i, np.uint16)
  depth[0, : len(SPECIAL)] = SPECIAL
  return depth


def image_of(i=0, size=SIZE):
  rows, columns = np.mgrid[: size[0], : size[1]]
  return np.stack([rows * 9, columns * 9, 0 * rows + 10 * i], -1).astype(
    np.uint8
  )


def write(path, array, *, palette=False):
  path = pathlib.Path(path)
  path.parent.mkdir(parents=True, exist_ok=True)
  if array.dtype == np.uint16:
    if array.ndim == 3:
      array = array[..., ::-1]
    path.write_bytes(cv2.imencode('.png', array)[1].tobytes())
    return
  image = Image.fromarray(array)
  if palette:
    image = image.convert('P')
    # Two ids of one colour: only the indices tell them apart.
    image.putpalette([x // 2 for x in range(256) for _ in range(3)])
    image.frombytes(array.tobytes())
  image.save(path)


def synthia(root, *, labels='GT/LABELS', depth='Depth/Depth', channels=3, n=3):
  base = root / 'RAND_CITYSCAPES'
  ids = ids_of('synthia')
  for i in range(n):
    name = f'{i:07d}.png'
    write(base / 'RGB' / name, image_of(i))
    if labels == 'GT/LABELS':
      # Ids in red, instances in green.
      full = np.zeros((*SIZE, 3), np.uint16)
      full[..., 0], full[..., 1] = ids, 1000 + i
      write(base / labels / name, full)
    elif labels:
      write(base / labels / name, ids)
    if depth:
      raw = depth_of(i)
      stacked = np.stack([raw] * 3, -1) if channels == 3 else raw
      write(base / depth / name, stacked)
  return ids


def gta5(root, *, mono=False, n=3):
  ids = ids_of('gta5')
  for i in range(1, n + 1):
    name = f'{i:05d}.png'
    write(root / 'images' / name, image_of(i))
    write(root / 'labels' / name, ids, palette=True)
    if mono:
      write(root / 'disparity' / name, depth_of(i))
  return ids


def cityscapes(root, *, above='', kind='', splits=('train', 'val', 'test')):
  ids = ids_of('cityscapes')

  def place(package, folder, split, name):
    outer = f'{package}_trainvaltest' if above else ''
    return root / outer / folder / split / 'aachen' / name

  for split in splits:
    for i in range(2):
      stem = f'aachen_{i:06d}_000019'
      image = f'{stem}_leftImg8bit.png'
      write(place('leftImg8bit', 'leftImg8bit', split, image), image_of(i))
      gt = place('gtFine', 'gtFine', split, f'{stem}_gtFine_labelIds.png')
      write(gt, ids)
      if kind == 'disparity':
        name = f'{stem}_disparity.png'
        write(place('disparity', 'disparity', split, name), depth_of(i))
        camera = place('camera', 'camera', split, f'{stem}_camera.json')
        camera.parent.mkdir(parents=True, exist_ok=True)
        camera.write_text(
          json.dumps(
            {
              'extrinsic': {'baseline': 0.209313},
              'intrinsic': {'fx': 2262.52},
            }
          )
        )
      if kind == 'mono' and split == 'train':
        write(place('disparity', 'disparity', split, image), depth_of(i))
      if kind == 'stereo' and split == 'train':
        name = f'{stem}_depth_stereoscopic.mat'
        path = place('depth', 'depth', split, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        scipy.io.savemat(path, {'depth_map': metres_of(i)})
  return ids


def metres_of(i=0):
  metres = np.full(SIZE, 12.344 + i)
  # None, too near, the nearest, the last that counts, too far, NaN.
  metres[0, :6] = 0, 0.09, 0.1, 655.34, 700, np.nan
  return metres


def mapillary(root, *, version='1.2', names=('training', 'validation')):
  dataset = 'mapillary' if version == '1.2' else 'mapillary_v2'
  ids = ids_of(dataset)
  folder = 'labels' if version == '1.2' else 'v2.0/labels'
  for split in (*names, 'testing'):
    for i in range(2):
      # Portrait and landscape.
      size = SIZE if i == 0 else SIZE[::-1]
      write(root / split / 'images' / f'id-{i}_x.jpg', image_of(i, size))
      if split != 'testing':
        label = ids if i == 0 else ids.reshape(size)
        write(root / split / folder / f'id-{i}_x.png', label, palette=True)
  return ids


def kitti(root):
  ids = ids_of('kitti')
  for i in range(2):
    name = f'{i:06d}_10.png'
    write(root / 'data_semantics/training/image_2' / name, image_of(i))
    write(root / 'data_semantics/training/semantic' / name, ids)
    write(root / 'data_semantics/testing/image_2' / name, image_of(i))
  return ids


def idd_lite(root):
  ids = np.resize(np.array([*range(7), 255], np.uint8), SIZE)
  for split in ('train', 'val', 'test'):
    # File stems recur in other scenes.
    for i, scene in enumerate(('0', '472')):
      place = f'{split}/{scene}'
      write(root / f'leftImg8bit/{place}/0992_image.jpg', image_of(i))
      if split != 'test':
        write(root / f'gtFine/{place}/0992_label.png', ids)
        write(root / f'gtFine/{place}/0992_inst_label.png', ids)
  return ids


def vkitti(root, *, version='1.3.1'):
  ids = ids_of('vkitti')
  colors = np.array(
    [virtual_kitti.COLORS[x] for x in label_tables.VKITTI], np.uint8
  )
  if version == '1.3.1':
    # Its own colours, all of which are in the text file.
    ids = np.resize(
      np.arange(1, len(label_tables.VKITTI), dtype=np.uint8), SIZE
    )
    colors = np.array([[i, 0, 200 - i] for i in range(len(colors))], np.uint8)
    lines = ['Category(:id) r g b'] + [
      f'{name}{":7" if name in ("Car", "Van") else ""} {i} 0 {200 - i}'
      for i, name in enumerate(label_tables.VKITTI)
      if name != 'Undefined'
    ]
  for video in ('0001/clone', '0020/15-deg-left'):
    for i in range(2):
      if version == '1.3.1':
        name = f'{video}/{i:05d}.png'
        write(root / 'vkitti_1.3.1_rgb' / name, image_of(i))
        write(root / 'vkitti_1.3.1_scenegt' / name, colors[ids])
        write(root / 'vkitti_1.3.1_depthgt' / name, depth_of(i))
        text = video.replace('/', '_') + '_scenegt_rgb_encoding.txt'
        (root / 'vkitti_1.3.1_scenegt' / text).write_text('\n'.join(lines))
        continue
      number = f'{i:05d}'
      below = f'Scene{video[2:]}/frames'
      for camera in (0, 1):
        rgb = f'vkitti_2.0.3_rgb/{below}/rgb/Camera_{camera}'
        write(root / rgb / f'rgb_{number}.jpg', image_of(i))
        gt = f'vkitti_2.0.3_x/{below}/classsegmentation/Camera_{camera}'
        write(root / gt / f'classgt_{number}.png', colors[ids])
        depth = f'vkitti_2.0.3_depth/{below}/depth/Camera_{camera}'
        write(root / depth / f'depth_{number}.png', depth_of(i))
  return ids


def folder(root, *, splits=('',), depth=True):
  ids = np.resize(np.array([1, 2, 4, 255], np.uint8), SIZE)
  for split in splits:
    for i in range(2):
      write(root / 'images' / split / f'a b-{i}.jpg', image_of(i))
      write(root / 'labels' / split / f'a b-{i}.png', ids)
      if depth:
        write(root / 'depth' / split / f'a b-{i}.png', depth_of(i))
  (root / 'classes.yaml').write_text(
    'classes: {road: [1, 4], sky: 2}\nignore: [255]\n'
    + ('depth: {unit: 0.001, missing: [0]}\n' if depth else '')
  )
  return ids


def pack(root, path, *, compression=zipfile.ZIP_DEFLATED):
  """Moves a folder's files into a zip archive of their paths."""
  path.parent.mkdir(parents=True, exist_ok=True)
  with zipfile.ZipFile(path, 'w', compression) as opened:
    for file in sorted(root.rglob('*')):
      if file.is_file():
        opened.write(file, file.relative_to(root))
  shutil.rmtree(root)


def decode(encoded):
  """Decodes a stored picture like OpenCV and Pillow: raw ids or depth."""
  array = np.frombuffer(encoded, np.uint8)
  if cv2.imdecode(array, cv2.IMREAD_UNCHANGED).dtype == np.uint16:
    return cv2.imdecode(array, cv2.IMREAD_UNCHANGED)
  return np.asarray(Image.open(io.BytesIO(encoded)))


def pack_tar(root, out):
  """Makes an archive of each folder: plain tar, but .tar.gz of the labels."""
  out.mkdir()
  for part in sorted(root.iterdir()):
    packed = part.name.endswith(('scenegt', '_x'))
    ending, mode = ('tar.gz', 'w:gz') if packed else ('tar', 'w')
    with tarfile.open(out / f'{part.name}.{ending}', mode) as opened:
      opened.add(part, part.name)
  shutil.rmtree(root)
