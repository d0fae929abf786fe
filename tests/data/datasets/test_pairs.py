"""Every pair of configs/parts/pairs.py, from official files to batches."""

import numpy as np
import pytest
import scipy.io

from configs import common
from configs.parts import pairs
from jaxuda import errors
from jaxuda.data import pipeline
from jaxuda.data.classes import labels
from jaxuda.data.datasets import registry
from jaxuda.data.records import domain
from jaxuda.ui import command
from tests.data import releases

# Published sizes and rules: (height, width), fit, of source and target.
SIZES = {
  'synthia2cityscapes': ((760, 1280), (512, 1024), 'stretch'),
  'synthia2cityscapes_low': ((320, 640), (320, 640), 'stretch'),
  'gta2cityscapes': ((720, 1280), (512, 1024), 'stretch'),
  'synthia2mapillary': ((760, 1280), (768, 1024), 'pad'),
  'synthia2mapillary_low': ((320, 640), (320, 640), 'pad'),
  'vkitti2kitti': ((375, 1242), (375, 1242), 'stretch'),
  'vkitti2kitti_v2': ((375, 1242), (375, 1242), 'stretch'),
}
SMALL = ('streets', 'streets2camvid', 'streets2idd', 'camvid2idd')
WRITERS = {
  'synthia': releases.synthia,
  'gta5': lambda root: releases.gta5(root, mono=True),
  'cityscapes': releases.cityscapes,
  'mapillary': releases.mapillary,
  'kitti': releases.kitti,
  'vkitti': releases.vkitti,
  'vkitti/2.0.3': lambda root: releases.vkitti(root, version='2.0.3'),
}


@pytest.mark.parametrize('pair', SIZES)
def test_sizes(pair):
  data = common.base('dada', pair).data
  source, target, fit = SIZES[pair]
  assert (tuple(data.source.size), tuple(data.target.size)) == (source, target)
  assert data.target.fit == fit
  assert {data.source.image_resize, data.target.image_resize} == {'bicubic'}


@pytest.mark.parametrize('pair', pairs.PAIRS)
def test_labels_have_maps(pair):
  for classes in pairs.PAIRS[pair]['classes']:
    config = common.base('dada', pair, classes)
    count = len(labels.get_class_set(classes).names)
    assert config.num_classes == count
    for side in ('source', 'target'):
      domain.read_domain(config.data, side)
      family = registry.find(config.data[side].dataset)
      mapped = set(labels.label_map(family.ids, classes).tolist()) - {255}
      # SYNTHIA has no motorcycle, rider, bus or wall among its seven.
      assert mapped <= set(range(count))
      assert len(mapped) >= 7


@pytest.mark.parametrize('pair', SMALL)
def test_small_pairs_have_one_size(pair):
  # DACS and CorDA paste images onto one another.
  config = common.base('dacs', pair)
  source, target = config.data.source, config.data.target
  assert source.size == target.size
  drawn = {'streets2camvid': '_180x240', 'streets2idd': '_176x248'}
  if pair in drawn:
    assert source.dataset == f'streets/wide{drawn[pair]}'


def test_a_source_without_depth_says_how_to_make_it(tmp_path):
  data = common.base('dada', 'camvid2idd').data
  data.data_dir = str(tmp_path / 'tfds')
  for kind in ('train', 'trainannot'):
    releases.write(
      tmp_path / f'camvid/{kind}/a.png', np.full((6, 8), 10, np.uint8)
    )
  releases.idd_lite(tmp_path / 'idd')
  data.source.manual_dir = str(tmp_path / 'camvid')
  data.target.manual_dir = str(tmp_path / 'idd')
  batch = first_batch(data, 'idd7', needs=('image', 'label'))
  # A bicyclist is a living thing.
  assert (batch['source']['label'] == 2).all()
  with pytest.raises(
    errors.UserError,
    match=r'^camvid has no depth in split .train., which the source'
    r' needs; .*config\.data\.source\.depth_dir=FOLDER.* depth transfer.*$',
  ):
    first_batch(data, 'idd7')
  metres = np.full((6, 8), 1234, np.uint16)
  releases.write(tmp_path / 'depth/a.png', metres)
  (tmp_path / 'depth/depth.json').write_text(
    '{"depth_code": "metres", "depth_unit": 0.01}'
  )
  data.source.depth_dir = str(tmp_path / 'depth')
  depth = first_batch(data, 'idd7')['source']['depth']
  assert depth.shape == (2, 176, 248)
  np.testing.assert_allclose(depth, 12.34, rtol=1e-5)


