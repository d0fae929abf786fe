import functools
import os
import shutil

import numpy as np
import pytest
import tensorflow_datasets as tfds

from jaxuda import errors
from jaxuda.data.classes import labels
from jaxuda.data.datasets import folder
from jaxuda.data.datasets import registry
from tests.data import releases


def load(tmp_path):
  return registry.load(
    'folder',
    data_dir=str(tmp_path / 'tfds'),
    manual_dir=str(tmp_path / 'raw'),
  )


def read(builder, split='train'):
  fields = set(builder.info.features) & {'image', 'label', 'depth'}
  skip = dict.fromkeys(fields, tfds.decode.SkipDecoding())
  source = builder.as_data_source(split=split, decoders=skip)
  return {x['name'].decode(): x for x in source}


@pytest.mark.parametrize('splits', [('',), ('train', 'val')])
def test_ids(tmp_path, splits):
  ids = releases.folder(tmp_path / 'raw', splits=splits)
  builder = load(tmp_path)
  assert set(builder.info.splits) == {'train', *filter(None, splits)}
  metadata = registry.metadata(builder.info)
  assert metadata['depth_unit'] == 0.001
  assert metadata['depth_missing'] == [0]
  example = read(builder)['a b-1']
  label = labels.label_map('folder', 'cityscapes19')[
    releases.decode(example['label'])
  ]
  # 1 and 4 are road, 2 is sky, 255 is ignored.
  expected = np.select([ids == 2, ids == 255], [10, 255], 0)
  np.testing.assert_array_equal(label, expected)
  np.testing.assert_array_equal(
    releases.decode(example['depth']), releases.depth_of(1)
  )


def test_colours_in_json(tmp_path):
  root = tmp_path / 'raw'
  releases.folder(root, depth=False)
  (root / 'classes.yaml').unlink()
  (root / 'classes.json').write_text(
    '{"classes": {"car": "#00008e", "person": ["#dc143c"]}, "ignore": "rest"}'
  )
  picture = np.zeros((16, 24, 3), np.uint8)
  picture[0], picture[1], picture[2] = (0, 0, 142), (220, 20, 60), 7
  for i in range(2):
    releases.write(root / 'labels' / f'a b-{i}.png', picture)
  example = read(load(tmp_path))['a b-0']
  label = releases.decode(example['label'])
  assert [label[y, 0] for y in range(4)] == [26, 24, 0, 0]


def test_images_alone(tmp_path):
  releases.folder(tmp_path / 'raw', depth=False)
  for path in (tmp_path / 'raw' / 'labels').iterdir():
    path.unlink()
  builder = load(tmp_path)
  assert registry.metadata(builder.info)['unlabelled_splits'] == ['train']


def test_disparity_of_ones_own(tmp_path):
  releases.folder(tmp_path / 'raw')
  (tmp_path / 'raw' / 'classes.yaml').write_text(
    'classes: {road: [1, 4], sky: 2}\nignore: 255\n'
    'depth: {code: disparity, factor: 387.5}\n'
  )
  example = read(load(tmp_path))['a b-0']
  assert example['depth_factor'] == 387.5


def test_a_changed_table_is_prepared_again(tmp_path):
  releases.folder(tmp_path / 'raw')
  first = load(tmp_path).data_dir
  table = tmp_path / 'raw' / 'classes.yaml'
  table.write_text(table.read_text().replace('sky: 2', 'car: 2'))
  assert load(tmp_path).data_dir != first


def test_an_unlisted_id_is_named(tmp_path):
  releases.folder(tmp_path / 'raw')
  table = tmp_path / 'raw' / 'classes.yaml'
  table.write_text('classes: {road: 1}\nignore: [2]\n')
  with pytest.raises(errors.UserError, match=r'a b-0\.png has 4, 255, which'):
    load(tmp_path)


