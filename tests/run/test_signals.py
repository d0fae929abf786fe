import os
import signal
import threading

import pytest

from jaxuda.run import signals


@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGINT])
def test_first_signal_asks_and_handlers_are_put_back(number):
  before = signal.getsignal(number)
  with signals.StopSignals() as stop:
    assert not stop.poll()
    os.kill(os.getpid(), number)
    assert stop.poll()
    assert stop.requested == number.name
    # The next signal is left to the default handler.
    assert signal.getsignal(number) is before
  assert signal.getsignal(number) is before


def test_stops_when_the_others_know():
  asked = []

  def agree(number):
    asked.append(number)
    return asked[-3] if len(asked) > 2 else 0

  with signals.StopSignals(agree) as stop:
    os.kill(os.getpid(), signal.SIGTERM)
    assert [stop.poll() for _ in range(4)] == [False, False, True, True]
  assert stop.requested == 'SIGTERM'
  # Once settled, the others are not asked again.
  assert asked == [signal.SIGTERM] * 3


def test_elsewhere_than_in_the_main_thread_nothing_is_handled():
  entered = []

  def enter():
    with signals.StopSignals() as stop:
      entered.append(stop.requested)

  thread = threading.Thread(target=enter)
  thread.start()
  thread.join()
  assert entered == ['']


def test_a_signal_after_the_last_poll_is_not_swallowed():
  with signals.StopSignals() as outer:
    with signals.StopSignals() as stop:
      assert not stop.poll()
      os.kill(os.getpid(), signal.SIGTERM)
    assert not stop.requested
    assert outer.poll()
  # Where tests run in the background, SIGINT may be ignored.
  before = signal.signal(signal.SIGINT, signal.default_int_handler)
  try:
    with pytest.raises(KeyboardInterrupt), signals.StopSignals():
      os.kill(os.getpid(), signal.SIGINT)
  finally:
    signal.signal(signal.SIGINT, before)


def test_an_error_says_more_than_a_signal_before_it():
  stop = signals.StopSignals()
  stop.__enter__()
  os.kill(os.getpid(), signal.SIGINT)
  # Raises nothing.
  stop.__exit__(ZeroDivisionError)
  assert not stop.requested
