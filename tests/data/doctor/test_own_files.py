"""Users' own folders: what is read, what is reported, what is rejected."""

import os
import shutil
import unicodedata

import numpy as np
from PIL import Image
import pytest

from jaxuda import errors
from jaxuda.data.datasets import registry
from jaxuda.data.doctor import checkup
from jaxuda.data.doctor import diagnosis
from jaxuda.data.files import decoding
from jaxuda.data.store import findings

IDS = np.repeat(np.arange(4, dtype=np.uint8), 6)[:, None].repeat(32, 1)


def picture(number):
  generator = np.random.default_rng(number)
  return generator.integers(0, 256, (*IDS.shape, 3), np.uint8)


def write(path, array, **options):
  path.parent.mkdir(parents=True, exist_ok=True)
  Image.fromarray(array).save(path, **options)


def make(root, *, images='images/{}', splits=('train', 'val'), ids=IDS, **more):
  """Writes three labelled pictures per split, in the folders `images`."""
  for s, split in enumerate(splits):
    for i in range(3):
      folder = images.format(split)
      write(root / folder / f'{i}.png', picture(10 * s + i))
      label = folder.replace('images', 'labels')
      write(root / label / f'{i}.png', ids)
      if 'depth' in more:
        write(
          root / folder.replace('images', 'depth') / f'{i}.png', more['depth']
        )
  table = more.get('table', 'classes: {sky: 1, wall: 2, box: 3}\nignore: [0]')
  (root / 'classes.yaml').write_text(table)
  return root


def diagnose(root):
  return diagnosis.diagnose('folder', manual_dir=str(root))


def kinds(report):
  return {(x.kind, x.fatal) for x in report.problems}


@pytest.mark.parametrize(
  ('images', 'splits'),
  [
    ('images/{}', ('train', 'val', 'test')),
    ('images/{}', ('Train', 'VALID', 'Testing')),
    ('images/{}', ('training', 'validation', 'tst')),
    ('{}/images', ('trn', 'dev', 'test')),
    ('{}/images', ('TRAIN', 'eval', 'Test')),
    ('mine/{}/images', ('train', 'val', 'test')),
  ],
)
def test_usual_names_of_splits(tmp_path, images, splits):
  report = diagnose(make(tmp_path, images=images, splits=splits))
  assert report.counts == dict.fromkeys(('train', 'val', 'test'), (3, 3, 0))
  assert not report.problems


@pytest.mark.parametrize(
  ('images', 'splits', 'named'),
  [
    ('images/{}', ('train', 'vall'), 'vall/'),
    ('images/{}', ('train_2', 'val_2'), 'train_2/'),
    ('images/{}', ('train', 'holdout'), 'holdout/'),
    ('{}/images', ('train', 'night'), 'night/'),
    ('{}/images', ('fold_train', 'traning'), 'traning/'),
  ],
)
def test_a_folder_that_looks_like_a_split_is_named(
  tmp_path, images, splits, named
):
  report = diagnose(make(tmp_path, images=images, splits=splits))
  texts = [
    x.text for x in report.problems if x.kind == 'folder that is not a split'
  ]
  assert any(f' {named} looks like a split' in x for x in texts)
  assert report.fatal


def test_folders_of_scenes_are_no_splits(tmp_path):
  report = diagnose(make(tmp_path, splits=('monday', 'berlin/mitte')))
  assert report.counts == {'train': (6, 6, 0)}
  assert not report.problems


def test_names_are_compared_in_one_form(tmp_path):
  root = make(tmp_path)
  for kind, form in (('images', 'NFD'), ('labels', 'NFC')):
    folder = tmp_path / kind / 'train'
    (folder / '0.png').rename(folder / unicodedata.normalize(form, 'Köln.png'))
  report = diagnose(root)
  assert report.counts['train'] == (3, 3, 0)
  assert not report.problems
  builder = registry.load(
    'folder', data_dir=str(tmp_path / 'tfds'), manual_dir=str(root)
  )
  names = [x['name'].decode() for x in builder.as_data_source(split='train')]
  assert unicodedata.normalize('NFC', 'Köln') in names


