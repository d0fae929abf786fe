"""How far runs are, read from their folders while other processes write."""

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
    rate: steps per second, None where not known.
    reason: why it failed.
    began: clock in seconds at which it was started here, None if it was not.
    first: steps that were taken before that.
    seconds: how long it ran here.
    process: its process, if it was started here.
    log_start: size of its log in bytes before that.
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
  """Says whether a run was trained to its end and scored there."""
  part = run.parts[-1]
  if part.scored:
    last = workdir_lib.read_scores(part.workdir).get('last', {})
    return last.get('checkpoint_step') == part.steps
  return (part.workdir / checkpoint.FOLDER / str(part.steps)).is_dir()


def read(run: runs_lib.Run) -> tuple[int, float | None]:
  """Returns (steps over all parts, steps per second) of what was last logged.

  The rate is None where it is not known.
  """
  step, rate = 0, None
  for part in run.parts:
    lines = workdir_lib.read_lines(part.workdir / 'metrics.jsonl')
    logged = next((x for x in lines[::-1] if x.get('kind') == 'train'), {})
    step += min(logged.get('step', 0), part.steps)
    rate = logged.get('steps_per_second', rate)
  return step, rate


def read_tail(path: pathlib.Path, *, start: int) -> list[str]:
  """Returns the last lines of a log from a byte on, at most eight.

  Empty ones are left out; there are none of a log that cannot be read.
  """
  try:
    with path.open('rb') as f:
      end = f.seek(0, os.SEEK_END)
      f.seek(max(start, end - _TAIL))
      lines = f.read().decode(errors='replace').splitlines()
  except OSError:
    return []
  return [x.rstrip() for x in lines if x.strip()][-8:]
