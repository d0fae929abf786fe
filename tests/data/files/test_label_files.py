"""Labels of a folder in place of a dataset's own."""

import json

import cv2
import numpy as np
import pytest

from jaxuda import errors
from jaxuda.data import pipeline
from tests.data import miniature

NEEDS = {'target': ('image', 'label')}


@pytest.fixture
def folder(tmp_path):
  """Writes labels of class 18 - i for image i, with an ignored corner."""
  for i in range(miniature.SPLITS['train']):
    label = np.full(miniature.SIZE, 18 - i, np.uint8)
    label[0, 0] = 255
    cv2.imwrite(str(tmp_path / f'image {i}.png'), label)
  write_summary(tmp_path)
  return tmp_path


def write_summary(folder, **changes):
  summary = {'classes': 'cityscapes19', 'images': 7, **changes}
  (folder / 'summary.json').write_text(json.dumps(summary))


def test_labels_come_from_the_folder(config, folder):
  config.target.label_dir = str(folder)
  for batch in miniature.take(miniature.stream(config, needs=NEEDS), 4):
    for image, label in zip(
      batch['target']['image'], batch['target']['label'], strict=True
    ):
      assert label.dtype == np.int32
      assert label[0, 0] == 255
      assert (label.ravel()[1:] == 18 - image[0, 0, 0] // 10).all()


def test_scores_are_of_the_own_labels(config, folder):
  config.target.label_dir = str(folder)
  batches = miniature.evaluate(config)
  own = [b['label'] for b in batches]
  config.target.label_dir = ''
  for a, b in zip(own, miniature.evaluate(config), strict=True):
    np.testing.assert_array_equal(a, b['label'])


def test_a_dataset_without_labels_gets_them(config, add_dataset, folder):
  add_dataset('bare', fields=('image',))
  config.target.update(dataset='bare', label_dir=str(folder))
  (batch,) = miniature.take(miniature.stream(config, needs=NEEDS), 1)
  assert batch['target']['label'].shape == (2, *miniature.SIZE)


def test_what_does_not_fit_is_named(config, folder):
  config.target.label_dir = str(folder)
  for changes, message in (
    ({'classes': 'coarse7'}, 'has labels of coarse7; expected cityscapes19'),
    ({'images': 6}, 'has labels of 6 images; expected 7'),
  ):
    write_summary(folder, **changes)
    with pytest.raises(errors.UserError, match=message):
      miniature.stream(config, needs=NEEDS)
  (folder / 'summary.json').unlink()
  with pytest.raises(errors.UserError, match=r'summary\.json cannot be read'):
    miniature.stream(config, needs=NEEDS)


def test_a_missing_label_is_named(config, folder):
  config.target.label_dir = str(folder)
  (folder / 'image 3.png').unlink()
  with pytest.raises(errors.UserError, match=r'image 3\.png cannot be read'):
    miniature.take(miniature.stream(config, needs=NEEDS), 4)


def test_images_come_once_and_without_labels(config):
  images, count = pipeline.image_stream(config)
  found = {x['name'].decode(): x['image'] for x in images}
  assert count == len(found) == miniature.SPLITS['train']
  for i in range(count):
    expected = np.full((*miniature.SIZE, 3), 10 * i)
    np.testing.assert_array_equal(found[f'image {i}'], expected)
  config.target.fraction = 0.5
  assert pipeline.image_stream(config)[1] == 4


def test_labels_of_another_size_are_refused_where_images_are_padded(
  config, folder
):
  """A picture within padding is elsewhere in a label without it."""
  config.target.label_dir = str(folder)
  height, width = miniature.SIZE
  cv2.imwrite(str(folder / 'image 3.png'), np.zeros((height, width + 2)))
  # Stretched like its image.
  miniature.take(miniature.stream(config, needs=NEEDS), 4)
  config.target.fit = 'pad'
  with pytest.raises(
    errors.UserError,
    match=r'image 3\.png has the size \(6, 10\); expected \(6, 8\), as config',
  ):
    miniature.take(miniature.stream(config, needs=NEEDS), 4)


def test_labels_that_were_made_at_another_size_are_refused(config, folder):
  config.target.label_dir = str(folder)
  (folder / 'origin.json').write_text(json.dumps({'size': miniature.SIZE}))
  miniature.take(miniature.stream(config, needs=NEEDS), 1)
  (folder / 'origin.json').write_text(json.dumps({'size': [12, 8]}))
  with pytest.raises(
    errors.UserError, match=r'made at the size \(12, 8\); expected \(6, 8\), as'
  ):
    miniature.stream(config, needs=NEEDS)
