"""Files that users nearly have right: each is a problem that is named."""

import pathlib

import numpy as np
from PIL import Image
import pytest

from jaxuda import errors
from jaxuda.data.doctor import checkup
from jaxuda.data.doctor import diagnosis
from tests.data import releases
from tests.data.doctor import test_own_files as own


def problems(root, name='folder'):
  report = diagnosis.diagnose(name, manual_dir=str(root))
  return {x.kind: (x.fatal, x.text) for x in report.problems}


@pytest.mark.parametrize(
  'splits',
  [
    ('Trainingsdaten', 'Testdaten'),
    ('my_train', 'my_val'),
    ('img_trn', 'img_tst'),
    ('trainsets', 'testset'),
    ('Lernen', 'Prüfung'),
    ('fold_0', 'fold_1'),
    ('train-labelled', 'val-labelled'),
    ('kitti_train.v1', 'kitti_dev.v1'),
    ('训练', '验证'),
  ],
)
def test_other_names_of_splits(tmp_path, splits):
  own.make(tmp_path, splits=splits)
  found = problems(tmp_path)
  assert found['folder that is not a split'][0]


@pytest.mark.parametrize(
  'folders', [('aachen', 'valley'), ('prova', 'ulm'), ('test drive', 'bremen')]
)
def test_folders_that_are_no_splits(tmp_path, folders):
  assert not problems(own.make(tmp_path, splits=folders))


@pytest.mark.parametrize('folder', ['images_val', 'val', 'new/val-pictures'])
def test_pictures_of_a_split_that_are_not_read(tmp_path, folder):
  own.make(tmp_path, splits=('',))
  own.write(tmp_path / folder / '9.png', own.picture(9))
  fatal, text = problems(tmp_path)['folder that is not read']
  assert not fatal
  assert f'{folder}/9.png exists but is not read, and there are no i' in text
  assert 'images of val; expected images/[<split>/]<name>.' in text


@pytest.mark.parametrize('splits', [('TRAİN', 'VALİD'), ('traın', 'VAL')])
def test_other_letters_that_regular_expressions_ignore(tmp_path, splits):
  own.make(tmp_path, splits=splits)
  report = own.diagnose(tmp_path)
  assert report.counts == dict.fromkeys(('train', 'val'), (3, 3, 0))
  assert not report.problems
  for path in [*(tmp_path / 'images' / splits[0]).iterdir()]:
    path.rename(path.with_suffix('.gif'))
  assert problems(tmp_path)['no image that can be read'][0]


@pytest.mark.parametrize('name', ['Classes.yaml', 'CLASSES.YML'])
def test_the_name_of_the_table_in_capitals(tmp_path, name):
  own.make(tmp_path)
  (tmp_path / 'classes.yaml').rename(tmp_path / name)
  report = own.diagnose(tmp_path)
  assert not report.problems
  assert not report.unused
  (tmp_path / 'classes.yaml').touch()
  with pytest.raises(errors.UserError, match='expected one table'):
    own.diagnose(tmp_path)


@pytest.mark.parametrize('camera', ['{"baseline": "a"}', '{"baseline": [1]}'])
def test_a_camera_whose_baseline_is_no_number(tmp_path, camera):
  releases.cityscapes(tmp_path, kind='disparity')
  (path, *_) = sorted(tmp_path.rglob('camera/train/*/*'))
  path.write_text(f'{{"extrinsic": {camera}, "intrinsic": {{"fx": 2}}}}')
  fatal, text = problems(tmp_path, 'cityscapes/disparity')['bad camera file']
  assert fatal
  assert f'{path} is not a camera file' in text


@pytest.mark.parametrize('name', ['synthia', 'vkitti'])
def test_depth_that_was_not_downloaded_is_noted(tmp_path, name):
  getattr(releases, name)(tmp_path)
  assert 'no depth' not in problems(tmp_path, name)
  for path in [*tmp_path.rglob('*.png')]:
    if 'epth' in path.relative_to(tmp_path).as_posix():
      path.unlink()
  assert problems(tmp_path, name)['no depth'][0] is False


@pytest.mark.parametrize('name', ['{}_mask.png', 'x{}.png', '{}.png.png'])
def test_labels_that_no_image_has(tmp_path, name):
  own.make(tmp_path, splits=('',))
  for path in [*(tmp_path / 'labels').rglob('*.png')]:
    path.rename(path.with_name(name.format(path.stem)))
  fatal, text = problems(tmp_path)['no labels']
  first = name.format(0)
  assert fatal
  assert f'/{first} (and 2 more) exists but is not read' in text


@pytest.mark.parametrize(
  ('name', 'old', 'new'),
  [
    ('cityscapes', 'gtFine_labelIds', 'gtFine_color'),
    ('mapillary', '/labels/', '/v2.0/labels/'),
    ('camvid', 'valannot', 'val_labels'),
    ('kitti', 'training/semantic', 'training/semantic_rgb'),
    ('synthia', 'GT/LABELS', 'GT/COLOR'),
    ('gta5', '/labels/', '/masks/'),
  ],
)
def test_labels_of_another_kind_are_named(tmp_path, name, old, new):
  if name == 'camvid':
    for split in ('train', 'val'):
      own.write(tmp_path / split / 'a.png', own.picture(0))
    own.write(tmp_path / 'valannot' / 'a.png', own.IDS)
  else:
    getattr(releases, name)(tmp_path)
  for path in [*tmp_path.rglob('*.png')]:
    place = pathlib.Path(str(path).replace(old, new))
    place.parent.mkdir(parents=True, exist_ok=True)
    path.rename(place)
  found = problems(tmp_path, name)
  fatal, text = found.get('scored split without labels') or found['no labels']
  assert fatal
  assert new.strip('/') in text
  assert 'is not read' in text


