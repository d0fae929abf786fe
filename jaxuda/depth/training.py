"""Trains a self-supervised depth network; the same call again goes on.

The loop of `jaxuda.train` for what has no classes: the same checkpoints, log,
display and signals, other batches and scores.
"""

from collections.abc import Mapping
import contextlib
import dataclasses
import os
import pathlib
from typing import Any

import jax
import ml_collections
import numpy as np

from jaxuda import checkpoint
from jaxuda import display
from jaxuda import errors
from jaxuda import parallel
from jaxuda import recorder
from jaxuda import rng
from jaxuda import signals
from jaxuda import window
from jaxuda import workdir as workdir_lib
from jaxuda.data import sequences as sequences_lib
from jaxuda.depth import scoring
from jaxuda.depth import self_supervised
from jaxuda.models import monodepth


def create_method(config: Any) -> self_supervised.Method:
  """Builds the method of a config.

  Raises:
    UserError: the config is of something else, or a field is unknown or out of
      range.
  """
  if config.name != 'monodepth':
    raise errors.UserError(
      f'config.name={config.name!r}; expected monodepth, as in'
      ' configs/monodepth.py'
    )
  known = {f.name for f in dataclasses.fields(self_supervised.Method)}
  unknown = sorted(set(config.method) - known)
  if unknown:
    raise errors.UserError(
      f'unknown field method.{unknown[0]}; expected one of'
      f' {", ".join(sorted(known))}'
    )
  return self_supervised.Method(
    total_steps=config.total_steps, **dict(config.method)
  )


def check_config(config: ml_collections.ConfigDict) -> None:
  """Checks what can be checked before anything is loaded.

  Raises:
    UserError: a number is out of range, the batch does not divide over the
      devices, or the size not into the network's strides.
  """
  for name in ('total_steps', 'stop_step', 'batch_size', 'eval_batch_size'):
    if config[name] < 1:
      raise errors.UserError(f'{name}={config[name]}; expected at least 1')
  if config.stop_step > config.total_steps:
    raise errors.UserError(
      f'stop_step={config.stop_step}; expected at most'
      f' total_steps={config.total_steps}'
    )
  parallel.check_batch_size(config.batch_size)
  size = tuple(config.data.size)
  if len(size) != 2 or any(x < 1 or x % monodepth.STRIDE for x in size):
    raise errors.UserError(
      f'config.data.size={size}; expected (height, width), multiples of'
      f' {monodepth.STRIDE}'
    )


def train(config: ml_collections.ConfigDict, workdir: str | os.PathLike) -> Any:
  """Trains until `config.stop_step`, going on from the last checkpoint.

  Killed at any moment and called again, it ends with the same parameters, bit
  for bit, as without the interruption. SIGTERM and SIGINT save and return.

  Args:
    config: see `configs/monodepth.py`.
    workdir: the run's folder.

  Returns:
    The state after the last step taken.

  Raises:
    UserError: a mistake in the config or the data, or a folder that holds
      another run.
    window.NonFiniteError: a loss or a parameter became NaN or infinite.
  """
  check_config(config)
  method = create_method(config)
  workdir = pathlib.Path(os.path.abspath(workdir))
  if workdir.exists() and not workdir.is_dir():
    raise errors.UserError(f'{workdir} is a file; expected a folder')
  with contextlib.ExitStack() as stack:
    stop = stack.enter_context(signals.StopSignals())
    checkpoints = stack.enter_context(
      checkpoint.Checkpoints(workdir, keep_last=config.keep_last)
    )
    step = _claim(workdir, config, checkpoints)
    batches = parallel.prefetch(_stream(config, method, step))
    scored = scoring.open_scored(config)
    progress = stack.enter_context(
      display.Progress('train', total=config.stop_step, start=step)
    )
    state = _create_or_restore(config, method, checkpoints, step)
    record = stack.enter_context(recorder.Recorder(workdir))
    if step:
      progress.message(f'continuing after step {step}')
    after = _Afterwards(
      config, method, workdir, checkpoints, record, progress, scored
    )
    train_step = parallel.pmap_step(method.train_step)
    key = rng.root(config.seed)
    while step < config.stop_step and not stop.requested:
      state, metrics = train_step(state, next(batches), key)
      step += 1
      after.step(step, state, metrics)
    after.finish(step, state)
    if stop.requested:
      progress.message(
        f'stopped by {stop.requested} and saved at step {step} of'
        f' {config.stop_step}; run the same command again to continue'
      )
  return state


