import errno
import fcntl
import io
import json
import sys
import time

import pytest

from jaxuda import errors
from jaxuda.reproduce import folder as folder_lib
from jaxuda.reproduce import overview as overview_lib
from jaxuda.reproduce import progress as progress_lib
from jaxuda.reproduce import running
from tests.reproduce import fake_runs


def _run(tmp_path, plan, launcher, *, jobs=1, stop=lambda: False):
  """Returns the states and the messages."""
  stream = io.StringIO()
  with folder_lib.Folder(tmp_path, plan) as folder:
    runner = running.Runner(
      plan,
      folder,
      overview=overview_lib.Overview(stream=stream, interval=0.001),
      jobs=jobs,
      launch=launcher,
      sleep=lambda seconds: time.sleep(0.01),
    )
    runner.run(stop)
  return runner.states, stream.getvalue()


def _statuses(states):
  return {name: state.status for name, state in states.items()}


def test_all_runs_then_none(tmp_path):
  plan = fake_runs.make_plan(tmp_path, seeds=(1, 2))
  launcher = fake_runs.Launcher()
  states, text = _run(tmp_path, plan, launcher)
  assert launcher.started == list(plan.runs)
  assert set(_statuses(states).values()) == {progress_lib.DONE}
  assert text.count('done\n') == 5
  assert 'S7/seed2 done' in text
  assert text.endswith('4 of 4 runs done\n')
  again = fake_runs.Launcher()
  _run(tmp_path, plan, again)
  assert again.started == []
  # More seeds of the same table.
  _run(tmp_path, fake_runs.make_plan(tmp_path, seeds=(2, 3)), again)
  assert again.started == ['S1/seed3', 'S7/seed3']


def test_what_is_not_at_its_end_is_started_again(tmp_path):
  plan = fake_runs.make_plan(tmp_path, seeds=(1,))
  fake_runs.write_scores(tmp_path / 'S1/seed1', {'mIoU19': 1.0}, step=1000)
  fake_runs.write_scores(tmp_path / 'S7/seed1', {'mIoU19': 1.0}, step=1500)
  (tmp_path / 'reproduction.json').write_text(
    json.dumps({'table': 'dada/ablation', 'pair': 'streets'})
  )
  launcher = fake_runs.Launcher()
  _run(tmp_path, plan, launcher)
  assert launcher.started == ['S1/seed1']


def test_a_failing_run_is_told_and_the_others_go_on(tmp_path):
  plan = fake_runs.make_plan(tmp_path, seeds=(1, 2))
  launcher = fake_runs.Launcher(failing=('S7/seed1',))
  states, text = _run(tmp_path, plan, launcher, jobs=2)
  assert _statuses(states) == {
    'S1/seed1': progress_lib.DONE,
    'S7/seed1': progress_lib.FAILED,
    'S1/seed2': progress_lib.DONE,
    'S7/seed2': progress_lib.DONE,
  }
  assert states['S7/seed1'].reason == 'exit status 1'
  log = tmp_path / 'logs' / 'S7-seed1.log'
  assert (
    f'S7/seed1 failed: exit status 1; the end of {log}:\n  | first line\n'
    '  | no memory left\n'
  ) in text
  assert text.endswith('3 of 4 runs done, 1 failed\n')


def test_what_needs_a_failed_run_is_not_started(tmp_path):
  plan = fake_runs.make_plan(
    tmp_path, table='gio_ada/ablation', rows=('cg', 'na'), seeds=(1,)
  )
  launcher = fake_runs.Launcher(failing=('cyclegan/seed1',))
  states, _ = _run(tmp_path, plan, launcher, jobs=3)
  assert launcher.started == ['na/seed1', 'cyclegan/seed1']
  assert states['cg/seed1'].status == progress_lib.FAILED
  assert states['cg/seed1'].reason == 'cyclegan/seed1, which it needs, failed'


def test_a_stop_is_passed_on_and_nothing_more_is_started(tmp_path):
  plan = fake_runs.make_plan(tmp_path, seeds=(1, 2))
  launcher = fake_runs.Launcher(seconds=60)
  both = [tmp_path / name / 'begun' for name in ('S1/seed1', 'S7/seed1')]
  states, text = _run(
    tmp_path,
    plan,
    launcher,
    jobs=2,
    stop=lambda: all(path.exists() for path in both),
  )
  assert launcher.started == ['S1/seed1', 'S7/seed1']
  assert _statuses(states) == {
    'S1/seed1': progress_lib.STOPPED,
    'S7/seed1': progress_lib.STOPPED,
    'S1/seed2': progress_lib.WAITING,
    'S7/seed2': progress_lib.WAITING,
  }
  # They got the signal, and time to save.
  assert all((path.parent / 'saved').exists() for path in both)
  assert 'stopping: 2 runs will save first' in text


