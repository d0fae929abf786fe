"""Runs the processes of a plan, a few at a time, until all have ended."""

import collections
from collections.abc import Callable
import os
import signal
import subprocess
import sys
import time
from typing import Any

from jaxuda.evaluate import tables
from jaxuda.reproduce import folder as folder_lib
from jaxuda.reproduce import overview as overview_lib
from jaxuda.reproduce import plan as plan_lib
from jaxuda.reproduce import progress as progress_lib
from jaxuda.reproduce import runs as runs_lib
from jaxuda.run import workdir as workdir_lib

# Seconds between two checks of the processes.
_PAUSE = 1.0


def launch(run: runs_lib.Run, folder: folder_lib.Folder) -> subprocess.Popen:
  """Starts the process of a run; its output goes to its log.

  The process leads a session of its own, so that Ctrl-C reaches it only once,
  through the runner: a second signal would keep it from saving. It holds the
  folder's lock, so that it cannot be started twice if only the runner is
  killed.
  """
  path = folder.log(run.name)
  path.parent.mkdir(parents=True, exist_ok=True)
  with path.open('a') as f:
    print(f'# {time.strftime("%Y-%m-%d %H:%M:%S")} {run}', file=f, flush=True)
    return subprocess.Popen(
      [sys.executable, *run.command],
      stdin=subprocess.DEVNULL,
      stdout=f,
      stderr=subprocess.STDOUT,
      start_new_session=True,
      pass_fds=(folder.lock,),
    )


def _check_labels(run):
  """Checks that scores need no labels that are missing, for all other runs."""
  workdir = run.parts[-1].workdir
  if workdir_lib.read_scores(workdir):  # Image transforms are not scored.
    tables.read_figures(str(workdir), checkpoint='last')


class Runner:
  """Runs the unfinished runs of a plan.

  Attributes:
    states: name of a run -> its state.
  """

  def __init__(
    self,
    plan: plan_lib.Plan,
    folder: folder_lib.Folder,
    *,
    overview: overview_lib.Overview,
    jobs: int = 1,
    launch: Callable[..., Any] = launch,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
  ):
    """Finds the runs that are already done.

    Args:
      plan: the runs.
      folder: their folder, which is locked.
      overview: shows their states and messages.
      jobs: number of runs at a time, at least 1.
      launch: (run, folder) -> a process with poll, send_signal, kill and wait.
      clock: returns seconds; replaced in tests.
      sleep: waits for some seconds; replaced in tests.
    """
    self.states = {
      name: progress_lib.State(run=run) for name, run in plan.runs.items()
    }
    self._folder, self._overview, self._jobs = folder, overview, jobs
    self._launch, self._clock, self._sleep = launch, clock, sleep
    for state in self.states.values():
      state.step, _ = progress_lib.read(state.run)
      if progress_lib.is_done(state.run):
        state.status, state.step = progress_lib.DONE, state.run.steps

  def run(self, stop: Callable[[], bool] = lambda: False) -> None:
    """Runs until all runs have ended or were stopped.

    Args:
      stop: called now and then; if it returns True, the processes save and end.
        A KeyboardInterrupt kills them.

    Raises:
      UserError: a run has ended without scores, as its target has no labels;
        the others are killed.
    """
    told = False
    try:
      while True:
        if stop() and not told:
          told = True
          self._tell_all()
        for state in self._running():
          self._look(state, stopping=told)
        if not told:
          self._start_some()
        self._overview.update(self.states, self._time_left())
        if not self._running():
          break
        self._sleep(_PAUSE)
    finally:
      # No process is left unless something went wrong above.
      for state in self._running():
        state.process.kill()
        state.process.wait()

  def _running(self):
    return [
      state
      for state in self.states.values()
      if state.status == progress_lib.RUNNING
    ]

  def _start_some(self):
    for state in self.states.values():
      if len(self._running()) >= self._jobs:
        return
      if state.status != progress_lib.WAITING:
        continue
      before = self.states.get(state.run.before)
      if before and before.status == progress_lib.FAILED:
        self._fail(state, f'{state.run.before}, which it needs, failed')
      elif not before or before.status == progress_lib.DONE:
        self._start(state)

  def _start(self, state):
    log = self._folder.log(state.run.name)
    state.log_start = log.stat().st_size if log.exists() else 0
    state.began, state.first = self._clock(), state.step
    try:
      state.process = self._launch(state.run, self._folder)
      state.status = progress_lib.RUNNING
    except OSError as e:
      self._fail(state, f'cannot be started: {e}')

  def _look(self, state, *, stopping):
    code = state.process.poll()
    state.step, state.rate = progress_lib.read(state.run)
    state.seconds = self._clock() - state.began
    if code is None:
      return
    if progress_lib.is_done(state.run):
      state.status, state.step = progress_lib.DONE, state.run.steps
      _check_labels(state.run)
      self._overview.message(f'{state.run.name} done')
    elif stopping:
      state.status = progress_lib.STOPPED
    elif code > 0:
      self._fail(state, f'exit status {code}')
    elif code < 0:
      self._fail(state, f'killed by {signal.Signals(-code).name}')
    else:
      # This is how it ends after a signal sent by somebody else.
      self._fail(state, f'ended at step {state.step} of {state.run.steps}')

  def _fail(self, state, reason):
    name = state.run.name
    state.status, state.reason = progress_lib.FAILED, reason
    text = f'{name} failed: {reason}'
    if state.began is not None:
      log = self._folder.log(name)
      tail = progress_lib.read_tail(log, start=state.log_start)
      text += '\n  | '.join([f'; the end of {log}:', *tail])
    self._overview.message(text)

  def _tell_all(self):
    """Tells the processes to finish their step, save and end."""
    running = self._running()
    if running:
      runs = f'{len(running)} run{"s" if len(running) > 1 else ""}'
      self._overview.message(f'stopping: {runs} will save first')
    for state in running:
      state.process.send_signal(signal.SIGTERM)

  def _time_left(self):
    """Returns the seconds until all are done, from each row's time per step."""
    seconds, steps = collections.Counter(), collections.Counter()
    for state in self.states.values():
      taken = state.step - state.first
      if state.began is not None and taken > 0:
        for group in (os.path.dirname(state.run.name), ''):
          seconds[group] += state.seconds
          steps[group] += taken
    if not steps:
      return None
    left = 0.0
    for state in self.states.values():
      if state.status in (progress_lib.WAITING, progress_lib.RUNNING):
        row = os.path.dirname(state.run.name)
        group = row if row in steps else ''
        missing = state.run.steps - state.step
        left += missing * seconds[group] / steps[group]
    return left / self._jobs
