import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxuda import errors
from jaxuda.run import workdir as workdir_lib
from jaxuda.step import state as state_lib
from jaxuda.train import warm_start


def make_state(value, width=3):
  net = state_lib.Net(
    params={'kernel': jnp.full(width, value)},
    batch_stats={'mean': jnp.full(2, value)},
    opt_state=(jnp.full(width, value),),
  )
  return state_lib.TrainState(
    step=jnp.asarray(int(value)), nets={'task': net, 'disc': net}
  )


@pytest.fixture
def other(monkeypatch):
  """Another run, and how it was asked for."""
  asked = []

  def load(workdir, *, which):
    asked.append((workdir, which))
    return workdir_lib.Run(
      config=None, method=None, state=make_state(5.0), step=5
    )

  monkeypatch.setattr(workdir_lib, 'load', load)
  return asked


def test_only_the_task_network_is_taken(other):
  state = warm_start.load_network(make_state(0.0), 'there', which='best')
  assert other == [('there', 'best')]
  task, disc = state.nets['task'], state.nets['disc']
  np.testing.assert_array_equal(task.params['kernel'], 5)
  np.testing.assert_array_equal(task.batch_stats['mean'], 5)
  np.testing.assert_array_equal(task.opt_state[0], 0)
  assert not any(np.any(x) for x in jax.tree.leaves((state.step, disc)))


def test_a_teacher_begins_as_its_copy(other):
  fresh = make_state(0.0)
  fresh = fresh.replace(teacher=fresh.nets['task'].replace(opt_state=()))
  state = warm_start.load_network(fresh, 'there')
  task, teacher = state.nets['task'], state.teacher
  np.testing.assert_array_equal(teacher.params['kernel'], 5)
  np.testing.assert_array_equal(teacher.batch_stats['mean'], 5)
  assert teacher.params['kernel'] is not task.params['kernel']
  assert teacher.opt_state == ()


def test_another_network_is_named(other):
  with pytest.raises(
    errors.UserError, match=r'there has float32\[3\] for kernel; expected'
  ):
    warm_start.load_network(make_state(0.0, width=4), 'there')
  state = make_state(0.0)
  params = {'bias': jnp.zeros(1), **state.nets['task'].params}
  task = state.nets['task'].replace(params=params)
  with pytest.raises(errors.UserError, match='has nothing for bias'):
    warm_start.load_network(state.replace(nets={'task': task}), 'there')
