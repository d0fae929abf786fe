import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxuda.methods.parts import learner as learner_lib
from jaxuda.models import deeplab
from jaxuda.step import parallel
from jaxuda.step import state as state_lib

NETWORK = deeplab.Options(backbone='resnet_tiny', init='he')


def first(params, stats, x):
  """2 a x^2 + b x at x = 3: gradients 18 and 3; statistics move by 1."""
  losses = {'loss_a': (2.0, params['a'] * x**2), 'loss_b': (1, params['b'] * x)}
  return losses, stats + 1, {'saw': stats}


def second(params, stats, x, y):
  return {'loss_c': (0.5, params['a'] ** 2 * x * y)}, 10 * stats, stats


PASSES = ((first, 3.0), (second, 4.0, 5.0))
PARAMS = {'a': jnp.asarray(7.0), 'b': jnp.asarray(-1.0)}


@pytest.mark.parametrize(
  ('statistics', 'start', 'after'), [('both', 3, 30), ('target', 2, 20)]
)
def test_passes_add_up_at_the_same_parameters(statistics, start, after):
  grads, stats, terms, handed = jax.jit(
    lambda params: learner_lib.run_passes(
      params, jnp.asarray(2.0), PASSES, statistics=statistics
    )
  )(PARAMS)
  # 2 * 9 + 0.5 * 2 * 7 * 20; the other has no second term.
  assert jax.device_get(grads) == {'a': 18 + 140, 'b': 3}
  assert jax.device_get(terms) == {'loss_a': 63, 'loss_b': -3, 'loss_c': 980}
  assert handed == [{'saw': 2}, start]
  assert stats == after


def test_activations_of_passes_do_not_meet():
  text = str(
    jax.make_jaxpr(lambda p: learner_lib.run_passes(p, 0.0, PASSES))(PARAMS)
  )
  assert 'optimization_barrier' in text
  one = jax.make_jaxpr(lambda p: learner_lib.run_passes(p, 0.0, PASSES[:1]))
  assert 'optimization_barrier' not in str(one(PARAMS))


def test_a_step_of_a_learner():
  learner = learner_lib.Learner(None, optax.sgd(0.5))
  net = state_lib.create_net(
    {'params': PARAMS, 'batch_stats': jnp.asarray(2.0)}, learner.tx
  )
  new, terms, handed = jax.vmap(
    lambda x: learner.train(net, [(first, x)]), axis_name=parallel.AXIS
  )(jnp.array([3.0, 1.0]))
  # Gradients 18 and 2, 3 and 1: their means are applied.
  np.testing.assert_array_equal(new.params['a'], [7 - 5, 7 - 5])
  np.testing.assert_array_equal(new.params['b'], [-2, -2])
  np.testing.assert_array_equal(new.batch_stats, [3, 3])
  np.testing.assert_array_equal(terms['loss_a'], [63, 7])
  np.testing.assert_array_equal(handed[0]['saw'], [2, 2])


def test_a_run_is_upsampled_and_moves_the_statistics():
  module = deeplab.DeepLab(classes=3, options=NETWORK, depth=True)
  learner = learner_lib.Learner(module)
  image = jnp.zeros((1, 33, 49, 3), jnp.uint8)
  net = jax.eval_shape(learner.create, jax.random.key(0), image)
  assert net.opt_state == ()
  shapes = {}
  for size in (None, 'grid', (20, 30)):
    out, stats = jax.eval_shape(
      lambda n, size=size: learner.run(
        n.params, n.batch_stats, image, size=size
      ),
      net,
    )
    assert jax.tree.map(jnp.shape, stats) == jax.tree.map(
      jnp.shape, net.batch_stats
    )
    shapes[size] = {k: v.shape for k, v in out.items()}
  assert shapes[None] == {'logits': (1, 33, 49, 3), 'depth': (1, 33, 49)}
  assert shapes['grid']['depth'] == (1, 5, 7)
  assert shapes[20, 30]['logits'] == (1, 20, 30, 3)
  with pytest.raises(dataclasses.FrozenInstanceError):
    learner.tx = None
