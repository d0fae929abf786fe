"""Shows all runs at a glance while they are trained.

On a terminal this is a table that is redrawn; elsewhere, a plain line now and
then.
"""

import collections
from collections.abc import Callable, Mapping
import sys
import time
from typing import Any, TextIO

import rich.console
import rich.live
import rich.table

from jaxuda.reproduce import progress as progress_lib
from jaxuda.ui import display

# Which states take precedence when there are more runs than lines.
_ORDER = (
  *(progress_lib.RUNNING, progress_lib.FAILED, progress_lib.STOPPED),
  *(progress_lib.WAITING, progress_lib.DONE),
)


class Overview:
  """A context that shows the states of all runs, and messages."""

  def __init__(
    self,
    *,
    stream: TextIO | None = None,
    interval: float | None = None,
    clock: Callable[[], float] = time.monotonic,
  ):
    """Shows nothing before the context is entered.

    Args:
      stream: where to write; stderr if None.
      interval: seconds between lines; None for 1 on a terminal and 60
        elsewhere.
      clock: returns seconds; replaced in tests.
    """
    self._stream = stream or sys.stderr
    self._clock = clock
    self._live = self._console = None
    if self._stream.isatty():
      self._console = rich.console.Console(file=self._stream)
    self._interval = interval or (1.0 if self._console else 60.0)
    self._shown = float('-inf')

  def __enter__(self) -> 'Overview':
    if self._console:
      self._live = rich.live.Live(console=self._console, auto_refresh=False)
      self._live.start()
    return self

  def __exit__(self, *unused: Any) -> None:
    if self._live:
      self._live.stop()

  def update(
    self, states: Mapping[str, progress_lib.State], left: float | None
  ) -> None:
    """Shows all states if the interval has passed or nothing is running.

    Args:
      states: name of a run -> its state.
      left: seconds until all are done, None if unknown.
    """
    ended = not any(x.status == progress_lib.RUNNING for x in states.values())
    if not ended and self._clock() - self._shown < self._interval:
      return
    self._shown = self._clock()
    if self._live:
      self._live.update(self._draw(states, left), refresh=True)
      return
    parts = [summarise(states, left)]
    for name, state in states.items():
      if state.status == progress_lib.RUNNING:
        parts.append(f'{name} {describe(state)}')
    print('; '.join(parts), file=self._stream, flush=True)

  def message(self, text: str) -> None:
    """Prints lines that are not overwritten."""
    if self._live:
      self._live.console.print(text, highlight=False, markup=False)
    else:
      print(text, file=self._stream, flush=True)

  def _draw(self, states, left):
    # A line for each run, as many as fit below the summary.
    room = max(1, self._console.height - 3)
    kept = sorted(states, key=lambda x: _ORDER.index(states[x].status))[:room]
    grid = rich.table.Table.grid(padding=(0, 2))
    for name, state in states.items():
      if name in kept:
        grid.add_row(name, state.status, describe(state))
    return rich.console.Group(summarise(states, left), grid)


def describe(state: progress_lib.State) -> str:
  """Returns '600/1500 steps, 2.66 steps/s', and the reason of a failure."""
  parts = [f'{state.step}/{state.run.steps} steps']
  if state.status == progress_lib.RUNNING and state.rate:
    parts.append(display.format_rate(state.rate, 'steps'))
  if state.reason:
    parts.append(state.reason)
  return ', '.join(parts)


def summarise(
  states: Mapping[str, progress_lib.State], left: float | None
) -> str:
  """Returns '12 of 21 runs done, 1 failed, 1 h 02 min left'."""
  counts = collections.Counter(state.status for state in states.values())
  parts = [f'{counts[progress_lib.DONE]} of {len(states)} runs done']
  for status in (progress_lib.FAILED, progress_lib.STOPPED):
    if counts[status]:
      parts.append(f'{counts[status]} {status}')
  if left is not None and counts[progress_lib.RUNNING]:
    parts.append(f'{display.format_time(left)} left')
  return ', '.join(parts)