def test_one_folder_of_masks_for_all_splits(tmp_path):
  make(tmp_path)
  shutil.rmtree(tmp_path / 'labels' / 'val')
  (tmp_path / 'labels' / 'val').symlink_to(tmp_path / 'labels' / 'train')
  (tmp_path / 'latest').symlink_to(tmp_path)
  (tmp_path / 'old').symlink_to(tmp_path / 'images')
  (tmp_path / 'old_notes.txt').symlink_to('nowhere')
  report = diagnose(tmp_path)
  assert report.counts == {'train': (3, 3, 0), 'val': (3, 3, 0)}
  assert not report.problems


def test_labels_in_two_archives(tmp_path):
  make(tmp_path)
  shutil.make_archive(
    str(tmp_path / 'labels'), 'zip', root_dir=tmp_path, base_dir='labels'
  )
  shutil.copy(tmp_path / 'labels.zip', tmp_path / 'labels (1).zip')
  assert not diagnose(tmp_path).problems
  shutil.move(tmp_path / 'labels', tmp_path / '.labels')
  assert kinds(diagnose(tmp_path)) == {('duplicate files', False)}
  write(tmp_path / 'labels' / 'train' / '0.png', IDS[::-1] // 2)
  shutil.make_archive(
    str(tmp_path / 'labels_fixed'), 'zip', root_dir=tmp_path, base_dir='labels'
  )
  shutil.rmtree(tmp_path / 'labels')
  report = diagnose(tmp_path)
  (text,) = (x.text for x in report.problems if x.fatal)
  assert 'labels_fixed.zip: labels/train/0.png have the same name' in text


def test_names_that_are_not_utf_8(tmp_path, capsys):
  make(tmp_path)
  for kind in ('images', 'labels'):
    folder = tmp_path / kind / 'train'
    (folder / '0.png').rename(folder / os.fsdecode(b'M\xfc\nn.png'))
  (tmp_path / os.fsdecode(b'\xff.txt')).touch()
  report = diagnose(tmp_path)
  assert report.counts['train'] == (3, 3, 0)
  checkup.print_report(report)
  assert r'\xff.txt' in capsys.readouterr().out.encode().decode()
  builder = registry.load(
    'folder', data_dir=str(tmp_path / 'tfds'), manual_dir=str(tmp_path)
  )
  names = [x['name'].decode() for x in builder.as_data_source(split='train')]
  assert r'M\xfc\nn' in names


def test_all_suffixes_that_can_be_read(tmp_path):
  make(tmp_path, splits=('train',))
  forms = {
    **{'JPG': 'JPEG', 'jpe': 'JPEG', 'jfif': 'JPEG', 'bmp': 'bmp'},
    **{'webp': 'webp', 'tif': 'TIFF', 'PPM': 'PPM', 'pnm': 'PPM'},
    **{'pbm': 'PPM', 'apng': 'PNG', 'mpo': 'MPO'},
  }
  for i, (suffix, form) in enumerate(forms.items(), 3):
    pixels, more = picture(i), {}
    if suffix in ('apng', 'mpo'):
      frames = [Image.fromarray(picture(90))]
      more = {'save_all': True, 'append_images': frames}
    if suffix == 'pbm':
      pixels = pixels[..., 0] > 127
    file = tmp_path / f'images/train/{i}.{suffix}'
    write(file, pixels, format=form, **more)
    write(tmp_path / f'labels/train/{i}.PNG', IDS, format='PNG')
  report = diagnose(tmp_path)
  assert report.counts == {'train': (14, 14, 0)}
  assert not report.problems
  builder = registry.load(
    'folder', data_dir=str(tmp_path / 'tfds'), manual_dir=str(tmp_path)
  )
  images = {
    x['name'].decode(): x['image']
    for x in builder.as_data_source(split='train')
  }
  np.testing.assert_array_equal(images['6'], picture(6))
  np.testing.assert_array_equal(images['10'], picture(10))
  white = (picture(11)[..., :1] > 127) * np.uint8(255)
  np.testing.assert_array_equal(images['11'], white.repeat(3, -1))
  np.testing.assert_array_equal(images['12'], picture(12))
  assert images['13'].shape == picture(13).shape


def test_files_that_are_not_used_are_listed(tmp_path, capsys):
  make(tmp_path)
  (tmp_path / 'notes.txt').write_text('by hand')
  (tmp_path / 'images/val/7.heic').write_text('')
  (tmp_path / 'images/val/._0.png').write_text('hidden')
  write(tmp_path / 'labels/val/9.png', IDS)
  report = diagnose(tmp_path)
  unused = {x.rpartition('/')[2]: why for x, why in report.unused}
  assert unused == {
    'notes.txt': 'not a path of folder',
    '7.heic': 'no image of another suffix than images/[<split>/]<name>.'
    '(png|jpg|jpeg|jpe|jfif|bmp|webp|tif|tiff|ppm|pgm|pbm|pnm|apng|mpo) is'
    ' read',
    '9.png': 'label without an example',
  }
  checkup.print_report(report)
  assert 'unused files' in capsys.readouterr().out


def test_labels_as_jpeg_are_refused_by_name(tmp_path):
  make(tmp_path)
  for path in sorted(tmp_path.glob('labels/*/*.png')):
    Image.open(path).save(path.with_suffix('.jpg'))
    path.unlink()
  report = diagnose(tmp_path)
  assert report.fatal
  text = '\n'.join(x.text for x in report.problems)
  assert 'labels/train/ has 6 files, none is <name>.png (first: 0.jpg)' in text
  assert 'val has images but no labels' in text
  assert all('JPEG changes values' in why for _, why in report.unused)


def test_no_labels_at_all_are_a_note_and_labels_in_train_alone_are_not(
  tmp_path,
):
  make(tmp_path)
  shutil.rmtree(tmp_path / 'labels' / 'val')
  report = diagnose(tmp_path)
  assert report.fatal
  assert kinds(report) == {('scored split without labels', True)}
  shutil.rmtree(tmp_path / 'labels')
  (tmp_path / 'classes.yaml').unlink()
  report = diagnose(tmp_path)
  assert not report.fatal
  (note,) = report.problems
  assert note.text.startswith(
    'folder: val has images but no labels, like all other splits; it can be'
    ' adapted to but not scored; expected <split>/labels/<name>.png or'
  )


def test_the_users_own_ids_are_shown(tmp_path, capsys):
  table = 'classes: {sky: 011, wall: 12}\nignore: rest'
  make(tmp_path, ids=IDS + np.uint8(10), table=table)
  report = diagnose(tmp_path)
  assert report.examined['train'].codes == {
    x: 3 * 6 * 32 for x in (10, 11, 12, 13)
  }
  assert not report.problems
  checkup.print_report(report)
  printed = capsys.readouterr().out
  lines = printed.splitlines()
  found = [[x.strip() for x in line.split('│')[1:-1]] for line in lines]
  assert ['11', 'sky', '25.0000%'] in found
  # Stored examples are not reported as the user's files.
  assert 'stored as' in printed
  assert 'raw ids' not in printed
  assert ['13', 'not in the table', '25.0000%'] in found


def test_every_pixel_ignored_is_fatal_everywhere(tmp_path):
  table = 'classes: {sky: 11, wall: 12}\nignore: rest'
  make(tmp_path, table=table)
  expected = 'is ignored: they have 0, 1, 2, 3; expected some of 11, 12'
  report = diagnose(tmp_path)
  assert report.fatal
  assert expected in report.problems[0].text
  with pytest.raises(errors.UserError, match=expected):
    registry.load(
      'folder', data_dir=str(tmp_path / 'tfds'), manual_dir=str(tmp_path)
    )


def test_a_few_labels_of_nothing_are_no_error(tmp_path):
  make(tmp_path, splits=('train',), ids=np.zeros_like(IDS))
  for i in range(3, 60):
    write(tmp_path / f'images/train/{i:03}.png', picture(i))
    write(tmp_path / f'labels/train/{i:03}.png', np.zeros_like(IDS))
  # Not among the files of a first check.
  write(tmp_path / 'labels/train/004.png', IDS)
  assert not diagnose(tmp_path).fatal
  registry.load(
    'folder', data_dir=str(tmp_path / 'tfds'), manual_dir=str(tmp_path)
  )


def test_one_picture_in_two_splits(tmp_path):
  make(tmp_path)
  # Other bytes, the same pixels.
  write(tmp_path / 'images/val/1.png', picture(2), compress_level=0)
  (problem,) = diagnose(tmp_path).problems
  assert problem.kind == 'picture in two splits'
  assert (
    '1 of the 3 pictures of val are in train, too (1 is 2 of' in problem.text
  )


def test_turned_pictures_fit_their_labels(tmp_path):
  make(tmp_path, splits=('train',))
  upright = picture(0)
  exif = Image.Exif()
  exif[0x0112] = 6
  turned = Image.fromarray(np.rot90(upright))
  turned.save(tmp_path / 'images/train/0.png', exif=exif)
  assert not diagnose(tmp_path).problems
  builder = registry.load(
    'folder', data_dir=str(tmp_path / 'tfds'), manual_dir=str(tmp_path)
  )
  found = {
    x['name'].decode(): x['image']
    for x in builder.as_data_source(split='train')
  }
  np.testing.assert_array_equal(found['0'], upright)


def test_a_label_that_was_not_turned_names_the_tag(tmp_path):
  make(tmp_path, splits=('train',))
  exif = Image.Exif()
  exif[0x0112] = 6
  Image.fromarray(picture(0)).save(tmp_path / 'images/train/0.png', exif=exif)
  (problem,) = diagnose(tmp_path).problems
  assert 'rotated by its EXIF orientation 6' in problem.text
  assert problem.fatal


def test_masks_of_one_bit(tmp_path):
  table = 'classes: {background: 0, lane: 1}\nignore: [255]'
  make(tmp_path, ids=IDS % 2, table=table)
  for path in tmp_path.glob('labels/*/*.png'):
    Image.fromarray(IDS % 2 == 1).save(path, bits=1)
  report = diagnose(tmp_path)
  assert report.examined['val'].codes == {0: 3 * 12 * 32, 1: 3 * 12 * 32}
  assert not report.problems


def test_a_split_without_labels_is_not_read_twice(tmp_path, monkeypatch):
  make(tmp_path, splits=('train',))
  for i in range(3, 60):
    write(tmp_path / f'images/train/{i:03}.png', picture(i))
  for path in tmp_path.glob('labels/*/*.png'):
    path.unlink()
  counts, read = [], findings.read_raw

  def count(layout, items):
    counts.append(len(items))
    return read(layout, items)

  monkeypatch.setattr(findings, 'read_raw', count)
  registry.load(
    'folder', data_dir=str(tmp_path / 'tfds'), manual_dir=str(tmp_path)
  )
  (looked_at,) = counts
  assert looked_at < 60


def test_a_label_is_decoded_once(tmp_path, monkeypatch):
  decoded, real = [], decoding.read_ids

  def count(data, where):
    decoded.append(where)
    return real(data, where)

  monkeypatch.setattr(decoding, 'read_ids', count)
  found = diagnose(make(tmp_path)).examined['val']
  assert len(decoded) == len(set(decoded)) == 6
  assert found.codes == {i: 3 * 6 * 32 for i in range(4)}


def test_labels_in_another_folder_are_named(tmp_path):
  make(tmp_path, splits=('train',))
  assert not diagnose(tmp_path).problems
  (tmp_path / 'labels').rename(tmp_path / 'LABELS')
  (tmp_path / 'images').rename(tmp_path / 'Images')
  assert not diagnose(tmp_path).problems
  (tmp_path / 'LABELS').rename(tmp_path / 'masks')
  report = diagnose(tmp_path)
  assert kinds(report) == {('no labels', True)}
  assert 'masks/train/0.png (and 2 more) exists but' in report.problems[0].text
  shutil.rmtree(tmp_path / 'masks')
  assert kinds(diagnose(tmp_path)) == {('no labels', False)}


def test_two_tables(tmp_path):
  make(tmp_path)
  shutil.copy(tmp_path / 'classes.yaml', tmp_path / 'classes.json')
  with pytest.raises(
    errors.UserError, match=r'classes\.yaml and classes\.json'
  ):
    diagnose(tmp_path)
