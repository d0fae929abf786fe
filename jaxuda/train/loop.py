"""The loop of every training: what happens before, after and between steps.

What differs between trainings, where batches come from, how a state is scored
and drawn, is a `Task`.
"""

from collections.abc import Iterator, Mapping
import contextlib
import dataclasses
import os
import pathlib
import time
from typing import Any, Protocol

from clu import parameter_overview
import jax
import ml_collections

from jaxuda import errors
from jaxuda.run import checkpoint
from jaxuda.run import cluster
from jaxuda.run import provenance
from jaxuda.run import signals
from jaxuda.run import workdir as workdir_lib
from jaxuda.step import parallel
from jaxuda.step import rng
from jaxuda.train import recorder
from jaxuda.train import window
from jaxuda.ui import display

# Seconds for which a file system may hide from some what others made.
_PATIENCE = 60.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Evaluation:
  """The outcome of an evaluation.

  Attributes:
    result: JSON types with 'checkpoint_step', for scores.json.
    scalars: what is logged.
    shown: what the message says of it.
  """

  result: dict[str, Any]
  scalars: Mapping[str, float]
  shown: Mapping[str, float]


class Task(Protocol):
  """What is trained. Documentation only: tasks do not inherit from it.

  Attributes:
    config: of the run; `open` may replace it.
    method: with `init` and `train_step`; `open` may replace it.
  """

  config: ml_collections.ConfigDict
  method: Any

  def open(self, workdir: pathlib.Path, step: int) -> Iterator[Any]:
    """Gets everything ready, before anything is shown.

    Returns:
      The batches from a step on.

    Raises:
      UserError: data are missing or wrong.
    """

  def init_args(self) -> tuple[Any, ...]:
    """Returns the arguments of `method.init`."""

  def begin(self, state: Any, progress: display.Progress) -> Any:
    """Returns the state of a new run, of the method's initial one."""

  def can_evaluate(self) -> bool:
    """Whether there is anything to score."""

  def value(self, result: Mapping[str, Any]) -> float:
    """Returns what decides about the best checkpoint: higher is better."""

  def evaluate(
    self, step: int, state: Any, progress: display.Progress, stop: Any
  ) -> Evaluation | None:
    """Scores a state; None if a signal ended that early.

    All processes do, each with the state on its own devices; all ask `stop`
    equally often and return the same.
    """

  def draw(
    self, step: int, state: Any, batch: Any, record: recorder.Recorder
  ) -> None:
    """Draws a state, and a batch if there is one (else None).

    The first process does, alone: nothing in it may need the others.
    """


