"""The installed package works from any folder, without the repository."""

import pathlib
import subprocess
import zipfile

import pytest

from tests import installed

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


@pytest.fixture(scope='module', name='run')
def _run(tmp_path_factory):
  """Runs a command of a new environment, in a folder of its own."""
  made = installed.make()
  elsewhere = tmp_path_factory.mktemp('elsewhere')
  # A folder of another, unrelated project.
  (elsewhere / 'configs').mkdir()
  (elsewhere / 'configs' / '__init__.py').write_text('raise AssertionError')
  environment = made.variables | {'TFDS_DATA_DIR': str(elsewhere / 'data')}

  def run(program, *arguments):
    done = subprocess.run(
      [made.folder / 'bin' / program, *arguments],
      cwd=elsewhere,
      env=environment,
      capture_output=True,
      text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout

  run.folder, run.site = elsewhere, made.site
  return run


def test_everything_is_in_the_wheel():
  expected = {
    path.relative_to(ROOT).as_posix()
    for pattern in ('*.py', 'templates/*')
    for path in (ROOT / 'jaxuda').rglob(pattern)
  }
  configs = {
    f'jaxuda/{path.relative_to(ROOT).as_posix()}'
    for path in (ROOT / 'configs').rglob('*.py')
  }
  names = set(zipfile.ZipFile(installed.make().wheel).namelist())
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
