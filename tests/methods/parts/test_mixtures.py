import dataclasses
import pickle

import numpy as np
import pytest

from jaxuda import errors
from jaxuda.methods.parts import mixtures


def make(**changes):
  rng = np.random.default_rng(0)
  made = mixtures.Mixtures(
    weights=rng.dirichlet(np.ones(2), 3),
    means=rng.normal(size=(3, 2, 3)),
    covariances=rng.uniform(1, 2, (3, 2, 3)),
    counts=np.array([600, 300, 100]),
    grid=(4, 5),
    info={'images': 7, 'classes': ['a', 'b', 'c']},
  )
  return dataclasses.replace(made, **changes)


def test_what_is_written_is_read(tmp_path):
  path = tmp_path / 'new' / 'm.npz'
  mixtures.write(path, make())
  again = mixtures.read(path, classes=3)
  for field in ('weights', 'means', 'covariances', 'counts'):
    np.testing.assert_array_equal(getattr(again, field), getattr(make(), field))
  assert (again.grid, again.info) == (make().grid, make().info)
  assert mixtures.read(path) is again
  assert [p.name for p in path.parent.iterdir()] == ['m.npz']
  # A file that was replaced is read again.
  mixtures.write(path, make(counts=np.array([1, 2, 3])))
  assert mixtures.read(path).counts.tolist() == [1, 2, 3]


def test_class_weights_are_inverse_frequencies():
  weights = make().class_weights
  np.testing.assert_allclose(weights, [1 / 1.8, 1 / 0.9, 1 / 0.3])
  # The weights of all classes' shares mean 1, as the official ones do.
  np.testing.assert_allclose(np.dot(weights, [0.6, 0.3, 0.1]), 1)
  assert make(counts=np.array([5, 5, 0])).class_weights[2] == 0


@pytest.mark.parametrize(
  ('changes', 'message'),
  [
    ({'weights': np.ones((3, 2, 1))}, r'expected \[C, K\]'),
    ({'weights': -np.ones((3, 2))}, 'below 0'),
    ({'means': np.zeros((3, 2, 2))}, 'means'),
    ({'means': np.full((3, 2, 3), np.nan)}, 'means are not finite'),
    ({'covariances': np.zeros((3, 2, 3))}, 'a variance is not above 0'),
    ({'covariances': np.full((3, 2, 3, 3), 1.0)}, 'a variance is not above 0'),
    ({'counts': np.ones(4, int)}, 'counts'),
    ({'grid': (0, 5)}, 'grid'),
  ],
)
def test_bad_arrays_are_named(tmp_path, changes, message):
  path = tmp_path / 'm.npz'
  mixtures.write(path, make(**changes))
  with pytest.raises(errors.UserError, match=message):
    mixtures.read(path)


def test_bad_files_are_named(tmp_path):
  with pytest.raises(errors.UserError, match="mixtures=''"):
    mixtures.read('')
  with pytest.raises(errors.UserError, match=r'none\.npz cannot be read'):
    mixtures.read(tmp_path / 'none.npz')
  path = tmp_path / 'm.npz'
  for content in (b'', b'PK\x03\x04 cut', pickle.dumps([1])):
    path.write_bytes(content)
    with pytest.raises(errors.UserError, match=r'm\.npz is not a file of'):
      mixtures.read(path)
  np.savez(path, weights=np.ones((2, 2)))
  with pytest.raises(errors.UserError, match=r'm\.npz is not a file of'):
    mixtures.read(path)
  mixtures.write(path, make())
  with pytest.raises(errors.UserError, match='of 3 classes; expected 4'):
    mixtures.read(path, classes=4)