def test_corda_reads_depth_of_the_target():
  data = common.base('corda', 'synthia2cityscapes').data
  assert data.target.dataset == 'cityscapes/stereo'
  data = common.base('corda', 'gta2cityscapes').data
  assert data.source.dataset == 'gta5/mono'
  assert data.source.depth_resize == 'linear'
  # Stereo for the target with either source: section 4.2, Table 3's caption.
  assert data.target.dataset == 'cityscapes/stereo'
  assert common.base('advent', 'gta2cityscapes').data.source.dataset == 'gta5'


def write_pair(tmp_path, pair, *, method='dada', size=(8, 12)):
  data = common.base(method, pair).data
  data.data_dir = str(tmp_path / 'tfds')
  for side in ('source', 'target'):
    root = tmp_path / side
    WRITERS[data[side].dataset.removesuffix('/mono')](root)
    data[side].manual_dir = str(root)
    data[side].size = size
  return data


def first_batch(data, classes, needs=('image', 'label', 'depth')):
  stream = pipeline.train_stream(
    data,
    classes=classes,
    needs={'source': needs, 'target': ('image',)},
    batch_size=2,
    seed=0,
  )
  return next(stream)


@pytest.mark.parametrize('pair', SIZES)
def test_from_files_to_batches(tmp_path, pair):
  data = write_pair(tmp_path, pair)
  classes = pairs.PAIRS[pair]['classes'][0]
  batch = first_batch(data, classes)
  assert batch['target'].keys() == {'image'}
  assert batch['target']['image'].shape == (2, 8, 12, 3)
  count = len(labels.get_class_set(classes).names)
  label = batch['source']['label']
  assert set(np.unique(label)) <= {*range(count), 255}
  assert (label != 255).any()
  depth = batch['source']['depth']
  assert depth.dtype == np.float32
  assert 0 <= depth.min() <= depth.max() <= np.float32(655.35)
  batches = list(pipeline.eval_stream(data, classes=classes, batch_size=1))
  assert sum(len(x['name']) for x in batches) == 2
  assert batches[0]['image'].shape == (1, 8, 12, 3)
  height, width = batches[0]['label'].shape[1:]
  if data.target.fit == 'pad':
    tall = next(x for x in batches if x['name'] == ['id-1_x'])
    # 24x16 in 8x12: the label is padded to 24x36.
    assert tall['label'].shape[1:] == (24, 36)
    assert (tall['label'][0, :, 16:] == 255).all()
    # The image shrinks to 8x5; the rest is black.
    assert not tall['image'][0, :, 5:].any()
    assert tall['image'][0, :, :5].any()
  else:
    assert (height, width) == releases.SIZE
  # At their own size, except for the same padding.
  whole = list(
    pipeline.eval_stream(data, classes=classes, batch_size=1, whole_images=True)
  )
  for x, y in zip(whole, batches, strict=True):
    assert x['image'].shape == (*y['label'].shape, 3)
    assert x['image'].any()
    np.testing.assert_array_equal(x['label'], y['label'])


def test_synthia_in_nineteen_classes(tmp_path):
  """Checks train ids of raw ids 0..22 against the official reader's table."""
  trained = {3: 0, 4: 1, 2: 2, 21: 3, 5: 4, 7: 5, 15: 6, 9: 7, 6: 8, 16: 9}
  trained |= {1: 10, 10: 11, 17: 12, 8: 13, 18: 14, 19: 15, 20: 16, 12: 17}
  trained |= {11: 18}
  data = write_pair(tmp_path, 'synthia2cityscapes', size=releases.SIZE)
  raw = releases.ids_of('synthia')
  expected = np.vectorize(lambda i: trained.get(i, 255))(raw)
  assert set(np.unique(expected)) == {*range(19), 255}
  batch = first_batch(data, 'cityscapes19', needs=('image', 'label'))
  np.testing.assert_array_equal(batch['source']['label'][0], expected)
  # True terrain, truck and train of the target are scored, too.
  (scored,) = pipeline.eval_stream(data, classes='cityscapes19', batch_size=2)
  assert {9, 14, 16} <= set(np.unique(scored['label']))


