import jax.numpy as jnp
import numpy as np
import pytest

from jaxuda.ops import pseudo_label


def test_class_and_probability():
  logits = jnp.log(jnp.array([[0.2, 0.7, 0.1], [0.5, 0.25, 0.25]]))
  label, confidence = pseudo_label.pseudo_label(logits)
  np.testing.assert_array_equal(label, [1, 0])
  np.testing.assert_allclose(confidence, [0.7, 0.5], rtol=1e-6)


@pytest.mark.parametrize(
  ('mode', 'expected'),
  [('batch', [0.5] * 4), ('pixel', [1, 0, 1, 0]), ('none', [1] * 4)],
)
def test_weights(mode, expected):
  confidence = jnp.array([0.97, 0.2, 0.99, 0.96]).reshape(2, 1, 2)
  weight = pseudo_label.pseudo_weight(confidence, mode=mode)
  np.testing.assert_allclose(weight.ravel(), expected)
