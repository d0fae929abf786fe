"""Runs the stages of `plan` and writes `accelerator.json` and `accelerator.md`.

Every stage is a process with its own time limit, so that one that hangs or
fails costs no more than its share of the time; the report is rewritten after
each group of stages. Stages for which no time is left are listed.
"""

import argparse
import contextlib
import datetime
import itertools
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time
from typing import Any

from accelerator import plan
from accelerator import report
from accelerator import table

_SCRIPTS = pathlib.Path(__file__).resolve().parents[1]
# Seconds that must be left for a stage to be worth starting.
_LEAST = 15


def parse_args() -> argparse.Namespace:
  """Parses the command line."""
  parser = argparse.ArgumentParser(
    description=__doc__.split('\n')[0],
    formatter_class=argparse.ArgumentDefaultsHelpFormatter,
  )
  add = parser.add_argument
  add('--out', type=pathlib.Path, default=pathlib.Path('accelerator'))
  add('--minutes', type=float, default=9, help='time for all stages')
  add('--small', action='store_true', help='tiny sizes, for CPUs')
  add('--stages', default='', help='names or prefixes, separated by commas')
  add('--add', action='store_true', help='add to the existing report')
  add('--golden', type=pathlib.Path, help='folder of golden numbers')
  add('--rewrites', default='auto', help='rewrites of all methods but DADA')
  args = parser.parse_args()
  if not args.minutes > 0:
    parser.error(f'--minutes={args.minutes}; expected more than 0')
  if args.out.exists() and not args.out.is_dir():
    parser.error(f'--out={args.out} is a file; expected a folder to write to')
  return args


def _environment(stage):
  """Returns the environment variables of a stage's process."""
  found = dict(os.environ)
  paths = [str(_SCRIPTS), str(_SCRIPTS.parent), found.get('PYTHONPATH', '')]
  found['PYTHONPATH'] = os.pathsep.join(filter(None, paths))
  # With a cache, compile times would be meaningless.
  found['JAX_ENABLE_COMPILATION_CACHE'] = 'false'
  found['TF_CPP_MIN_LOG_LEVEL'] = '3'
  found['PYTHONWARNINGS'] = 'ignore'
  if stage.flags:
    found['XLA_FLAGS'] = f'{found.get("XLA_FLAGS", "")} {stage.flags}'.strip()
  if stage.group:
    found['XLA_PYTHON_CLIENT_PREALLOCATE'] = 'false'
  else:
    found.setdefault('XLA_PYTHON_CLIENT_MEM_FRACTION', '0.92')
  if stage.name != 'two_devices':
    # Use one of the accelerators if there are several.
    found.setdefault('CUDA_VISIBLE_DEVICES', '0')
  return found


class Running:
  """A stage's process."""

  def __init__(self, stage: plan.Stage, folder: pathlib.Path, left: float):
    """Starts the process.

    Args:
      stage: the stage to run.
      folder: folder for its part of the report and for its log.
      left: seconds until everything has to end.
    """
    self.name = stage.name
    self._part = folder / f'{stage.name}.json'
    self._log = folder / f'{stage.name}.log'
    command = list(stage.command)
    if not command[0].startswith('-'):
      command[0] = str(_SCRIPTS / command[0])
    command.append(f'--part={self._part}')
    with self._log.open('w') as log:
      self._process = subprocess.Popen(
        [sys.executable, *command],
        env=_environment(stage),
        stdout=log,
        stderr=subprocess.STDOUT,
        # So that it can be ended together with its children.
        start_new_session=True,
      )
    self._begin = time.monotonic()
    self._end = self._begin + min(stage.seconds, left)
    self._late = 'out of time' if stage.seconds < left else 'cut short'
    self._status = ''
    self._seconds = 0.0

  def end(self, status: str) -> None:
    """Ends the process and its children if it is still running."""
    if not self._status:
      self._status = status
      with contextlib.suppress(ProcessLookupError):
        os.killpg(self._process.pid, signal.SIGKILL)
      self._process.wait()
      self._seconds = time.monotonic() - self._begin

  def ended(self) -> bool:
    """Returns whether it has ended; ends it if its time is up."""
    code = self._process.poll()
    if code is not None:
      self.end('failed' if code else 'done')
    elif time.monotonic() > self._end:
      self.end(self._late)
    return bool(self._status)

  def found(self) -> dict[str, Any]:
    """Returns what it has written, with its status."""
    found = json.loads(self._part.read_text()) if self._part.exists() else {}
    found['status'] = self._status or 'running'
    found['wall_seconds'] = self._seconds or time.monotonic() - self._begin
    if self._status != 'done':
      lines = self._log.read_text(errors='replace').splitlines()
      found['log'] = lines[-12:]
    return found


def _run_group(processes: list[Running], stages: dict[str, Any]) -> None:
  """Waits for concurrent processes and records their results."""
  waiting = list(processes)
  try:
    while waiting:
      time.sleep(0.2)
      for process in list(waiting):
        if process.ended():
          waiting.remove(process)
          found = stages[process.name] = process.found()
          print(
            f'{process.name:24s} {found["status"]:12s}'
            f' {found["wall_seconds"]:6.1f} s',
            flush=True,
          )
  finally:
    for process in waiting:
      process.end('interrupted')
      stages[process.name] = process.found()


def run(args: argparse.Namespace, stages: list[plan.Stage]) -> dict[str, Any]:
  """Runs the stages and returns the report, which is written after each group.

  Args:
    args: the command line.
    stages: the stages in order.
  """
  args.out.mkdir(parents=True, exist_ok=True)
  end = time.monotonic() + 60 * args.minutes
  path = args.out / 'accelerator.json'
  result: dict[str, Any] = {'stages': {}}
  if args.add and path.exists():
    result = json.loads(path.read_text())
  result['date'] = datetime.datetime.now(datetime.UTC).date().isoformat()
  result['small'] = args.small
  groups = itertools.groupby(stages, lambda s: s.group or s.name)
  with tempfile.TemporaryDirectory() as folder:
    for _, group in groups:
      group, left = list(group), end - time.monotonic()
      try:
        if left > _LEAST:
          _run_group(
            [Running(stage, pathlib.Path(folder), left) for stage in group],
            result['stages'],
          )
        else:
          late = {s.name: {'status': 'no time left'} for s in group}
          result['stages'] |= late
      finally:
        report.write(path, result)
        (args.out / 'accelerator.md').write_text(table.make(result))
  return result


def main() -> int:
  """Runs the command line; returns the exit status."""
  args = parse_args()
  if args.golden and not plan.golden_files(args.golden):
    names = ', '.join(f'{name}.npz' for name in plan.GOLDEN)
    raise SystemExit(
      f'error: --golden={args.golden}; expected a folder with some of {names}'
    )
  # So that no process is left behind.
  signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
  stages = (
    plan.small(args.golden)
    if args.small
    else plan.large(args.golden, args.rewrites)
  )
  if args.stages:
    stages = plan.choose(stages, args.stages.split(','))
  result = run(args, stages)
  print(table.make(result))
  failed = {
    stage.name: result['stages'][stage.name].get('log', [])
    for stage in stages
    if result['stages'][stage.name]['status'] in ('failed', 'out of time')
    or result['stages'][stage.name].get('agrees') is False
  }
  for name, log in failed.items():
    print('\n'.join([f'{name}: not done', *log]), file=sys.stderr)
  return int(bool(failed))


if __name__ == '__main__':
  sys.exit(main())
