"""Every builder, on a miniature in the official layout."""

import pathlib

import numpy as np
import pytest
import tensorflow_datasets as tfds

from jaxuda import errors
from jaxuda.data.datasets import registry
from jaxuda.data.doctor import diagnosis
from tests.data import releases

IDD = pathlib.Path(__file__).parents[4] / 'shared' / 'data' / 'idd_lite'


def load(tmp_path, name, root):
  return registry.load(
    name, data_dir=str(tmp_path / 'tfds'), manual_dir=str(root)
  )


def read(builder, split='train'):
  """Name -> example, encoded."""
  fields = set(builder.info.features) & {'image', 'label', 'depth'}
  skip = dict.fromkeys(fields, tfds.decode.SkipDecoding())
  source = builder.as_data_source(split=split, decoders=skip)
  return {x['name'].decode(): x for x in source}


def counts(builder):
  return {name: x.num_examples for name, x in builder.info.splits.items()}


@pytest.mark.parametrize('zipped', [False, True])
@pytest.mark.parametrize(
  ('labels', 'depth', 'channels'),
  [
    ('GT/LABELS', 'Depth/Depth', 3),
    ('parsed_LABELS', 'Depth', 1),
    ('synthia_mapped_to_cityscapes', 'Depth/Depth', 1),
  ],
)
def test_synthia(tmp_path, zipped, labels, depth, channels):
  root = tmp_path / 'raw'
  ids = releases.synthia(root, labels=labels, depth=depth, channels=channels)
  if zipped:
    releases.pack(root, tmp_path / 'zip' / 'SYNTHIA_RAND_CITYSCAPES.zip')
    root = tmp_path / 'zip'
  builder = load(tmp_path, 'synthia', root)
  assert counts(builder) == {'train': 3}
  metadata = registry.metadata(builder.info)
  assert metadata['depth_unit'] == 0.01
  assert f'{labels}/0000000.png' in metadata['layout']
  examples = read(builder)
  assert sorted(examples) == ['0000000', '0000001', '0000002']
  example = examples['0000002']
  np.testing.assert_array_equal(releases.decode(example['label']), ids)
  np.testing.assert_array_equal(
    releases.decode(example['depth']), releases.depth_of(2)
  )
  np.testing.assert_array_equal(
    releases.decode(example['image']), releases.image_of(2)
  )


def test_synthia_without_depth_can_be_had(tmp_path):
  releases.synthia(tmp_path / 'raw', depth='')
  builder = load(tmp_path, 'synthia', tmp_path / 'raw')
  assert registry.describe_fields(builder.info) == 'image, label'


def test_archives_to_be_unpacked_are_told(tmp_path):
  root = tmp_path / 'raw'
  root.mkdir()
  (root / 'SYNTHIA.rar').write_bytes(b'Rar!')
  with pytest.raises(errors.UserError, match=r'with unrar x SYNTHIA\.rar'):
    load(tmp_path, 'synthia', root)
  # If also unpacked next to it, it is only mentioned.
  releases.synthia(root)
  report = diagnosis.diagnose('synthia', manual_dir=str(root))
  texts = [x.text for x in report.problems if 'unrar' in x.text]
  assert len(texts) == 1
  assert texts[0].startswith(f'synthia: {root}/SYNTHIA.rar cannot be read as')
  assert not report.fatal
  assert load(tmp_path, 'synthia', root).info.splits['train'].num_examples == 3


def test_synthia_train_ids_are_refused(tmp_path):
  mapped = 'synthia_mapped_to_cityscapes'
  root = tmp_path / 'raw'
  releases.synthia(root, labels=mapped, depth='')
  folder = root / 'RAND_CITYSCAPES' / mapped
  for path in folder.iterdir():
    releases.write(path, np.resize(np.arange(17, dtype=np.uint8), (16, 24)))
  with pytest.raises(errors.UserError, match=r'none of the ids 19\.\.22'):
    load(tmp_path, 'synthia', root)
  releases.write(folder / '0000001.png', np.full((16, 24), 255, np.uint8))
  with pytest.raises(errors.UserError, match=r'0000001\.png has id 255'):
    load(tmp_path, 'synthia', root)