@pytest.mark.parametrize(
  ('text', 'message'),
  [
    ('a: [', 'cannot be read'),
    ('[]', 'has no classes'),
    ('classes: [road, sky]', 'has only names; expected the ids or colours'),
    ('classes: {road: 300}', 'road has 300; expected an id'),
    ('classes: {road: "red"}', "expected an id 0..255 or a colour '#rrggbb'"),
    ('classes: {road: 1, sky: 1}', '1 is listed twice'),
    ('classes: {road: 1, sky: "#000001"}', 'both ids and colours'),
    ('classes: {}', 'has no classes'),
    ('classes: {road: }', 'road has nothing; expected an id'),
    ('classes: {road: 1}\nids: 3', "unknown entry 'ids'"),
    ('classes: {road: 1}\ndepth: 3', 'depth is 3'),
    ('classes: {road: 1}\ndepth: {code: feet}', "depth.code is 'feet'"),
    ('classes: {road: 1}\ndepth: {unit: -1}', 'depth.unit is -1'),
    ('classes: {road: 1}\ndepth: {code: disparity}', 'depth.factor is None'),
    ('classes: {road: 1}\ndepth: {missing: [-1]}', 'depth.missing'),
    (
      'classes: {road: 1}\ndepth: {factor: 387.5}',
      'depth.factor is 387.5; expected none with the code metres',
    ),
    (
      'classes: {road: 1}\ndepth: {code: inverse, unit: 0.001}',
      'depth.unit is 0.001; expected none with the code inverse',
    ),
  ],
)
def test_mistakes_in_a_table(text, message):
  with pytest.raises(errors.UserError) as caught:
    folder.read_table(text, where='classes.yaml')
  assert message in str(caught.value)
  assert str(caught.value).startswith('classes.yaml')


@pytest.mark.parametrize('splits', [('',), ('train', 'val')])
def test_images_alone_need_no_table(tmp_path, splits):
  root = tmp_path / 'raw'
  releases.folder(root, splits=splits)
  (root / 'classes.yaml').unlink()
  for kind in ('labels', 'depth'):
    with pytest.raises(errors.UserError, match=r'no classes\.yaml'):
      load(tmp_path)
    shutil.rmtree(root / kind)
  metadata = registry.metadata(load(tmp_path).info)
  assert metadata['unlabelled_splits'] == [x or 'train' for x in splits]


def test_images_alone_in_an_archive_need_no_table(tmp_path):
  releases.folder(tmp_path / 'all', splits=('train', 'val'))
  (tmp_path / 'raw').mkdir()
  pack = functools.partial(shutil.make_archive, root_dir=tmp_path / 'all')
  pack(str(tmp_path / 'raw/images'), 'zip', base_dir='images')
  metadata = registry.metadata(load(tmp_path).info)
  assert metadata['unlabelled_splits'] == ['train', 'val']
  pack(str(tmp_path / 'raw/labels'), 'zip', base_dir='labels')
  with pytest.raises(errors.UserError, match=r'no classes\.yaml'):
    load(tmp_path)
  # Below any folders, too.
  for kind in ('images', 'labels'):
    (tmp_path / f'raw/{kind}.zip').unlink()
  (tmp_path / 'raw/a/b/c').mkdir(parents=True)
  shutil.move(tmp_path / 'all/images', tmp_path / 'raw/a/b/c/images')
  load(tmp_path)
  shutil.move(tmp_path / 'all/labels', tmp_path / 'raw/a/b/c/labels')
  with pytest.raises(errors.UserError, match=r'no classes\.yaml'):
    load(tmp_path)


def test_the_table_in_an_archive_with_everything_else(tmp_path):
  releases.folder(tmp_path / 'all', splits=('train', 'val'))
  (tmp_path / 'raw').mkdir()
  shutil.make_archive(str(tmp_path / 'raw/mine'), 'tar', tmp_path / 'all')
  whole = load(tmp_path)
  assert not registry.metadata(whole.info)['unlabelled_splits']
  (tmp_path / 'raw/classes.yaml').write_text('classes: {road: 300}')
  with pytest.raises(errors.UserError, match='road has 300'):
    load(tmp_path)


def test_no_table(tmp_path):
  (tmp_path / 'raw').mkdir()
  with pytest.raises(errors.UserError, match=r'no classes\.yaml'):
    load(tmp_path)


def test_folders_that_differ_in_pixels_alone_are_two_datasets(tmp_path):
  made = []
  for number, level in enumerate((0, 9)):
    root = tmp_path / str(number)
    releases.write(root / 'images' / 'a.bmp', np.full((6, 8, 3), level, 'u1'))
    # As out of an archive whose files all have one time.
    os.utime(root / 'images' / 'a.bmp', (1e9, 1e9))
    found = registry.load(
      'folder', data_dir=str(tmp_path / 'tfds'), manual_dir=str(root)
    )
    made.append(releases.decode(read(found)['a']['image']).max())
  assert made == [0, 9]
