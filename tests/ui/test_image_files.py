import pathlib

from PIL import Image
import pytest

from jaxuda import errors
from jaxuda.ui import image_files


@pytest.fixture(name='folder')
def _folder(tmp_path):
  folder = tmp_path / 'images'
  for name in ('a.png', 'b.jpg', 'sub/b.bmp'):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new('RGB', (4, 4)).save(path)
  (folder / 'readme.txt').write_text('not a picture')
  return folder


def test_list_images(folder, tmp_path):
  names = [str(p.relative_to(folder)) for p in image_files.list_images(folder)]
  assert names == ['a.png', 'b.jpg', 'sub/b.bmp']
  with pytest.raises(errors.UserError, match='no folder'):
    image_files.list_images(tmp_path / 'missing')
  (tmp_path / 'empty').mkdir()
  # A phone's format, which nothing here reads.
  (tmp_path / 'empty' / 'a.HEIC').touch()
  with pytest.raises(errors.UserError, match=r'no image in .*empty'):
    image_files.list_images(tmp_path / 'empty')


def test_names_do_not_collide(folder):
  Image.new('RGB', (4, 4)).save(folder / 'b.png')
  paths = image_files.list_images(folder)
  names = image_files.name_outputs(paths, folder)
  assert names == [
    *map(pathlib.Path, ('a.png', 'b.jpg.png', 'b.png.png', 'sub/b.png'))
  ]


@pytest.mark.parametrize(
  ('given', 'expected'),
  [
    # The whole name of the first is the short one of the second.
    ('x.jpg x.jpg.png x.png', 'x.jpg.png x.jpg.png.png x.png.png'),
    ('x.jpg x.jpg.png', 'x.png x.jpg.png'),
    # Names that some file systems do not tell apart.
    ('A.png a.jpg', 'A.png.png a.jpg.png'),
    ('A.jpg a.jpg', 'A.jpg.png a.jpg~2.png'),
    ('B/x.png b/x.jpg', 'B/x.png.png b/x.jpg.png'),
    ('M\u00fc.png Mu\u0308.png', 'M\u00fc.png.png Mu\u0308.png~2.png'),
    ('A.jpg a.jpg a.jpg~2.gif', 'A.jpg.png a.jpg~2.png a.jpg~2~2.png'),
    # A file cannot have the name of a folder.
    ('f.jpg f.png/a.jpg', 'f~2.png f.png/a.png'),
    ('a.jpg b.jpg', 'a.png b.png'),
    # Only the second of the two is read.
    ('x.heic x.jpg', 'x.heic.png x.png'),
  ],
)
def test_every_image_has_its_own_result(given, expected):
  paths, notes = [pathlib.Path('in', x) for x in given.split()], []
  names = image_files.name_outputs(paths, 'in', note=notes.append)
  assert list(map(str, names)) == expected.split()
  plain = ('a.png b.png', 'x.png x.jpg.png', 'x.heic.png x.png')
  assert bool(notes) == (expected not in plain)
  if notes:
    assert f'{given.split()[0]} gives {names[0]}' in notes[0]


def test_what_is_no_picture(folder, tmp_path):
  for name in ('._a.png', '.hidden/a.png', 'c.heic', 'D.JFIF', 'frames.json'):
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).touch()
  (tmp_path / 'far').mkdir()
  Image.new('RGB', (4, 4)).save(tmp_path / 'far/e.tif')
  (folder / 'link').symlink_to(tmp_path / 'far')
  (folder / 'gone.png').symlink_to('nowhere')
  notes = []
  found = image_files.list_images(folder, note=notes.append)
  assert [str(x.relative_to(folder)) for x in found] == [
    *('D.JFIF', 'a.png', 'b.jpg', 'c.heic', 'gone.png', 'link/e.tif'),
    'sub/b.bmp',
  ]
  assert notes == ['not pictures by their suffix: 2: frames.json; readme.txt']
  with pytest.raises(errors.UserError, match=r'a\.png, which is a file; exp'):
    image_files.list_images(folder / 'a.png')


def test_what_was_left_out_is_counted_and_named():
  image_files.check_read([], total=3, unit='images')
  bad = [f'{i}.png is empty' for i in range(7)]
  with pytest.raises(errors.UserError) as caught:
    image_files.check_read(bad, total=9, unit='pairs')
  assert str(caught.value) == (
    'pairs that could not be read: 7 of 9: 0.png is empty; 1.png is empty;'
    ' 2.png is empty; 3.png is empty; 4.png is empty and 2 more; expected'
    f' complete files ending in {" ".join(image_files.SUFFIXES)}'
  )
