"""How far a run is, read from its folder while another process writes it."""

import dataclasses
import json
import os
import pathlib

from jaxuda.reproduce import plan as plan_lib
from jaxuda.run import checkpoint
from jaxuda.run import workdir as workdir_lib

# The last lines of a log are in its last bytes.
_TAIL = 16384


@dataclasses.dataclass(frozen=True)
class Progress:
  """Where a run is.

  Attributes:
    step: steps taken, over all parts.
    rate: steps per second, None where not known.
  """

  step: int
  rate: float | None = None


def is_done(run: plan_lib.Run) -> bool:
  """Says whether a run was trained to its end and scored there."""
  return is_part_done(run.parts[-1])


def is_part_done(part: plan_lib.Part) -> bool:
  """Says whether a training is at its end and scored there."""
  if part.scored:
    last = workdir_lib.read_scores(part.workdir).get('last', {})
    return last.get('checkpoint_step') == part.steps
  return (part.workdir / checkpoint.FOLDER / str(part.steps)).is_dir()


def read(run: plan_lib.Run) -> Progress:
  """Returns where a run is, by what it last logged."""
  step, rate = 0, None
  for part in run.parts:
    logged = _read_line(part.workdir / 'metrics.jsonl')
    step += min(logged.get('step', 0), part.steps)
    rate = logged.get('steps_per_second', rate)
  return Progress(step, rate)


def read_tail(path: pathlib.Path, *, start: int = 0, lines: int = 8) -> str:
  """Returns the last lines of a log that say something.

  Args:
    path: of the log.
    start: byte before which nothing is of interest.
    lines: how many at most.
  """
  text = _read_end(path, start=start)
  return '\n'.join(
    [x.rstrip() for x in text.splitlines() if x.strip()][-lines:]
  )


def _read_line(path):
  """The last whole line of a training step; {} if there is none."""
  for line in reversed(_read_end(path).split('\n')[:-1]):
    try:
      entry = json.loads(line)
    except ValueError:
      continue
    if entry.get('kind') == 'train':
      return entry
  return {}


def _read_end(path, *, start=0):
  try:
    with path.open('rb') as f:
      end = f.seek(0, os.SEEK_END)
      f.seek(max(start, end - _TAIL))
      return f.read().decode(errors='replace')
  except OSError:
    return ''