def test_a_dataset_to_train_on_without_labels_is_noted(tmp_path):
  releases.gta5(tmp_path)
  for path in tmp_path.rglob('labels/*'):
    path.unlink()
  assert problems(tmp_path, 'gta5')['no labels'][0] is False


def test_a_split_whose_images_are_not_read(tmp_path):
  own.make(tmp_path)
  for path in [*(tmp_path / 'images/val').iterdir()]:
    path.rename(path.with_suffix('.gif'))
  (tmp_path / 'images/test').mkdir()
  (tmp_path / 'images/test/notes.txt').write_text('none yet')
  fatal, text = problems(tmp_path)['no image that can be read']
  assert fatal
  assert 'images/val/ has 3 files' in text
  assert '0.gif' in text


def test_declared_depth_is_missing_where_it_is_trained(tmp_path):
  table = 'classes: {a: [0, 1, 2, 3]}\ndepth: {code: metres, unit: 0.001}'
  deep = np.linspace(30000, 5000, own.IDS.size).reshape(own.IDS.shape)
  own.make(tmp_path, table=table, depth=deep.astype(np.uint16))
  assert not problems(tmp_path)
  for path in (tmp_path / 'depth/val').iterdir():
    path.unlink()
  assert not problems(tmp_path)
  (tmp_path / 'depth/train').rename(tmp_path / 'depth/val2')
  (tmp_path / 'depth/val').rmdir()
  (tmp_path / 'depth/val2').rename(tmp_path / 'depth/val')
  fatal, text = problems(tmp_path)['no depth']
  assert fatal
  assert 'no depth for train;' in text


def test_colours_are_shown_as_the_table_has_them(tmp_path, capsys):
  own.make(tmp_path, table='classes: {a: "#0000fe"}\nignore: rest')
  for path in tmp_path.rglob('labels/*/*.png'):
    Image.new('RGB', own.IDS.shape[::-1], (1, 255, 0)).save(path)
  report = diagnosis.diagnose('folder', manual_dir=str(tmp_path))
  (first, _) = [x for x in report.problems if x.fatal]
  assert 'they have #01ff00; expected some of #0000fe' in first.text
  checkup.print_report(report)
  assert '130816' not in capsys.readouterr().out


@pytest.mark.parametrize('ids', ['9', '[]'])
def test_a_class_without_a_pixel_is_noted(tmp_path, ids):
  table = f'classes: {{sky: 1, wall: 2, box: 3, car: {ids}}}\nignore: [0]'
  own.make(tmp_path, table=table)
  fatal, text = problems(tmp_path)['class without a pixel']
  assert not fatal
  assert 'is car;' in text


def test_virtual_kitti_without_its_colours(tmp_path):
  releases.vkitti(tmp_path)
  for path in tmp_path.rglob('*_rgb_encoding.txt'):
    path.unlink()
  fatal, text = problems(tmp_path, 'vkitti')[
    'images without camera or colour file'
  ]
  assert fatal
  assert 'scenegt_rgb_encoding.txt' in text


@pytest.mark.parametrize('code', ['metres', 'inverse'])
def test_depth_turned_inside_out(tmp_path, code):
  # 65535 - millimetres is not far from double at the bottom.
  millimetres = np.linspace(49000, 5000, own.IDS.size).reshape(own.IDS.shape)
  raw = 65535 - millimetres if code == 'metres' else millimetres
  unit = ', unit: 0.001' if code == 'metres' else ''
  table = f'classes: {{a: [0, 1, 2, 3]}}\ndepth: {{code: {code}{unit}}}'
  own.make(tmp_path, table=table, depth=raw.astype(np.uint16))
  assert not problems(tmp_path)['depth the wrong way round'][0]


def test_an_empty_file_is_said_to_be_empty(tmp_path):
  own.make(tmp_path)
  (tmp_path / 'images/train/0.png').write_bytes(b'')
  (tmp_path / 'labels/train/1.png').write_text('version https://git-lfs')
  found = problems(tmp_path)
  assert '(it is empty)' in found['bad image'][1]
  assert '(it is in no known format)' in found['bad label'][1]


@pytest.mark.parametrize(
  'folder', ['images', 'images/train', 'labels/val', 'new/images', 'way']
)
def test_contact_sheets_do_not_become_examples(tmp_path, folder):
  root = own.make(tmp_path / 'data')
  (tmp_path / 'data/way').symlink_to('images', target_is_directory=True)
  options = {'dataset': 'folder', 'manual_dir': str(root)}
  with pytest.raises(errors.UserError, match='is among the files of folder'):
    checkup.check_pictures(str(root / folder), **options)
  for other in (root, root / 'pictures', tmp_path / 'images'):
    checkup.check_pictures(str(other), **options)


def test_contact_sheets_of_what_is_not_read_from_files(tmp_path):
  options = {'dataset': 'streets/source', 'manual_dir': str(tmp_path)}
  checkup.check_pictures(str(tmp_path), **options)


def test_a_contact_sheet_of_a_column_of_pixels(tmp_path):
  own.write(tmp_path / 'raw/images/0.png', np.zeros((500, 1, 3), np.uint8))
  report = own.diagnose(tmp_path / 'raw')
  (path,) = checkup.write_pictures(report, str(tmp_path / 'out'))
  with Image.open(path) as sheet:
    # As high as four widths of a cell, and the legend below.
    assert 1280 < sheet.height < 2560
