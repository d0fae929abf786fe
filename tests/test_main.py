"""The command line: what a user mistypes is one line, and exit code 1."""

import subprocess
import sys

import pytest

from jaxuda.ui import command

DADA = '--config=configs/dada.py:pair=streets'


def _run(*arguments):
  return subprocess.run(
    [sys.executable, '-m', 'jaxuda.main', *arguments],
    capture_output=True,
    text=True,
    check=False,
  )


def _fields():
  return ['seed', 'optim', 'optim.power', 'optim.learning_rate', 'name']


@pytest.mark.parametrize(
  ('arguments', 'message'),
  [
    (
      ['--config=configs/dada.py:pair=sky'],
      "unknown pair 'sky'; expected one of streets, ",
    ),
    (
      ['--config=configs/dada.py:ablation=S9'],
      "unknown ablation 'S9'; expected one of S1, S2",
    ),
    (
      ['--config=configs/dada.py:abl=S5'],
      "unknown config argument 'abl=S5'; expected name=value",
    ),
    (
      [DADA, '--config.sed=3'],
      'unknown field config.sed; expected one of config.seed',
    ),
    (
      [DADA, '--config.optim.power_=3'],
      'unknown field config.optim.power_; expected one of config.optim.power',
    ),
    ([DADA, '--config.seed=abc'], "invalid literal for int() with base 10: 'a"),
    (
      ['--config=configs/none.py', '--config.seed=3'],
      'no config file configs/none.py; expected one of configs/advent.py,',
    ),
    (['--config=none/none.py'], 'expected configs/<method>.py'),
    ([DADA, 'extra'], "unexpected argument 'extra'; expected only --flags"),
    ([DADA, '--wokdir=x'], "Unknown command line flag 'wokdir'"),
  ],
)
def test_mistakes_are_one_line(arguments, message, tmp_path):
  done = _run(*arguments, f'--workdir={tmp_path / "run"}')
  assert done.returncode == 1
  lines = done.stderr.strip().splitlines()
  assert len(lines) == 1, done.stderr
  assert lines[0].startswith('error: ')
  assert message in lines[0]
  assert not (tmp_path / 'run').exists()


def test_mistake_inside_a_config_file_keeps_its_traceback(tmp_path):
  (tmp_path / 'bad.py').write_text('def get_config():\n  return 1 + "a"\n')
  done = _run(f'--config={tmp_path / "bad.py"}', f'--workdir={tmp_path}')
  assert done.returncode == 1
  assert 'return 1 + "a"' in done.stderr
  assert 'TypeError' in done.stderr


def test_missing_flags_are_named():
  done = _run()
  assert done.returncode == 1
  assert '--config' in done.stderr


def test_fail_prints_one_line(capsys):
  with pytest.raises(SystemExit) as caught:
    command.fail('several\n  lines')
  assert caught.value.code == 1
  assert capsys.readouterr().err == 'error: several lines\n'


@pytest.mark.parametrize(
  ('field', 'expected'),
  [
    ('sed', ['config.seed']),
    ('optim.powr', ['config.optim.power']),
    # Nothing is close: everything in the group.
    ('optim.lr', ['config.optim.power', 'config.optim.learning_rate']),
    ('seed.x', ['config.seed']),
    ('zzz', ['config.seed', 'config.optim', 'config.name']),
  ],
)
def test_alternatives(field, expected):
  assert command._alternatives(field, _fields()) == expected