def check_config(config: ml_collections.ConfigDict) -> None:
  """Checks the numbers that every training has.

  Raises:
    UserError: one is out of range, or the batch does not divide over the
      devices.
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


def run(task: Task, workdir: str | os.PathLike) -> Any:
  """Trains until `config.stop_step`, going on from the last checkpoint.

  Killed at any moment and called again, it ends with the same parameters, bit
  for bit, as without the interruption. SIGTERM and SIGINT save and return; of
  several processes all do, after the same step, whichever of them got it.

  Args:
    task: what is trained; its config is checked.
    workdir: the run's folder.

  Returns:
    The state after the last step taken.

  Raises:
    UserError: a mistake in the config or the data, or a folder that holds
      another run.
    window.NonFiniteError: a loss or a parameter became NaN or infinite.
  """
  workdir = pathlib.Path(os.path.abspath(workdir))
  if workdir.exists() and not workdir.is_dir():
    raise errors.UserError(f'{workdir} is a file; expected a folder')
  _check_shared(workdir)
  with contextlib.ExitStack() as stack:
    stop = stack.enter_context(signals.StopSignals(cluster.Agreement()))
    checkpoints = stack.enter_context(
      checkpoint.Checkpoints(workdir, keep_last=task.config.keep_last)
    )
    step, scores = _claim(workdir, task.config, checkpoints)
    # What the data need made is made once.
    with cluster.first_process_first():
      batches = parallel.prefetch(task.open(workdir, step))
    config = task.config
    stream = None
    if not cluster.is_first():
      stream = stack.enter_context(open(os.devnull, 'w'))
    progress = stack.enter_context(
      display.Progress(
        'train', total=config.stop_step, start=step, stream=stream
      )
    )
    state = _create_or_restore(task, checkpoints, step, progress)
    _describe(state, workdir, progress)
    record = stack.enter_context(
      recorder.Recorder(workdir, write=cluster.is_first())
    )
    record.write_text(step, 'config', f'```\n{config}\n```')
    after = _Afterwards(
      task, workdir, checkpoints, record, progress, stop, scores
    )
    after.catch_up(step, state)
    train_step = parallel.pmap_step(task.method.train_step)
    key = rng.root(config.seed)
    while step < config.stop_step and not stop.poll():
      batch = next(batches)
      state, metrics = train_step(state, batch, key)
      step += 1
      after.step(step, state, metrics, batch)
    after.finish(step, state)
  return state


def is_due(step: int, every: int) -> bool:
  """Says whether something done `every` steps is due; never if every < 1."""
  return every > 0 and step % every == 0


class _Afterwards:
  """What follows a step: display, log, pictures, checkpoint, evaluation."""

  def __init__(
    self, task, workdir, checkpoints, record, progress, stop, scores
  ):
    self._task, self._config, self._workdir = task, task.config, workdir
    self._checkpoints, self._record = checkpoints, record
    self._progress, self._stop = progress, stop
    self._window = window.Window()
    self._scores = scores
    self._batch = None

  def catch_up(self, step: int, state: Any) -> None:
    """Does the evaluation before which an earlier process was stopped."""
    if step and self._evaluation_due(step):
      self._evaluate(step, state)

  def step(self, step: int, state: Any, metrics: Any, batch: Any) -> None:
    """Does what is due after a step."""
    config = self._config
    if self._task.method.pictures is not None:
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
    due = due or step == self._config.stop_step
    return self._task.can_evaluate() and step > done and due

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
    bad = window.find_non_finite(parallel.local(state))
    if bad:
      more = f' and {len(bad) - 3} more' if len(bad) > 3 else ''
      raise window.NonFiniteError(
        f'not finite in the state after step {step}: {", ".join(bad[:3])}{more}'
      )
    config = workdir_lib.config_to_dict(self._config)
    self._checkpoints.save(step, state, config=config)

  def _evaluate(self, step, state):
    done = self._task.evaluate(
      step, parallel.local(state), self._progress, self._stop
    )
    if done is None:
      return
    self._draw(step, state)
    # scores.json must never name a checkpoint that a kill could still undo.
    self._checkpoints.wait()
    self._record.write_scalars(step, 'eval', done.scalars)
    best = self._scores.get('best')
    self._scores['last'] = done.result
    value = self._task.value
    if best is None or value(done.result) >= value(best):
      self._scores['best'] = done.result
    self._checkpoints.best = self._scores['best']['checkpoint_step']
    if cluster.is_first():
      workdir_lib.write_json(self._workdir / 'scores.json', self._scores)
    self._checkpoints.prune()
    self._progress.message(f'step {step}: {display.format_values(done.shown)}')

  def _draw(self, step, state):
    if not cluster.is_first():
      return
    with self._progress.pause():
      self._task.draw(step, parallel.local(state), self._batch, self._record)


def _check_shared(workdir):
  """Makes the folder, and checks that all processes see it."""
  with cluster.first_process_first():
    if cluster.is_first():
      workdir.mkdir(parents=True, exist_ok=True)
    patience = time.monotonic() + _PATIENCE
    while not workdir.is_dir() and time.monotonic() < patience:
      time.sleep(0.5)
  if not workdir.is_dir():
    raise errors.UserError(
      f'process {jax.process_index()} does not see {workdir}, which process 0'
      ' made; expected a --workdir on a file system that all share'
    )


def _claim(workdir, config, checkpoints):
  """Checks that the folder is this run's.

  Returns:
    The step that it is at, and the scores so far, for all processes as the
    first one found them.
  """
  new = workdir_lib.config_to_dict(config)
  step, known, first = cluster.gather(
    [checkpoints.latest() or 0, workdir_lib.read_scores(workdir), new]
  )[0]
  workdir_lib.check_command(first, new)
  if step:
    old = checkpoints.config(step)
    workdir_lib.check_config(old, new, workdir=str(workdir))
  if known and known['best']['checkpoint_step'] not in checkpoints.steps():
    known = {}  # Its checkpoint was removed by hand.
  if known:
    checkpoints.best = known['best']['checkpoint_step']
  if cluster.is_first():
    evaluated = known['last']['checkpoint_step'] if known else -1
    recorder.cut_lines(workdir, step=step, evaluated=evaluated)
    workdir_lib.write_json(workdir / 'config.json', new)
    provenance.note(workdir)
    if not known:
      (workdir / 'scores.json').unlink(missing_ok=True)
  return step, known


def _create_or_restore(task, checkpoints, step, progress):
  """Returns the first state."""
  config, args = task.config, task.init_args()
  if not step:
    return task.begin(parallel.init(task.method.init, *args), progress)
  like = jax.eval_shape(task.method.init, *args)
  state = checkpoints.restore(step, like, name=config.name)
  ahead = max(0, config.stop_step - step)
  progress.message(f'continuing after step {step}: {ahead} steps to go')
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
  if cluster.is_first():
    (workdir / 'parameters.txt').write_text('\n'.join(tables))
