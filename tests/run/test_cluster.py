"""Communication of processes; real ones are in test_distributed.py."""

import os
import socket
import subprocess
import sys

from absl import flags
import jax
from jax.experimental import multihost_utils
import numpy as np
import pytest

from jaxuda import errors
from jaxuda.evaluate import blind
from jaxuda.evaluate import evaluation
from jaxuda.run import cluster
from jaxuda.run import config_fields
from jaxuda.run import workdir as workdir_lib
from jaxuda.step import parallel
from jaxuda.ui import command
from tests import tiny

SWITCH = '--config.distributed=True'


@pytest.mark.parametrize(
  ('given', 'asked', 'message'),
  [
    (
      {'coordinator_address': 'a:1', 'process_id': 0},
      True,
      r'--coordinator_address and --process_id without --num_processes',
    ),
    ({'process_id': 1}, False, f'--process_id without {SWITCH}'),
    (
      {'coordinator_address': 'a', 'num_processes': 2, 'process_id': 0},
      True,
      '--coordinator_address=a; expected HOST:PORT',
    ),
    (
      {'coordinator_address': 'a:1', 'num_processes': 2, 'process_id': 2},
      True,
      '--process_id=2 of --num_processes=2; expected 0 <= process_id < num',
    ),
  ],
)
def test_flags_that_do_not_fit_are_refused(given, asked, message, monkeypatch):
  values = flags.FlagValues()
  monkeypatch.setattr(flags, 'FLAGS', values)
  command.define_cluster()
  values(['program', *(f'--{k}={v}' for k, v in given.items())])
  with (
    pytest.raises(errors.UserError, match=message),
    cluster.joined(asked, switch=SWITCH),
  ):
    pass


def _run(workdir, *arguments):
  of_clusters = ('SLURM', 'OMPI', 'PMI', 'KUBERNETES', 'TPU', 'JAX_COORD')
  env = {k: v for k, v in os.environ.items() if not k.startswith(of_clusters)}
  done = subprocess.run(
    [
      *(sys.executable, '-m', 'jaxuda.main', f'--workdir={workdir}'),
      *('--config=configs/dada.py:pair=streets', SWITCH, *arguments),
    ],
    env=env,
    capture_output=True,
    text=True,
    check=False,
  )
  assert done.returncode == 1
  assert not workdir.exists()
  (line,) = done.stderr.strip().splitlines()
  return line


def test_without_a_cluster_one_line_says_what_to_give(tmp_path):
  line = _run(tmp_path / 'run')
  assert line.startswith(f'error: {SWITCH}, and no cluster was found')
  assert line.endswith('--coordinator_address, --num_processes, --process_id')


def test_without_the_others_one_line_says_so(tmp_path):
  # Nobody listens at the port of a socket that is not yet connected.
  with socket.socket() as s:
    s.bind(('127.0.0.1', 0))
    address = f'127.0.0.1:{s.getsockname()[1]}'
    line = _run(
      tmp_path / 'run',
      f'--coordinator_address={address}',
      *('--num_processes=2', '--process_id=1', '--connect_timeout=1'),
    )
  assert line.startswith(
    f'error: not all processes met at {address} within 1 seconds; expected'
  )


def test_a_port_that_is_taken_is_one_line(tmp_path):
  with socket.create_server(('127.0.0.1', 0)) as taken:
    address = f'127.0.0.1:{taken.getsockname()[1]}'
    line = _run(
      tmp_path / 'run',
      f'--coordinator_address={address}',
      *('--num_processes=2', '--process_id=0', '--connect_timeout=1'),
    )
  assert line == (
    f'error: --coordinator_address={address}: process 0 cannot listen at this'
    ' port (Address already in use); expected a free one'
  )


@pytest.mark.parametrize('error', [RuntimeError, ValueError])
def test_a_process_that_cannot_join_says_so_in_one_line(monkeypatch, error):
  values = flags.FlagValues()
  monkeypatch.setattr(flags, 'FLAGS', values)
  command.define_cluster()
  who = {'coordinator_address': 'a:1', 'num_processes': 2, 'process_id': 1}
  values(['program', *(f'--{k}={v}' for k, v in who.items())])

  def initialize(**unused):
    raise error('ALREADY_EXISTS: a duplicate')

  monkeypatch.setattr(jax.distributed, 'initialize', initialize)
  with (
    pytest.raises(
      errors.UserError,
      match=r'process 1 cannot join the others at a:1 .ALREADY_EXISTS: a dupl',
    ),
    cluster.joined(True, switch=SWITCH),
  ):
    pass


