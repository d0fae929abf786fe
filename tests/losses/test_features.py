import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxuda import errors
from jaxuda.losses import features


def by_hand(student, anchor, label, classes, share):
  """Computes the loss cell by cell, for cells of whole pixels."""
  distances = []
  _, rows, columns, _ = student.shape
  high, wide = label.shape[1] // rows, label.shape[2] // columns
  for b, i, j in np.ndindex(*student.shape[:3]):
    cell = label[b, i * high : (i + 1) * high, j * wide : (j + 1) * wide]
    ids, counts = np.unique(cell, return_counts=True)
    best = counts.argmax()
    if counts[best] / cell.size >= share and ids[best] in classes:
      distances.append(np.linalg.norm(student[b, i, j] - anchor[b, i, j]))
  return np.mean(distances), len(distances)


def test_against_a_loop_over_cells():
  rng = np.random.default_rng(0)
  student, anchor = rng.normal(size=(2, 2, 3, 4, 5))
  # Cells of 4 x 6 pixels, with some of another class and some ignored.
  label = np.kron(rng.integers(0, 4, (2, 3, 4)), np.ones((1, 4, 6), int))
  noise = rng.random(label.shape)
  label = np.where(noise < 0.1, 1, np.where(noise < 0.25, 255, label))
  expected, count = by_hand(student, anchor, label, (1, 3), 0.75)
  assert 2 < count < 16
  with jax.enable_x64(True):
    got = features.feature_distance(
      jnp.asarray(student),
      jnp.asarray(anchor),
      jnp.asarray(label),
      classes=(1, 3),
    )
  np.testing.assert_allclose(got, expected, rtol=1e-12)


def test_without_a_thing_loss_and_gradient_are_zero():
  label = jnp.zeros((1, 4, 4), jnp.int32)
  loss, grad = jax.value_and_grad(
    lambda x: features.feature_distance(x, 0 * x, label, classes=(1,))
  )(jnp.ones((1, 2, 2, 3)))
  assert loss == 0
  np.testing.assert_array_equal(grad, 0)


def test_at_the_anchor_the_gradient_is_zero_and_away_a_unit_vector():
  label = jnp.ones((1, 2, 2), jnp.int32)
  anchor = jnp.zeros((1, 1, 2, 2))
  x = jnp.array([[[[0.0, 0.0], [3.0, 4.0]]]])

  def loss(x, anchor):
    return features.feature_distance(x, anchor, label, classes=(1,))

  mine, theirs = jax.grad(loss, argnums=(0, 1))(x, anchor)
  np.testing.assert_allclose(mine, [[[[0, 0], [0.3, 0.4]]]], rtol=1e-6)
  np.testing.assert_array_equal(theirs, 0)


def test_cells_that_are_no_whole_pixels_average_all_that_they_touch():
  label = jnp.array([[[1], [1], [0]]])
  student = jnp.array([[[[1.0]], [[10.0]]]])
  got = [
    features.feature_distance(
      student, 0 * student, label, classes=(1,), share=share
    )
    for share in (0.75, 0.5)
  ]
  # Rows 0 and 1, and 1 and 2: the second cell is half a thing.
  np.testing.assert_allclose(got, [1.0, 5.5])


def test_wrong_options():
  with pytest.raises(errors.UserError, match='needs classes'):
    features.Options(weight=0.005)
  with pytest.raises(errors.UserError, match=r'features.share=0.2; expected'):
    features.Options(share=0.2)