@pytest.mark.parametrize('pair', ['synthia2cityscapes', 'gta2cityscapes'])
def test_depth_of_cordas_target_is_resized_by_pillow(tmp_path, pair):
  metres = 1.0 + np.arange(16 * 24).reshape(releases.SIZE)
  releases.cityscapes(tmp_path / 'target', kind='stereo')
  for path in (tmp_path / 'target').rglob('*.mat'):
    scipy.io.savemat(path, {'depth_map': metres})
  data = command.read_config(f'corda:pair={pair}').data
  data.data_dir = str(tmp_path / 'tfds')
  data.target.update(
    {'manual_dir': str(tmp_path / 'target'), 'size': (8, 12), 'crop': (0, 0)}
  )
  stream = pipeline.train_stream(
    data,
    classes='cityscapes19',
    needs={'target': ('image', 'depth')},
    batch_size=1,
    seed=0,
  )
  # Pixels 1, 3, 5, ...; OpenCV would take 0, 2, 4, ...
  np.testing.assert_allclose(
    next(stream)['target']['depth'][0], metres[1::2, 1::2], rtol=1e-6
  )
  assert data.source.depth_resize != 'consistent'


def test_target_labels_are_not_needed(tmp_path):
  data = write_pair(tmp_path, 'synthia2cityscapes')
  whole = first_batch(data, 'synthia16')
  (tmp_path / 'target' / 'gtFine').rename(tmp_path / 'gtFine')
  bare = first_batch(data, 'synthia16')
  np.testing.assert_array_equal(
    bare['target']['image'], whole['target']['image']
  )
  with pytest.raises(errors.UserError, match="no label in split 'val'"):
    pipeline.eval_size(data)


def test_scores_at_the_network_size(tmp_path):
  data = write_pair(tmp_path, 'synthia2mapillary')
  data.target.eval_labels = 'input'
  batches = list(pipeline.eval_stream(data, classes='coarse7', batch_size=2))
  (batch,) = batches
  assert batch['label'].shape == (2, 8, 12)
  tall = batch['name'].index('id-1_x')
  assert (batch['label'][tall, :, 5:] == 255).all()
  assert (batch['label'][1 - tall, :, 5:] != 255).any()


@pytest.mark.parametrize('store', ['png', 'jpeg'])
def test_stored_at_the_training_size(tmp_path, store):
  data = write_pair(tmp_path, 'synthia2cityscapes')
  raw = first_batch(data, 'synthia16')['source']
  data.source.store = data.target.store = store
  small = first_batch(data, 'synthia16')['source']
  for field in ('label', 'depth', 'depth_valid'):
    np.testing.assert_array_equal(small[field], raw[field])
  difference = np.abs(small['image'].astype(int) - raw['image'])
  # Pillow itself, and TensorFlow's imitation of it; JPEG loses more.
  assert difference.max() <= (3 if store == 'png' else 40)
  (found,) = (tmp_path / 'tfds' / 'synthia').glob(f'plain_{store}_8x12_*')
  assert found.name.startswith(f'plain_{store}_8x12_bicubic_')
  # Labels that are scored keep their size.
  (batch,) = pipeline.eval_stream(data, classes='synthia16', batch_size=2)
  assert batch['label'].shape[1:] == releases.SIZE


def test_scores_on_labels_that_were_stored_small(tmp_path, capsys):
  data = write_pair(tmp_path, 'synthia2cityscapes')
  sizes = {}
  for store, split in (('png', 'train'), ('png', 'val'), ('raw', 'train')):
    data.target.store = store
    (batch,) = pipeline.eval_stream(
      data, classes='synthia16', batch_size=2, split=split
    )
    sizes[store, split] = batch['label'].shape[1:]
    told = (
      'labels of cityscapes train are scored at 12x8, as config.data.target'
    )
    said = told in capsys.readouterr().err
    assert said == (sizes[store, split] == (8, 12))
  assert sizes.pop(('png', 'train')) == (8, 12)
  assert set(sizes.values()) == {releases.SIZE}


def test_prepared_data_need_no_raw_files(tmp_path):
  data = write_pair(tmp_path, 'synthia2cityscapes')
  before = first_batch(data, 'synthia16')
  for side in ('source', 'target'):
    (tmp_path / side).rename(tmp_path / f'{side}_gone')
    data[side].manual_dir = None
  after = first_batch(data, 'synthia16')
  for field, value in before['source'].items():
    np.testing.assert_array_equal(after['source'][field], value)


def test_streets_cannot_be_stored_otherwise(tmp_path):
  data = common.base('dada', 'streets').data
  data.data_dir = str(tmp_path)
  data.source.store = 'png'
  with pytest.raises(errors.UserError, match='cannot be stored as png'):
    first_batch(data, 'cityscapes19')
