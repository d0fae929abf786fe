import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxuda import errors
from jaxuda.step import parallel


def test_shard_splits_rows_in_order():
  batch = {'a': np.arange(6).reshape(6, 1), 'b': np.zeros((6, 2, 3))}
  split = parallel.shard(batch)
  assert split['b'].shape == (2, 3, 2, 3)
  np.testing.assert_array_equal(split['a'][1].ravel(), [3, 4, 5])


def test_batches_that_do_not_divide_are_refused():
  with pytest.raises(errors.UserError, match='multiple of 2'):
    parallel.shard(np.zeros((3, 1)))
  for size in (0, 3):
    with pytest.raises(errors.UserError, match=f'batch_size={size}'):
      parallel.check_batch_size(size)
  parallel.check_batch_size(4)


def test_prefetch_keeps_order_and_contents():
  batches = [{'x': np.full((2, 3), i)} for i in range(5)]
  for size in (0, 2, 9):
    out = list(parallel.prefetch(iter(batches), size=size))
    assert [int(b['x'][1, 0, 0]) for b in out] == [0, 1, 2, 3, 4]


def test_rows_stay_on_their_devices():
  devices = jax.local_devices()
  rows = parallel.pad_rows([np.full(3, i) for i in range(3)], count=2)
  split = parallel.split_rows(parallel.spread(np.stack(rows)))
  assert [int(x[0, 0]) for x in split] == [0, 1, 2, 2]
  assert [x.devices() for x in split] == [{devices[i // 2]} for i in range(4)]
  whole = parallel.everywhere({'a': jnp.ones(2)})['a']
  assert whole.devices() == set(devices)
  assert parallel.spread((None, None)) == (None, None)


@pytest.mark.parametrize('make', [parallel.pmap_step, parallel.shard_step])
def test_step_compiles_once_and_means_over_devices(make):
  traces = []

  def step(state, batch, key):
    traces.append(1)
    noise = jax.random.uniform(jax.random.fold_in(key, parallel.device_index()))
    mean = parallel.mean(batch.mean())
    return state + mean, {'mean': mean, 'noise': parallel.mean(noise)}

  state = parallel.init(jnp.zeros_like, jnp.zeros(()))
  mapped = make(step)
  for _ in range(3):
    state, metrics = mapped(state, np.array([[1.0], [3.0]]), jax.random.key(0))
  assert float(state) == 6
  assert float(metrics['mean']) == 2
  assert len(traces) == 1


def test_alone_is_the_first_device_without_the_others():
  batch = next(parallel.prefetch(iter([{'x': np.arange(4.0)}]), size=0))
  share = parallel.first_share(batch)
  np.testing.assert_array_equal(share['x'], [0, 1])

  def double(state, batch, key):
    del key
    return parallel.mean(state * batch['x']), parallel.device_index()

  doubled, index = parallel.run_alone(double, 2.0, share, jax.random.key(0))
  np.testing.assert_array_equal(doubled, [0, 2])
  assert index == 0
