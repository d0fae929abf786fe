r"""A step of every method in one of two processes, for test_devices.py.

  python -m tests.methods.spread --out=DIR --address=HOST:PORT --process=0|1 \
      dada mono warm ...

Writes DIR/NAME_PROCESS.npz: the state and the metrics after a step on two of
four devices, by path; or, for 'warm', states that start from another network.
Only the steps are compiled, and only in the first process.
"""

import argparse
import dataclasses
import pathlib
import time

import jax
from jax._src import cache_key
import ml_collections
import numpy as np

from jaxuda.depth.mono import self_supervised
from jaxuda.methods import corda
from jaxuda.methods import dacs
from jaxuda.ops import mixing
from jaxuda.run import checkpoint
from jaxuda.run import workdir as workdir_lib
from jaxuda.step import parallel
from jaxuda.step import rng
from jaxuda.train import warm_start
from jaxuda.weights import runs
from tests import filling
from tests.methods import test_all_methods as all_methods

DEVICES = 4
SIZE = 24, 32
# Nothing is drawn that depends on the number of devices, see test_mixing.
_PLAIN = mixing.Options(jitter='none', blur_probability=0.0, threshold=0.3)
# Batch norms are per device; and rewrites that are faster on CPUs would only be
# more to compile.
FROZEN = dataclasses.replace(
  all_methods.NETWORK,
  norm='frozen',
  dtype='float64',
  dot_1x1=False,
  dot_wgrad=False,
  barriers=False,
  aspp_dot=False,
)
METHODS = {
  name: all_methods.VARIANTS[name]
  for name in (
    *('source_only-depth', 'advent-output-multi', 'dada', 'depdis'),
    *('self_training', 'gio_ada', 'cyclegan'),
  )
}
METHODS |= {
  'dacs': dacs.Method(mixing=_PLAIN, **all_methods.COMMON),
  'corda': corda.Method(width=8, mixing=_PLAIN, **all_methods.COMMON),
}
METHODS = {
  name: dataclasses.replace(method, network=FROZEN)
  for name, method in METHODS.items()
}
# Its norms always use batch statistics, which are per device.
MONO = self_supervised.Method(
  total_steps=100, network='tiny', scales=(3,), jitter=0.0, auto_mask=False
)


def make_batch(method):
  """Makes four rows, the first of which has few labels and depths."""
  if method is MONO:
    generator, shape = np.random.default_rng(0), (DEVICES, 32, 64)
    views = ('image', *self_supervised.NEIGHBOURS)
    batch = {
      x: generator.integers(0, 256, (*shape, 3), np.uint8) for x in views
    }
    camera = np.array([40, 40, 31.5, 15.5], np.float32)
    return batch | {'intrinsics': np.tile(camera, (DEVICES, 1))}
  batch = all_methods.make_batch(method, rows=DEVICES, size=SIZE)
  for domain in batch.values():
    if 'label' in domain:
      domain['label'][0, 3:] = 255
    if 'depth' in domain:
      domain['depth_valid'][0, :, 3:] = False
  return batch


def make_state(method, batch, *, seed=0):
  """Makes a state with NumPy: `init` would have to be compiled."""
  shapes = jax.eval_shape(method.init, rng.for_init(0), batch)
  return filling.fill(shapes, seed=seed)


def flatten(tree):
  """Returns the leaves by path, as NumPy arrays."""
  return {k: np.asarray(x) for k, x in checkpoint.flatten(tree).items()}


def lay_out(state):
  """Puts a state of NumPy arrays on all devices of all processes."""
  whole = parallel.replicated()
  return jax.tree.map(
    lambda x: jax.make_array_from_callback(x.shape, whole, lambda i: x[i]),
    state,
  )


def begin():
  """Returns states that start from another run's network or weights."""
  method = METHODS['dacs']
  mine, theirs = (
    lay_out(make_state(method, make_batch(method), seed=seed))
    for seed in range(2)
  )
  config = ml_collections.ConfigDict({'name': 'dacs'})
  run = workdir_lib.Run(config=config, method=method, state=theirs, step=7)
  workdir_lib.load = lambda *unused, **options: run
  weights = runs.of_run(run, file='another run')
  return parallel.local(
    (
      warm_start.load_network(mine, 'another run'),
      warm_start._load_weights(
        mine, weights, method.network, lambda line: None
      ),
    )
  )


def train(method, process, meet):
  """Takes a step on this process's rows; returns state and metrics."""
  batch = make_batch(method)
  state = lay_out(make_state(method, batch))
  count = DEVICES // jax.process_count()
  rows = slice(process * count, (process + 1) * count)
  mine = jax.tree.map(lambda x: x[rows], batch)
  (given,) = parallel.prefetch(iter([mine]), size=0)
  given = state, given, rng.root(1)
  lowered = parallel.pmap_step(method.train_step).lower(*given)
  if process:
    meet()
  step = lowered.compile()
  if not process:
    meet()
  meet()
  return parallel.local(step(*given))


def share_programs():
  """Lets the second process find what the first one has compiled.

  JAX caches programs under a fingerprint that tells a process's own devices
  from those of others. If JAX drops this function, both processes compile.
  """
  cache_key._hash_accelerator_config = lambda *unused: None


class Meeting:
  """Lets a process wait for the other, however long it compiles.

  The collectives themselves wait for only half a minute.
  """

  def __init__(self, out, process):
    self._out, self._process, self._count = out, process, 0

  def __call__(self):
    self._count += 1
    (self._out / f'met{self._count}_{self._process}').touch()
    other = self._out / f'met{self._count}_{1 - self._process}'
    while not other.exists():
      time.sleep(0.02)


def main():
  """Runs the command line."""
  parser = argparse.ArgumentParser()
  parser.add_argument('--out', type=pathlib.Path)
  parser.add_argument('--address')
  parser.add_argument('--process', type=int)
  parser.add_argument('names', nargs='+')
  args = parser.parse_args()
  share_programs()
  jax.distributed.initialize(args.address, 2, args.process)
  assert jax.device_count() == DEVICES
  meet = Meeting(args.out, args.process)
  for name in args.names:
    meet()
    with jax.enable_x64(name != 'mono'):
      if name == 'warm':
        result = begin()
      else:
        method = MONO if name == 'mono' else METHODS[name]
        result = train(method, args.process, meet)
    np.savez(args.out / f'{name}_{args.process}.npz', **flatten(result))


if __name__ == '__main__':
  main()
