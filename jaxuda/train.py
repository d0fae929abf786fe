"""The loop, the same for every method."""

from collections.abc import Callable
import contextlib
import itertools
import os
import pathlib
from typing import Any

from clu import parameter_overview
import jax
import ml_collections
import numpy as np

from jaxuda import checkpoint
from jaxuda import display
from jaxuda import errors
from jaxuda import evaluate
from jaxuda import methods
from jaxuda import own_classes
from jaxuda import parallel
from jaxuda import pictures
from jaxuda import preparation
from jaxuda import recorder
from jaxuda import rng
from jaxuda import scores
from jaxuda import signals
from jaxuda import warm_start
from jaxuda import window
from jaxuda import workdir as workdir_lib
from jaxuda.data import labels
from jaxuda.data import pipeline

# Rows of a panel.
_PICTURES = 3


def train(config: ml_collections.ConfigDict, workdir: str | os.PathLike) -> Any:
  """Trains until `config.stop_step`, going on from the last checkpoint.

  Killed at any moment and called again, it ends with the same parameters, bit
  for bit, as without the interruption. SIGTERM and SIGINT save and return.

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
  method = methods.create(config)
  workdir = pathlib.Path(os.path.abspath(workdir))
  if workdir.exists() and not workdir.is_dir():
    raise errors.UserError(f'{workdir} is a file; expected a folder')
  key = rng.root(config.seed)
  with contextlib.ExitStack() as stack:
    stop = stack.enter_context(signals.StopSignals())
    checkpoints = stack.enter_context(
      checkpoint.Checkpoints(workdir, keep_last=config.keep_last)
    )
    step = _claim(workdir, config, checkpoints)
    config = own_classes.keep(config, workdir, begun=bool(step))
    # Data are prepared, or found missing, before anything else is shown.
    method = preparation.run(method, config)
    batches = parallel.prefetch(_stream(config, method, step))
    _eval_stream(config, config.eval_batch_size)
    progress = stack.enter_context(
      display.Progress('train', total=config.stop_step, start=step)
    )
    state = _create_or_restore(
      config, method, checkpoints, step, workdir, progress
    )
    record = stack.enter_context(
      recorder.Recorder(workdir, write=jax.process_index() == 0)
    )
    record.write_text(step, 'config', f'```\n{config}\n```')
    after = _Afterwards(
      config, method, workdir, checkpoints, record, progress, stop
    )
    after.catch_up(step, state)
    train_step = parallel.pmap_step(method.train_step)
    while step < config.stop_step and not stop.requested:
      batch = next(batches)
      state, metrics = train_step(state, batch, key)
      step += 1
      after.step(step, state, metrics, batch)
    after.finish(step, state)
  return state


def check_config(config: ml_collections.ConfigDict) -> None:
  """Checks what can be checked before anything is loaded.

  Raises:
    UserError: a number is out of range, the batch does not divide over the
      devices, or the class set is unknown.
  """
  for name in ('total_steps', 'stop_step', 'batch_size', 'eval_batch_size'):
    if config[name] < 1:
      raise errors.UserError(f'{name}={config[name]}; expected at least 1')
  if config.stop_step > config.total_steps:
    raise errors.UserError(
      f'stop_step={config.stop_step}; expected at most'
      f' total_steps={config.total_steps}'
    )
  labels.get_class_set(config.classes)
  parallel.check_batch_size(config.batch_size)


def is_due(step: int, every: int) -> bool:
  """Says whether something done `every` steps is due; never if every < 1."""
  return every > 0 and step % every == 0


class _Afterwards:
  """What follows a step: display, log, pictures, checkpoint, evaluation."""

  def __init__(
    self, config, method, workdir, checkpoints, record, progress, stop
  ):
    self._config, self._method, self._workdir = config, method, workdir
    self._checkpoints, self._record = checkpoints, record
    self._progress, self._stop = progress, stop
    self._window = window.Window()
    self._scores = workdir_lib.read_scores(workdir)
    self._samples = self._batch = None

  def catch_up(self, step: int, state: Any) -> None:
    """Does the evaluation before which an earlier process was stopped."""
    if step and self._evaluation_due(step):
      self._evaluate(step, state)

  def step(self, step: int, state: Any, metrics: Any, batch: Any) -> None:
    """Does what is due after a step."""
    config = self._config
    if hasattr(self._method, 'pictures'):
      # Only for them: it keeps the batch's memory until the next step.
      self._batch = batch
    self._window.add(step, metrics)
    values = self._window.newest() if self._progress.due() else None
    self._progress.update(step, values or None)
    last = step == config.stop_step
    evaluation = self._evaluation_due(step)
    with self._explained():
      if is_due(step, config.log_every) or last:
        means = self._window.take_mean()
        rate = self._progress.rate()
        timing = {'steps_per_second': rate} if rate else {}
        self._record.write_scalars(step, 'train', {**means, **timing})
      if evaluation or last or is_due(step, config.checkpoint_every):
        self._save(step, state)
      if is_due(step, config.picture_every) and not evaluation:
        self._draw(step, state)
      if evaluation:
        self._evaluate(step, state)

  def finish(self, step: int, state: Any) -> None:
    """Saves what a signal interrupted, and says how the run ended."""
    if step and step not in self._checkpoints.steps():
      with self._explained():
        self._save(step, state)
    self._checkpoints.wait()
    if self._stop.requested:
      self._progress.message(
        f'stopped by {self._stop.requested} and saved at step {step} of'
        f' {self._config.stop_step}; run the same command again to continue'
      )

  def _evaluation_due(self, step):
    done = self._scores.get('last', {}).get('checkpoint_step', -1)
    due = is_due(step, self._config.eval_every)
    return step > done and (due or step == self._config.stop_step)

  @contextlib.contextmanager
  def _explained(self):
    """Adds to an error where the last good checkpoint is."""
    try:
      yield
    except window.NonFiniteError as e:
      self._checkpoints.wait()
      latest = self._checkpoints.latest()
      where = 'no checkpoint was written'
      if latest is not None:
        path = self._checkpoints.folder / str(latest)
        where = f'the last good checkpoint is {path}'
      raise window.NonFiniteError(f'{e}; {where}') from None

  def _save(self, step, state):
    self._window.check()
    bad = window.find_non_finite(state)
    if bad:
      more = f' and {len(bad) - 3} more' if len(bad) > 3 else ''
      raise window.NonFiniteError(
        f'not finite in the state after step {step}: {", ".join(bad[:3])}{more}'
      )
    config = workdir_lib.config_to_dict(self._config)
    self._checkpoints.save(step, state, config=config)

  def _evaluate(self, step, state):
    result = evaluate.run(
      self._method,
      state,
      self._config,
      step=step,
      progress=self._progress,
      stop=lambda: bool(self._stop.requested),
    )
    if result is None:
      return
    self._draw(step, state)
    # scores.json must never name a checkpoint that a kill could still undo.
    self._checkpoints.wait()
    figures = {
      name: figure['value']
      for name, figure in result['figures'].items()
      if not isinstance(figure['value'], dict)
    }
    self._record.write_scalars(step, 'eval', figures)
    del result['images']
    value, best = scores.best(result), self._scores.get('best')
    self._scores['last'] = result
    if best is None or value >= scores.best(best):
      self._scores['best'] = result
    self._checkpoints.best = self._scores['best']['checkpoint_step']
    if jax.process_index() == 0:
      workdir_lib.write_json(self._workdir / 'scores.json', self._scores)
    self._checkpoints.prune()
    means = {k: v for k, v in figures.items() if k.startswith('mIoU')}
    self._progress.message(f'step {step}: {display.format_values(means)}')

  def _draw(self, step, state):
    """Draws the first images of the evaluation split, and a training batch."""
    with self._progress.pause():
      self._draw_panel(step, state)
      if self._batch is not None:
        self._draw_training(step, state)

  def _draw_panel(self, step, state):
    config = self._config
    if self._samples is None:
      self._samples = _sample(config)
    out = _predict(state, self._samples['image'], method=self._method)
    class_set = labels.get_class_set(config.classes)
    panel = pictures.make_panel(
      self._samples, jax.device_get(out), colors=class_set.colors
    )
    legend = pictures.draw_legend(
      class_set.names, class_set.colors, width=panel.shape[1]
    )
    self._record.write_picture(step, 'target', pictures.stack([panel, legend]))

  def _draw_training(self, step, state):
    """Draws what the method makes of the newest batch."""
    shown = _picture(
      state,
      parallel.first_share(self._batch),
      rng.root(self._config.seed),
      method=self._method,
    )
    class_set = labels.get_class_set(self._config.classes)
    panel = pictures.make_training_panel(
      jax.device_get(shown), colors=class_set.colors
    )
    self._record.write_picture(step, 'training', panel)


def _claim(workdir, config, checkpoints) -> int:
  """Checks that the folder is this run's and returns the step it is at."""
  step = checkpoints.latest() or 0
  new = workdir_lib.config_to_dict(config)
  if step:
    old = checkpoints.config(step)
    workdir_lib.check_config(old, new, workdir=str(workdir))
  known = workdir_lib.read_scores(workdir)
  if known and known['best']['checkpoint_step'] not in checkpoints.steps():
    known = {}  # Its checkpoint was removed by hand.
  if known:
    checkpoints.best = known['best']['checkpoint_step']
  if jax.process_index() == 0:
    evaluated = known['last']['checkpoint_step'] if known else -1
    recorder.cut_lines(workdir, step=step, evaluated=evaluated)
    workdir_lib.write_json(workdir / 'config.json', new)
    if not known:
      (workdir / 'scores.json').unlink(missing_ok=True)
  return step


