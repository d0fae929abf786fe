import numpy as np
import pytest

from configs import common
from jaxuda import errors
from jaxuda.data.records import access
from jaxuda.data.records import domain
from jaxuda.data.store import record_order
from tests.data import releases

COUNT = 7
NAMES = [f'{i:07d}' for i in range(COUNT)]


def test_choose_first():
  names = ['d', 'a', 'c', 'B', 'e']
  assert record_order.choose_first(names, 3).tolist() == [1, 2, 3]
  assert record_order.choose_first(names, 9).tolist() == [0, 1, 2, 3, 4]


def test_names_are_those_of_the_split(tmp_path):
  assert record_order.read_names(tmp_path, 'train', count=2) is None
  record_order.write_names(tmp_path, {'train': ['b', 'a']})
  assert record_order.read_names(tmp_path, 'train', count=2) == ['b', 'a']
  assert record_order.read_names(tmp_path, 'train', count=1) is None
  assert record_order.read_names(tmp_path, 'val', count=2) is None


@pytest.fixture
def data(tmp_path):
  releases.synthia(tmp_path / 'raw', n=COUNT)
  data = common.base('dada', 'synthia2cityscapes').data
  data.data_dir = str(tmp_path / 'tfds')
  data.source.manual_dir = str(tmp_path / 'raw')
  return data


def read(data, **options):
  opened = access.Records(
    domain.read_domain(data, 'source', **options), classes=None, fields=()
  )
  found = [opened.decode(opened.read(i)) for i in range(len(opened))]
  return [x['name'].numpy().decode() for x in found]


def test_the_first_by_name(data, tmp_path):
  stored = read(data)
  assert stored == sorted(
    NAMES, key=lambda name: record_order.hash_name(name, 'train')
  )
  (path,) = (tmp_path / 'tfds').rglob(record_order.NAMES)
  assert record_order.read_names(path.parent, 'train', count=COUNT) == stored
  data.source.first = 3
  first = read(data)
  # In the stored order.
  assert first == [x for x in stored if x in NAMES[:3]]
  data.source.fraction = 0.67
  assert read(data) == first[:2]
  # Not for examples that are scored.
  assert len(read(data, split='train')) == np.round(0.67 * COUNT)
  # With an older preparation, names are read from the records.
  path.unlink()
  data.source.fraction = 1.0
  assert read(data) == first
  data.source.split = 'train[:4]'
  assert read(data) == [x for x in stored[:4] if x in sorted(stored[:4])[:3]]


def test_mistakes(data):
  for first in (-1, 0.5):
    with data.unlocked(), data.source.ignore_type():
      data.source.first = first
    with pytest.raises(errors.UserError, match=r'source\.first=.*or 0 for all'):
      domain.read_domain(data, 'source')
