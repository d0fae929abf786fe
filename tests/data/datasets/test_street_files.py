import cv2
import numpy as np
import pytest

from jaxuda import errors
from jaxuda.data.datasets import street_files
from jaxuda.streets import street


def read(path):
  return cv2.imread(str(path), cv2.IMREAD_UNCHANGED)


def test_files_hold_the_scenes(tmp_path):
  images = street_files.write_split(
    tmp_path,
    'source',
    split='val',
    count=2,
    size=(16, 32),
    fields=('image', 'label', 'depth'),
    seed=5,
  )
  names = ['source_1000000.png', 'source_1000001.png']
  assert images == [tmp_path / 'images' / 'val' / name for name in names]
  for k, path in enumerate(images):
    scene = street.render(
      'source', seed=5, index=1_000_000 + k, height=16, width=32
    )
    np.testing.assert_array_equal(read(path)[..., ::-1], scene['image'])
    label = read(tmp_path / 'labels' / 'val' / path.name)
    np.testing.assert_array_equal(label, scene['label'])
    depth = read(tmp_path / 'depth' / 'val' / path.name)
    assert depth.dtype == np.uint16
    np.testing.assert_allclose(depth / 100, scene['depth'], atol=0.0051)
  assert len(list(tmp_path.rglob('*.png'))) == 6


@pytest.mark.parametrize(
  ('domain', 'split', 'message'),
  [
    ('source', 'vla', "split is 'vla'; expected one of train, val, test"),
    ('sauce', 'val', "no domain 'sauce'"),
  ],
)
def test_mistakes(tmp_path, domain, split, message):
  with pytest.raises(errors.UserError, match=message):
    street_files.write_split(
      tmp_path, domain, split=split, count=1, size=(16, 32)
    )
  assert not list(tmp_path.iterdir())
