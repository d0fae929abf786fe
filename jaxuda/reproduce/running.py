"""The processes of a plan's runs, a few at a time, until all have ended."""

from collections.abc import Callable
import os
import signal
import subprocess
import sys
import time
from typing import Any

from jaxuda.reproduce import folder as folder_lib
from jaxuda.reproduce import overview as overview_lib
from jaxuda.reproduce import plan as plan_lib
from jaxuda.reproduce import progress as progress_lib

# Seconds between two looks at the processes.
_PAUSE = 1.0


def launch(run: plan_lib.Run, folder: folder_lib.Folder) -> subprocess.Popen:
  """Starts the process of a run; what it prints goes to its log.

  It leads a session of its own, so that Ctrl-C reaches it once, through the
  runner: a second signal would not let it save. It holds the folder's lock, so
  that nobody starts it a second time should the runner alone be killed.
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


class Runner:
  """Runs what is left of a plan.

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
    """Finds what is done already.

    Args:
      plan: the runs.
      folder: their folder, which is held.
      overview: what shows their states and messages.
      jobs: number of runs at a time, at least 1.
      launch: (run, folder) -> a process with poll, send_signal, kill and wait.
      clock: returns seconds; another one in tests.
      sleep: waits some seconds; does not in tests.
    """
    self.states = {
      name: progress_lib.State(run=run) for name, run in plan.runs.items()
    }
    self._folder, self._overview, self._jobs = folder, overview, jobs
    self._launch = launch
    self._clock, self._sleep = clock, sleep
    self._processes: dict[str, Any] = {}
    self._log_starts: dict[str, int] = {}
    for state in self.states.values():
      state.step, _ = progress_lib.read(state.run)
      if progress_lib.is_done(state.run):
        state.status, state.step = progress_lib.DONE, state.run.steps

  def run(self, stop: Callable[[], bool] = lambda: False) -> None:
    """Returns when all have ended or were stopped.

    Args:
      stop: asked now and then; True has the processes save and end. A
        KeyboardInterrupt kills them.
    """
    told = False
    try:
      while True:
        if stop() and not told:
          told = True
          self._tell_all()
        self._look(stopping=told)
        if not told:
          self._start_some()
        self._overview.update(self.states, self._time_left())
        if not self._processes:
          break
        self._sleep(_PAUSE)
    finally:
      # No process is left unless something went wrong here.
      for process in self._processes.values():
        process.kill()
        process.wait()

  def _start_some(self):
    for state in self.states.values():
      if len(self._processes) >= self._jobs:
        return
      if state.status == progress_lib.WAITING and self._may_start(state):
        self._start(state)

  def _may_start(self, state):
    if not state.run.before:
      return True
    before = self.states[state.run.before].status
    if before == progress_lib.FAILED:
      self._fail(state, f'{state.run.before}, which it needs, failed')
    return before == progress_lib.DONE

  def _start(self, state):
    name = state.run.name
    log = self._folder.log(name)
    self._log_starts[name] = log.stat().st_size if log.exists() else 0
    state.status, state.began = progress_lib.RUNNING, self._clock()
    state.first = state.step
    try:
      self._processes[name] = self._launch(state.run, self._folder)
    except OSError as e:
      self._fail(state, f'cannot be started: {e}')

  def _look(self, *, stopping):
    for name, process in list(self._processes.items()):
      state, code = self.states[name], process.poll()
      state.step, state.rate = progress_lib.read(state.run)
      state.seconds = self._clock() - state.began
      if code is not None:
        del self._processes[name]
        self._end(state, code, stopping=stopping)

  def _end(self, state, code, *, stopping):
    if progress_lib.is_done(state.run):
      state.status, state.step = progress_lib.DONE, state.run.steps
      self._overview.message(f'{state.run.name} done')
    elif stopping:
      state.status = progress_lib.STOPPED
    elif code == 0:
      # So it ends after a signal that somebody else sent.
      self._fail(state, f'ended at step {state.step} of {state.run.steps}')
    else:
      self._fail(state, _explain(code))

  def _fail(self, state, reason):
    name = state.run.name
    state.status, state.reason = progress_lib.FAILED, reason
    text = f'{name} failed: {reason}'
    if name in self._log_starts:
      log = self._folder.log(name)
      tail = progress_lib.read_tail(log, start=self._log_starts[name])
      lines = ''.join(f'\n  | {line}' for line in tail.splitlines())
      text += f'; the end of {log}:{lines}'
    self._overview.message(text)

  def _tell_all(self):
    """Tells the processes to save after their step and to end."""
    count = len(self._processes)
    if count:
      self._overview.message(
        f'stopping: {count} run{"s" if count > 1 else ""} will save first'
      )
    for process in self._processes.values():
      process.send_signal(signal.SIGTERM)

  def _time_left(self):
    """Seconds until all are done, by the time that a step of each row took."""
    pace = {}
    for state in self.states.values():
      steps = state.step - state.first
      if state.began is not None and steps > 0:
        for group in (os.path.dirname(state.run.name), ''):
          seconds, before = pace.get(group, (0.0, 0))
          pace[group] = seconds + state.seconds, before + steps
    if not pace:
      return None
    left = 0.0
    for state in self.states.values():
      if state.status in (progress_lib.WAITING, progress_lib.RUNNING):
        seconds, steps = pace.get(os.path.dirname(state.run.name), pace[''])
        left += (state.run.steps - state.step) * seconds / steps
    return left / self._jobs


def _explain(code):
  if code < 0:
    return f'killed by {signal.Signals(-code).name}'
  return f'exit status {code}'
