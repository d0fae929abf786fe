import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxuda.step import parallel
from jaxuda.step import state as state_lib


def test_update_applies_the_mean_gradient_and_statistics():
  tx = optax.sgd(1.0)
  variables = {
    'params': {'w': jnp.zeros(2)},
    'batch_stats': {'m': jnp.zeros(1)},
  }
  net = state_lib.create_net(variables, tx)
  gradients = jnp.array([[1.0, 2], [3, 6]])
  stats = jnp.array([[1.0], [2.0]])

  def step(net, g, s):
    return state_lib.update(net, {'w': g}, tx, batch_stats={'m': s})

  new = jax.pmap(
    step, axis_name=parallel.AXIS, in_axes=(None, 0, 0), out_axes=None
  )(net, gradients, stats)
  np.testing.assert_array_equal(new.params['w'], [-2, -4])
  np.testing.assert_array_equal(new.batch_stats['m'], [1.5])


def test_update_without_statistics_keeps_them():
  tx = optax.sgd(1.0)
  net = state_lib.create_net({'params': jnp.zeros(1)}, tx)
  assert net.batch_stats == {}
  new = jax.pmap(
    lambda g: state_lib.update(net, g, tx), axis_name=parallel.AXIS
  )(jnp.ones((2, 1)))
  assert new.batch_stats == {}


def test_minimize_steps_down_the_mean_gradient():
  tx = optax.sgd(0.5)
  net = state_lib.create_net({'params': jnp.asarray(3.0)}, tx)

  def step(x):
    return state_lib.minimize(net, lambda p: (x * p**2, {'loss': x}), tx)

  new, aux = jax.pmap(step, axis_name=parallel.AXIS)(jnp.array([1.0, 3.0]))
  # Gradients 6 and 18, mean 12.
  np.testing.assert_array_equal(new.params, [-3, -3])
  np.testing.assert_array_equal(aux['loss'], [1, 3])


def test_average_after_three_steps():
  teacher, student = (
    state_lib.Net(params={'w': jnp.asarray(x)}, batch_stats={}, opt_state=())
    for x in (0.0, 1.0)
  )
  step = jax.vmap(
    lambda t: state_lib.update_teacher(t, student, decay=0.9, batch_stats={}),
    in_axes=None,
    out_axes=None,
    axis_name=parallel.AXIS,
    axis_size=1,
  )
  for _ in range(3):
    teacher = step(teacher)
  np.testing.assert_allclose(teacher.params['w'], 1 - 0.9**3, rtol=1e-6)


def test_decay_warms_up_to_its_limit():
  decays = [float(state_lib.ema_decay(t, limit=0.7)) for t in range(5)]
  np.testing.assert_allclose(decays, [0, 0.5, 2 / 3, 0.7, 0.7], rtol=1e-6)


def test_teacher_after_three_steps():
  # Students 3, 5, 10 after the steps; decays 0, 1/2 and 0.6: 3, 4, 6.4.
  teacher = state_lib.Net(
    params=jnp.asarray(-7.0), batch_stats=jnp.asarray(0.0), opt_state=()
  )

  def step(teacher, t, student, stats):
    student = state_lib.Net(params=student, batch_stats=9.0, opt_state=1.0)
    return state_lib.update_teacher(
      teacher,
      student,
      decay=state_lib.ema_decay(t, limit=0.6),
      batch_stats=stats,
    )

  mapped = jax.vmap(
    step,
    in_axes=(None, None, None, 0),
    out_axes=None,
    axis_name=parallel.AXIS,
  )
  for t, student in enumerate((3.0, 5.0, 10.0)):
    teacher = mapped(teacher, jnp.asarray(t), student, jnp.array([1.0, 2.0]))
  np.testing.assert_allclose(teacher.params, 6.4, rtol=1e-6)
  # The teacher's own statistics, not the student's.
  assert teacher.batch_stats == 1.5
  assert teacher.opt_state == ()


def test_created_state_holds_arrays_only():
  net = state_lib.create_net({'params': {'w': jnp.zeros(1)}}, None)
  state = state_lib.create({'task': net})
  assert state.step == 0
  assert all(isinstance(x, jax.Array) for x in jax.tree.leaves(state))


def test_a_state_advances():
  net = state_lib.create_net({'params': jnp.zeros(1)}, None)
  state = state_lib.create({'task': net}, teacher=net)
  later = state.advance({'disc': net}, teacher=net)
  assert (int(later.step), set(later.nets)) == (1, {'disc'})
  assert later.teacher is net
  assert state.advance({}).teacher is net


def test_the_first_teacher_counts_where_it_is_told_to():
  """DAFormer's, in step t, is the mean of the students after 0..t steps."""
  students = (3.0, 1.0, 4.0, 1.0, 5.0, 9.0)
  teacher, means = students[0], []
  for step, student in enumerate(students[1:]):
    decay = float(state_lib.ema_decay(step, limit=0.75, before=1))
    teacher = decay * teacher + (1 - decay) * student
    means.append(teacher)
  # Means of two, three and four; then a quarter of each new one.
  expected = [2.0, 8 / 3, 2.25, 0.75 * 2.25 + 1.25]
  expected.append(0.75 * expected[-1] + 2.25)
  np.testing.assert_allclose(means, expected, rtol=1e-6)
