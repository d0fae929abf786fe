"""Trains a self-supervised depth network; calling again resumes it."""

import functools
import os
from typing import Any

import jax
import ml_collections
import numpy as np

from jaxuda import errors
from jaxuda.data import sequences as sequences_lib
from jaxuda.depth.mono import scoring
from jaxuda.depth.mono import self_supervised
from jaxuda.models import monodepth
from jaxuda.run import checkpoint
from jaxuda.run import workdir as workdir_lib
from jaxuda.step import rng
from jaxuda.train import loop


def create_method(config: Any) -> self_supervised.Method:
  """Builds the method of a config.

  Raises:
    UserError: the config is not one of `monodepth`, or a field is unknown or
      out of range.
  """
  if config.name != 'monodepth':
    raise errors.UserError(
      f'config.name={config.name!r}; expected monodepth, as in'
      ' --config=monodepth'
    )
  return errors.construct(
    self_supervised.Method,
    config.method,
    group='method',
    total_steps=config.total_steps,
  )


def train(config: ml_collections.ConfigDict, workdir: str | os.PathLike) -> Any:
  """Trains a depth network; returns and raises the same as `loop.run`.

  Args:
    config: see `configs/monodepth.py`.
    workdir: the run's folder.
  """
  method = create_method(config)
  size = tuple(config.data.size)
  if len(size) != 2 or any(x < 1 or x % monodepth.STRIDE for x in size):
    raise errors.UserError(
      f'config.data.size={size}; expected (height, width), multiples of'
      f' {monodepth.STRIDE}'
    )
  return loop.run(config, workdir, functools.partial(_open, config, method))


def _open(config, method, workdir, step):
  """Opens the data; evaluates only if there is ground-truth depth."""
  del workdir
  data = config.data
  batches = sequences_lib.train_stream(
    sequences_lib.Sequences(data, data.split, needs=method.needs),
    batch_size=config.batch_size,
    seed=config.seed,
    start_step=step,
    flip=data.flip,
    workers=data.workers,
    share=(jax.process_index(), jax.process_count()),
  )
  scored = scoring.open_scored(config)
  size = config.eval_batch_size

  def evaluate(step, state, progress, stop):
    del stop
    figures = scoring.evaluate(
      method, state, scored, batch_size=size, progress=progress
    )
    result = {**figures, 'checkpoint_step': step}
    return loop.Evaluation(result=result, scalars=figures, shown=result)

  def draw(step, state, batch, record):
    del batch
    shown = scored or sequences_lib.Sequences(
      data, data.split, needs=('image',)
    )
    panel = scoring.draw_panel(method, state, shown)
    record.write_picture(step, 'depth', panel)

  return loop.Task(
    config=config,
    method=method,
    init_args=_init_args(config),
    batches=batches,
    evaluate=evaluate if scored else None,
    # A smaller error is better.
    value=lambda result, newest: -result['abs_rel'],
    draw=draw,
  )


def load(workdir: str | os.PathLike, *, which: str = 'last') -> workdir_lib.Run:
  """Reads one checkpoint of a run trained by `train`.

  Args:
    workdir: the run's folder.
    which: 'last', 'best' (by abs_rel) or a step.

  Raises:
    UserError: the run or the checkpoint does not exist.
  """
  config = workdir_lib.read_config(workdir)
  method = create_method(config)
  with checkpoint.Checkpoints(workdir, write=False) as checkpoints:
    scores = workdir_lib.read_scores(workdir)
    step = workdir_lib.choose_step(checkpoints, scores, which)
    like = jax.eval_shape(method.init, *_init_args(config))
    state = checkpoints.restore(step, like, name=config.name)
  return workdir_lib.Run(config=config, method=method, state=state, step=step)


def _init_args(config):
  """Returns a key and an example for the method's `init`."""
  image = np.zeros((1, *config.data.size, 3), np.uint8)
  return rng.for_init(config.seed), {'image': image}
