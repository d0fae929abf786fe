import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats
from sklearn import mixture

from jaxuda.ops import density

CLASSES, COMPONENTS = 3, 2


def make_mixtures(*, full=False):
  """Makes mixtures; class 1 has a spike at the depth of the sky."""
  rng = np.random.default_rng(0)
  weights = rng.dirichlet(np.ones(COMPONENTS), CLASSES)
  means = rng.uniform([0, 0, 1], [160, 95, 120], (CLASSES, COMPONENTS, 3))
  variances = rng.uniform(20, 900, (CLASSES, COMPONENTS, 3))
  means[1, 0, 2], variances[1, 0, 2] = 1 + 1 / 3000, 1e-6
  if not full:
    return weights, means, variances
  root = rng.normal(size=(CLASSES, COMPONENTS, 3, 3)) * 8 + 12 * np.eye(3)
  return weights, means, root @ np.swapaxes(root, -1, -2)


def oracle(weights, means, covariances, label):
  """Returns scikit-learn's own density of one class."""
  full = covariances.ndim == 4
  model = mixture.GaussianMixture(
    COMPONENTS, covariance_type='full' if full else 'diag'
  )
  model.weights_, model.means_ = weights[label], means[label]
  model.covariances_ = covariances[label]
  if full:
    precision = np.linalg.inv(covariances[label])
    model.precisions_cholesky_ = np.linalg.cholesky(precision)
  else:
    model.precisions_cholesky_ = 1 / np.sqrt(covariances[label])
  return model.score_samples


def draw(weights, means, covariances, label, count=400):
  """Draws points near the components, as float32 for both sides."""
  rng = np.random.default_rng(label)
  part = rng.choice(COMPONENTS, count)
  covariance = covariances[label][part]
  if covariance.ndim == 2:
    noise = np.sqrt(covariance) * rng.normal(size=(count, 3))
  else:
    root = np.linalg.cholesky(covariance)
    noise = (root @ rng.normal(size=(count, 3, 1)))[..., 0]
  return (means[label][part] + noise).astype(np.float32)


@pytest.mark.parametrize('full', [False, True])
@pytest.mark.parametrize('label', range(CLASSES))
def test_density_is_that_of_scikit_learn(full, label):
  parts = make_mixtures(full=full)
  points = draw(*parts, label)
  table = density.tabulate(*parts)
  ids = np.full(len(points), label)
  ours = jax.jit(lambda p: density.log_density(table, p, ids))(points)
  theirs = oracle(*parts, label)(points.astype(np.float64))
  np.testing.assert_allclose(np.exp(ours), np.exp(theirs), rtol=2e-5)
  np.testing.assert_allclose(ours, theirs, rtol=1e-5)
  every = density.log_densities(table, points[:, None, :])
  np.testing.assert_allclose(every[:, label], ours, rtol=1e-6)


@pytest.mark.parametrize('depth', [655.3612345, 65536.0])
def test_spike_of_the_smallest_variance_far_out(depth):
  # 65536 is the inverse of depth 0. Scikit-learn multiplies its squares out,
  # which costs it four digits here, so this is the textbook's formula.
  mean = np.array([80.0, 40.0, depth])
  sigma = np.array([3.0, 2.0, 1e-3])
  table = density.tabulate(
    np.ones((1, 1)), mean.reshape(1, 1, 3), (sigma**2).reshape(1, 1, 3)
  )
  points = np.repeat(mean[None], 5, 0).astype(np.float32)
  points[1, 0] -= 3
  points[2, 2] = np.nextafter(points[2, 2], np.float32(0))
  points[3, 1] += 1
  points[4, 2] = 1
  theirs = stats.norm.logpdf(points.astype(np.float64), mean, sigma).sum(-1)
  ours = jax.jit(
    lambda p: density.log_density(table, p, np.zeros(len(p), int))
  )(points)
  np.testing.assert_allclose(ours, theirs, rtol=1e-6)
  assert np.exp(ours[4]) == 0