def test_children_are_not_left_behind(tmp_path):
  plan = fake_runs.make_plan(tmp_path, seeds=(1,))
  processes = []

  def launch(run, folder):
    processes.append(fake_runs.Launcher(seconds=60)(run, folder))
    return processes[-1]

  def interrupted():
    if processes:
      raise KeyboardInterrupt
    return False

  with pytest.raises(KeyboardInterrupt):
    _run(tmp_path, plan, launch, stop=interrupted)
  assert processes[0].poll() is not None


def test_a_run_that_outlives_the_runner_holds_the_folder(tmp_path):
  plan = fake_runs.make_plan(tmp_path, seeds=(1,))
  with folder_lib.Folder(tmp_path, plan) as folder:
    child = fake_runs.Launcher(seconds=60)(plan.runs['S1/seed1'], folder)
  with (
    pytest.raises(errors.UserError, match='is in use by another call or by'),
    folder_lib.Folder(tmp_path, plan),
  ):
    pass
  child.kill()
  child.wait()
  with folder_lib.Folder(tmp_path, plan):
    pass


def test_progress_of_a_pipeline(tmp_path):
  plan = fake_runs.make_plan(
    tmp_path, table='depdis/results', rows=('Depth Distribution',), seeds=(1,)
  )
  run = plan.runs['Depth_Distribution/seed1']
  first, second, third = (part.workdir for part in run.parts)
  for workdir in (first, second):
    workdir.mkdir(parents=True)
  line = {'kind': 'train', 'step': 1500, 'steps_per_second': 2.0}
  evaluation = {'kind': 'eval', 'step': 1500, 'mIoU19': 20.0}
  (first / 'metrics.jsonl').write_text(
    f'{json.dumps(line)}\n{json.dumps(evaluation)}\n'
  )
  later = {'kind': 'train', 'step': 200, 'steps_per_second': 4.0}
  # The last line is being written.
  (second / 'metrics.jsonl').write_text(
    f'{json.dumps(later)}\n{{"kind": "train", "step": 2'
  )
  assert progress_lib.read(run) == (1700, 4.0)
  fake_runs.write_scores(second, {'mIoU19': 1.0}, step=500)
  assert not progress_lib.is_done(run)
  fake_runs.write_scores(third, {'mIoU19': 1.0}, step=500)
  assert progress_lib.is_done(run)


def test_unscored_runs_are_done_with_their_last_checkpoint(tmp_path):
  plan = fake_runs.make_plan(
    tmp_path, table='gio_ada/ablation', rows=('cg',), seeds=(1,)
  )
  run = plan.runs['cyclegan/seed1']
  checkpoints = run.parts[0].workdir / 'checkpoints'
  # It gets its final name once everything in it has been written.
  (checkpoints / '1500.orbax-checkpoint-tmp').mkdir(parents=True)
  assert not progress_lib.is_done(run)
  (checkpoints / '1500').mkdir()
  assert progress_lib.is_done(run)


def test_a_target_without_labels_ends_it_after_one_run(tmp_path):
  plan = fake_runs.make_plan(tmp_path, seeds=(1,))
  launcher = fake_runs.Launcher()

  def launch(run, folder):
    process = launcher(run, folder)
    process.wait()
    path = run.parts[-1].workdir / 'scores.json'
    scores = json.loads(path.read_text())
    figures = {'blind_choice': scores['last']['figures']['mIoU19']}
    scores['last'].update(main='blind_choice', figures=figures)
    path.write_text(json.dumps(scores))
    return process

  message = 'S1/seed1/scores.json has no scores: the target has no labels'
  with pytest.raises(errors.UserError, match=message):
    _run(tmp_path, plan, launch)
  assert launcher.started == ['S1/seed1']


def test_time_left_goes_by_what_a_step_of_the_row_took(tmp_path):
  """S1 took 10 s for 500 of 1500 steps: 20 s for it, 30 s for the other."""
  plan = fake_runs.make_plan(tmp_path, seeds=(1,))
  seen = []

  class Process:
    def poll(self):
      (tmp_path / 'S1/seed1').mkdir(parents=True, exist_ok=True)
      line = json.dumps({'kind': 'train', 'step': 500})
      (tmp_path / 'S1/seed1/metrics.jsonl').write_text(line + '\n')
      return 1 if seen[1:] else None

    send_signal = kill = wait = lambda self, *unused: None

  class Overview:
    def update(self, states, left):
      seen.append(left)

    def message(self, text):
      pass

  now = iter(range(0, 1000, 10))
  with folder_lib.Folder(tmp_path, plan) as folder:
    runner = running.Runner(
      plan,
      folder,
      overview=Overview(),
      launch=lambda run, folder: Process(),
      clock=lambda: next(now),
      sleep=lambda seconds: None,
    )
    runner.run(lambda: bool(seen[1:]))
  assert seen[:2] == [None, 50.0]