def test_gathered_values_are_the_same_bits(monkeypatch):
  # Two processes, the other of which has less data.
  mine = {'int': 2**62 + 1, 'float': 0.1 + 0.2, 'names': ['ä', None]}
  theirs = [1]
  assert cluster.gather(mine) == [mine]

  def allgather(x):
    # The other process runs the same code on its own value.
    sent = np.frombuffer(b'[1]', np.uint8)
    if x.ndim == 0:
      return np.array([x, sent.size])
    return np.stack([x, np.pad(sent, (0, x.size - sent.size))])

  monkeypatch.setattr(jax, 'process_count', lambda: 2)
  monkeypatch.setattr(multihost_utils, 'process_allgather', allgather)
  assert cluster.gather(mine) == [mine, theirs]


def test_agreement_is_what_the_others_sent_two_calls_ago(monkeypatch):
  assert cluster.Agreement()(15) == 15
  monkeypatch.setattr(jax, 'process_count', lambda: 2)
  # At the third call the other process has got a signal; this one never does.
  others = iter([0, 0, 15, 0, 0, 0])
  monkeypatch.setattr(parallel, 'largest', lambda x: max(x, next(others)))
  agree = cluster.Agreement()
  assert [agree(0) for _ in range(7)] == [0, 0, 0, 0, 15, 15, 15]


def test_processes_started_in_different_ways_are_refused():
  first = {'seed': 1, 'eval_every': 5, 'data': {'data_dir': 'a'}}
  config_fields.check_command(first, {**first, 'data': {'data_dir': 'b'}})
  # Fields that a run may change must still agree between processes.
  with pytest.raises(
    errors.UserError, match=r'process 0; differing: eval_every \(5 there, 6 he'
  ):
    config_fields.check_command(first, {**first, 'eval_every': 6})


@pytest.mark.parametrize('processes', [2, 3])
@pytest.mark.parametrize('judge', [False, True])
def test_shared_evaluation_counts_the_same(processes, judge, monkeypatch):
  tiny.install(monkeypatch)
  # The same number of images per device, however many processes.
  devices = jax.local_device_count()
  config = tiny.make_config(eval_batch_size=processes * devices)
  method = tiny.Method()
  state = method.init(*workdir_lib.init_args(config, method))
  options, measured = {'step': 3, 'judge': judge}, []
  finish = blind.finish
  monkeypatch.setattr(
    blind, 'finish', lambda x: measured.append(x) or finish(x)
  )
  alone = evaluation.run(method, state, config, **options)
  # Each process in turn, up to their meeting point.
  parts = []
  monkeypatch.setattr(jax, 'process_count', lambda: processes)
  monkeypatch.setattr(cluster, '_wait', lambda: None)
  for index in range(processes):
    monkeypatch.setattr(jax, 'process_index', lambda i=index: i)
    monkeypatch.setattr(cluster, 'gather', lambda x: parts.append(x) or [x])
    evaluation.run(method, state, config, **options)
  monkeypatch.setattr(cluster, 'gather', lambda x: parts)
  together = evaluation.run(method, state, config, **options)
  counts = [np.sum(part['confusion']) for part in parts]
  assert len(set(counts)) > 1, 'they all had the same share'
  if judge:  # In the order of the images, on which the pixels chosen depend.
    for name, values in measured[0].items():
      np.testing.assert_allclose(measured[-1][name], values, rtol=1e-4)
  # Only the network's outputs, and sums of depth errors by their order, are
  # rounded differently.
  for name, figure in alone['figures'].items():
    other = together['figures'][name]
    if name.startswith(('depth_', 'blind_')):
      assert other.pop('value') == pytest.approx(figure.pop('value'), rel=1e-4)
    assert other == figure
  assert list(together['images'].items()) == list(alone['images'].items())


def test_first_process_goes_first(monkeypatch):
  log = []
  monkeypatch.setattr(cluster, '_wait', lambda: log.append('wait'))
  for index in (0, 1):
    monkeypatch.setattr(jax, 'process_index', lambda i=index: i)
    with cluster.first_process_first():
      log.append(index)
  assert log == [0, 'wait', 'wait', 1]
