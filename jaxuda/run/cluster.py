"""Several processes that train one run: how they meet, agree and end.

Each process runs the same command on its own devices. All processes must make
the same calls here, in the same order. With a single process they cost nothing.
"""

import collections
from collections.abc import Iterator
import contextlib
import json
import os
import re
import socket
import sys
import threading
import time
import traceback
from typing import Any

from absl import flags
import jax
from jax.experimental import multihost_utils
import numpy as np

from jaxuda import errors
from jaxuda.step import parallel
from jaxuda.ui import command
from jaxuda.ui import display

# The flags that identify the processes: either all or none must be given.
_WHO = ('coordinator_address', 'num_processes', 'process_id')
# Answers that may be in flight: as many as steps, see `window`.
_IN_FLIGHT = 2
# Seconds in which the others may report before process 0 exits, which ends them
# as well.
_LAST_WORDS = 2.0


@contextlib.contextmanager
def joined(asked: bool, *, switch: str) -> Iterator[None]:
  """Joins the other processes of the same command for the length of a context.

  It must be entered before JAX is used; `command.define_cluster` must have
  defined the flags. A process that fails inside reports why and exits at once:
  a normal exit would wait for the others, which wait for this one.

  Args:
    asked: whether there are other processes; False does nothing.
    switch: the flag that asks for them, for messages.

  Raises:
    UserError: the flags are wrong or incomplete, or there is no cluster.
  """
  who = _read_flags(asked, switch)
  if not asked:
    yield
    return
  # It would catch SIGTERM itself but not Ctrl-C; see `Agreement`.
  jax.config.update('jax_enable_preemption_service', False)
  _meet(who, switch)
  try:
    if is_first():
      size = f'{jax.process_count()} processes, {jax.device_count()} devices'
      print(size, file=sys.stderr)
    yield
  except BaseException as e:
    if isinstance(e, SystemExit) and not e.code:
      raise
    if isinstance(e, errors.UserError):
      command.report(str(e))
    else:
      traceback.print_exc()
    if is_first():
      time.sleep(_LAST_WORDS)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(1)


def _read_flags(asked, switch):
  """Returns the flags that describe the cluster; {} to discover it."""
  who = {name: flags.FLAGS[name].value for name in _WHO}
  given = [f'--{name}' for name, value in who.items() if value is not None]
  missing = [f'--{name}' for name, value in who.items() if value is None]
  if given and not asked:
    raise errors.UserError(f'{given[0]} without {switch}; expected both')
  if given and missing:
    raise errors.UserError(
      f'{" and ".join(given)} without {" and ".join(missing)}; expected all'
      ' three, or none where the cluster can be discovered'
    )
  if not given:
    return {}
  address, count, index = who.values()
  if not re.fullmatch(r'.+:\d+', address):
    raise errors.UserError(
      f'--coordinator_address={address}; expected HOST:PORT'
    )
  if count < 1 or not 0 <= index < count:
    raise errors.UserError(
      f'--process_id={index} of --num_processes={count}; expected'
      ' 0 <= process_id < num_processes'
    )
  if index == 0 and 'JAX_COORDINATOR_BIND_ADDRESS' not in os.environ:
    _check_port(address)
  return who


def _check_port(address):
  """Checks that process 0 can listen at the port, where JAX would crash."""
  both = socket.has_dualstack_ipv6()
  family = socket.AF_INET6 if both else socket.AF_INET
  where = '', int(address.rpartition(':')[2])
  try:
    socket.create_server(where, family=family, dualstack_ipv6=both).close()
  except (OSError, OverflowError) as e:
    number = getattr(e, 'errno', None)
    raise errors.UserError(
      f'--coordinator_address={address}: process 0 cannot listen at this port'
      f' ({os.strerror(number) if number else e}); expected a free one'
    ) from e


def _meet(who, switch):
  """Waits for the other processes; exits with one line if some are missing."""
  patience = flags.FLAGS.connect_timeout
  where = who.get('coordinator_address', 'process 0')

  def give_up():
    command.report(
      f'not all processes met at {where} within {patience} seconds; expected'
      ' the same command for each, and an address that all of them can reach'
    )
    os._exit(1)

  # JAX itself would abort with pages of text.
  timer = threading.Timer(patience, give_up)
  timer.daemon = True
  timer.start()
  try:
    jax.distributed.initialize(
      **who,
      initialization_timeout=patience + 60,
      heartbeat_timeout_seconds=flags.FLAGS.heartbeat_timeout,
    )
  except (RuntimeError, ValueError) as e:
    if who:
      raise errors.UserError(
        f'process {who["process_id"]} cannot join the others at {where} ({e});'
        ' expected a --process_id of its own for each process'
      ) from e
    raise errors.UserError(
      f'{switch}, and no cluster was found (TPU pod, SLURM, Open MPI,'
      f' Kubernetes): {e} Expected such an environment, or'
      f' {", ".join(f"--{name}" for name in _WHO)}'
    ) from e
  finally:
    timer.cancel()


def is_first() -> bool:
  """Returns whether this is the process that writes and reports."""
  return jax.process_index() == 0


@contextlib.contextmanager
def progress(name: str, **options: Any) -> Iterator[display.Progress]:
  """Shows the progress of a loop, in the first process only.

  Args:
    name: what is being done.
    **options: those of `display.Progress`, except the stream.
  """
  with open(os.devnull, 'w') as nowhere:
    stream = None if is_first() else nowhere
    with display.Progress(name, stream=stream, **options) as shown:
      yield shown


def gather(value: Any) -> list[Any]:
  """Returns the values of all processes, starting with process 0.

  Args:
    value: this process's value in JSON types; integers and float64 arrive
      exactly.
  """
  if jax.process_count() == 1:
    return [value]
  text = np.frombuffer(json.dumps(value).encode(), np.uint8)
  sizes = multihost_utils.process_allgather(np.array(text.size, np.int32))
  # Rounded up to a power of two: every different length is compiled.
  width = 1 << int(sizes.max()).bit_length()
  rows = multihost_utils.process_allgather(np.pad(text, (0, width - text.size)))
  pairs = zip(rows, sizes, strict=True)
  return [json.loads(row[:size].tobytes()) for row, size in pairs]


@contextlib.contextmanager
def first_process_first() -> Iterator[None]:
  """Lets the first process go through a context before all others.

  The others find whatever it creates there on a shared file system.
  """
  if not is_first():
    _wait()
  yield
  if is_first():
    _wait()


def _wait():
  if jax.process_count() > 1:
    multihost_utils.sync_global_devices('jaxuda')


class Agreement:
  """Shares a number among all processes without making any of them wait.

  All must call it equally often, such as once per step. The answer is the one
  to the call before the last, which has arrived by then, so that all processes
  learn of a number at the same call.
  """

  def __init__(self):
    self._waiting = collections.deque()
    self._settled = 0

  def __call__(self, value: int) -> int:
    """Returns the first number that was not 0: the largest of that call.

    Args:
      value: this process's number; 0 for nothing.
    """
    if jax.process_count() == 1:
      return value
    if not self._settled:
      self._waiting.append(parallel.largest(value))
      if len(self._waiting) > _IN_FLIGHT:
        self._settled = int(self._waiting.popleft())
    return self._settled
