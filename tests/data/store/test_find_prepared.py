"""Which of the prepared datasets is found without the user's files."""

import pathlib
import shutil

import pytest

from jaxuda import errors
from jaxuda.data.datasets import registry
from jaxuda.data.datasets import synthia
from jaxuda.data.store import examples
from jaxuda.data.store import prepared
from tests.data import releases

PLAIN = examples.Store(form='png', size=(8, 12))
# Their names begin like the plain one's.
OTHERS = {
  'pad': {'fit': 'pad'},
  'consistent': {'depth_resize': 'consistent'},
  'linear': {'depth_resize': 'linear'},
}


def load(tmp_path, store, manual_dir=None):
  return registry.load(
    'synthia',
    data_dir=str(tmp_path / 'tfds'),
    manual_dir=manual_dir and str(manual_dir),
    store=store,
  )


@pytest.mark.parametrize('other', OTHERS)
def test_another_form_is_not_taken_for_this_one(tmp_path, other):
  releases.synthia(tmp_path / 'raw', n=2)
  other = examples.Store(form='png', size=(8, 12), **OTHERS[other])
  made = load(tmp_path, other, tmp_path / 'raw')
  with pytest.raises(errors.UserError, match=r'nothing is prepared.*_bicubic;'):
    load(tmp_path, PLAIN)
  plain = load(tmp_path, PLAIN, tmp_path / 'raw')
  assert load(tmp_path, PLAIN).data_dir == plain.data_dir
  assert load(tmp_path, other).data_dir == made.data_dir


def test_a_folder_whose_name_begins_like_another(tmp_path):
  spec = synthia.describe('synthia')
  for name in ('plain_low_raw', 'plain_raw', 'plain_jpeg_8x12_linear_pad'):
    folder = tmp_path / 'synthia' / f'{name}_{"0" * 16}' / '1.0.0'
    folder.mkdir(parents=True)
    (folder / 'dataset_info.json').touch()
  # Both forms of this variant, and not the other variant.
  with pytest.raises(errors.UserError, match='both prepared') as caught:
    prepared.find(spec, data_dir=str(tmp_path))
  assert 'plain_low' not in str(caught.value)


def test_two_versions_of_one_dataset_are_told_apart(tmp_path):
  releases.synthia(tmp_path / 'raw', n=2)
  store = examples.Store()
  new = pathlib.Path(load(tmp_path, store, tmp_path / 'raw').data_dir)
  shutil.copytree(new, new.with_name('1.0.0'))
  message = f'{new.parent.name}/1.0.0 and {new.parent.name}/{new.name} are both'
  with pytest.raises(errors.UserError, match=message):
    load(tmp_path, store)
