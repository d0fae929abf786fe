"""Requests to stop: SIGTERM from a scheduler, Ctrl-C from a person."""

from collections.abc import Callable
import signal
import threading
from typing import Any


class StopSignals:
  """A context in which SIGTERM and SIGINT ask for a stop instead of killing.

  One that no `poll` has reported when the context ends is sent once more then,
  to whatever handles it outside.

  Attributes:
    requested: name of the signal that `poll` reported, or ''.
  """

  def __init__(self, agree: Callable[[int], int] = lambda number: number):
    """Catches nothing before the context is entered.

    Args:
      agree: function from the number of the signal that this process received
        to that of the signal that all processes know of, 0 for none; see
        `cluster.Agreement`.
    """
    self.requested = ''
    self._agree = agree
    self._received = 0
    self._before = {}

  def __enter__(self) -> 'StopSignals':
    # Python delivers signals to the main thread, which alone can set handlers.
    if threading.current_thread() is threading.main_thread():
      for number in (signal.SIGTERM, signal.SIGINT):
        self._before[number] = signal.signal(number, self._handle)
    return self

  def __exit__(self, kind: type | None, *unused: Any) -> None:
    self._restore()
    if self._received and not self.requested and kind is None:
      # It came after the last poll: whoever is outside must know of it.
      signal.raise_signal(self._received)

  def poll(self) -> bool:
    """Returns whether to stop. All processes must call it equally often."""
    if not self.requested:
      number = self._agree(self._received)
      self.requested = signal.Signals(number).name if number else ''
    return bool(self.requested)

  def _handle(self, number, frame):
    del frame
    self._received = number
    self._restore()  # A second Ctrl-C stops at once.

  def _restore(self):
    for number, handler in self._before.items():
      signal.signal(number, handler)
    self._before = {}
