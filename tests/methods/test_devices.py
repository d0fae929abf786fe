"""A batch trains the same, however many devices and processes share it."""

import dataclasses
import os
import pathlib
import socket
import subprocess
import sys
import time

import jax
import numpy as np
import pytest

from jaxuda.step import parallel
from jaxuda.step import rng
from tests.methods import spread
from tests.methods import test_all_methods as all_methods


@pytest.fixture(scope='module')
def two_processes(tmp_path_factory, request):
  """Returns the results of two real processes with two devices each."""
  names = [
    item.callspec.params['name'] if hasattr(item, 'callspec') else item.name
    for item in request.session.items
    if item.path.name == pathlib.Path(__file__).name
  ]
  others = {'warm': 'same_network', 'mono': 'from_sequences'}
  wanted = [x for x in spread.METHODS if x in names]
  wanted += [k for k, v in others.items() if any(v in x for x in names)]
  out = tmp_path_factory.mktemp('spread')
  with socket.socket() as s:
    s.bind(('127.0.0.1', 0))
    address = f'127.0.0.1:{s.getsockname()[1]}'
  env = {**os.environ, 'JAX_NUM_CPU_DEVICES': '2'}
  command = [sys.executable, '-m', 'tests.methods.spread']
  command += [f'--out={out}', f'--address={address}']
  processes = [
    subprocess.Popen(
      [*command, f'--process={i}', *wanted],
      env=env,
      stderr=subprocess.PIPE,
      text=True,
    )
    for i in range(2)
  ]
  while any(process.poll() is None for process in processes):
    if any(process.poll() for process in processes):  # The other would wait.
      for process in processes:
        process.kill()
    time.sleep(0.1)
  said = [process.communicate()[1] for process in processes]
  assert [process.returncode for process in processes] == [0, 0], said

  def read(name):
    ours, theirs = (np.load(out / f'{name}_{i}.npz') for i in range(2))
    for path in ours.files:  # Each process has a copy of all arrays.
      np.testing.assert_array_equal(ours[path], theirs[path], err_msg=path)
    return dict(ours)

  return read


def train_once(method, state, batch, count):
  """Takes a step on so many devices."""
  step = jax.pmap(
    method.train_step,
    axis_name=parallel.AXIS,
    in_axes=(None, 0, None),
    out_axes=None,
    devices=jax.devices()[:count],
  )
  split = jax.tree.map(
    lambda x: x.reshape(count, x.shape[0] // count, *x.shape[1:]), batch
  )
  return step(state, split, rng.root(1))


def train_apart(method, state, batch, part=slice(None)):
  """Takes a step on one device, with shares of one image, as if on more.

  `part` is 1 for only the metrics, which need less to compile.
  """

  def step(*given):
    return method.train_step(*given)[part]

  step = jax.vmap(step, in_axes=(None, 0, None), axis_name=parallel.AXIS)
  split = jax.tree.map(lambda x: x[:, None], batch)
  return jax.tree.map(lambda x: x[0], jax.jit(step)(state, split, rng.root(1)))


def compare(one, other, *, rtol, atol):
  assert one.keys() == other.keys()
  for path in one:
    np.testing.assert_allclose(one[path], other[path], rtol, atol, err_msg=path)


@pytest.mark.parametrize('name', spread.METHODS)
def test_one_device_is_two_processes_of_two(name, two_processes):
  # In float64 only the order of additions makes a difference.
  method = spread.METHODS[name]
  batch = spread.make_batch(method)
  with jax.enable_x64(True):
    state = spread.make_state(method, batch)
    one = spread.flatten(train_once(method, state, batch, 1))
    compare(one, two_processes(name), rtol=1e-7, atol=1e-10)
    if name == 'dada':
      apart = dataclasses.replace(method, sums='device')
      metrics = train_apart(apart, state, batch, 1)
      (whole,) = (v for k, v in one.items() if k.endswith('loss_depth'))
      assert abs(metrics['loss_depth'] / whole - 1) > 1e-3


def test_depth_from_sequences_trains_in_two_processes(two_processes):
  batch = spread.make_batch(spread.MONO)
  state = spread.make_state(spread.MONO, batch)
  # Losses see all rows; gradients are averaged as in all methods.
  four = spread.flatten(train_apart(spread.MONO, state, batch, 1))
  two = two_processes('mono')
  metrics = {k: v for k, v in two.items() if k.startswith('1/')}
  compare({f'1/{k}': v for k, v in four.items()}, metrics, rtol=1e-4, atol=0)
  before = spread.flatten((state,))
  kernels = [k for k in before if 'params' in k and k.endswith('kernel')]
  assert len(kernels) > 20
  assert all(np.any(before[k] != two[k]) for k in kernels)


def test_processes_begin_with_the_same_network(two_processes):
  method = spread.METHODS['dacs']
  batch = spread.make_batch(method)
  with jax.enable_x64(True):
    mine, theirs = (spread.make_state(method, batch, seed=i) for i in range(2))
  net = theirs.nets['task']
  new = mine.nets['task'].replace(
    params=net.params, batch_stats=net.batch_stats
  )
  teacher = mine.teacher.replace(params=net.params, batch_stats=net.batch_stats)
  state = mine.replace(nets={**mine.nets, 'task': new}, teacher=teacher)
  expected = spread.flatten((state, state))
  compare(two_processes('warm'), expected, rtol=0, atol=0)


def test_two_devices_equal_one_with_synchronised_norms():
  network = dataclasses.replace(all_methods.NETWORK, norm='sync')
  method = dataclasses.replace(all_methods.VARIANTS['dada'], network=network)
  batch = all_methods.make_batch(method, rows=4)
  state = spread.make_state(method, batch)
  results = [train_once(method, state, batch, count) for count in (1, 2)]
  for term, value in results[0][1].items():
    np.testing.assert_allclose(value, results[1][1][term], rtol=1e-4)
  for a, b in zip(
    jax.tree.leaves(results[0][0].nets['task'].batch_stats),
    jax.tree.leaves(results[1][0].nets['task'].batch_stats),
    strict=True,
  ):
    np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5)
