import io
import os
import pathlib
import shutil

import numpy as np
from PIL import Image
import pytest
import tensorflow_datasets as tfds

from jaxuda import errors
from jaxuda.data.datasets import registry
from jaxuda.data.store import prepared

REAL = pathlib.Path(__file__).parents[4] / 'shared' / 'data' / 'camvid'
LAYOUTS = {
  'segnet': ('{}', '{}annot', '.png'),
  'nested': ('{}/images', '{}/labels', '.jpg'),
}


def write_release(root, layout, splits=('train', 'val'), count=3):
  """Writes miniatures: label i of a split is i everywhere, except one 11."""
  images, labels, ending = LAYOUTS[layout]
  for split in splits:
    image_dir = root / images.format(split)
    label_dir = root / labels.format(split)
    image_dir.mkdir(parents=True)
    label_dir.mkdir(parents=True)
    for i in range(count):
      image = np.full((6, 8, 3), 20 * i, np.uint8)
      label = np.full((6, 8), i, np.uint8)
      label[0, 0] = 11
      Image.fromarray(image).save(image_dir / f'{split}_{i}{ending}')
      Image.fromarray(label).save(label_dir / f'{split}_{i}.png')
  return root


def read(builder, split):
  """Returns name -> decoded example, read by TFDS itself."""
  source = builder.as_data_source(split=split)
  return {x['name'].decode(): x for x in source}


def load(tmp_path, manual_dir):
  return registry.load(
    'camvid', data_dir=str(tmp_path / 'tfds'), manual_dir=str(manual_dir)
  )


@pytest.mark.parametrize('layout', LAYOUTS)
def test_both_layouts(tmp_path, layout):
  root = write_release(tmp_path / 'raw', layout)
  builder = load(tmp_path, root)
  assert set(builder.info.splits) == {'train', 'val'}
  examples = read(builder, 'val')
  assert sorted(examples) == ['val_0', 'val_1', 'val_2']
  label = examples['val_2']['label']
  assert label.shape == (6, 8, 1)
  assert label[0, 0] == 11
  assert (label.ravel()[1:] == 2).all()
  assert np.abs(examples['val_1']['image'].astype(int) - 20).max() <= 1


def test_splits_in_either_case(tmp_path):
  root = write_release(tmp_path / 'raw', 'segnet', splits=('train',))
  (root / 'train').rename(root / 'Train')
  assert len(read(load(tmp_path, root), 'train')) == 3


def test_files_are_stored_as_they_are(tmp_path):
  root = write_release(tmp_path / 'raw', 'nested', splits=['test'])
  builder = load(tmp_path, root)
  stored = builder.as_data_source(split='test', decoders=skip_decoding())
  for example in stored:
    name = example['name'].decode()
    files = root / 'test'
    assert example['image'] == (files / 'images' / f'{name}.jpg').read_bytes()
    assert example['label'] == (files / 'labels' / f'{name}.png').read_bytes()


def skip_decoding():
  return dict.fromkeys(('image', 'label'), tfds.decode.SkipDecoding())


def test_palette_labels_keep_their_indices(tmp_path):
  root = write_release(tmp_path / 'raw', 'segnet', splits=['val'], count=1)
  path = root / 'valannot' / 'val_0.png'
  label = Image.fromarray(np.array([[0, 3], [11, 7]], np.uint8)).convert('P')
  label.putdata([0, 3, 11, 7])
  label.putpalette(list(range(255, 255 - 36, -1)))
  label.save(path)
  Image.new('RGB', (2, 2)).save(root / 'val' / 'val_0.png')
  example = read(load(tmp_path, root), 'val')['val_0']
  assert example['label'].ravel().tolist() == [0, 3, 11, 7]


def test_prepared_once(tmp_path, monkeypatch):
  root = write_release(tmp_path / 'raw', 'nested')
  first = load(tmp_path, root)
  monkeypatch.setattr(prepared, 'prepare', None)
  assert load(tmp_path, root).data_dir == first.data_dir