class _Afterwards:
  """What follows a step: display, log, checkpoint, scores, pictures."""

  def __init__(
    self, config, method, workdir, checkpoints, record, progress, scored
  ):
    self._config, self._method, self._workdir = config, method, workdir
    self._checkpoints, self._record = checkpoints, record
    self._progress, self._scored = progress, scored
    self._window = window.Window()
    self._scores = workdir_lib.read_scores(workdir)

  def step(self, step: int, state: Any, metrics: Any) -> None:
    """Does what is due after a step."""
    config = self._config
    self._window.add(step, metrics)
    values = self._window.newest() if self._progress.due() else None
    self._progress.update(step, values or None)
    last = step == config.stop_step
    if _is_due(step, config.log_every) or last:
      means = self._window.take_mean()
      self._record.write_scalars(step, 'train', means)
    scored = self._scored and (_is_due(step, config.eval_every) or last)
    if scored or last or _is_due(step, config.checkpoint_every):
      self._save(step, state)
    if _is_due(step, config.picture_every) or last:
      self._draw(step, state)
    if scored:
      self._evaluate(step, state)

  def finish(self, step: int, state: Any) -> None:
    """Saves what a signal interrupted."""
    if step and step not in self._checkpoints.steps():
      self._save(step, state)
    self._checkpoints.wait()

  def _save(self, step, state):
    self._window.check()
    bad = window.find_non_finite(state)
    if bad:
      raise window.NonFiniteError(
        f'not finite in the state after step {step}: {", ".join(bad[:3])}'
      )
    config = workdir_lib.config_to_dict(self._config)
    self._checkpoints.save(step, state, config=config)

  def _evaluate(self, step, state):
    result = scoring.evaluate(
      self._method,
      state,
      self._scored,
      batch_size=self._config.eval_batch_size,
      progress=self._progress,
    )
    self._checkpoints.wait()
    self._record.write_scalars(step, 'eval', result)
    result = {**result, 'checkpoint_step': step}
    best = self._scores.get('best')
    self._scores['last'] = result
    if best is None or result['abs_rel'] <= best['abs_rel']:
      self._scores['best'] = result
    self._checkpoints.best = self._scores['best']['checkpoint_step']
    workdir_lib.write_json(self._workdir / 'scores.json', self._scores)
    self._checkpoints.prune()
    self._progress.message(f'step {step}: {display.format_values(result)}')

  def _draw(self, step, state):
    shown = self._scored or sequences_lib.Sequences(
      self._config.data, self._config.data.split, needs=('image',)
    )
    with self._progress.pause():
      panel = scoring.draw_panel(self._method, state, shown)
    self._record.write_picture(step, 'depth', panel)


def load(workdir: str | os.PathLike, *, which: str = 'last') -> workdir_lib.Run:
  """Reads one checkpoint of a run of this loop.

  Args:
    workdir: the run's folder.
    which: 'last', 'best' (by abs_rel) or a step.

  Raises:
    UserError: no run, or no such checkpoint.
  """
  config = workdir_lib.read_config(workdir)
  method = create_method(config)
  with checkpoint.Checkpoints(workdir, write=False) as checkpoints:
    scores = workdir_lib.read_scores(workdir)
    step = workdir_lib.choose_step(checkpoints, scores, which)
    state = checkpoints.restore(step, _like(config, method), name=config.name)
  return workdir_lib.Run(config=config, method=method, state=state, step=step)


def _is_due(step: int, every: int) -> bool:
  return every > 0 and step % every == 0


def _stream(config, method, step):
  data = config.data
  return sequences_lib.train_stream(
    sequences_lib.Sequences(data, data.split, needs=method.needs),
    batch_size=config.batch_size,
    seed=config.seed,
    start_step=step,
    flip=data.flip,
    workers=data.workers,
  )


def _claim(workdir, config, checkpoints) -> int:
  """Checks that the folder is this run's and returns the step it is at."""
  step = checkpoints.latest() or 0
  new = workdir_lib.config_to_dict(config)
  if step:
    old = checkpoints.config(step)
    workdir_lib.check_config(old, new, workdir=str(workdir))
  known: Mapping[str, Any] = workdir_lib.read_scores(workdir)
  if known:
    checkpoints.best = known['best']['checkpoint_step']
  evaluated = known['last']['checkpoint_step'] if known else -1
  recorder.cut_lines(workdir, step=step, evaluated=evaluated)
  workdir_lib.write_json(workdir / 'config.json', new)
  return step


def _create_or_restore(config, method, checkpoints, step):
  if step:
    like = _like(config, method)
    return checkpoints.restore(step, like, name=config.name)
  return parallel.init(method.init, rng.for_init(config.seed), _example(config))


def _example(config):
  return {'image': np.zeros((1, *config.data.size, 3), np.uint8)}


def _like(config, method):
  return jax.eval_shape(
    method.init, rng.for_init(config.seed), _example(config)
  )
