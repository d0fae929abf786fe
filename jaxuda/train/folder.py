"""The folder of a run that is trained: who may use it, and what is in it."""

from collections.abc import Mapping
import contextlib
import dataclasses
import os
import pathlib
import time
from typing import Any

import jax
import ml_collections

from jaxuda import errors
from jaxuda.run import checkpoint
from jaxuda.run import cluster
from jaxuda.run import config_fields
from jaxuda.run import lock
from jaxuda.run import provenance
from jaxuda.run import workdir as workdir_lib
from jaxuda.train import recorder
from jaxuda.ui import files

# Seconds that a shared file system may take to show a new folder everywhere.
_PATIENCE = 60.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Claim:
  """A folder that a training may begin or go on in.

  Attributes:
    workdir: the folder.
    config: the config that the training was called with.
    step: the step of the last checkpoint, 0 if there is none.
    scores: what scores.json is to go on from; {} for nothing.
    evaluated: the step of the last evaluation that is not done again.
  """

  workdir: pathlib.Path
  config: ml_collections.ConfigDict
  step: int
  scores: Mapping[str, Any]
  evaluated: int

  def enter(self) -> None:
    """Writes the config, and clears what will be done again."""
    if not cluster.is_first():
      return
    recorder.cut_lines(self.workdir, step=self.step, evaluated=self.evaluated)
    config = workdir_lib.config_to_dict(self.config)
    workdir_lib.write_json(self.workdir / 'config.json', config)
    provenance.note(self.workdir)
    if not self.scores:
      (self.workdir / 'scores.json').unlink(missing_ok=True)


def hold(
  workdir: str | os.PathLike, stack: contextlib.ExitStack
) -> pathlib.Path:
  """Makes the folder and locks it while `stack` lasts.

  Returns:
    Its absolute path, which all processes see.

  Raises:
    UserError: there is a file of that name, another training holds it, or not
      all processes see it.
  """
  workdir = _make(workdir)
  if cluster.is_first():
    stack.enter_context(lock.hold(workdir))
  return workdir


def _make(workdir):
  """Creates and returns the run's folder, once all processes see it."""
  workdir = files.check_folder(os.path.abspath(workdir))
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
  return workdir


def claim(
  workdir: pathlib.Path,
  config: ml_collections.ConfigDict,
  checkpoints: checkpoint.Checkpoints,
) -> Claim:
  """Checks that a folder is this run's; changes nothing in it.

  Args:
    workdir: the folder, which `hold` returned.
    config: the config to begin or go on with.
    checkpoints: those of the folder; their `best` is set.

  Returns:
    What the first process found, in all processes.

  Raises:
    UserError: the processes have different configs, or the folder holds a run
      with another config, one that is past `stop_step`, or scores without a
      checkpoint.
  """
  new = workdir_lib.config_to_dict(config)
  step, scores, first = cluster.gather(
    [checkpoints.latest() or 0, workdir_lib.read_scores(workdir), new]
  )[0]
  config_fields.check_command(first, new)
  if step:
    old = checkpoints.config(step)
    config_fields.check_config(old, new, workdir=str(workdir))
  if step > config.stop_step:
    raise errors.UserError(
      f'{workdir} has reached step {step}, and stop_step={config.stop_step};'
      f' expected at least {step}'
    )
  if scores and not step:
    # The scores and the log would be lost.
    raise errors.UserError(
      f'{workdir} has the scores of a run but no checkpoint of it; expected'
      ' another --workdir, or this one without scores.json'
    )
  scores, evaluated = _keep_known(scores, step, checkpoints.steps())
  if scores:
    checkpoints.best = scores['best']['checkpoint_step']
  return Claim(
    workdir=workdir,
    config=config,
    step=step,
    scores=scores,
    evaluated=evaluated,
  )


def _keep_known(scores, step, saved):
  """Leaves out the scores of checkpoints that were removed by hand.

  Args:
    scores: the content of scores.json.
    step: the step that the run resumes from.
    saved: the steps of all checkpoints.

  Returns:
    (the scores that still hold, {} if the best checkpoint was removed; the step
    of the last evaluation that is not done again).
  """
  last, best = (
    scores.get(x, {}).get('checkpoint_step', 0) for x in ('last', 'best')
  )
  if best not in saved:
    # Earlier evaluations stay in the log: their checkpoints are gone.
    return {}, min(last, step - 1)
  if last > step:
    return {**scores, 'last': scores['best']}, step - (best < step)
  return scores, last
