"""The code that trained a run: versions and commit, in its folder's code.json.

A run that was continued with different code has an entry for each version.
"""

import contextlib
import importlib.metadata
import os
import pathlib
import subprocess

import jax

from jaxuda.run import workdir as workdir_lib

_FILE = 'code.json'
_ROOT = pathlib.Path(__file__).resolve().parents[2]


def describe_code() -> str:
  """Returns versions, and the commit if the code is in a repository."""
  try:
    version = importlib.metadata.version('jaxuda')
  except importlib.metadata.PackageNotFoundError:  # Run where it lies.
    version = '(not installed)'
  parts = [f'jaxuda {version}', f'jax {jax.__version__}']
  top = _git('rev-parse', '--show-toplevel')
  # The package may be installed inside another project's repository.
  if top and pathlib.Path(top).resolve() == _ROOT:
    commit = _git('rev-parse', '--short=12', 'HEAD')
    if commit:
      changed = _git('status', '--porcelain', '--untracked-files=no')
      parts.append(f'commit {commit}' + (' (modified)' if changed else ''))
  return ', '.join(parts)


def note(workdir: str | os.PathLike, code: str = '') -> None:
  """Records the code that a run is started with.

  Args:
    workdir: the run's folder.
    code: what `describe_code` returned; '' for the code that is running.
  """
  code, known = code or describe_code(), read(workdir)
  if code not in known:
    workdir_lib.write_json(pathlib.Path(workdir) / _FILE, [*known, code])


def read(workdir: str | os.PathLike) -> list[str]:
  """Returns the code versions of a run, in order; [] if unknown."""
  return workdir_lib.read_json(pathlib.Path(workdir) / _FILE, kind=list)


def _git(*arguments):
  with contextlib.suppress(OSError, subprocess.SubprocessError):
    return subprocess.check_output(
      ['git', '-C', str(_ROOT), *arguments],
      stderr=subprocess.DEVNULL,
      text=True,
      timeout=60,
    ).strip()
  return ''
