"""All stages of Depth Distribution, each killed and called again."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np

from jaxuda.run import checkpoint
from jaxuda.run import workdir as workdir_lib

SIZE = '32x64_train8_val2'
FLAGS = [
  '--config=configs/depdis.py:pair=streets,rounds=1',
  f'--config.data.source.dataset=streets/source_{SIZE}',
  f'--config.data.target.dataset=streets/target_{SIZE}',
  '--config.data.source.size=(32, 64)',
  '--config.data.target.size=(32, 64)',
  '--config.network.backbone=resnet_tiny',
  *('--config.total_steps=6', '--config.stop_step=6'),
  *('--config.eval_every=2', '--config.checkpoint_every=2'),
  *('--config.eval_batch_size=2', '--config.picture_every=0'),
  *('--config.method.disc_width=4', '--config.mixtures.components=2'),
  *('--config.mixtures.samples=2000', '--config.mixtures.least=20'),
  '--config.self_training.total_steps=6',
  '--config.self_training.stop_step=6',
  '--config.self_training.confidence=0.0',
]


def _start(workdir, root, *, cache=None):
  """Starts all stages; `cache` keeps compiled programs for later processes."""
  env = dict(os.environ, JAX_NUM_CPU_DEVICES='1')
  if cache:
    env['JAX_COMPILATION_CACHE_DIR'] = str(cache)
    env['JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS'] = '0'
  return subprocess.Popen(
    [
      *(sys.executable, '-m', 'jaxuda.depdis.run', *FLAGS),
      *(f'--workdir={workdir}', f'--config.data.data_dir={root / "tfds"}'),
      f'--config.mixtures.folder={workdir}.mixtures',
    ],
    env=env,
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
    text=True,
  )


def _kill_when(process, condition):
  while not condition():
    assert process.poll() is None, process.communicate()[1]
    time.sleep(0.005)
  process.kill()
  out, _ = process.communicate()
  assert process.returncode == -signal.SIGKILL
  return out


def _any(folder, pattern):
  return lambda: next(folder.glob(pattern), None) is not None


def _scores(workdir):
  return json.loads((workdir / 'scores.json').read_text())


def test_killed_in_every_stage_ends_with_the_same_scores(tmp_path):
  # The uninterrupted run compiles afresh, so equal bits are no coincidence.
  whole, parts = tmp_path / 'whole', tmp_path / 'parts'
  process = _start(whole, tmp_path)
  _, err = process.communicate()
  assert process.returncode == 0, err

  first, later = parts / 'adversarial', parts / 'round1' / 'training'
  labels = parts / 'round1' / 'labels'
  mixtures = tmp_path / 'parts.mixtures'
  stages = (
    # Before the mixtures exist; after half of the steps; after some labels.
    (first, 'config.json'),
    (first, 'checkpoints/[2-5]'),
    (labels, '**/*.png'),
    (later, 'checkpoints/[2-5]'),
  )
  for number, (folder, pattern) in enumerate(stages):
    process = _start(parts, tmp_path, cache=tmp_path / 'cache')
    out = _kill_when(process, _any(folder, pattern))
    if number == 0:
      assert not list(mixtures.glob('*.npz'))
    if number == 2:
      assert not (labels / 'summary.json').exists()
    if number == 3:
      # Finished stages are not repeated.
      assert f'stage {first}\n' not in out
  process = _start(parts, tmp_path, cache=tmp_path / 'cache')
  out, err = process.communicate()
  assert process.returncode == 0, err
  assert f'stage {later}\n' in out
  assert f'stage {labels}\n' not in out

  for ours, theirs in (
    (first, whole / 'adversarial'),
    (later, whole / 'round1' / 'training'),
  ):
    assert _scores(ours) == _scores(theirs)
    flat = checkpoint.flatten(workdir_lib.load(theirs).state)
    for path, leaf in checkpoint.flatten(workdir_lib.load(ours).state).items():
      np.testing.assert_array_equal(leaf, flat[path], err_msg=path)
