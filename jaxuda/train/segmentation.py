"""Trains a segmentation method, in the same way for every method."""

import functools
import importlib
import os
from typing import Any

import jax
import ml_collections

from jaxuda import errors
from jaxuda import methods
from jaxuda.data import pipeline
from jaxuda.data.classes import labels
from jaxuda.evaluate import blind
from jaxuda.evaluate import evaluation
from jaxuda.evaluate import scores
from jaxuda.notebook import gallery
from jaxuda.run import own_classes
from jaxuda.run import workdir as workdir_lib
from jaxuda.step import parallel
from jaxuda.step import rng
from jaxuda.train import loop
from jaxuda.train import warm_start
from jaxuda.ui import panels
from jaxuda.weights import initial

# Rows of a panel.
_PICTURES = 3


def train(config: ml_collections.ConfigDict, workdir: str | os.PathLike) -> Any:
  """Trains a method; returns and raises the same as `loop.run`.

  Args:
    config: see `configs/common.py`.
    workdir: the run's folder.
  """
  config = own_classes.count(config)
  method = methods.create(config)
  if method.predict is not None:
    # Whole images are scored, even if crops are trained on: found now, not at
    # the first evaluation.
    size = config.data.target.size
    method.network.check_sides(size, 'config.data.target.size')
  return loop.run(config, workdir, functools.partial(_open, config, method))


def prepare(method: Any, config: ml_collections.ConfigDict) -> Any:
  """Returns a method with what it needs from the whole dataset, if anything.

  Raises:
    UserError: what it needs is missing or does not fit.
  """
  if not method.preparation:
    return method
  return importlib.import_module(method.preparation).prepare(method, config)


def _open(config, method, workdir, step):
  """Completes config and method, and opens the data."""
  if step == config.stop_step:
    last = workdir_lib.read_scores(workdir).get('last', {})
    if last.get('checkpoint_step') == step:
      asked = config.data.target.eval_split
      scores.check_split(last, asked, workdir=workdir)
  config = own_classes.keep(config, workdir, begun=bool(step))
  if not step:
    initial.check(config.get('initial'), method)
  method = prepare(method, config)
  batches = pipeline.train_stream(
    config.data,
    classes=config.classes,
    needs=method.needs,
    batch_size=config.batch_size,
    seed=config.seed,
    start_step=step,
    process_index=jax.process_index(),
    process_count=jax.process_count(),
  )
  evaluate = samples = None
  if method.predict is not None:
    # Missing images are reported now, not after hours.
    pipeline.eval_stream(
      config.data,
      classes=config.classes,
      batch_size=config.eval_batch_size,
      with_depth=True,
      optional=('label',),
    )
    evaluate = functools.partial(_evaluate, config, method)
    samples = functools.cache(
      functools.partial(gallery.read_samples, config, count=_PICTURES)
    )
  return loop.Task(
    config=config,
    method=method,
    init_args=workdir_lib.init_args(config, method),
    batches=batches,
    begin=functools.partial(_begin, config, method),
    evaluate=evaluate,
    value=scores.rank,
    draw=functools.partial(_draw, config, method, samples),
  )


def _begin(config, method, state, report):
  """Loads the initial weights that the config names."""
  if 'generator' in config:
    state = warm_start.load_generator(
      state, config.generator, which=config.generator_checkpoint
    )
  if not initial.is_given(config.get('initial')):
    if 'anchor' in state.nets:
      raise errors.UserError(
        f'features.weight={method.features.weight} keeps the features of a'
        ' pretrained network, and training begins from random weights; expected'
        ' --config.initial=WEIGHTS or --config.features.weight=0'
      )
    return state
  return warm_start.load(
    state,
    config.initial,
    which=config.initial_checkpoint,
    options=method.network,
    heads=method.heads,
    classes=config.classes,
    report=report,
  )


def _evaluate(config, method, step, state, progress, stop):
  """Evaluates on the target's evaluation split, with or without labels."""
  result = evaluation.run(
    method, state, config, step=step, judge=True, progress=progress, stop=stop
  )
  if result is None:
    return None
  figures = {
    name: figure['value']
    for name, figure in result['figures'].items()
    if not isinstance(figure['value'], dict)
  }
  shown = {
    name: value
    for name, value in figures.items()
    if name.startswith('mIoU') or name == blind.CHOICE
  }
  return loop.Evaluation(result=result, scalars=figures, shown=shown)


def _draw(config, method, samples, step, state, batch, record):
  """Draws the first images of the evaluation split, and a training batch."""
  class_set = labels.get_class_set(config.classes)
  colors = class_set.colors
  if samples:
    out = _predict(method, state, samples()['image'])
    panel = panels.make_panel(samples(), jax.device_get(out), colors=colors)
    panel = panels.stack_with_legend([panel], class_set.names, colors)
    record.write_picture(step, 'target', panel)
  if batch is not None and method.pictures is not None:
    share, key = parallel.first_share(batch), rng.root(config.seed)
    shown = jax.device_get(_picture(method, state, share, key))
    panel = panels.make_training_panel(shown, colors=colors)
    record.write_picture(step, 'training', panel)


@functools.partial(jax.jit, static_argnums=0)
def _predict(method, state, image):
  return method.predict(state, image)


@functools.partial(jax.jit, static_argnums=0)
def _picture(method, state, share, key):
  return parallel.run_alone(method.pictures, state, share, key)
