"""The training loop that all trainings share.

Whatever differs between them (the source of batches, how a state is scored and
drawn) is described by a `Task`.
"""

from collections.abc import Callable, Iterator, Mapping
import contextlib
import dataclasses
import itertools
import os
import pathlib
from typing import Any

from clu import parameter_overview
import jax
import ml_collections

from jaxuda import errors
from jaxuda.run import checkpoint
from jaxuda.run import cluster
from jaxuda.run import signals
from jaxuda.run import workdir as workdir_lib
from jaxuda.step import parallel
from jaxuda.step import rng
from jaxuda.train import folder
from jaxuda.train import recorder
from jaxuda.train import window
from jaxuda.ui import display
from jaxuda.ui import files


@dataclasses.dataclass(frozen=True, kw_only=True)
class Evaluation:
  """The outcome of an evaluation.

  Attributes:
    result: a dict of JSON types with 'checkpoint_step', for scores.json.
    scalars: the numbers to log, by name.
    shown: the numbers to print, by name.
  """

  result: dict[str, Any]
  scalars: Mapping[str, float]
  shown: Mapping[str, float]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Task:
  """A training that is ready to start or resume from some step.

  Attributes:
    config: the run's config.
    method: an object with `init` and `train_step`, see `methods.base.Method`.
    init_args: the arguments of `method.init`.
    batches: the batches of the remaining steps.
    begin: (the method's initial state, a function that prints a line) -> the
      state that a new run starts from.
    evaluate: (step, state, progress, stop) -> the scores of a state, or None if
      `stop()` returned True first. All processes call it, each with the state
      on its own devices; all call `stop` equally often and return the same. The
      attribute is None if there is nothing to score.
    value: (an `Evaluation.result`, the newest one) -> the number that decides
      which checkpoint is the best (the highest). None if the result is an
      earlier one that lacks the deciding figure.
    draw: (step, state, batch or None, recorder) -> None; draws a state, and its
      output for the batch. Only the first process calls it: nothing in it may
      need the others.
  """

  config: ml_collections.ConfigDict
  method: Any
  init_args: tuple[Any, ...]
  batches: Iterator[Any]
  begin: Callable[..., Any] = lambda state, report: state
  evaluate: Callable[..., Evaluation | None] | None
  value: Callable[[Mapping[str, Any], Mapping[str, Any]], float | None]
  draw: Callable[..., None]


def run(
  config: ml_collections.ConfigDict,
  workdir: str | os.PathLike,
  open_task: Callable[[pathlib.Path, int], Task],
) -> Any:
  """Trains until `config.stop_step`, resuming from the last checkpoint.

  If killed at any moment and called again, it ends with the same parameters,
  bit for bit, as without the interruption. On SIGTERM and SIGINT it saves and
  returns; with several processes, all do so after the same step, whichever of
  them received the signal.

  Args:
    config: the run's config.
    workdir: the run's folder.
    open_task: (workdir, steps taken so far) -> the task; it checks that the
      data exist, and is called before anything is shown.

  Returns:
    The state after the last step taken.

  Raises:
    UserError: there is a mistake in the config or the data, or the folder holds
      another run, or the same is being trained.
    window.NonFiniteError: a loss or a parameter became NaN or infinite.
  """
  _check_numbers(config)
  with contextlib.ExitStack() as stack:
    workdir = folder.hold(workdir, stack)
    stop = stack.enter_context(signals.StopSignals(cluster.Agreement()))
    checkpoints = stack.enter_context(
      checkpoint.Checkpoints(workdir, keep_last=config.keep_last)
    )
    stack.enter_context(_explained(checkpoints))
    claim = folder.claim(workdir, config, checkpoints)
    step, scores = claim.step, claim.scores
    task = _open(open_task, claim)
    batches = parallel.prefetch(task.batches)
    config, first = task.config, cluster.is_first()
    progress = stack.enter_context(_progress(config.stop_step, step))
    state = _create_or_restore(task, checkpoints, step, progress)
    _describe(state, workdir, progress, trains=step < config.stop_step)
    record = stack.enter_context(recorder.Recorder(workdir, write=first))
    record.write_text(step, 'config', f'```\n{config}\n```')
    train_step = parallel.pmap_step(task.method.train_step)
    key, numbers, batch = rng.root(config.seed), window.Window(), None

    while True:
      # Due after the last step, or left undone by a killed process.
      if _evaluation_due(task, step, scores):
        done = task.evaluate(step, parallel.local(state), progress, stop.poll)
        if done:
          batch, batches = _peek(batch, batches)
          _draw(task, step, state, batch, record, progress)
          record.write_scalars(step, 'eval', done.scalars)
          scores = _rank(scores, done.result, task.value, progress.message)
          _keep_scores(workdir, scores, checkpoints)
          progress.message(_tell(done, scores))
      if step >= config.stop_step or stop.poll():
        break
      batch = next(batches)
      state, metrics = train_step(state, batch, key)
      step += 1
      numbers.add(step, metrics)
      progress.update(step, numbers.newest() if progress.due() else None)
      last = step == config.stop_step
      evaluates = _evaluation_due(task, step, scores)
      if last or is_due(step, config.log_every):
        means, rate = numbers.take_mean(), progress.rate()
        timing = {'steps_per_second': rate} if rate else {}
        record.write_scalars(step, 'train', means | timing)
        _note_unlabelled(means, step, config, progress)
      if last or evaluates or is_due(step, config.checkpoint_every):
        _save(checkpoints, step, state, numbers, config)
      if is_due(step, config.picture_every) and not evaluates:
        _draw(task, step, state, batch, record, progress)
    if step and step not in checkpoints.steps():
      _save(checkpoints, step, state, numbers, config)
    checkpoints.wait()
    if stop.requested:
      progress.message(
        f'stopped by {stop.requested} and saved at step {step} of'
        f' {config.stop_step}; run the same command again to continue'
      )
  return state


