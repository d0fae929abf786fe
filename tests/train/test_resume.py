"""DADA on rendered streets, killed and resumed: the same bits."""

import json
import os
import signal
import subprocess
import sys
import time

import jax
import numpy as np

from jaxuda.run import checkpoint
from jaxuda.run import workdir as workdir_lib

STEPS = 60
SIZE = '32x64_train8_val2'
FLAGS = [
  '--config=configs/dada.py:pair=streets',
  f'--config.data.source.dataset=streets/source_{SIZE}',
  f'--config.data.target.dataset=streets/target_{SIZE}',
  '--config.data.source.size=(32, 64)',
  '--config.data.target.size=(32, 64)',
  '--config.data.source.flip=True',
  f'--config.total_steps={STEPS}',
  f'--config.stop_step={STEPS}',
  '--config.batch_size=2',
  '--config.eval_batch_size=2',
  '--config.log_every=1',
  '--config.checkpoint_every=4',
  '--config.eval_every=0',
  '--config.picture_every=0',
  '--config.method.disc_width=4',
  '--config.network.backbone=resnet_tiny',
]


def _start(workdir, data_dir, *, cache=None):
  """Starts a run; `cache` keeps compiled programs for later processes."""
  env = {**os.environ, 'JAX_NUM_CPU_DEVICES': '2'}
  if cache:
    env['JAX_COMPILATION_CACHE_DIR'] = str(cache)
    env['JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS'] = '0'
  return subprocess.Popen(
    [
      *(sys.executable, '-m', 'jaxuda.main', *FLAGS),
      *(f'--workdir={workdir}', f'--config.data.data_dir={data_dir}'),
    ],
    env=env,
    stderr=subprocess.PIPE,
    text=True,
  )


def _finish(process):
  _, err = process.communicate()
  assert process.returncode == 0, err
  return err


def _logged(workdir):
  """Returns the steps in metrics.jsonl, skipping an incomplete line."""
  path = workdir / 'metrics.jsonl'
  if not path.exists():
    return []
  lines = path.read_text().split('\n')[:-1]
  return [json.loads(x)['step'] for x in lines if '"train"' in x]


def _wait_for(process, condition):
  while not condition():
    assert process.poll() is None, process.communicate()[1]
    time.sleep(0.01)


def _latest(workdir):
  names = [p.name for p in (workdir / 'checkpoints').glob('*')]
  return max((int(name) for name in names if name.isdigit()), default=0)


def _assert_same_end(workdir, whole):
  ours, theirs = workdir_lib.load(workdir), workdir_lib.load(whole)
  assert ours.step == theirs.step == STEPS
  flat = checkpoint.flatten(theirs.state)
  assert len(flat) > 100
  for path, leaf in checkpoint.flatten(ours.state).items():
    np.testing.assert_array_equal(leaf, flat[path], err_msg=path)
  assert int(ours.state.step) == STEPS
  assert _logged(workdir) == _logged(whole) == list(range(1, STEPS + 1))
  losses = [
    [
      {k: v for k, v in json.loads(x).items() if k.startswith('loss_')}
      for x in (run / 'metrics.jsonl').read_text().splitlines()
    ]
    for run in (workdir, whole)
  ]
  assert losses[0] == losses[1]


def test_killed_and_terminated_run_ends_bit_for_bit_the_same(tmp_path):
  assert jax.device_count() == 2
  data_dir, whole = tmp_path / 'tfds', tmp_path / 'whole'
  # The uninterrupted run compiles afresh, so equal bits are no coincidence.
  workdir, cache = tmp_path / 'parts', tmp_path / 'cache'
  _finish(_start(whole, data_dir))

  process = _start(workdir, data_dir, cache=cache)
  # Two steps beyond a checkpoint: they are taken again.
  _wait_for(
    process,
    lambda: (
      _latest(workdir) >= 4
      and max(_logged(workdir), default=0) >= _latest(workdir) + 2
    ),
  )
  process.kill()
  process.communicate()
  assert process.returncode == -signal.SIGKILL
  killed = _latest(workdir)
  assert 4 <= killed < STEPS

  process = _start(workdir, data_dir, cache=cache)
  # The lines after the checkpoint are removed first, and then written again.
  _wait_for(process, lambda: max(_logged(workdir)) == killed)
  _wait_for(process, lambda: max(_logged(workdir)) >= killed + 2)
  process.send_signal(signal.SIGTERM)
  err = _finish(process)
  assert f'continuing after step {killed}:' in err
  stopped = _latest(workdir)
  assert killed < stopped < STEPS
  assert (
    f'stopped by SIGTERM and saved at step {stopped} of {STEPS}; run the same'
    ' command again to continue'
  ) in err

  err = _finish(_start(workdir, data_dir, cache=cache))
  assert f'continuing after step {stopped}:' in err
  _assert_same_end(workdir, whole)
