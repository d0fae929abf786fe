"""The command: a table from nothing, stopped, continued, and with a gap."""

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
  with pytest.raises(errors.UserError, match=r'imagenet\.pth is missing, with'):
    reproducing.reproduce(plan, tmp_path / 'new', launch=launcher)
  assert launcher.started == []
  assert not (tmp_path / 'new').exists()


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
  assert '14 runs, 1,260,000 steps in all' in dada
  assert 'pair synthia2cityscapes: synthia, cityscapes' in dada
  assert 'file pretrained/DeepLab_resnet_pretrained_imagenet.pth' in dada
  assert 'cyclegan is trained before (cg)' in tables['gio_ada/ablation']
  ablation = tables['depdis/ablation']
  assert 'M2 is trained before (M3, M4)' in ablation
  assert '2 trainings, one after another (M3, M4)' in ablation
  assert {*fake_runs.TABLES} <= {name.split(',')[0] for name in tables}


def test_dry_run_writes_nothing_and_passes_on_what_follows(tmp_path):
  done = _command(
    *('--table=dada/3', '--pair=streets', f'--workdir={tmp_path}/new'),
    *('--seeds=5,', '--rows=S1', '--dry_run'),
    *('--', '--config.total_steps=600', '--config.stop_step=300'),
  )
  assert done.returncode == 0, done.stderr
  assert done.stdout == (
    'python -m jaxuda.main --config=configs/dada.py:pair=streets,ablation=S1'
    f' --workdir={tmp_path}/new/S1/seed5 --config.seed=5'
    ' --config.total_steps=600 --config.stop_step=300\n'
  )
  assert not (tmp_path / 'new').exists()


def test_a_mistake_is_one_line(tmp_path):
  done = _command('--table=dada/9', f'--workdir={tmp_path}/new')
  assert done.returncode == 1
  assert done.stderr.startswith(
    "error: unknown table 'dada/9'; expected one of"
  )
  assert done.stderr.count('\n') == 1
