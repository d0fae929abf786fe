"""The wheel of this project, and an environment with it installed."""

import atexit
import dataclasses
import functools
import importlib.metadata
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import venv

ROOT = pathlib.Path(__file__).resolve().parents[1]


@dataclasses.dataclass(frozen=True)
class Environment:
  """An environment in a folder of its own.

  Attributes:
    wheel: the file that was installed.
    folder: the environment, with programs in bin/.
    site: the folder of its packages.
    variables: environment variables with which a program sees no clone.
  """

  wheel: pathlib.Path
  folder: pathlib.Path
  site: pathlib.Path
  variables: dict[str, str]


@functools.cache
def make() -> Environment:
  """Builds the wheel and installs it, once per process.

  The environment has the packages of this one, without its .pth files: an
  editable install of the repository is not seen.
  """
  place = pathlib.Path(tempfile.mkdtemp(prefix='jaxuda-installed-'))
  atexit.register(shutil.rmtree, place, ignore_errors=True)
  wheel, folder = _build_wheel(place), place / 'environment'
  venv.create(folder)
  pip = [sys.executable, '-m', 'pip', '--python', folder / 'bin' / 'python']
  install = ['install', '--no-deps', '--quiet', wheel]
  subprocess.run([*pip, *install], check=True)
  (site,) = folder.glob('lib/python*/site-packages')
  others = [
    x for x in sys.path if x.endswith(('site-packages', 'dist-packages'))
  ]
  (site / 'packages.pth').write_text('\n'.join(others))
  variables = dict(os.environ)
  variables.pop('PYTHONPATH', None)
  return Environment(wheel, folder, site, variables)


def _build_wheel(folder):
  """Builds from a copy: setuptools leaves a build folder next to the code."""
  source, out = folder / 'source', folder / 'out'
  source.mkdir()
  for name in ('pyproject.toml', 'setup.py', 'README.md', 'LICENSE'):
    shutil.copy(ROOT / name, source)
  for name in ('jaxuda', 'configs'):
    no_caches = shutil.ignore_patterns('__pycache__')
    shutil.copytree(ROOT / name, source / name, ignore=no_caches)
  try:
    major = int(importlib.metadata.version('setuptools').partition('.')[0])
  except importlib.metadata.PackageNotFoundError:
    major = 0
  # An older one is of no use: pip fetches another.
  here = ['--no-build-isolation'] if major >= 77 else []
  pip = [sys.executable, '-m', 'pip', 'wheel', '--no-deps', '--quiet', *here]
  subprocess.run([*pip, '-w', out, source], check=True)
  (wheel,) = out.iterdir()
  return wheel