@pytest.mark.parametrize(
  ('content', 'message'),
  [
    (None, 'holds something else; expected an empty folder or the --workdir'),
    ({'table': 'corda/init', 'pair': 'streets'}, 'holds table=corda/init; exp'),
    ({'table': 'dada/ablation', 'pair': 'folder'}, 'holds pair=folder; expect'),
  ],
)
def test_folders_of_something_else(tmp_path, content, message):
  if content is None:
    (tmp_path / 'photo.png').write_text('')
  else:
    (tmp_path / 'reproduction.json').write_text(json.dumps(content))
  plan = fake_runs.make_plan(tmp_path, seeds=(1,))
  with pytest.raises(errors.UserError, match=message):
    folder_lib.Folder(tmp_path, plan).check()


def test_a_folder_that_was_only_begun(tmp_path):
  (tmp_path / '.1234abcd.17.part.json').write_text('')
  with folder_lib.Folder(tmp_path, fake_runs.make_plan(tmp_path, seeds=(1,))):
    assert (tmp_path / 'reproduction.json').is_file()


def test_a_file_system_without_locks(tmp_path, monkeypatch):
  def flock(file, how):
    raise OSError(errno.ENOLCK, 'No locks available')

  monkeypatch.setattr(fcntl, 'flock', flock)
  with folder_lib.Folder(tmp_path, fake_runs.make_plan(tmp_path, seeds=(1,))):
    pass


def test_runs_with_another_config_are_found_before_anything_is_trained(
  tmp_path,
):
  plan = fake_runs.make_plan(tmp_path, seeds=(1,))
  with folder_lib.Folder(tmp_path, plan):
    pass
  config = plan.runs['S7/seed1'].config.to_dict()
  (tmp_path / 'S7/seed1').mkdir(parents=True)
  path = tmp_path / 'S7/seed1/config.json'
  path.write_text(json.dumps({**config, 'seed': 9}))
  with pytest.raises(errors.UserError, match=r'seed \(9 there, 1 here\)'):
    folder_lib.Folder(tmp_path, plan).check()
  path.write_text(json.dumps(config))
  folder_lib.Folder(tmp_path, plan).check()
  fake_runs.write_scores(tmp_path / 'S7/seed1', {'mIoU19': 1.0}, step=9000)
  with pytest.raises(errors.UserError, match='is at step 9000; expected at mo'):
    folder_lib.Folder(tmp_path, plan).check()


def test_a_run_that_is_done_on_another_split_is_named(tmp_path):
  plan = fake_runs.make_plan(tmp_path, seeds=(1,))
  with folder_lib.Folder(tmp_path, plan):
    pass
  scored = tmp_path / 'S7/seed1'
  for step, split in ((1500, 'val'), (1000, 'test')):  # The latter goes on.
    fake_runs.write_scores(scored, {'mIoU19': 1.0}, step=step, split=split)
    folder_lib.Folder(tmp_path, plan).check()
  fake_runs.write_scores(scored, {'mIoU19': 1.0}, split='test')
  with pytest.raises(
    errors.UserError, match='scored on the split test, not on val; expected'
  ):
    folder_lib.Folder(tmp_path, plan).check()


def test_runs_with_other_weights_are_not_mixed(tmp_path):
  plan = fake_runs.make_plan(tmp_path, seeds=(1,))
  with folder_lib.Folder(tmp_path, plan):
    pass
  config = plan.runs['S7/seed1'].config.to_dict()
  fake_runs.write_scores(tmp_path / 'S7/seed1', {'mIoU19': 1.0})
  path = tmp_path / 'S7/seed1/config.json'
  path.write_text(json.dumps({**config, 'initial': 'pretrained/a.pth'}))
  with pytest.raises(
    errors.UserError, match=r'initial \("pretrained/a.pth" there, "scratch" h'
  ):
    folder_lib.Folder(tmp_path, plan).check()


def test_real_processes_write_their_log_and_hold_the_lock(tmp_path):
  plan = fake_runs.make_plan(tmp_path, seeds=(1,))
  run = plan.runs['S1/seed1']
  with folder_lib.Folder(tmp_path, plan) as folder:
    object.__setattr__(run, 'command', ('-S', '-c', 'print(6 * 7)'))
    process = running.launch(run, folder)
    assert process.wait() == 0
    first, second = folder.log(run.name).read_text().splitlines()
  assert first.startswith('# ')
  assert first.endswith("python -S -c 'print(6 * 7)'")
  assert second == '42'
  assert sys.executable
