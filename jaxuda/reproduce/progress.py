"""Reads the progress of runs from their folders while they are written."""

import dataclasses
import os
import pathlib
from typing import Any

from jaxuda.reproduce import runs as runs_lib
from jaxuda.run import checkpoint
from jaxuda.run import workdir as workdir_lib

WAITING, RUNNING, DONE = 'waiting', 'running', 'done'
FAILED, STOPPED = 'failed', 'stopped'
# Bytes at the end of a log that hold its last lines.
_TAIL = 16384


@dataclasses.dataclass(kw_only=True)
class State:
  """The state of a run.

  Attributes:
    run: the run.
    status: one of the words above.
    step: steps taken, over all parts.
    rate: steps per second, None if unknown.
    reason: why it failed.
    began: clock in seconds when this process started it, None if it did not.
    first: steps that had been taken by then.
    seconds: how long it has run since.
    process: its process, if this process started it.
    log_start: size of its log in bytes before the start.
  """

  run: runs_lib.Run
  status: str = WAITING
  step: int = 0
  rate: float | None = None
  reason: str = ''
  began: float | None = None
  first: int = 0
  seconds: float = 0.0
  process: Any = None
  log_start: int = 0


def is_done(run: runs_lib.Run) -> bool:
  """Returns whether a run was trained to its end and scored there."""
  part = run.parts[-1]
  if part.scored:
    last = workdir_lib.read_scores(part.workdir).get('last', {})
    return last.get('checkpoint_step') == part.steps
  return (part.workdir / checkpoint.FOLDER / str(part.steps)).is_dir()


def read(run: runs_lib.Run) -> tuple[int, float | None]:
  """Returns the last logged (steps over all parts, steps per second).

  The rate is None if unknown.
  """
  step, rate = 0, None
  for part in run.parts:
    lines = workdir_lib.read_lines(part.workdir / 'metrics.jsonl')
    logged = next((x for x in lines[::-1] if x.get('kind') == 'train'), {})
    step += min(logged.get('step', 0), part.steps)
    rate = logged.get('steps_per_second', rate)
  return step, rate


def read_tail(path: pathlib.Path, *, start: int) -> list[str]:
  """Returns at most eight last lines of a log, from the byte `start` on.

  Empty lines are left out; the list is empty if the log cannot be read.
  """
  try:
    with path.open('rb') as f:
      end = f.seek(0, os.SEEK_END)
      f.seek(max(start, end - _TAIL))
      lines = f.read().decode(errors='replace').splitlines()
  except OSError:
    return []
  return [x.rstrip() for x in lines if x.strip()][-8:]
