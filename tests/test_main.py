"""The command line: a typo gives one line, and exit code 1."""

import pathlib
import re
import subprocess
import sys

import pytest

from jaxuda import __main__ as verbs
from jaxuda.ui import command

ROOT = pathlib.Path(__file__).resolve().parents[1]
DADA = '--config=configs/dada.py:pair=streets'


def _run(*arguments):
  return subprocess.run(
    [sys.executable, '-m', 'jaxuda.main', *arguments],
    capture_output=True,
    text=True,
    check=False,
  )


def test_who_has_read_enough_sees_no_traceback():
  command = [sys.executable, '-m', 'jaxuda', 'reproduce', '--list']
  with subprocess.Popen(
    command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
  ) as process:
    assert process.stdout.readline().startswith('dada/results')
    process.stdout.close()
    assert process.stderr.read() == ''


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
      'no config configs/none.py; expected one of configs/advent.py,',
    ),
    (['--config=none/none.py'], 'expected FILE.py, or one of advent,'),
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


def _verb(*words):
  return subprocess.run(
    [sys.executable, '-X', 'importtime', '-m', 'jaxuda', *words],
    capture_output=True,
    text=True,
    check=False,
  )


@pytest.mark.parametrize('words', [(), ('--help',)])
def test_verbs_are_listed_at_once(words):
  done = _verb(*words)
  assert done.returncode == 0
  # One line per verb, and no library is loaded for it.
  lines = {x[:20].strip(): x[20:] for x in done.stdout.splitlines() if x[:1]}
  assert len(lines) > 1
  for verb in ('train', 'doctor', 'depth stereo', 'depdis run'):
    assert len(lines[verb]) > 10
  assert not re.search(r'\b(jax|tensorflow|absl|numpy)$', done.stderr, re.M)


def test_every_command_is_a_verb():
  folders = (ROOT / 'jaxuda').rglob('*/__main__.py')
  commands = {'.'.join(x.relative_to(ROOT).parts[1:-1]) for x in folders}
  assert commands == set(verbs._VERBS.values())


def test_verbs_of_a_group():
  done = _verb('depth')
  listed = [x.split()[:2] for x in done.stdout.splitlines()[2:]]
  tools = ('stereo', 'mono', 'foundation', 'transfer')
  assert listed == [['depth', x] for x in tools]
  assert done.returncode == 0


@pytest.mark.parametrize(
  ('words', 'message'),
  [
    (('evalute', '--workdir=x'), "unknown verb 'evalute'; expected evaluate\n"),
    (('depth', 'stero'), "unknown verb 'depth stero'; expected depth stereo\n"),
    (('7',), "unknown verb '7'; expected train, evaluate, "),
    (('train', '--wokdir=x'), "Unknown command line flag 'wokdir'"),
  ],
)
def test_verbs_that_are_misspelt(words, message):
  done = _verb(*words)
  assert done.returncode == 1
  errors = [x for x in done.stderr.splitlines(True) if x[:7] != 'import ']
  assert len(errors) == 1
  assert errors[0].startswith(f'error: {message}')


def test_help_of_a_verb_is_its_own():
  done = _verb('train', '--help')
  assert done.stdout.startswith('Trains a method on a domain pair')
  assert '--workdir: Folder of the run' in done.stdout
