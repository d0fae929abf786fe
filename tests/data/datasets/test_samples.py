"""Real files of the datasets, where they are available."""

import json
import pathlib
import shutil

import numpy as np
from PIL import Image
import pytest

from jaxuda.data.classes import labels
from jaxuda.data.datasets import cityscapes
from jaxuda.data.datasets import registry
from jaxuda.data.files import decoding
from jaxuda.data.files import layout as layout_lib
from jaxuda.data.files import specs
from jaxuda.data.files import tree as tree_lib
from jaxuda.data.pixels import depth_codes

REAL = pathlib.Path(__file__).parents[4] / 'shared' / 'data' / 'samples'


pytestmark = pytest.mark.skipif(
  not REAL.is_dir(), reason='needs ../shared/data/samples'
)
SYNTHIA = {
  0: 63876, 1: 98789, 2: 79071, 3: 372344, 5: 3797, 6: 238375, 7: 6414,
  8: 105039, 9: 28, 12: 5067,
}  # fmt: skip


def count(ids):
  values, counts = np.unique(ids, return_counts=True)
  return dict(zip(values.tolist(), counts.tolist(), strict=True))


def read(name, root, split='train'):
  spec = registry.find(name).describe(name, str(root))
  layout = layout_lib.find(root, spec)
  layout_lib.raise_first(layout)
  return [(item, layout.read_label(item)) for item in layout.splits[split]]


def test_synthia_labels():
  path = REAL / 'synthia_seqs' / 'GT' / 'LABELS' / '000000.png'
  ids = decoding.read_synthia_ids(path.read_bytes(), str(path))
  assert ids.shape == (760, 1280)
  assert count(ids) == SYNTHIA


def test_synthia_from_file_to_record(tmp_path):
  # SEQS has names of six digits; the files are like RAND_CITYSCAPES.
  for folder in ('RGB', 'GT/LABELS'):
    (tmp_path / 'raw' / folder).mkdir(parents=True)
    shutil.copy(
      REAL / 'synthia_seqs' / folder / '000000.png',
      tmp_path / 'raw' / folder / '0000000.png',
    )
  builder = registry.load(
    'synthia', data_dir=str(tmp_path), manual_dir=str(tmp_path / 'raw')
  )
  (example,) = builder.as_data_source(split='train')
  assert count(example['label'][..., 0]) == SYNTHIA


def test_cityscapes_instances_are_their_classes():
  pairs = read('cityscapes', REAL / 'cityscapes')
  assert len(pairs) == 2
  for item, ids in pairs:
    assert ids.shape == (1024, 2048)
    name = f'{item.name}_gtFine_instanceIds.png'
    (path,) = (REAL / 'cityscapes').rglob(name)
    instance = np.asarray(Image.open(path)).astype(np.int64)
    expected = np.where(instance >= 1000, instance // 1000, instance)
    np.testing.assert_array_equal(ids, expected)


def test_cityscapes_train_ids():
  ((item, ids),) = read('cityscapes', REAL / 'cityscapes_tiny', 'val')
  (path,) = (REAL / 'cityscapes_tiny').rglob('*_labelTrainIds.png')
  assert item.name in path.name
  table = labels.label_map('cityscapes', 'cityscapes19')
  mapped, expected = table[ids], np.asarray(Image.open(path))
  wrong = mapped != expected
  # The two files were shrunk separately: 77 pixels on borders differ.
  assert wrong.mean() < 0.003
  for raw in np.unique(ids):
    theirs = count(expected[ids == raw])
    assert max(theirs, key=theirs.get) == table[raw]


def test_cityscapes_camera(tmp_path):
  path = REAL / 'cityscapes_camera_example.json'
  camera = json.loads(path.read_text())
  shutil.copy(path, tmp_path / 'camera.json')
  tree = tree_lib.Tree(tmp_path, dataset='cityscapes')
  item = specs.Item(name='x', image='', extra='camera.json')
  factor = cityscapes.read_factor(tree, item)
  assert camera['extrinsic']['baseline'] == pytest.approx(0.209313)
  assert factor == pytest.approx(0.209313 * 2262.52)
  raw = np.array([[2, 257, 5121]], np.uint16)
  metres, valid = depth_codes.measure(
    raw, depth_codes.DepthCode(code='disparity'), factor=factor
  )
  expected = np.minimum(factor / ((raw - 1.0) / 256), 655.35)
  np.testing.assert_allclose(metres, expected, rtol=1e-6)
  assert valid.numpy().all()


@pytest.mark.parametrize('name', ['mapillary', 'mapillary_v2'])
def test_mapillary_indices(name):
  ((_, ids),) = read(name, REAL / 'mapillary_vistas_tiny')
  assert ids.shape == (100, 100)
  version = 'v1.2' if name == 'mapillary' else 'v2.0'
  (path,) = (REAL / 'mapillary_vistas_tiny').rglob(f'{version}/labels/*.png')
  np.testing.assert_array_equal(ids, np.array(Image.open(path)))
  if name == 'mapillary':
    assert sorted(count(ids)) == [17, 44, 45]
  # One scene under two tables: building, and poles and lights.
  table = labels.label_map(name, 'coarse7')
  assert set(table[ids].ravel().tolist()) >= {1, 2}


def test_mapillary_versions_agree():
  coarse = {}
  for name in ('mapillary', 'mapillary_v2'):
    ((_, ids),) = read(name, REAL / 'mapillary_vistas_tiny')
    coarse[name] = labels.label_map(name, 'coarse7')[ids]
  same = coarse['mapillary'] == coarse['mapillary_v2']
  assert same.mean() > 0.95