@pytest.mark.parametrize('change', ['edit', 'add', 'remove', 'touch'])
def test_changed_files_are_prepared_again(tmp_path, change):
  root = write_release(tmp_path / 'raw', 'nested')
  before = load(tmp_path, root)
  images, labels = root / 'val' / 'images', root / 'val' / 'labels'
  if change == 'edit':
    Image.new('L', (8, 6), 9).save(labels / 'val_0.png')
  elif change == 'touch':
    os.utime(labels / 'val_0.png', ns=(1, 1))
  elif change == 'add':
    shutil.copy(images / 'val_0.jpg', images / 'val_9.jpg')
    shutil.copy(labels / 'val_0.png', labels / 'val_9.png')
  else:
    (images / 'val_0.jpg').unlink()
  after = load(tmp_path, root)
  assert after.data_dir != before.data_dir
  examples = read(after, 'val')
  assert len(examples) == {'add': 4, 'remove': 2}.get(change, 3)
  if change == 'edit':
    assert (examples['val_0']['label'] == 9).all()


def test_split_without_label_folder_is_unlabelled(tmp_path):
  root = write_release(tmp_path / 'raw', 'segnet')
  shutil.rmtree(root / 'trainannot')
  builder = load(tmp_path, root)
  assert builder.info.metadata['unlabelled_splits'] == ['train']
  assert builder.info.splits['train'].num_examples == 3


def break_release(root, how):
  """Breaks a 'segnet' miniature."""
  label = root / 'valannot' / 'val_1.png'
  if how == 'no label':
    label.unlink()
  elif how == 'id':
    Image.new('L', (8, 6), 12).save(label)
  elif how == 'size':
    Image.new('L', (6, 8), 1).save(label)
  elif how == 'rgb':
    Image.new('RGB', (8, 6)).save(label)
  elif how == 'truncated':
    label.write_bytes(label.read_bytes()[:-20])
  elif how == 'text':
    (root / 'val' / 'val_1.png').write_text('no picture')
  elif how == 'gif':
    out = io.BytesIO()
    Image.new('RGB', (8, 6)).save(out, format='GIF')
    (root / 'val' / 'val_1.png').write_bytes(out.getvalue())
  elif how == 'twice':
    Image.new('RGB', (8, 6)).save(root / 'val' / 'val_1.jpg')
  elif how == 'no images':
    for path in (root / 'val').iterdir():
      path.unlink()
  elif how == 'no splits':
    shutil.rmtree(root)
    root.mkdir()
  elif how == 'no folder':
    shutil.rmtree(root)


@pytest.mark.parametrize(
  ('how', 'message'),
  [
    ('no label', r'val_1\.png has no label; expected .*valannot/val_1\.png'),
    ('id', r'val_1\.png: label ids 12 are not in the table .* 0\.\.11'),
    ('size', r'valannot/val_1\.png is 6x8 and its image .*/val/val_1\.png 8x6'),
    ('rgb', r'valannot/val_1\.png is PNG with pixels of mode RGB'),
    ('truncated', r'valannot/val_1\.png cannot be read'),
    ('text', r'val/val_1\.png cannot be read'),
    ('gif', r'val/val_1\.png cannot be read .*GIF'),
    ('twice', r'val_1\.(png|jpg) and .*val_1\.(png|jpg) have the same name'),
    ('no images', r'val has no PNG or JPEG images; .*train/images/'),
    ('no splits', r'raw has no images; .* trainannot/ .*train/images/'),
    (
      'no folder',
      r'raw is not a folder or an archive; .* trainannot/ .*train/images/',
    ),
  ],
)
def test_bad_releases(tmp_path, how, message):
  root = write_release(tmp_path / 'raw', 'segnet')
  break_release(root, how)
  with pytest.raises(errors.UserError, match=message) as caught:
    load(tmp_path, root)
  assert '\n' not in str(caught.value)
  # A half-made dataset is not used: once repaired, it is whole.
  shutil.rmtree(root, ignore_errors=True)
  write_release(root, 'segnet')
  assert len(read(load(tmp_path, root), 'val')) == 3


