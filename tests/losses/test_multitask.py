import jax.numpy as jnp
import numpy as np

from jaxuda.losses import multitask

# Two pixels, two classes; log odds of log 3 are a probability of 3/4.
LOGITS = jnp.array([[np.log(3.0), 0], [0, 0]]).reshape(1, 1, 2, 2)


def maps(*values):
  return jnp.array(values).reshape(1, 1, -1)


def test_source_terms_are_of_the_source_decoder():
  source = {
    'label': maps(0, 255),
    'depth': maps(10.0, 20.0),
    'depth_valid': maps(True, True),
  }
  outputs = {
    'logits': LOGITS,
    'depth': maps(0.0, 0.0),
    'depth_source': maps(10.0, 25.0),
    'initial_logits': 0 * LOGITS,
    'initial_depth': maps(0.0, 0.0),
    'initial_depth_source': maps(10.0, 20.0),
  }
  terms = multitask.source_terms(outputs, source)
  assert terms.keys() == {
    *('loss_seg', 'loss_depth', 'loss_seg_initial', 'loss_depth_initial')
  }
  np.testing.assert_allclose(terms['loss_seg'], np.log(4 / 3), rtol=1e-6)
  np.testing.assert_allclose(terms['loss_seg_initial'], np.log(2), rtol=1e-6)
  # berHu of residuals 0 and 5, c = 1: (25 + 1) / 2 / 2 pixels.
  np.testing.assert_allclose(terms['loss_depth'], 6.5, rtol=1e-6)
  assert terms['loss_depth_initial'] == 0


def test_mixed_terms_take_each_pixels_own_decoder():
  mixed = {
    'label': maps(0, 1),
    'depth': maps(10.0, 20.0),
    'depth_valid': maps(True, True),
    'mask': maps(True, False),
  }
  outputs = {
    'logits': LOGITS,
    'depth': maps(99.0, 25.0),
    'depth_source': maps(10.0, 99.0),
  }
  weight = maps(1.0, 0.5)
  terms = multitask.mixed_terms(outputs, mixed, weight=weight)
  expected = (np.log(4 / 3) + 0.5 * np.log(2)) / 2
  np.testing.assert_allclose(terms['loss_mixed'], expected, rtol=1e-6)
  np.testing.assert_allclose(terms['loss_mixed_depth'], 6.5, rtol=1e-6)
  # A pixel without depth, or without a label, does not count.
  mixed['depth_valid'] = maps(True, False)
  mixed['label'] = maps(0, 255)
  terms = multitask.mixed_terms(outputs, mixed, weight=weight)
  np.testing.assert_allclose(terms['loss_mixed'], np.log(4 / 3) / 2, rtol=1e-6)
  assert terms['loss_mixed_depth'] == 0


def test_one_decoder_serves_both_domains():
  outputs = {'logits': LOGITS, 'depth': maps(10.0, 25.0)}
  batch = {
    'label': maps(0, 1),
    'depth': maps(10.0, 20.0),
    'depth_valid': maps(True, True),
    'mask': maps(True, False),
  }
  terms = multitask.source_terms(outputs, batch)
  np.testing.assert_allclose(terms['loss_depth'], 6.5, rtol=1e-6)
  terms = multitask.mixed_terms(outputs, batch, weight=maps(1.0, 1.0))
  np.testing.assert_allclose(terms['loss_mixed_depth'], 6.5, rtol=1e-6)