def test_synthia_labels_of_other_images(tmp_path):
  mapped = 'synthia_mapped_to_cityscapes'
  root = tmp_path / 'raw'
  releases.synthia(root, labels=mapped, depth='')
  folder = root / 'RAND_CITYSCAPES' / 'RGB'
  for path in folder.iterdir():
    path.rename(folder / f'9{path.name[1:]}')
  report = diagnosis.diagnose('synthia', manual_dir=str(root))
  assert 'label without image' in [x.kind for x in report.problems]
  builder = load(tmp_path, 'synthia', root)
  assert registry.metadata(builder.info)['unlabelled_splits'] == ['train']


@pytest.mark.parametrize('zipped', [False, True])
def test_gta5(tmp_path, zipped):
  root = tmp_path / 'raw'
  ids = releases.gta5(root, mono=True)
  if zipped:
    # The publisher's parts, with disparity next to them.
    for kind in ('images', 'labels'):
      (root / 'part' / kind).parent.mkdir(exist_ok=True)
      (root / kind).rename(root / 'part' / kind)
      releases.pack(root / 'part', root / f'01_{kind}.zip')
  builder = load(tmp_path, 'gta5/mono', root)
  assert counts(builder) == {'train': 3}
  assert registry.metadata(builder.info)['depth_code'] == 'inverse'
  example = read(builder)['00003']
  np.testing.assert_array_equal(releases.decode(example['label']), ids)
  np.testing.assert_array_equal(
    releases.decode(example['depth']), releases.depth_of(3)
  )
  plain = load(tmp_path, 'gta5', root)
  assert registry.describe_fields(plain.info) == 'image, label'


def test_gta5_sizes_may_differ(tmp_path):
  releases.gta5(tmp_path / 'raw')
  small = np.zeros((8, 8), np.uint8)
  releases.write(tmp_path / 'raw/labels/00002.png', small)
  example = read(load(tmp_path, 'gta5', tmp_path / 'raw'))['00002']
  assert releases.decode(example['label']).shape == (8, 8)


@pytest.mark.parametrize('form', ['plain', 'above', 'zip'])
@pytest.mark.parametrize('kind', ['', 'disparity', 'stereo', 'mono'])
def test_cityscapes(tmp_path, form, kind):
  root = tmp_path / 'raw'
  ids = releases.cityscapes(root, above=form == 'above', kind=kind)
  if form == 'zip':
    for i, part in enumerate(sorted(root.iterdir())):
      (root / 'part').mkdir()
      part.rename(root / 'part' / part.name)
      releases.pack(root / 'part', tmp_path / 'zip' / f'{i}_trainvaltest.zip')
    root = tmp_path / 'zip'
  name = f'cityscapes/{kind}' if kind else 'cityscapes'
  builder = load(tmp_path, name, root)
  assert counts(builder) == {'train': 2, 'val': 2, 'test': 2}
  metadata = registry.metadata(builder.info)
  assert metadata['unlabelled_splits'] == ['test']
  example = read(builder)['aachen_000001_000019']
  np.testing.assert_array_equal(releases.decode(example['label']), ids)
  if kind in ('disparity', 'mono'):
    np.testing.assert_array_equal(
      releases.decode(example['depth']), releases.depth_of(1)
    )
  if kind == 'disparity':
    assert example['depth_factor'] == pytest.approx(0.209313 * 2262.52)
    assert metadata['depthless_splits'] == ['test']
  if kind == 'stereo':
    raw = releases.decode(example['depth'])
    assert raw[0, :6].tolist() == [65535, 65535, 10, 65534, 65535, 65535]
    assert (raw[1:] == 1334).all()
    assert metadata['depth_missing'] == [65535]
    assert metadata['depthless_splits'] == ['val', 'test']


def test_cityscapes_without_train_labels(tmp_path):
  root = tmp_path / 'raw'
  releases.cityscapes(root)
  (root / 'gtFine' / 'train').rename(tmp_path / 'elsewhere')
  builder = load(tmp_path, 'cityscapes', root)
  assert registry.metadata(builder.info)['unlabelled_splits'] == [
    'train',
    'test',
  ]


