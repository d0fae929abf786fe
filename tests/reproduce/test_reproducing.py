"""The command: a table from scratch, stopped, resumed, and with a gap."""

import os
import pathlib
import signal
import subprocess
import sys
import threading
import time

import pytest

from jaxuda import errors
from jaxuda.reproduce import reproducing
from tests.reproduce import fake_runs

ROOT = pathlib.Path(__file__).resolve().parents[2]


def _command(*arguments):
  return subprocess.run(
    [sys.executable, '-m', 'jaxuda.reproduce', *arguments],
    capture_output=True,
    text=True,
    cwd=ROOT,
    check=False,
  )


def test_a_whole_table(tmp_path, capsys):
  plan = fake_runs.make_plan(tmp_path, seeds=(1, 2))
  launcher = fake_runs.Launcher(failing=('S7/seed2',))
  assert reproducing.reproduce(plan, tmp_path, launch=launcher) == 1
  out, err = capsys.readouterr()
  assert 'S7 (incomplete)' in out
  assert 'S7: seed 2 is missing: exit status 1.' in out
  assert err.endswith('1 of 4 runs failed; the same command tries them again\n')
  again = fake_runs.Launcher()
  assert reproducing.reproduce(plan, tmp_path, launch=again) == 0
  assert again.started == ['S7/seed2']
  assert 'incomplete' not in (tmp_path / 'table.txt').read_text()
  assert '20.00 +- 0.00' in (tmp_path / 'table.md').read_text()


def test_figures_are_drawn_when_their_runs_are_done(tmp_path, capsys):
  plan = fake_runs.make_plan(
    tmp_path, table='dada/pictures', rows=('AdvEnt', 'DADA'), seeds=(1,)
  )
  # One of the three rows of the report is not requested.
  assert plan.commands == ()
  plan = fake_runs.make_plan(
    tmp_path, table='gio_ada/translations', rows=(), seeds=(1,)
  )
  called = []

  def call(words):
    called.append(words)
    return 3 * (len(called) == 1)

  options = {'call': call, 'jobs': 3}
  launcher = fake_runs.Launcher(failing=('cyclegan/seed1',))
  assert reproducing.reproduce(plan, tmp_path, launch=launcher, **options) == 1
  assert called == []
  # The CycleGAN is not scored: it is done once it has a checkpoint.
  (tmp_path / 'cyclegan/seed1/checkpoints/1500').mkdir(parents=True)
  launcher = fake_runs.Launcher()
  # The first command fails; the second is run nevertheless.
  assert reproducing.reproduce(plan, tmp_path, launch=launcher, **options) == 1
  folders = {'cyclegan': 'cyclegan', 'full': 'gio_ada'}
  assert called == [
    [
      *(sys.executable, '-m', 'jaxuda', 'translate'),
      f'--workdir={tmp_path}/{row}/seed1',
      f'--out={tmp_path}/drawn/{out}',
    ]
    for row, out in folders.items()
  ]
  assert (tmp_path / 'drawn').is_dir()
  assert reproducing.reproduce(plan, tmp_path, launch=launcher, **options) == 0
  assert f'jaxuda translate --workdir={tmp_path}' in capsys.readouterr().out


def test_sigterm_reaches_the_runs(tmp_path, capsys):
  plan = fake_runs.make_plan(tmp_path, seeds=(1,))
  begun = tmp_path / 'S1/seed1/begun'

  def send():
    while not begun.exists():
      time.sleep(0.01)
    os.kill(os.getpid(), signal.SIGTERM)

  sender = threading.Thread(target=send)
  sender.start()
  launcher = fake_runs.Launcher(seconds=60)
  assert reproducing.reproduce(plan, tmp_path, launch=launcher) == 1
  sender.join()
  assert (begun.parent / 'saved').exists()
  assert launcher.started == ['S1/seed1']
  out, err = capsys.readouterr()
  assert 'S1: seed 1 is missing: stopped.' in out
  assert 'S7: seed 1 is missing: waiting.' in out
  assert err.endswith(
    'stopped by SIGTERM, 0 of 2 runs done; run the same command again to'
    ' continue\n'
  )


def test_missing_weights_are_found_before_anything_is_trained(tmp_path):
  plan = fake_runs.make_plan(tmp_path, seeds=(1,), pair='synthia2cityscapes')
  launcher = fake_runs.Launcher()
  with pytest.raises(
    errors.UserError, match=r'S1/seed1: config.initial=.*imagenet\.pth: there'
  ):
    reproducing.reproduce(plan, tmp_path / 'new', launch=launcher)
  assert launcher.started == []
  assert not (tmp_path / 'new').exists()


def test_a_network_that_is_trained_before_is_no_file(tmp_path, capsys):
  table = {'dada/coarse7': fake_runs.TABLES['dada/coarse7']}
  reproducing.print_list(table, ROOT / 'configs', pair='synthia2cityscapes_low')
  out = capsys.readouterr().out
  files = [line for line in out.splitlines() if line.startswith('  file ')]
  name = 'pretrained/DeepLab_resnet_pretrained_imagenet.pth'
  assert files == [f'  file {name}']
  assert 'DADA_on_Vistas is trained first (DADA_of_Vistas)' in out
  # It is not looked for before training either.
  file = tmp_path / name
  plan = fake_runs.make_plan(
    tmp_path / 'out',
    table='dada/coarse7',
    pair='synthia2cityscapes_low',
    rows=('DADA of Vistas',),
    seeds=(1,),
    overrides=(f'--config.initial={file}',),
  )
  assert [run.config.initial for run in plan.runs.values()] == [
    *(str(file), str(tmp_path / 'out' / 'DADA_on_Vistas' / 'seed1'))
  ]
  with pytest.raises(errors.UserError, match='DADA_on_Vistas/seed1: '):
    reproducing._check_weights(plan)
  file.parent.mkdir()
  file.write_text('')
  reproducing._check_weights(plan)