def _check_numbers(config):
  rng.check_seed(config.seed)
  for name in ('total_steps', 'stop_step', 'batch_size', 'eval_batch_size'):
    if config[name] < 1:
      raise errors.UserError(f'{name}={config[name]}; expected at least 1')
  if config.stop_step > config.total_steps:
    raise errors.UserError(
      f'stop_step={config.stop_step}; expected at most'
      f' total_steps={config.total_steps}'
    )
  parallel.check_batch_size(config.batch_size)


def is_due(step: int, every: int) -> bool:
  """Returns whether something done `every` steps is due; never if every < 1."""
  return every > 0 and step % every == 0


def _evaluation_due(task, step, scores):
  """Returns whether a state is due to be scored and has not been yet."""
  done = scores['last']['checkpoint_step'] if scores else 0
  config = task.config
  due = is_due(step, config.eval_every) or step == config.stop_step
  return task.evaluate is not None and step > done and due


def _save(checkpoints, step, state, numbers, config):
  """Saves a state after checking that it and the losses so far are finite."""
  numbers.check()
  bad = window.find_non_finite(parallel.local(state))
  if bad:
    more = f' and {len(bad) - 3} more' if len(bad) > 3 else ''
    raise window.NonFiniteError(
      f'not finite in the state after step {step}: {", ".join(bad[:3])}{more}'
    )
  checkpoints.save(step, state, config=workdir_lib.config_to_dict(config))


def _peek(batch, batches):
  """Returns a batch to draw, and the batches to come.

  A resumed run has taken none yet: the first to come stands in for the last.
  """
  if batch is not None:
    return batch, batches
  first = next(batches)
  return first, itertools.chain([first], batches)


def _draw(task, step, state, batch, record, progress):
  if cluster.is_first():
    with progress.pause():
      task.draw(step, parallel.local(state), batch, record)


def _rank(scores, result, value, report):
  """Returns the scores with a new result, which wins a tie for the best."""
  known = [scores['best']] if scores else []
  if known and value(known[0], result) is None:
    report(
      f'note: the previous best, step {known[0]["checkpoint_step"]}, was chosen'
      ' by a figure that is missing now, or on other images; the best starts'
      f' again from step {result["checkpoint_step"]}'
    )
    known = []
  best = max([result, *known], key=lambda x: value(x, result))
  return {'last': result, 'best': best}


def _tell(done, scores):
  """Describes the result of an evaluation, and which one is the best so far."""
  step, best = (scores[x]['checkpoint_step'] for x in ('last', 'best'))
  known = 'the best so far' if best == step else f'the best was step {best}'
  return f'step {step}: {display.format_values(done.shown)}; {known}'


def _note_unlabelled(means, step, config, progress):
  """Reports that no labelled pixel has been seen since the last log line."""
  if means.get('loss_seg') == 0:
    progress.message(
      f'note: loss_seg is 0 up to step {step}: no pixel had a label of'
      f' {config.classes}'
    )


def _keep_scores(workdir, scores, checkpoints):
  """Writes the scores; keeps the best checkpoint but no earlier best."""
  # scores.json must never name a checkpoint that is not finished yet.
  checkpoints.wait()
  checkpoints.best = scores['best']['checkpoint_step']
  if cluster.is_first():
    workdir_lib.write_json(workdir / 'scores.json', scores)
  checkpoints.prune()


@contextlib.contextmanager
def _explained(checkpoints):
  """Adds the location of the last good checkpoint to a NonFiniteError."""
  try:
    yield
  except window.NonFiniteError as e:
    checkpoints.wait()
    latest = checkpoints.latest()
    where = 'no checkpoint was written'
    if latest is not None:
      path = checkpoints.folder / str(latest)
      where = f'the last good checkpoint is {path}'
    raise window.NonFiniteError(f'{e}; {where}') from None


def _progress(total, start):
  return cluster.progress('train', total=total, start=start)


def _open(open_task, claim):
  """Opens the task, and enters the folder when it may be changed."""
  if not claim.step:  # It can be watched while its data are prepared.
    claim.enter()
  with cluster.first_process_first():  # Prepares the data once for all.
    task = open_task(claim.workdir, claim.step)
  if claim.step:  # If its data cannot be opened, nothing has changed.
    claim.enter()
  return task


def _create_or_restore(task, checkpoints, step, progress):
  """Returns the state before the first step to take."""
  method, config = task.method, task.config
  if not step:
    state = parallel.init(method.init, *task.init_args)
    return task.begin(state, progress.message)
  like = jax.eval_shape(method.init, *task.init_args)
  state = checkpoints.restore(step, like, name=config.name)
  ahead = max(0, config.stop_step - step)
  progress.message(f'continuing after step {step}: {ahead} steps to go')
  return state


def _describe(state, workdir, progress, *, trains):
  """Reports the size of each network, and that the first step is compiling.

  The full table of parameters goes to a file.
  """
  tables = []
  for name, net in state.nets.items():
    count = parameter_overview.count_parameters(net.params)
    progress.message(f'network {name}: {count:,} parameters')
    table = parameter_overview.get_parameter_overview(
      net.params, include_stats=False
    )
    tables.append(f'network {name}\n{table}\n')
  if cluster.is_first():
    with files.atomic(workdir / 'parameters.txt') as part:
      part.write_text('\n'.join(tables))
  if trains:
    progress.message('compiling the first step')
