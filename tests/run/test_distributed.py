"""Two processes of four devices: the run of one process with eight.

A single scenario, because every process takes seconds to start: SIGTERM to one
of two processes, SIGKILL to one, and the result at the end.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import time

import jax
import numpy as np

from jaxuda.run import checkpoint
from jaxuda.run import workdir as workdir_lib

STEPS = 12
# Three images to score do not divide over two processes.
SIZE = '32x64_train8_val3'
FLAGS = [
  '--config=configs/source_only.py:pair=streets',
  f'--config.data.source.dataset=streets/source_{SIZE}',
  f'--config.data.target.dataset=streets/target_{SIZE}',
  '--config.data.source.size=(32, 64)',
  '--config.data.target.size=(32, 64)',
  '--config.data.source.flip=True',
  f'--config.total_steps={STEPS}',
  f'--config.stop_step={STEPS}',
  '--config.batch_size=8',
  '--config.eval_batch_size=2',
  '--config.log_every=1',
  '--config.checkpoint_every=0',
  '--config.eval_every=0',
  '--config.picture_every=0',
  '--config.network.backbone=resnet_tiny',
  '--config.network.norm=sync',
  # Sums over devices are rounded in another order, and twelve steps of an
  # untrained network in float32 make percents of that.
  '--config.network.dtype=float64',
  '--config.optim.name=sgd',
  '--config.optim.warmup_steps=0',
]


def _start(workdir, *, devices, flags=(), cache=None):
  env = {
    **os.environ,
    'JAX_NUM_CPU_DEVICES': str(devices),
    'JAX_ENABLE_X64': '1',
    # Beside two processes on two cores TensorFlow has nothing to hurry for.
    'TF_NUM_INTEROP_THREADS': '1',
  }
  if cache:
    env['JAX_COMPILATION_CACHE_DIR'] = str(cache)
    env['JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS'] = '0'
  data_dir = workdir.parent / 'tfds'
  return subprocess.Popen(
    [
      *(sys.executable, '-m', 'jaxuda.main', *FLAGS, *flags),
      *(f'--workdir={workdir}', f'--config.data.data_dir={data_dir}'),
    ],
    env=env,
    stdout=subprocess.DEVNULL,
    stderr=subprocess.PIPE,
    text=True,
  )


def _start_two(workdir):
  with socket.socket() as s:
    s.bind(('127.0.0.1', 0))
    port = s.getsockname()[1]
  flags = [
    '--config.distributed=True',
    f'--coordinator_address=127.0.0.1:{port}',
    '--num_processes=2',
    '--heartbeat_timeout=30',
  ]
  return [
    _start(
      workdir,
      devices=4,
      flags=[*flags, f'--process_id={i}'],
      cache=workdir.parent / 'cache',
    )
    for i in range(2)
  ]


def _finish(*processes):
  """Returns the outputs of the processes, none of which may have failed."""
  said = [process.communicate()[1] for process in processes]
  assert [process.returncode for process in processes] == [0] * len(said), said
  return said


def _losses(workdir):
  """Returns losses by step in metrics.jsonl, skipping an incomplete line."""
  path = workdir / 'metrics.jsonl'
  lines = path.read_text().split('\n')[:-1] if path.exists() else []
  entries = [json.loads(x) for x in lines if '"train"' in x]
  return {x['step']: x['loss_seg'] for x in entries}


def _wait_for_step(processes, workdir, step):
  while max(_losses(workdir), default=0) < step:
    for process in processes:
      assert process.poll() is None, process.communicate()[1]
    time.sleep(0.01)


def _steps(workdir):
  names = [p.name for p in (workdir / 'checkpoints').iterdir()]
  return sorted(int(name) for name in names if name.isdigit())


def _terminate_one(workdir):
  """Sends SIGTERM to the process that does not report; returns its step."""
  processes = _start_two(workdir)
  _wait_for_step(processes, workdir, 1)
  processes[1].send_signal(signal.SIGTERM)
  said, other = _finish(*processes)
  assert '2 processes, 8 devices' in said
  assert 'processes' not in other
  (stopped,) = _steps(workdir)
  assert f'stopped by SIGTERM and saved at step {stopped} of {STEPS}' in said
  assert max(_losses(workdir)) == stopped < STEPS - 2
  return stopped


def _kill_one(workdir, stopped):
  """Kills a process after a checkpoint; returns the losses until then."""
  processes = _start_two(workdir)
  _wait_for_step(processes, workdir, stopped + 2)
  processes[1].kill()
  # The other one does not wait for it.
  processes[0].communicate(timeout=120)
  assert processes[0].returncode not in (0, None)
  processes[1].communicate()
  assert processes[1].returncode == -signal.SIGKILL
  assert _steps(workdir) == [stopped]
  return _losses(workdir)


def _load(workdir):
  with jax.enable_x64(True):
    run = workdir_lib.load(workdir)
    assert run.step == STEPS
    flat = checkpoint.flatten(run.state)
    return {path: np.asarray(leaf) for path, leaf in flat.items()}


def test_two_processes_are_one(tmp_path):
  two, whole = tmp_path / 'two', tmp_path / 'whole'
  stopped = _terminate_one(two)
  before = _kill_one(two, stopped)
  said, _ = _finish(*_start_two(two))
  assert f'continuing after step {stopped}:' in said
  after = _losses(two)
  assert list(after) == list(range(1, STEPS + 1))
  # Repeated steps give the same bits.
  assert len(before) >= stopped + 2
  assert {step: after[step] for step in before} == before

  _finish(_start(whole, devices=8))
  ours, theirs = _load(two), _load(whole)
  assert len(theirs) > 100
  for path, leaf in theirs.items():
    # Momenta included, so gradients are compared, not only small steps. Only
    # sums over the devices are rounded otherwise: 7e-15 was seen.
    error = np.linalg.norm(ours[path] - leaf)
    assert error <= 1e-11 * np.linalg.norm(leaf), path
  scores = [workdir_lib.read_scores(x)['last'] for x in (two, whole)]
  assert scores[0] == scores[1]
  assert scores[0]['figures']['IoU']['images'] == 3