def _create_or_restore(config, method, checkpoints, step, workdir, progress):
  """Returns the first state and describes its networks."""
  args = workdir_lib.init_args(config, method)
  if step:
    like = jax.eval_shape(method.init, *args)
    state = checkpoints.restore(step, like, name=config.name)
    ahead = max(0, config.stop_step - step)
    progress.message(f'continuing after step {step}: {ahead} steps to go')
  else:
    state = parallel.init(method.init, *args)
    if config.get('initial'):
      state = warm_start.load(
        state,
        config.initial,
        which=config.initial_checkpoint,
        options=getattr(method, 'network', None),
        report=progress.message,
      )
  _describe(state, workdir, progress)
  return state


def _describe(state, workdir, progress):
  """Says how large each network is, and writes the full table to a file."""
  tables = []
  for name, net in state.nets.items():
    count = parameter_overview.count_parameters(net.params)
    progress.message(f'network {name}: {count:,} parameters')
    table = parameter_overview.get_parameter_overview(
      net.params, include_stats=False
    )
    tables.append(f'network {name}\n{table}\n')
  if jax.process_index() == 0:
    (workdir / 'parameters.txt').write_text('\n'.join(tables))


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


def _sample(config):
  """Returns the first images of the evaluation split, with what is true."""
  # One by one: labels and depths may differ in size.
  rows = list(itertools.islice(_eval_stream(config, 1), _PICTURES))
  fields = [name for name in rows[0] if name != 'name']
  sample = {name: [row[name][0] for row in rows] for name in fields}
  return {**sample, 'image': np.stack(sample['image'])}


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
