import io

import pytest

from jaxuda.ui import display


class Clock:
  """A clock that advances when told to."""

  def __init__(self):
    self.now = 0.0

  def __call__(self):
    return self.now


class Terminal(io.StringIO):
  def isatty(self):
    return True


@pytest.mark.parametrize(
  ('seconds', 'text'),
  [
    (0, '0 s'),
    (59.4, '59 s'),
    (59.6, '1 min 00 s'),
    (274, '4 min 34 s'),
    (3600, '1 h 00 min'),
    (7631, '2 h 07 min'),
    (-3, '0 s'),
  ],
)
def test_format_time(seconds, text):
  assert display.format_time(seconds) == text


def test_format_values():
  values = {'loss_seg': 1.23456, 'rate': 0.00025, 'mIoU': None}
  assert display.format_values(values) == 'loss_seg 1.235, rate 0.00025, mIoU -'


def test_rate_and_time_left_skip_the_first_unit_and_earlier_processes():
  clock, stream = Clock(), io.StringIO()
  progress = display.Progress(
    'train', total=110, start=50, stream=stream, clock=clock
  )
  with progress:
    clock.now = 100.0  # Compilation.
    progress.update(51)
    assert progress.rate() is None
    clock.now = 105.0
    progress.update(61)
    assert progress.rate() == 2.0
    assert progress.text() == '61/110 steps, 2.00 steps/s, 24 s left'


def test_rate_forgets_what_is_long_past():
  clock = Clock()
  progress = display.Progress(
    'train', total=1000, stream=io.StringIO(), clock=clock
  )
  progress.update(0)
  clock.now = 100.0
  progress.update(1)
  for i in range(100):
    clock.now += 1
    progress.update(2 + i)
  assert progress.rate() == pytest.approx(1.0)


def test_slow_units_are_shown_as_seconds_per_unit():
  clock = Clock()
  progress = display.Progress(
    'train', total=10, stream=io.StringIO(), clock=clock
  )
  progress.update(1)
  clock.now = 40.0
  progress.update(3)
  assert progress.text() == '3/10 steps, 20.0 s per step, 2 min 20 s left'


def test_plain_lines_come_now_and_then_and_at_the_end():
  clock, stream = Clock(), io.StringIO()
  with display.Progress(
    'train', total=100, stream=stream, clock=clock
  ) as progress:
    for step in range(1, 101):
      clock.now += 0.25
      assert progress.due() == (step in (1, 41, 81))
      progress.update(step, {'loss_seg': 1.5})
    progress.message('a message')
  lines = stream.getvalue().splitlines()
  assert lines == [
    'train: 1/100 steps, loss_seg 1.5',
    'train: 41/100 steps, 4.00 steps/s, 15 s left, loss_seg 1.5',
    'train: 81/100 steps, 4.00 steps/s, 5 s left, loss_seg 1.5',
    'a message',
    'train: 100/100 steps, 4.00 steps/s, 0 s left, loss_seg 1.5',
  ]


def test_time_in_an_inner_loop_is_not_counted():
  clock, stream = Clock(), io.StringIO()
  with display.Progress(
    'train', total=100, stream=stream, clock=clock
  ) as progress:
    for step in range(1, 11):
      clock.now += 1
      progress.update(step)
    with display.Progress(
      'evaluate', total=5, unit='images', parent=progress, clock=clock
    ) as inner:
      clock.now += 500
      inner.update(5)
    clock.now += 1
    progress.update(11)
    clock.now += 1
    progress.update(12)
    assert progress.rate() == 1.0
  assert 'evaluate: 5/5 images' in stream.getvalue()


def test_pauses_are_not_counted():
  clock = Clock()
  progress = display.Progress(
    'train', total=100, stream=io.StringIO(), clock=clock
  )
  progress.update(1)
  with progress.pause():
    clock.now += 500
  clock.now += 2
  progress.update(2)
  assert progress.rate() == 0.5


def test_terminal_shows_rate_and_both_loops():
  clock, stream = Clock(), Terminal()
  with display.Progress(
    'train', total=100, stream=stream, clock=clock
  ) as progress:
    for step in range(1, 11):
      clock.now += 1
      progress.update(step)
    with display.Progress(
      'evaluate', total=5, unit='images', parent=progress
    ) as inner:
      inner.update(5)
    progress.message('[a message]')
  text = stream.getvalue()
  assert '10/100 steps, 1.00 steps/s, 1 min 30 s left' in text
  assert '5/5 images' in text
  assert '[a message]' in text


def test_track_yields_everything():
  stream = io.StringIO()
  items = display.track('abc', name='read', total=3, stream=stream)
  assert list(items) == ['a', 'b', 'c']
  assert 'read: 3/3 images' in stream.getvalue()


def test_brackets_are_no_markup():
  stream = io.StringIO()
  rows = [('road [wet]', '1'), ('[/b]', '2')]
  display.print_table('t', ('class', 'runs/a[lr=1]'), rows, stream=stream)
  for text in ('road [wet]', '[/b]', 'runs/a[lr=1]'):
    assert text in stream.getvalue()
  terminal = Terminal()
  with display.Progress('read a[b]', total=2, stream=terminal) as progress:
    progress.update(1)
  assert 'read a[b]' in terminal.getvalue()


def test_table_has_every_cell():
  stream = io.StringIO()
  display.print_table(
    'IoU [%]',
    ('class', 'a'),
    [('road', '97.1'), (), ('mIoU', '-')],
    stream=stream,
  )
  lines = stream.getvalue().splitlines()
  assert lines[0] == 'IoU [%]'
  assert [x.strip() for x in lines[2].split('┃')[1:3]] == ['class', 'a']
  assert [x.strip() for x in lines[4].split('│')[1:3]] == ['road', '97.1']
  assert [x.strip() for x in lines[6].split('│')[1:3]] == ['mIoU', '-']
