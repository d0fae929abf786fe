"""Cityscapes (Cordts et al., CVPR 2016): 2975 / 500 / 1525 images, 2048x1024.

Download from https://www.cityscapes-dataset.com. These files are read:

    leftImg8bit/train/aachen/<stem>_leftImg8bit.png  leftImg8bit_trainvaltest
    gtFine/train/aachen/<stem>_gtFine_labelIds.png   gtFine_trainvaltest

and, for depth, depending on the name of the dataset:

* 'cityscapes': nothing;
* 'cityscapes/disparity': disparity/train/aachen/<stem>_disparity.png with
  camera/train/aachen/<stem>_camera.json (disparity_trainvaltest and
  camera_trainvaltest);
* 'cityscapes/stereo': depth/train/aachen/<stem>_depth_stereoscopic.mat, metres
  (Sakaridis et al., IJCV 2018), stored as centimetres; depth below 0.1 m or
  from 655.35 m on counts as missing, as in CorDA;
* 'cityscapes/mono': disparity/train/aachen/<stem>_leftImg8bit.png, 16-bit
  disparity of a monocular network.

Folders above these (leftImg8bit_trainvaltest/leftImg8bit/..., or others) make
no difference. Test labels are withheld. Train labels may be missing.
"""

import io
import json

import h5py
import numpy as np
import scipy.io

from jaxuda import errors
from jaxuda.data.files import specs
from jaxuda.data.files import tree as tree_lib

_NAMES = tuple(f'cityscapes{x}' for x in ('', '/disparity', '/stereo', '/mono'))
_METRES = {'depth_code': 'metres', 'depth_unit': 0.01, 'depth_missing': [65535]}


def describe(name: str) -> specs.Spec:
  """Returns the spec of 'cityscapes' or of one of its variants with depth.

  Raises:
    UserError: the name is unknown.
  """
  specs.check_name(name, _NAMES)
  variant = name.partition('/')[2]
  depth = {
    'disparity': _spell('disparity', 'disparity.png'),
    'stereo': _spell('depth', 'depth_stereoscopic.mat'),
    'mono': _spell('disparity', 'leftImg8bit.png'),
  }
  more = ', disparity_trainvaltest.zip and camera_trainvaltest.zip'
  official = variant == 'disparity'
  return specs.Spec(
    dataset=name,
    ids='cityscapes',
    homepage='https://www.cityscapes-dataset.com',
    get='leftImg8bit_trainvaltest.zip and gtFine_trainvaltest.zip'
    + (more if official else ''),
    spellings={
      'image': _spell('leftImg8bit', 'leftImg8bit.png'),
      'label': _spell('gtFine', 'gtFine_labelIds.png'),
      'depth': depth.get(variant, ()),
      'extra': _spell('camera', 'camera.json') if official else (),
    },
    splits={'train': 'train', 'val': 'val', 'test': 'test'},
    # Vegetation, sky, car.
    telltale=(21, 23, 26),
    expected={'train': 2975, 'val': 500, 'test': 1525},
    unlabelled=('test',),
    depth={
      'disparity': {'depth_code': 'disparity'},
      'stereo': _METRES,
      'mono': {'depth_code': 'inverse'},
    }.get(variant),
    needs_depth=bool(variant),
    read_depth=_read_stereo if variant == 'stereo' else None,
    factor=read_factor if official else None,
  )


def _spell(folder: str, ending: str) -> tuple[specs.Spelling]:
  shown = f'{folder}/<split>/<city>/<stem>_{ending}'
  return (specs.Spelling(shown=shown),)


def read_factor(tree: tree_lib.Tree, item: specs.Item) -> float:
  """Returns baseline times focal length, in metres times pixels.

  Raises:
    UserError: the file is not a Cityscapes camera file.
  """
  where = tree.where(item.extra)
  try:
    camera = json.loads(tree.read(item.extra))
    sides = camera['extrinsic']['baseline'], camera['intrinsic']['fx']
    factor = float(sides[0]) * float(sides[1])
  except (ValueError, KeyError, TypeError) as e:
    raise errors.UserError(
      f'{where} is not a camera file ({tree_lib.one_line(e)}); expected JSON'
      ' with extrinsic.baseline and intrinsic.fx'
    ) from e
  if not 0 < factor < 1e6:
    raise errors.UserError(
      f'{where} has baseline * fx = {factor}; expected a positive number'
    )
  return factor


def _read_stereo(tree: tree_lib.Tree, item: specs.Item) -> np.ndarray:
  where = tree.where(item.depth)
  metres = read_mat(tree.read(item.depth), where)
  # NaN fails both comparisons, so it is missing, too.
  known = (metres >= 0.1) & (metres < 655.35)
  raw = np.full(metres.shape, 65535, np.uint16)
  raw[known] = np.round(metres[known] * 100).astype(np.uint16)
  return raw


def read_mat(encoded: bytes, where: str) -> np.ndarray:
  """Reads `depth_map` from a MATLAB file of version 5 or 7.3.

  Args:
    encoded: bytes of the file.
    where: name of the file, for the error message.

  Returns:
    float64 [H, W] metres.

  Raises:
    UserError: the file is broken or of another kind.
  """
  try:
    if encoded[:19] == b'MATLAB 7.3 MAT-file':
      with h5py.File(io.BytesIO(encoded), 'r') as opened:
        # MATLAB's columns are HDF5's rows.
        metres = np.asarray(opened['depth_map']).T
    else:
      metres = scipy.io.loadmat(
        io.BytesIO(encoded), variable_names=['depth_map']
      )['depth_map']
    metres = np.asarray(metres, np.float64)
  except Exception as e:
    raise errors.UserError(
      f'{where} cannot be read as a MATLAB file ({tree_lib.one_line(e)});'
      ' expected one with depth_map in metres'
    ) from e
  if metres.ndim != 2 or not metres.size:
    raise errors.UserError(
      f'{where} has a depth_map of shape {metres.shape}; expected [H, W]'
    )
  return metres