def test_manual_dir_must_be_given(tmp_path):
  with pytest.raises(errors.UserError, match='manual_dir is not set'):
    registry.load('camvid', data_dir=str(tmp_path))
  with pytest.raises(errors.UserError, match='expected camvid'):
    registry.load('camvid/small', data_dir=str(tmp_path), manual_dir='x')


def test_unknown_dataset():
  with pytest.raises(errors.UserError, match=r"'kitty/train'.*camvid"):
    registry.load('kitty/train')


@pytest.mark.skipif(not REAL.is_dir(), reason='the real images are not here')
def test_real_files(tmp_path):
  builder = load(tmp_path, REAL)
  sizes = {name: x.num_examples for name, x in builder.info.splits.items()}
  assert sizes == {'train': 367, 'val': 101}
  counts = np.zeros(12, np.int64)
  for example in builder.as_data_source(split='val'):
    assert example['image'].shape == (180, 240, 3)
    counts += np.bincount(example['label'].ravel(), minlength=12)
  percent = [9.13, 25.86, 0.56, 29.10, 8.72, 16.33, 0.89, 3.09, 1.75, 0.65]
  np.testing.assert_allclose(
    100 * counts[:10] / counts.sum(), percent, atol=0.006
  )


def write_sequences(root, splits):
  for split, names in splits.items():
    for folder in (root / split, root / f'{split}annot'):
      folder.mkdir(parents=True)
      for name in names:
        Image.fromarray(np.zeros((6, 8), np.uint8)).save(folder / f'{name}.png')
  return root


def names_of(builder):
  return {split: sorted(read(builder, split)) for split in builder.info.splits}


def test_day_and_dusk(tmp_path):
  root = write_sequences(
    tmp_path / 'raw',
    {
      'train': ['0001TP_1', '0001TP_2', '0006R0_1'],
      'val': ['0016E5_1'],
      'test': ['0001TP_3', 'Seq05VD_1'],
    },
  )

  def load_domain(domain):
    return registry.load(
      f'camvid/{domain}',
      data_dir=str(tmp_path / 'tfds'),
      manual_dir=str(root),
    )

  assert names_of(load_domain('day')) == {
    'train': ['0006R0_1'],
    'val': ['0016E5_1'],
    'test': ['Seq05VD_1'],
  }
  assert names_of(load_domain('dusk')) == {
    'train': ['0001TP_1', '0001TP_2'],
    'val': ['0001TP_3'],
  }
  with pytest.raises(errors.UserError, match=r"'camvid/dawn'.*camvid/dusk"):
    load_domain('dawn')


def test_dusk_without_test_images_holds_out_its_second_half(tmp_path):
  dusk = [f'0001TP_{i}' for i in range(5)]
  root = write_sequences(tmp_path / 'raw', {'train': [*dusk, 'x']})
  builder = registry.load(
    'camvid/dusk', data_dir=str(tmp_path / 'tfds'), manual_dir=str(root)
  )
  assert names_of(builder) == {'train': dusk[:3], 'val': dusk[3:]}


def test_dusk_images_for_validation_are_kept(tmp_path):
  names = {x: [f'0001TP_{x}', x] for x in ('train', 'val', 'test')}
  builder = registry.load(
    'camvid/dusk',
    data_dir=str(tmp_path / 'tfds'),
    manual_dir=str(write_sequences(tmp_path / 'raw', names)),
  )
  assert names_of(builder) == {x: [f'0001TP_{x}'] for x in names}


def test_no_dusk(tmp_path):
  root = write_sequences(tmp_path / 'raw', {'train': ['x']})
  with pytest.raises(
    errors.UserError,
    match='found no image of the sequence 0001TP',
  ):
    registry.load(
      'camvid/dusk', data_dir=str(tmp_path / 'tfds'), manual_dir=str(root)
    )


def test_a_single_dusk_image_cannot_be_halved(tmp_path):
  root = write_sequences(tmp_path / 'raw', {'train': ['0001TP_1', 'x']})
  with pytest.raises(errors.UserError, match=r'0001TP_1, in train.*two'):
    registry.load(
      'camvid/dusk', data_dir=str(tmp_path / 'tfds'), manual_dir=str(root)
    )
