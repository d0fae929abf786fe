"""Progress with rate and time left, and tables, on terminals and in logs.

On a terminal there is one live line; elsewhere (in a log file, a pipe, a
notebook's subprocess) a plain line now and then, so that logs stay readable.
"""

import collections
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
import contextlib
import sys
import time
from typing import Any, TextIO

import rich.console
import rich.progress
import rich.table
import rich.text

# The period over which the rate is measured, in seconds.
_MEMORY = 60.0


def format_time(seconds: float) -> str:
  """Returns a duration as '45 s', '3 min 05 s' or '2 h 07 min'."""
  seconds = max(0, round(seconds))
  if seconds < 60:
    return f'{seconds} s'
  minutes, seconds = divmod(seconds, 60)
  if minutes < 60:
    return f'{minutes} min {seconds:02d} s'
  hours, minutes = divmod(minutes, 60)
  return f'{hours} h {minutes:02d} min'


def format_rate(rate: float, unit: str) -> str:
  """Returns '2.66 steps/s', or '20.0 s per step' if the rate is low."""
  if rate >= 0.1:
    return f'{rate:.2f} {unit}/s'
  return f'{1 / rate:.1f} s per {unit[:-1]}'


def format_values(values: Mapping[str, float | None]) -> str:
  """Returns 'loss_seg 1.234, lr 2.5e-04': four significant digits."""
  return ', '.join(
    f'{name} -' if value is None else f'{name} {value:.4g}'
    for name, value in values.items()
  )


class Progress:
  """A context that shows the progress of a loop.

  Attributes:
    done: number of units done so far.
    total: number of units in all.
  """

  def __init__(
    self,
    name: str,
    *,
    total: int,
    start: int = 0,
    unit: str = 'steps',
    stream: TextIO | None = None,
    parent: 'Progress | None' = None,
    clock: Callable[[], float] = time.monotonic,
  ):
    """Describes the loop; nothing is shown before the context is entered.

    Args:
      name: what is being done.
      total: number of units in all.
      start: units done by an earlier process, which do not count for the rate.
      unit: what is counted, in the plural.
      stream: where to write; stderr if None.
      parent: the loop that this one interrupts now and then; its rate does not
        include the time spent here.
      clock: returns seconds; replaced in tests.
    """
    self.done, self.total = start, total
    self._name, self._unit, self._clock = name, unit, clock
    self._stream = stream or (parent._stream if parent else sys.stderr)
    self._parent = parent
    self._live = self._stream.isatty()
    # Seconds between lines; on a terminal one line is redrawn.
    self._interval = 0.5 if self._live else 10.0
    self._marks = collections.deque([(clock(), start)])
    self._started, self._shown = False, float('-inf')
    self._values = {}
    self._bar = self._task = None
    self._stack = contextlib.ExitStack()

  def __enter__(self) -> 'Progress':
    if self._parent:
      self._stack.enter_context(self._parent.pause())
    if not self._live:
      return self
    # Only one live display may run at a time.
    self._bar = self._parent._bar if self._parent else self._open_bar()
    self._task = self._bar.add_task(
      self._name, total=self.total, completed=self.done, text=''
    )
    if self._parent:
      self._stack.callback(self._bar.remove_task, self._task)
    return self

  def _open_bar(self) -> rich.progress.Progress:
    # Many losses wrap to a second line.
    wide = rich.table.Column(ratio=1)
    bar = rich.progress.Progress(
      rich.progress.TextColumn('{task.description}', markup=False),
      rich.progress.BarColumn(bar_width=10),
      rich.progress.TextColumn('{task.fields[text]}', table_column=wide),
      expand=True,
      console=rich.console.Console(file=self._stream),
    )
    return self._stack.enter_context(bar)

  def __exit__(self, *unused: Any) -> None:
    if self._shown > float('-inf'):
      self._show()
    self._stack.close()

  @contextlib.contextmanager
  def pause(self) -> Iterator[None]:
    """Excludes the time spent in this context from the rate."""
    start = self._clock()
    try:
      yield
    finally:
      spent = self._clock() - start
      self._marks = collections.deque((t + spent, n) for t, n in self._marks)

  def due(self) -> bool:
    """Returns whether the next `update` will be shown.

    Values that are expensive to fetch need to be fetched only then.
    """
    return self._clock() - self._shown >= self._interval

  def update(
    self, done: int, values: Mapping[str, float] | None = None
  ) -> None:
    """Sets how much is done, and the values to show until the next ones.

    `done` counts from 0 and not from `start`; `values` are the current numbers
    by name.
    """
    now = self._clock()
    if not self._started:
      # The first unit compiles; it says nothing about the others.
      self._marks = collections.deque([(now, done)])
      self._started = True
    elif done != self._marks[-1][1]:
      self._marks.append((now, done))
    while len(self._marks) > 2 and now - self._marks[1][0] > _MEMORY:
      self._marks.popleft()
    self.done = done
    if values is not None:
      self._values = dict(values)
    if self.due():
      self._show()

  def rate(self) -> float | None:
    """Returns units per second over the last minute; None if unknown yet."""
    (t0, first), (t1, last) = self._marks[0], self._marks[-1]
    return (last - first) / (t1 - t0) if last > first and t1 > t0 else None

  def text(self) -> str:
    """Returns '120/1000 steps, 3.21 steps/s, 4 min 34 s left, loss 1.2'."""
    parts = [f'{self.done}/{self.total} {self._unit}']
    rate = self.rate()
    if rate:
      parts.append(format_rate(rate, self._unit))
      parts.append(f'{format_time((self.total - self.done) / rate)} left')
    if self._values:
      parts.append(format_values(self._values))
    return ', '.join(parts)

  def message(self, text: str) -> None:
    """Prints a permanent line above the live line."""
    if self._bar:
      self._bar.console.print(text, highlight=False, markup=False)
    else:
      # In a single write: threads report, too.
      print(f'{text}\n', end='', file=self._stream, flush=True)

  def _show(self) -> None:
    self._shown = self._clock()
    if self._bar:
      self._bar.update(
        self._task, completed=self.done, text=self.text(), refresh=True
      )
    else:
      print(f'{self._name}: {self.text()}', file=self._stream, flush=True)


def track(
  items: Iterable[Any],
  *,
  name: str,
  total: int,
  unit: str = 'images',
  stream: TextIO | None = None,
) -> Iterator[Any]:
  """Yields the items under a progress line, one unit each."""
  with Progress(name, total=total, unit=unit, stream=stream) as progress:
    for done, item in enumerate(items, 1):
      yield item
      progress.update(done)


def print_table(
  title: str,
  header: Sequence[str],
  rows: Sequence[Sequence[str]],
  *,
  stream: TextIO | None = None,
  width: int = 120,
) -> None:
  """Prints a table on stdout.

  Args:
    title: line above the table.
    header: a name for each column; the first is text, the others are numbers.
    rows: cells; an empty row draws a line.
    stream: file to print to instead of stdout.
    width: width in characters if the output is not a terminal.
  """
  table = rich.table.Table()
  for i, name in enumerate(header):
    # Brackets in names of runs and classes are no markup.
    justify = 'right' if i else 'left'
    table.add_column(rich.text.Text(name), justify=justify)
  for row in rows:
    if row:
      table.add_row(*map(rich.text.Text, row))
    else:
      table.add_section()
  # Piped output has no width of its own; 80 would truncate a comparison.
  stream = stream or sys.stdout
  columns = None if stream.isatty() else width
  console = rich.console.Console(file=stream, width=columns)
  console.print(title, highlight=False, markup=False, soft_wrap=True)
  console.print(table)
