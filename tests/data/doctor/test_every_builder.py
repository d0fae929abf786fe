"""The doctor on the miniature of every builder, broken as users break files."""

from PIL import Image
import pytest

from jaxuda.data.datasets import registry
from jaxuda.data.doctor import diagnosis
from jaxuda.data.files import layout
from tests.data.doctor import builders

NAMES = sorted(builders.DATASETS)


def kinds(report):
  return {x.kind for x in report.problems}


@pytest.mark.parametrize('name', NAMES)
def test_suffixes_in_capitals_are_the_same_files(tmp_path, name):
  root, _ = builders.write(tmp_path, name)
  before = diagnosis.diagnose(name, manual_dir=str(root))
  for path in sorted(root.rglob('*.png')):
    path.rename(path.with_suffix('.PNG'))
  after = diagnosis.diagnose(name, manual_dir=str(root))
  assert after.counts == before.counts
  assert kinds(after) == kinds(before)


@pytest.mark.parametrize('name', NAMES)
def test_labels_as_jpeg_are_named(tmp_path, name):
  root, (_, label, _) = builders.write(tmp_path, name)
  for path in sorted(label.parent.glob('*.png')):
    Image.open(path).convert('L').save(path.with_suffix('.jpg'))
    path.unlink()
  report = diagnosis.diagnose(name, manual_dir=str(root))
  assert report.fatal
  assert str(label.with_suffix('.jpg')) in dict(report.unused)
  assert kinds(report) & {
    *('images without label', 'no label that can be read'),
    'scored split without labels',
  }


@pytest.mark.parametrize('name', NAMES)
def test_a_file_of_no_use_is_listed(tmp_path, name):
  root, (image, _, _) = builders.write(tmp_path, name)
  stray = image.with_name('notes.txt')
  stray.write_text('by hand')
  report = diagnosis.diagnose(name, manual_dir=str(root))
  assert str(stray) in dict(report.unused)
  assert not report.fatal


@pytest.mark.parametrize('name', NAMES)
def test_a_picture_on_its_side_names_its_tag(tmp_path, name):
  root, (image, label, _) = builders.write(tmp_path, name)
  exif = Image.Exif()
  exif[0x0112] = 6
  opened = Image.open(image)
  opened.load()
  opened.save(image, exif=exif)
  report = diagnosis.diagnose(name, manual_dir=str(root))
  texts = [x.text for x in report.problems if x.kind == 'size of label']
  assert any(
    str(image) in x and 'rotated by its EXIF orientation 6' in x for x in texts
  )
  assert str(label) in ' '.join(texts)


@pytest.mark.parametrize('name', NAMES)
def test_a_picture_in_two_splits(tmp_path, name):
  root, (image, _, _) = builders.write(tmp_path, name)
  spec = registry.find(name).describe(name, str(root))
  splits = layout.find(root, spec).splits
  pixels = Image.open(image).convert('RGB')
  for items in splits.values():
    pixels.save(root / items[0].image)
  report = diagnosis.diagnose(name, manual_dir=str(root))
  assert ('picture in two splits' in kinds(report)) == (len(splits) > 1)
