"""What pip installs works from any folder, without the repository."""

import importlib.metadata
import os
import pathlib
import shutil
import subprocess
import sys
import venv
import zipfile

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[1]
TINY = [
  '--config.network.backbone=resnet_tiny',
  '--config.method.disc_width=4',
  *(f'--config.{x}=2' for x in ('total_steps', 'stop_step', 'eval_every')),
  *(f'--config.{x}=2' for x in ('checkpoint_every', 'picture_every')),
  *(f'--config.data.{x}.size=(32, 64)' for x in ('source', 'target')),
  *(
    f'--config.data.{x}.dataset=streets/{x}_32x64_train4_val3'
    for x in ('source', 'target')
  ),
]


@pytest.fixture(scope='module', name='wheel')
def _wheel(tmp_path_factory):
  """The wheel of a copy: setuptools leaves a build folder beside the code."""
  source, out = (
    tmp_path_factory.mktemp('source'),
    tmp_path_factory.mktemp('out'),
  )
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


@pytest.fixture(scope='module', name='run')
def _run(wheel, tmp_path_factory):
  """Runs a command of a new environment, in a folder of its own.

  The environment has this one's packages, but not what a .pth file there says:
  an editable install of the repository is not seen.
  """
  folder = tmp_path_factory.mktemp('environment')
  venv.create(folder)
  pip = [sys.executable, '-m', 'pip', '--python', folder / 'bin' / 'python']
  install = ['install', '--no-deps', '--quiet', wheel]
  subprocess.run([*pip, *install], check=True)
  (site,) = folder.glob('lib/python*/site-packages')
  others = [
    x for x in sys.path if x.endswith(('site-packages', 'dist-packages'))
  ]
  (site / 'packages.pth').write_text('\n'.join(others))
  elsewhere = tmp_path_factory.mktemp('elsewhere')
  # Another project's, which has nothing to do with this one.
  (elsewhere / 'configs').mkdir()
  (elsewhere / 'configs' / '__init__.py').write_text('raise AssertionError')
  environment = os.environ | {'TFDS_DATA_DIR': str(elsewhere / 'data')}
  environment.pop('PYTHONPATH', None)

  def run(program, *arguments):
    done = subprocess.run(
      [folder / 'bin' / program, *arguments],
      cwd=elsewhere,
      env=environment,
      capture_output=True,
      text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout

  run.folder, run.site = elsewhere, site
  return run


def test_everything_is_in_the_wheel(wheel):
  expected = {
    path.relative_to(ROOT).as_posix()
    for pattern in ('*.py', 'templates/*')
    for path in (ROOT / 'jaxuda').rglob(pattern)
  }
  configs = {
    f'jaxuda/{path.relative_to(ROOT).as_posix()}'
    for path in (ROOT / 'configs').rglob('*.py')
  }
  names = set(zipfile.ZipFile(wheel).namelist())
  assert len(configs) > 10
  assert expected | configs == {x for x in names if '.dist-info/' not in x}


def test_what_runs_is_what_was_installed(run):
  code = """
import jaxuda
from jaxuda.ui import command
print(jaxuda.__file__)
print(command.read_config('mine.py').method.lambda_adv)
"""
  (run.folder / 'mine.py').write_text("""
from configs import common

def get_config():
  config = common.base('dada', 'streets')
  config.method.lambda_adv = 0.25
  return config
""")
  file, value = run('python', '-c', code).splitlines()
  assert pathlib.Path(file).parents[1] == run.site
  assert value == '0.25'
  assert '  train  ' in run('jaxuda')


def test_a_table_is_planned(run):
  out = run(
    *('jaxuda', 'reproduce', '--table=dada/3', '--pair=streets', '--dry_run'),
    *('--workdir=table', '--seeds=1', '--rows=S7'),
  )
  folder = run.site / 'jaxuda' / 'configs'
  assert f'--config={folder}/dada.py:pair=streets,ablation=S7' in out
  # Of the baselines.
  assert f'--config={folder}/source_only.py:pair=streets' in out


def test_a_run(run):
  run('jaxuda', 'train', '--config=dada:pair=streets', '--workdir=run', *TINY)
  workdir = run.folder / 'run'
  assert (workdir / 'scores.json').is_file()
  assert 'jaxuda' in (workdir / 'code.json').read_text()
  run('jaxuda', 'report', 'run', '--nopredict', '--out=report.html')
  assert '</html>' in (run.folder / 'report.html').read_text()