@pytest.mark.parametrize('version', ['1.2', '2.0'])
@pytest.mark.parametrize('zipped', [False, True])
def test_mapillary(tmp_path, version, zipped):
  root = tmp_path / 'raw'
  names = ('training', 'validation') if zipped else ('train', 'validation')
  ids = releases.mapillary(root, version=version, names=names)
  if zipped:
    releases.pack(root, tmp_path / 'zip' / 'vistas.zip')
    root = tmp_path / 'zip'
  name = 'mapillary' if version == '1.2' else 'mapillary_v2'
  builder = load(tmp_path, name, root)
  assert counts(builder) == {'train': 2, 'val': 2, 'test': 2}
  examples = read(builder, 'val')
  for i, shape in ((0, (16, 24)), (1, (24, 16))):
    label = releases.decode(examples[f'id-{i}_x']['label'])
    np.testing.assert_array_equal(label, ids.reshape(shape))


@pytest.mark.parametrize('zipped', [False, True])
def test_kitti(tmp_path, zipped):
  root = tmp_path / 'raw'
  ids = releases.kitti(root)
  if zipped:
    releases.pack(root, tmp_path / 'zip' / 'data_semantics.zip')
    root = tmp_path / 'zip'
  builder = load(tmp_path, 'kitti', root)
  assert counts(builder) == {'train': 2, 'test': 2}
  assert registry.metadata(builder.info)['unlabelled_splits'] == ['test']
  label = read(builder)['000001_10']['label']
  np.testing.assert_array_equal(releases.decode(label), ids)


def test_idd_lite(tmp_path):
  root = tmp_path / 'raw'
  ids = releases.idd_lite(root)
  builder = load(tmp_path, 'idd_lite', root)
  assert counts(builder) == {'train': 2, 'val': 2, 'test': 2}
  assert registry.metadata(builder.info)['unlabelled_splits'] == ['test']
  examples = read(builder, 'val')
  assert sorted(examples) == ['0/0992', '472/0992']
  label = releases.decode(examples['472/0992']['label'])
  np.testing.assert_array_equal(label, ids)
  # Other files next to the labels are not labels without an image.
  report = diagnosis.diagnose('idd_lite', manual_dir=str(root))
  assert {x.kind for x in report.problems} == {
    'unexpected number of images',
    'picture in two splits',
  }


@pytest.mark.skipif(not IDD.is_dir(), reason='needs ../shared/data/idd_lite')
def test_idd_lite_itself(tmp_path):
  builder = load(tmp_path, 'idd_lite', IDD)
  assert counts(builder) == {'train': 1255, 'val': 148}
  ids = np.zeros(256, np.int64)
  for example in read(builder, 'val').values():
    label = releases.decode(example['label'])
    assert label.shape == (227, 320)
    ids += np.bincount(label.ravel(), minlength=256)
  np.testing.assert_allclose(
    100 * ids[:7] / ids.sum(),
    [33.90, 2.27, 1.54, 8.83, 11.52, 28.19, 13.73],
    atol=0.006,
  )


@pytest.mark.parametrize('version', ['1.3.1', '2.0.3'])
@pytest.mark.parametrize('tarred', [False, True])
def test_virtual_kitti(tmp_path, version, tarred):
  root = tmp_path / 'raw'
  ids = releases.vkitti(root, version=version)
  if tarred:
    releases.pack_tar(root, tmp_path / 'tar')
    root = tmp_path / 'tar'
  builder = load(tmp_path, f'vkitti/{version}', root)
  assert counts(builder) == {'train': 4}
  name = '0020/15-deg-left/00001'
  if version == '2.0.3':
    name = 'Scene20/15-deg-left/00001'
  example = read(builder)[name]
  np.testing.assert_array_equal(releases.decode(example['label']), ids)
  np.testing.assert_array_equal(
    releases.decode(example['depth']), releases.depth_of(1)
  )


def test_virtual_kitti_colours_are_each_videos(tmp_path):
  root = tmp_path / 'raw'
  releases.vkitti(root)
  encoding = next((root / 'vkitti_1.3.1_scenegt').glob('0001_clone*.txt'))
  encoding.write_text(encoding.read_text().replace('Van:7 14', 'Van:7 15'))
  with pytest.raises(errors.UserError, match=r'colour \(14, 0, 186\)'):
    load(tmp_path, 'vkitti', root)
  encoding.unlink()
  with pytest.raises(errors.UserError, match=r'rgb_encoding\.txt'):
    load(tmp_path, 'vkitti', root)
