"""How paths are spelled: what a spelling matches, names and fills in."""

import pytest

from jaxuda import errors
from jaxuda.data.files import specs

SPLITS = ('training', 'testing', '')


@pytest.mark.parametrize(
  ('shown', 'path', 'name'),
  [
    ('<split>/labels/<stem>.png', 'a/b/training/labels/x.y.png', 'x.y'),
    ('<split>/labels/<stem>.png', 'training/labels/x.png', 'x'),
    # Neither within a name, nor with folders, nor with another split.
    ('<split>/labels/<stem>.png', 'mytraining/labels/x.png', None),
    ('<split>/labels/<stem>.png', 'training/labels/x/y.png', None),
    ('<split>/labels/<stem>.png', 'val/labels/x.png', None),
    # Splits and suffixes in any case.
    ('<split>/labels/<stem>.png', 'training/labels/x.PNG', 'x'),
    ('<split>/labels/<stem>.png', 'Training/labels/x.png', 'x'),
    ('<split>/labels/<stem>.png', 'training/Labels/x.png', None),
    ('<split>annot/<stem>.png', 'testingannot/x.png', 'x'),
    ('gtFine/<split>/<city>/<stem>_ids.png', 'gtFine/testing/c/x_ids.png', 'x'),
    # Dots are dots.
    ('v1.2/<stem>.png', 'v1x2/a.png', None),
    # As many digits, and what follows them.
    ('<split>/000000_10.png', 'training/000123_10.png', '000123_10'),
    ('<split>/000000_10.png', 'training/000123_11.png', None),
    ('RGB/0000000.png', 'RGB/123456.png', None),
    ('Depth/[Depth/]00000.png', 'Depth/12345.png', '12345'),
    ('Depth/[Depth/]00000.png', 'Depth/Depth/12345.png', '12345'),
    ('images/[<split>/]<name>.(png|jpg)', 'images/training/a/b.jpg', 'a/b'),
    ('images/[<split>/]<name>.(png|jpg)', 'images/val/b.PnG', 'val/b'),
    ('<world>/<variation>/00000.png', 'x/0001/fog/00007.png', '0001/fog/00007'),
  ],
)
def test_paths(shown, path, name):
  spelling = specs.Spelling(shown=shown)
  match = spelling.compile(SPLITS).fullmatch(path)
  assert (match and spelling.name(match.groupdict())) == name


def test_any_case():
  spelling = specs.Spelling(shown='<scene>/RGB/<stem>.png', any_case=True)
  match = spelling.compile(()).fullmatch('scene01/rgb/A.PNG')
  assert spelling.name(match.groupdict()) == 'scene01/A'


@pytest.mark.parametrize(
  ('image', 'path', 'label', 'filled'),
  [
    (
      'leftImg8bit/<split>/<city>/<stem>_left.png',
      'z/leftImg8bit/testing/ulm/ulm_1_left.png',
      'gtFine/<split>/<city>/<stem>_ids.png',
      'gtFine/testing/ulm/ulm_1_ids.png',
    ),
    (
      '<world>/<variation>/00000.png',
      '0001/fog/00007.png',
      'gt/<world>_<variation>_encoding.txt',
      'gt/0001_fog_encoding.txt',
    ),
    ('RGB/00000.png', 'RGB/12345.png', 'D/[D/]00000.png', 'D/D/12345.png'),
    ('i/[<split>/]<name>.jpg', 'i/a.jpg', 'l/[<split>/]<name>.png', 'l/a.png'),
    (
      'i/[<split>/]<name>.jpg',
      'i/training/a.jpg',
      'l/[<split>/]<name>.png',
      'l/training/a.png',
    ),
  ],
)
def test_the_label_of_an_image_is_named(image, path, label, filled):
  words = specs.Spelling(shown=image).compile(SPLITS).fullmatch(path)
  assert specs.Spelling(shown=label).fill(words.groupdict()) == filled


def test_names_of_datasets():
  specs.check_name('a/b', ('a', 'a/b'))
  with pytest.raises(errors.UserError, match="'b'; expected a or a/b"):
    specs.check_name('b', ('a', 'a/b'))