def test_a_class_without_a_mixture_is_nowhere():
  weights, means, variances = make_mixtures()
  weights[2] = 0
  table = density.tabulate(weights, means, variances)
  point = jnp.asarray(means[2, :1], jnp.float32)

  def value(p):
    log_p = density.log_density(table, p, jnp.array([2]))
    return density.map_density(log_p).sum()

  assert value(point) == 0
  np.testing.assert_array_equal(jax.grad(value)(point), 0)


def test_mappings():
  p = np.array([1.55e-6, 7.6e-7, 1e-9, 0.0])
  with np.errstate(divide='ignore'):
    log_p = np.log(p).astype(np.float32)
  # A road's values in the official code: 201, 136, 0.3.
  np.testing.assert_allclose(
    density.map_density(log_p), [200.9, 135.7, 0.255, 0], rtol=1e-3
  )
  np.testing.assert_allclose(
    density.map_density(log_p, mapping='plain'), p, rtol=1e-5
  )


def test_grid_is_column_row_depth():
  points = density.grid_points(jnp.full((2, 3, 4), 7.0))
  np.testing.assert_array_equal(points[1, 2, 3], [3, 2, 7])
  points = density.grid_points(jnp.full((2, 3, 4), 7.0), scale=(0.5, 2.0))
  np.testing.assert_array_equal(points[1, 2, 3], [6, 1, 7])


def make_maps():
  rng = np.random.default_rng(1)
  logits = rng.normal(size=(2, 5, 6, CLASSES)).astype(np.float32)
  inverse = rng.uniform(1, 100, (2, 5, 6)).astype(np.float32)
  label = rng.choice([0, 1, 2, 255], (2, 5, 6))
  return logits, inverse, label


def pixel_densities(parts, inverse, predicted):
  """Computes densities pixel by pixel with scikit-learn."""
  out = np.zeros(inverse.shape)
  for b, y, x in np.ndindex(inverse.shape):
    point = [[x, y, inverse[b, y, x]]]
    log_p = oracle(*parts, predicted[b, y, x])(point)[0]
    out[b, y, x] = 255 * (1 - np.exp(-1e6 * np.exp(log_p)))
  return out


@pytest.mark.parametrize('mask_wrong', [True, False])
def test_source_maps(mask_wrong):
  parts = make_mixtures()
  logits, inverse, label = make_maps()
  ours = density.source_density(
    density.tabulate(*parts), logits, inverse, label, mask_wrong=mask_wrong
  )
  predicted = logits.argmax(-1)
  if mask_wrong:
    inverse = np.where(label == predicted, inverse, 0)
  theirs = pixel_densities(parts, inverse, predicted)
  assert theirs.max() > 1
  np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-4)


def test_target_maps_are_zero_where_the_depth_is_not_positive():
  parts = make_mixtures()
  logits, inverse, _ = make_maps()
  inverse[0] -= 50
  ours = density.target_density(density.tabulate(*parts), logits, inverse)
  theirs = pixel_densities(parts, inverse, logits.argmax(-1))
  theirs[inverse <= 0] = 0
  np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-4)


def test_soft_maps_are_the_hard_ones_when_the_network_is_sure():
  table = density.tabulate(*make_mixtures())
  logits, inverse, label = make_maps()
  logits = 1e3 * jax.nn.one_hot(logits.argmax(-1), CLASSES)
  for mask_wrong in (True, False):
    maps = [
      density.source_density(
        table, logits, inverse, label, mask_wrong=mask_wrong, soft=soft
      )
      for soft in (False, True)
    ]
    np.testing.assert_allclose(*maps, rtol=1e-4, atol=1e-4)
  maps = [
    density.target_density(table, logits, inverse, soft=soft)
    for soft in (False, True)
  ]
  np.testing.assert_allclose(*maps, rtol=1e-4, atol=1e-4)


def test_gradients_reach_the_logits_of_soft_maps_only():
  table = density.tabulate(*make_mixtures())
  logits, inverse, label = make_maps()

  def total(logits, soft):
    return density.source_density(
      table, logits, inverse, label, soft=soft
    ).sum()

  assert not np.any(jax.grad(total)(logits, False))
  grad = jax.grad(total)(logits, True)
  assert np.isfinite(grad).all()
  assert np.abs(grad).max() > 0.1
