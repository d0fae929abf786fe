"""Checks that a resumed run equals an uninterrupted one, bit for bit.

Takes six steps of the tiny network with a checkpoint after the third; another
process restores it and takes the other three. This is done with XLA's default
flags, and on a GPU also with its flag for deterministic operations.
"""

import argparse
from concurrent import futures
import hashlib
import json
import os
import pathlib
import subprocess
import sys
import tempfile
from typing import Any

import jax
import numpy as np

from accelerator import report
from accelerator import settings
from jaxuda.run import checkpoint
from jaxuda.step import parallel
from jaxuda.step import rng

_STEPS, _MIDDLE = 6, 3
_FLAG = '--xla_gpu_deterministic_ops=true'


def digest(state: Any) -> str:
  """Returns a hash of all bits of a state."""
  found = hashlib.sha256()
  for name, leaf in sorted(checkpoint.flatten(state).items()):
    found.update(name.encode() + np.asarray(leaf).tobytes())
  return found.hexdigest()


def _method(name):
  config = settings.make_config(name, small=True)
  return config, settings.make_method(config)


def take(name: str, folder: pathlib.Path, *, resumed: bool) -> str:
  """Takes the steps, from the start or from the checkpoint.

  Args:
    name: name of the method.
    folder: folder of the checkpoint, which is written unless it exists.
    resumed: whether to start from the checkpoint.

  Returns:
    The digest of the state after the last step.
  """
  config, method = _method(name)
  key = rng.root(0)
  batches = [settings.make_batch(config, method, seed=i) for i in range(_STEPS)]
  state = settings.make_state(method, batches[0])
  step = parallel.pmap_step(method.train_step)
  with checkpoint.Checkpoints(folder) as checkpoints:
    if resumed:
      state = checkpoints.restore(_MIDDLE, state, name=name)
    begin = _MIDDLE if resumed else 0
    feed = parallel.prefetch(iter(batches[begin:]))
    for index, batch in enumerate(feed, begin):
      if index == _MIDDLE and not resumed:
        checkpoints.save(index, state, config={'name': name})
      state, _ = step(state, batch, key)
  return digest(jax.device_get(state))


def _run(name, folder, mode, flags):
  """Takes the steps in another process and returns their digest."""
  # XLA would take mere blanks for the name of a file.
  flags = f'{os.environ.get("XLA_FLAGS", "")} {flags}'.strip()
  environment = {**os.environ, 'XLA_FLAGS': flags}
  command = [sys.executable, '-m', 'accelerator.resume']
  command += [f'--take={name}', f'--folder={folder}', f'--mode={mode}']
  command += [f'--part={folder}.json']
  result = subprocess.run(
    command, env=environment, check=True, stdout=subprocess.PIPE, text=True
  )
  return json.loads(result.stdout.splitlines()[-1])


def measure(name: str, flags: str) -> dict[str, bool]:
  """Compares two whole runs and a resumed one, each in its own process."""
  with (
    tempfile.TemporaryDirectory() as folder,
    futures.ThreadPoolExecutor() as pool,
  ):
    folder = pathlib.Path(folder)
    again = pool.submit(_run, name, folder / 'again', 'again', flags)
    whole = _run(name, folder / 'run', 'whole', flags)
    resumed = _run(name, folder / 'run', 'resumed', flags)
    return {'repeats': again.result() == whole, 'resumes': resumed == whole}


def main() -> None:
  """Runs the stage."""
  parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
  report.add_flags(parser)
  add = parser.add_argument
  add('--method', action='append', default=[])
  add('--take', default='', help='take the steps of this method')
  add('--folder', type=pathlib.Path)
  add('--mode', choices=('whole', 'resumed', 'again'))
  args = parser.parse_args()
  if args.take:
    resumed = args.mode == 'resumed'
    print(json.dumps(take(args.take, args.folder, resumed=resumed)))
    return
  ways = {'default': ''}
  if jax.default_backend() == 'gpu':
    ways['deterministic'] = _FLAG
  with futures.ThreadPoolExecutor() as pool:
    calls = {
      name: {w: pool.submit(measure, name, f) for w, f in ways.items()}
      for name in args.method
    }
    found = {
      name: {way: call.result() for way, call in made.items()}
      for name, made in calls.items()
    }
  report.write(args.part, found)


if __name__ == '__main__':
  main()
