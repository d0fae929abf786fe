import dataclasses
import pickle

import numpy as np
import pytest
from scipy import stats

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
  # The weights, averaged over the classes' shares, are 1, as officially.
  np.testing.assert_allclose(np.dot(weights, [0.6, 0.3, 0.1]), 1)
  assert make(counts=np.array([5, 5, 0])).class_weights[2] == 0


def one_gaussian_each(variances, counts):
  """Returns a round Gaussian per class, with densities in closed form."""
  variances = np.asarray(variances, float)[:, None, None]
  return make(
    weights=np.ones((len(counts), 1)),
    means=np.arange(len(counts) * 3.0).reshape(-1, 1, 3),
    covariances=np.broadcast_to(variances, (len(counts), 1, 3)),
    counts=np.array(counts),
  )


def density_at_quantile(variance, below):
  """Returns the density that a share `below` of the points does not reach."""
  square = stats.chi2.ppf(1 - below, 3)
  return (2 * np.pi * variance) ** -1.5 * np.exp(-square / 2)


def test_sharpness_maps_the_median_of_the_classes_own_densities_to_the_middle():
  for variance in (0.01, 1.0, 50.0):
    sharpness = one_gaussian_each([variance], [7]).sharpness
    middle = density_at_quantile(variance, 0.5)
    np.testing.assert_allclose(sharpness * middle, np.log(2), rtol=0.03)
  # A quarter of the pixels is always denser: the sky, which has one depth. The
  # median of all is then where two thirds of the others are below.
  mixed = one_gaussian_each([1.0, 1e-6], [300, 100])
  middle = density_at_quantile(1.0, 2 / 3)
  np.testing.assert_allclose(mixed.sharpness * middle, np.log(2), rtol=0.03)
  # The number is the same in every draw, and depends only on the arrays.
  again = one_gaussian_each([1.0, 1e-6], [300, 100])
  assert mixed.sharpness == again.sharpness
  # Twice the distances, an eighth of the density.
  wide = dataclasses.replace(
    mixed, means=2 * mixed.means, covariances=4 * mixed.covariances
  )
  np.testing.assert_allclose(wide.sharpness, 8 * mixed.sharpness)


def test_sharpness_of_mixtures_is_that_of_scipys_own_samples():
  rng = np.random.default_rng(1)
  root = rng.normal(size=(3, 2, 3, 3)) + 3 * np.eye(3)
  full = make(covariances=root @ np.swapaxes(root, -1, -2))
  for m in (make(), full):
    drawn, weight = [], []
    for c, count in enumerate(m.counts):
      spread = m.covariances[c]
      spread = spread if spread.ndim == 3 else [np.diag(x) for x in spread]
      parts = [
        stats.multivariate_normal(*x) for x in zip(m.means[c], spread, strict=1)
      ]
      sizes = rng.multinomial(20000, m.weights[c])
      points = np.concatenate(
        [p.rvs(n, rng) for p, n in zip(parts, sizes, strict=True)]
      )
      pdf = sum(
        w * p.pdf(points) for w, p in zip(m.weights[c], parts, strict=1)
      )
      # Each class is drawn in proportion to its pixels.
      drawn.append(pdf[rng.permutation(len(pdf))][: 30 * count])
      weight.append(count)
    median = np.median(np.concatenate(drawn))
    assert [len(x) for x in drawn] == [30 * x for x in weight]
    np.testing.assert_allclose(m.sharpness * median, np.log(2), rtol=0.03)


def test_sharpness_leaves_out_classes_without_a_mixture():
  m = one_gaussian_each([1.0, 1e-6], [300, 100])
  alone = dataclasses.replace(m, weights=np.array([[1.0], [0.0]]))
  expected = one_gaussian_each([1.0], [300]).sharpness
  assert alone.sharpness == expected
  none = dataclasses.replace(m, weights=np.zeros((2, 1)))
  assert none.sharpness == 1e6


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
