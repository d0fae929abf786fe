"""A way to be asked to stop: SIGTERM of a scheduler, Ctrl-C of a person."""

import signal
import threading
from typing import Any


class StopSignals:
  """A context in which SIGTERM and SIGINT ask for a stop instead of killing.

  Attributes:
    requested: name of the signal that came, or ''.
  """

  def __init__(self):
    self.requested = ''
    self._before = {}

  def __enter__(self) -> 'StopSignals':
    # Python delivers signals to the main thread and lets only it ask for them.
    if threading.current_thread() is threading.main_thread():
      for number in (signal.SIGTERM, signal.SIGINT):
        self._before[number] = signal.signal(number, self._handle)
    return self

  def __exit__(self, *unused: Any) -> None:
    self._restore()

  def _handle(self, number, frame):
    del frame
    self.requested = signal.Signals(number).name
    self._restore()  # A second Ctrl-C stops at once.

  def _restore(self):
    for number, handler in self._before.items():
      signal.signal(number, handler)
    self._before = {}
