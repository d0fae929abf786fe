import io

from jaxuda.reproduce import overview as overview_lib
from jaxuda.reproduce import progress as progress_lib
from tests.reproduce import fake_runs


class Terminal(io.StringIO):
  def isatty(self):
    return True


def _states(tmp_path):
  plan = fake_runs.make_plan(tmp_path, seeds=(1, 2))
  made = (
    {'status': progress_lib.DONE, 'step': 1500},
    {'status': progress_lib.RUNNING, 'step': 600, 'rate': 2.66},
    {'status': progress_lib.FAILED, 'step': 7, 'reason': 'exit status 1'},
    {},
  )
  return {
    name: progress_lib.State(run=run, **fields)
    for (name, run), fields in zip(plan.runs.items(), made, strict=True)
  }


def test_a_plain_line_now_and_then(tmp_path):
  states, stream, now = _states(tmp_path), io.StringIO(), [0.0]
  with overview_lib.Overview(stream=stream, clock=lambda: now[0]) as overview:
    overview.update(states, None)
    now[0] = 59.0
    overview.update(states, 3725.0)
    now[0] = 60.0
    overview.update(states, 3725.0)
    overview.message('a message')
  counts = '1 of 4 runs done, 1 failed'
  running_now = 'S7/seed1 600/1500 steps, 2.66 steps/s'
  assert stream.getvalue() == (
    f'{counts}; {running_now}\n'
    f'{counts}, 1 h 02 min left; {running_now}\n'
    'a message\n'
  )


def test_a_line_for_each_run_on_a_terminal(tmp_path):
  states, stream = _states(tmp_path), Terminal()
  with overview_lib.Overview(stream=stream) as overview:
    overview.update(states, 61.0)
    overview.message('[a message]')
  text = stream.getvalue()
  assert '1 of 4 runs done, 1 failed, 1 min 01 s left' in text
  assert '[a message]' in text
  lines = [' '.join(line.split()) for line in text.splitlines()]
  for line in (
    'S1/seed1 done 1500/1500 steps',
    'S7/seed1 running 600/1500 steps, 2.66 steps/s',
    'S1/seed2 failed 7/1500 steps, exit status 1',
    'S7/seed2 waiting 0/1500 steps',
  ):
    assert line in lines
