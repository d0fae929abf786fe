import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxuda.train import window


def _metrics(**values):
  return {name: jnp.float32(value) for name, value in values.items()}


def test_mean_over_the_window_and_then_empty():
  numbers = window.Window()
  for step, value in enumerate([1.0, 2.0, 6.0], 1):
    numbers.add(step, _metrics(loss_seg=value, rate=0.5))
  assert numbers.take_mean() == {'loss_seg': 3.0, 'rate': 0.5}
  assert numbers.take_mean() == {}


def test_check_does_not_empty_the_window():
  numbers = window.Window()
  numbers.add(1, _metrics(loss_seg=1.0))
  numbers.check()
  numbers.add(2, _metrics(loss_seg=2.0))
  assert numbers.take_mean() == {'loss_seg': 1.5}


def test_newest_lags_two_steps():
  numbers = window.Window()
  for step in range(1, 6):
    numbers.add(step, _metrics(loss_seg=step))
    expected = {'loss_seg': step - 2.0} if step > 2 else {}
    assert numbers.newest() == expected
  numbers.take_mean()
  assert numbers.newest() == {'loss_seg': 5.0}


def test_names_the_first_bad_step_and_its_terms():
  numbers = window.Window()
  numbers.add(4, _metrics(loss_seg=1, loss_depth=2, accuracy=np.nan))
  numbers.add(5, _metrics(loss_seg=np.inf, loss_depth=np.nan))
  numbers.add(6, _metrics(loss_seg=np.nan, loss_depth=np.nan))
  with pytest.raises(
    window.NonFiniteError,
    match=r'not finite at step 5: loss_depth=nan, loss_seg=inf$',
  ):
    numbers.check()


def test_find_non_finite_names_the_leaves():
  state = {
    'a': jnp.array([1.0, jnp.inf]),
    'b': {'c': jnp.nan * jnp.ones(2), 'd': jnp.zeros(3)},
    'step': jnp.int32(3),
  }
  assert window.find_non_finite(state) == ['a', 'b/c']
  assert window.find_non_finite(jax.tree.map(jnp.zeros_like, state)) == []
