"""Training of a segmentation method, the same for every method."""

from collections.abc import Callable, Iterator, Mapping
import os
import pathlib
from typing import Any

import jax
import ml_collections

from jaxuda import methods
from jaxuda.data import pipeline
from jaxuda.data.classes import labels
from jaxuda.evaluate import evaluation
from jaxuda.evaluate import scores
from jaxuda.notebook import gallery
from jaxuda.run import own_classes
from jaxuda.run import signals
from jaxuda.run import workdir as workdir_lib
from jaxuda.step import parallel
from jaxuda.step import rng
from jaxuda.train import loop
from jaxuda.train import preparation
from jaxuda.train import recorder
from jaxuda.train import warm_start
from jaxuda.ui import display
from jaxuda.ui import panels

# Rows of a panel.
_PICTURES = 3


def train(config: ml_collections.ConfigDict, workdir: str | os.PathLike) -> Any:
  """Trains a method, see `loop.run`.

  Args:
    config: see `configs/common.py`.
    workdir: the run's folder.

  Returns:
    The state after the last step taken.

  Raises:
    UserError: a mistake in the config, or a folder that holds another run.
    window.NonFiniteError: a loss or a parameter became NaN or infinite.
  """
  check_config(config)
  config = own_classes.count(config)
  return loop.run(_Task(config, methods.create(config)), workdir)


def check_config(config: ml_collections.ConfigDict) -> None:
  """Checks what can be checked before anything is loaded.

  Raises:
    UserError: a number is out of range, the batch does not divide over the
      devices, or the class set is unknown.
  """
  loop.check_config(config)
  labels.get_class_set(config.classes)


class _Task:
  """A `loop.Task`: batches of two domains, scored on the target."""

  def __init__(self, config: ml_collections.ConfigDict, method: Any):
    self.config, self.method = config, method
    self._samples: dict[str, Any] | None = None

  def open(self, workdir: pathlib.Path, step: int) -> Iterator[Any]:
    """Data are prepared, or found missing, before anything else is shown."""
    self.config = own_classes.keep(self.config, workdir, begun=bool(step))
    self.method = preparation.run(self.method, self.config)
    batches = _stream(self.config, self.method, step)
    if self.can_evaluate():
      _eval_stream(self.config, self.config.eval_batch_size)
    return batches

  def init_args(self) -> tuple[Any, ...]:
    """See `workdir.init_args`."""
    return workdir_lib.init_args(self.config, self.method)

  def begin(self, state: Any, progress: display.Progress) -> Any:
    """Takes over the weights that the config names."""
    config = self.config
    if 'generator' in config:
      state = warm_start.load_generator(
        state, config.generator, which=config.generator_checkpoint
      )
    if not config.get('initial'):
      return state
    return warm_start.load(
      state,
      config.initial,
      which=config.initial_checkpoint,
      options=self.method.network,
      report=progress.message,
    )

  def can_evaluate(self) -> bool:
    """Not without a segmentation, as in image translation."""
    return self.method.predict is not None

  def value(self, result: Mapping[str, Any]) -> float:
    """The mean IoU that decides."""
    return scores.best(result)

  def evaluate(
    self,
    step: int,
    state: Any,
    progress: display.Progress,
    stop: signals.StopSignals,
  ) -> loop.Evaluation | None:
    """Scores the target's evaluation split."""
    result = evaluation.run(
      self.method,
      state,
      self.config,
      step=step,
      progress=progress,
      stop=stop.poll,
    )
    if result is None:
      return None
    figures = {
      name: figure['value']
      for name, figure in result['figures'].items()
      if not isinstance(figure['value'], dict)
    }
    del result['images']
    return loop.Evaluation(
      result=result,
      scalars=figures,
      shown={k: v for k, v in figures.items() if k.startswith('mIoU')},
    )

  def draw(
    self, step: int, state: Any, batch: Any, record: recorder.Recorder
  ) -> None:
    """Draws the first images of the evaluation split, and a training batch."""
    if self.can_evaluate():
      self._draw_target(step, state, record)
    if batch is None:
      return
    shown = _picture(
      state,
      parallel.first_share(batch),
      rng.root(self.config.seed),
      method=self.method,
    )
    class_set = labels.get_class_set(self.config.classes)
    panel = panels.make_training_panel(
      jax.device_get(shown), colors=class_set.colors
    )
    record.write_picture(step, 'training', panel)

  def _draw_target(self, step, state, record):
    if self._samples is None:
      self._samples = gallery.read_samples(self.config, count=_PICTURES)
    class_set = labels.get_class_set(self.config.classes)
    out = _predict(state, self._samples['image'], method=self.method)
    panel = panels.make_panel(
      self._samples, jax.device_get(out), colors=class_set.colors
    )
    legend = panels.draw_legend(
      class_set.names, class_set.colors, width=panel.shape[1]
    )
    record.write_picture(step, 'target', panels.stack([panel, legend]))


def _stream(config, method, step):
  return pipeline.train_stream(
    config.data,
    classes=config.classes,
    needs=method.needs,
    batch_size=config.batch_size,
    seed=config.seed,
    start_step=step,
    process_index=jax.process_index(),
    process_count=jax.process_count(),
  )


def _eval_stream(config, batch_size):
  return pipeline.eval_stream(
    config.data,
    classes=config.classes,
    batch_size=batch_size,
    with_depth=True,
  )


_predict: Callable[..., Any] = jax.jit(
  lambda state, image, method: method.predict(state, image),
  static_argnames='method',
)

_picture: Callable[..., Any] = jax.jit(
  lambda state, share, key, method: parallel.run_alone(
    method.pictures, state, share, key
  ),
  static_argnames='method',
)
