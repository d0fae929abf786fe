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
  with pytest.raises(errors.UserError, match=r'no image in .*empty'):
    image_files.list_images(tmp_path / 'empty')


def test_names_do_not_collide(folder):
  Image.new('RGB', (4, 4)).save(folder / 'b.png')
  paths = image_files.list_images(folder)
  names = image_files.name_outputs(paths, folder)
  assert names == [
    *map(pathlib.Path, ('a.png', 'b.jpg.png', 'b.png.png', 'sub/b.png'))
  ]
