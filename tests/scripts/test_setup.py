"""The set-up of scripts/setup.sh, with a fake Python."""

import os
import pathlib
import shutil
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]

# Answers the queries of the set-up and records the arguments of pip.
FAKE_PYTHON = """#!/bin/bash
case "$*" in
  *sys.prefix*) dirname "$(dirname "$0")" ;;
  --version) echo Python 3.12.9 ;;
  *'-m venv'*) mkdir -p .venv/bin; cp "$0" .venv/bin/python ;;
  *'-m pip'*) echo "$*" >> pip.log ;;
esac
"""
BROKEN_PYTHON = """#!/bin/bash
echo "pyenv: $0: command not found" >&2
exit 127
"""
PYTHON_WITHOUT_VENV = """#!/bin/bash
case "$*" in *ensurepip*) exit 1 ;; esac
"""


@pytest.fixture
def project(tmp_path):
  """Makes a folder with the set-up script, and a nearly empty PATH."""
  (tmp_path / 'scripts').mkdir()
  (tmp_path / 'bin').mkdir()
  shutil.copy(ROOT / 'scripts' / 'setup.sh', tmp_path / 'scripts')
  (tmp_path / 'pyproject.toml').write_text('[project]\n')
  (tmp_path / 'setup.py').touch()
  for tool in ('bash', 'cat', 'cksum', 'cp', 'dirname', 'mkdir'):
    (tmp_path / 'bin' / tool).symlink_to(shutil.which(tool))
  return tmp_path


def _add(project, name, text, *, folder='bin'):
  path = project / folder / name
  path.parent.mkdir(parents=True, exist_ok=True)
  path.write_text(text)
  path.chmod(0o755)


def _set_up(project, **environment):
  return subprocess.run(
    ['bash', '-euc', 'source scripts/setup.sh; echo "python: $python"'],
    cwd=project,
    env={'PATH': str(project / 'bin'), **environment},
    capture_output=True,
    text=True,
  )


def _installs(project):
  log = project / 'pip.log'
  return log.read_text().splitlines() if log.exists() else []


def test_no_python(project):
  _add(project, 'python3', BROKEN_PYTHON)
  done = _set_up(project)
  assert done.returncode == 1
  assert done.stderr.startswith('error: no Python 3.11 to 3.13 on the PATH')
  assert done.stderr.count('\n') == 1


def test_python_without_venv(project):
  _add(project, 'python3.12', PYTHON_WITHOUT_VENV)
  done = _set_up(project)
  assert done.returncode == 1
  assert 'python3.12 has no venv module' in done.stderr


def test_installs_once(project):
  _add(project, 'python3.13', BROKEN_PYTHON)
  _add(project, 'python3', FAKE_PYTHON)
  for _ in range(2):
    done = _set_up(project)
    assert done.returncode == 0, done.stderr
    assert f'python: {project}/.venv/bin/python' in done.stdout
    assert len(_installs(project)) == 1
  assert _installs(project)[0].endswith('-e .[test]')
  (project / 'pyproject.toml').write_text('[project]\nname = "jaxuda"\n')
  assert _set_up(project).returncode == 0
  assert len(_installs(project)) == 2


def test_failed_install_is_repeated(project):
  _add(
    project, 'python3', FAKE_PYTHON.replace('>> pip.log', '>> pip.log; false')
  )
  for attempt in (1, 2):
    assert _set_up(project).returncode == 1
    assert len(_installs(project)) == attempt


def test_broken_venv_is_made_anew(project):
  _add(project, 'python3', FAKE_PYTHON)
  _add(project, 'python', BROKEN_PYTHON, folder='.venv/bin')
  assert _set_up(project).returncode == 0
  assert len(_installs(project)) == 1


@pytest.mark.parametrize('variable', ['VIRTUAL_ENV', 'CONDA_PREFIX'])
def test_active_environment_is_used(project, variable):
  _add(project, 'python', FAKE_PYTHON, folder='active/bin')
  prefix = project / 'active'
  for _ in range(2):
    done = _set_up(project, **{variable: str(prefix)})
    assert done.returncode == 0, done.stderr
    assert f'python: {prefix}/bin/python' in done.stdout
    assert len(_installs(project)) == 1
  assert not (project / '.venv').exists()


def test_active_environment_is_too_old(project):
  _add(project, 'python', BROKEN_PYTHON, folder='active/bin')
  done = _set_up(project, VIRTUAL_ENV=str(project / 'active'))
  assert done.returncode == 1
  assert 'is not Python 3.11 to 3.13' in done.stderr


def _demo(project, *arguments):
  shutil.copy(ROOT / 'scripts' / 'demo.sh', project / 'scripts')
  (project / 'bin' / 'sed').symlink_to(shutil.which('sed'))
  return subprocess.run(
    ['bash', 'scripts/demo.sh', *arguments],
    cwd=project,
    env={'PATH': str(project / 'bin')},
    capture_output=True,
    text=True,
  )


def test_the_demo_ends_when_it_is_interrupted(project):
  """Although the training, which saves first, then ends normally."""
  trained = '  *train*) echo "$*" >> train.log; kill -INT $PPID ;;\nesac'
  _add(project, 'python3', FAKE_PYTHON.replace('esac', trained))
  assert _demo(project).returncode == 130
  (line,) = (project / 'train.log').read_text().splitlines()
  assert '--config=source_only:pair=streets' in line


def test_the_demo_takes_no_arguments(project):
  done = _demo(project, '--help')
  assert done.returncode == 0
  assert done.stdout.startswith('Trains source-only and DADA')
  (project / 'bin' / 'sed').unlink()
  done = _demo(project, '--steps=3')
  assert done.returncode == 2
  assert done.stderr.startswith('error: unknown argument --steps=3; expected n')


@pytest.mark.parametrize(
  'path', sorted(ROOT.glob('scripts/*.sh')), ids=lambda p: p.name
)
def test_shell_syntax(path):
  subprocess.run(['bash', '-n', path], check=True)


def test_ci_runs_the_tests():
  assert 'bash scripts/test.sh' in (ROOT / '.ci' / 'run').read_text()
  assert os.access(ROOT / '.ci' / 'run', os.X_OK)