def test_weights_of_a_package_are_looked_for_too(tmp_path):
  plan = fake_runs.make_plan(
    tmp_path, seeds=(1,), overrides=['--config.initial=imagenet']
  )
  launcher = fake_runs.Launcher()
  with pytest.raises(errors.UserError, match='no package has weights of netw'):
    reproducing.reproduce(plan, tmp_path / 'new', launch=launcher)
  assert launcher.started == []


def test_list(capsys):
  reproducing.print_list(fake_runs.TABLES, ROOT / 'configs', seeds=(1, 2))
  out = capsys.readouterr().out
  tables = {text.split('\n')[0]: text for text in out.split('\n\n')}
  dada = tables['dada/ablation, dada/3']
  assert '  7 rows: S1, S2, S3, S4, S5, S6, S7\n' in dada
  assert '14 runs, 1,260,000 steps in all' in dada
  assert 'pair synthia2cityscapes: synthia, cityscapes' in dada
  assert 'file pretrained/DeepLab_resnet_pretrained_imagenet.pth' in dada
  results = tables['dada/results, dada/1']
  assert '4 rows: source-only, AdaptSegNet, AdvEnt, DADA\n' in results
  quoted = 'SPIGAN-no-PI, SPIGAN, AdaptPatch, CLAN'
  assert f'4 quoted and not run: {quoted}\n' in results
  assert (
    '1 row: M2\n' in tables['depdis/density, depdis/figure2, depdis/figure3']
  )
  assert (
    'then jaxuda translate --workdir=DIR/full/seed1 --out=DIR/drawn/gio_ada\n'
  ) in tables['gio_ada/translations, gio_ada/figure4']
  assert 'cyclegan is trained first (cg)' in tables['gio_ada/ablation']
  ablation = tables['depdis/ablation']
  assert 'M2 is trained first (M3, M4)' in ablation
  assert '2 successive trainings (M3, M4)' in ablation
  assert {*fake_runs.TABLES} <= {name.split(',')[0] for name in tables}
  # Small networks start from scratch, without a file.
  small = {'dada/ablation': fake_runs.TABLES['dada/ablation']}
  reproducing.print_list(small, ROOT / 'configs', pair='streets')
  assert '\n  file ' not in capsys.readouterr().out


def test_one_table_of_the_list():
  done = _command('--list', '--table=dada/3', '--pair=streets', '--seeds=1')
  assert done.returncode == 0, done.stderr
  lines = done.stdout.splitlines()
  assert [x for x in lines if x[:1] not in (' ', '')] == [
    'dada/ablation, dada/3',
    'Runs and steps are counted for the seeds 1.',
  ]
  done = _command('--list', '--table=dada/33')
  assert done.returncode == 1
  assert done.stderr.startswith("error: unknown table 'dada/33'; expected one")


def test_dry_run_writes_nothing_and_passes_on_what_follows(tmp_path):
  done = _command(
    *('--table=dada/3', '--pair=streets', f'--workdir={tmp_path}/new'),
    *('--seeds=5,', '--rows=S1', '--nobaselines', '--dry_run'),
    *('--', '--config.total_steps=600', '--config.stop_step=300'),
  )
  assert done.returncode == 0, done.stderr
  assert done.stdout == (
    'python -m jaxuda.main --config=configs/dada.py:pair=streets,ablation=S1'
    f' --workdir={tmp_path}/new/S1/seed5 --config.seed=5'
    ' --config.total_steps=600 --config.stop_step=300\n'
  )
  assert not (tmp_path / 'new').exists()


def test_tables_of_ones_own(tmp_path):
  (tmp_path / 'mine.py').write_text("""
from configs.tables import spec

TABLES = {
  'mine': spec.Table(
    what='rates',
    paper='none',
    pairs=('streets',),
    rows=(spec.Row(label='slow', config='slow.py'),),
    baselines={},
  )
}
""")
  (tmp_path / 'slow.py').write_text("""
from configs import dada

def get_config(arguments=''):
  config = dada.get_config(arguments)
  config.optim.learning_rate = 1e-6
  return config
""")
  done = _command(
    *(f'--tables={tmp_path}/mine.py', '--table=mine', '--seeds=2,'),
    *(f'--workdir={tmp_path}/new', '--dry_run'),
  )
  assert done.returncode == 0, done.stderr
  assert done.stdout == (
    f'python -m jaxuda.main --config={tmp_path}/slow.py:pair=streets'
    f' --workdir={tmp_path}/new/slow/seed2 --config.seed=2\n'
  )


def test_a_mistake_is_one_line(tmp_path):
  done = _command('--table=dada/9', f'--workdir={tmp_path}/new')
  assert done.returncode == 1
  assert done.stderr.startswith(
    "error: unknown table 'dada/9'; expected one of"
  )
  assert done.stderr.count('\n') == 1
