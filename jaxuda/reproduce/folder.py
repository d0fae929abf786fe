"""The folder of a reproduction: its table, and the lock on it.

reproduction.json     table and pair
lock                  held while runs are trained
logs/ROW-seedK.log    the output of a run
ROW/seedK/            a run
table.txt, .md, .csv  the table
"""

from collections.abc import Mapping
import fcntl
import os
import pathlib
from typing import Any

from jaxuda import errors
from jaxuda.evaluate import scores
from jaxuda.reproduce import plan as plan_lib
from jaxuda.run import config_fields
from jaxuda.run import workdir as workdir_lib
from jaxuda.ui import files

_RECORD = 'reproduction.json'


class Folder:
  """A context that locks the folder; processes started in it can share it.

  Attributes:
    path: the folder.
  """

  def __init__(self, path: str | os.PathLike, plan: plan_lib.Plan):
    self.path = pathlib.Path(path)
    self._plan, self._lock = plan, None
    self._record = {'table': plan.table, 'pair': plan.pair}

  def check(self) -> None:
    """Checks that the folder belongs to this table, and its runs to the plan.

    Raises:
      UserError: it is something else, or holds runs with another config.
    """
    files.check_folder(self.path)
    found = self._read()
    if not found and not files.is_empty(self.path):
      raise errors.UserError(
        f'{self.path} holds something else; expected an empty folder or the'
        ' --workdir of an earlier call'
      )
    for field, ours in self._record.items():
      if found and found[field] != ours:
        raise errors.UserError(
          f'{self.path} holds {field}={found[field]}; expected that or another'
          f' --workdir for {ours}'
        )
    for run in self._plan.runs.values():
      _check_run(run, self.path / run.name)

  def __enter__(self) -> 'Folder':
    """Locks it; raises UserError if another call, or a run of it, holds it."""
    self.check()
    self.path.mkdir(parents=True, exist_ok=True)
    if not self._read():
      workdir_lib.write_json(self.path / _RECORD, self._record)
    self._lock = (self.path / 'lock').open('w')
    try:
      fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
      self._lock.close()
      raise errors.UserError(
        f'{self.path} is in use by another call or by a run that it started;'
        ' expected only one at a time'
      ) from None
    except OSError:
      pass  # The file system has no locks, as some network ones.
    return self

  def __exit__(self, *unused: Any) -> None:
    self._lock.close()

  @property
  def lock(self) -> int:
    """A file descriptor: a process that inherits it holds the lock, too."""
    return self._lock.fileno()

  def log(self, run: str) -> pathlib.Path:
    """Returns the path of a run's log."""
    return self.path / 'logs' / f'{run.replace("/", "-")}.log'

  def _read(self) -> Mapping[str, Any]:
    return workdir_lib.read_json(self.path / _RECORD)


def _check_run(run, workdir):
  """Checks a run before anything is trained, not just when its turn comes."""
  if (workdir / 'config.json').is_file():
    old = workdir_lib.config_to_dict(workdir_lib.read_config(workdir))
    new = workdir_lib.config_to_dict(run.config)
    config_fields.check_config(old, new, workdir=str(workdir))
  for part in run.parts:
    last = workdir_lib.read_scores(part.workdir).get('last', {})
    step = last.get('checkpoint_step', 0)
    if step > part.steps:
      raise errors.UserError(
        f'{part.workdir} is at step {step}; expected at most'
        f' stop_step={part.steps}, or another --workdir'
      )
    if step == part.steps:
      asked = run.config.data.target.get('eval_split')
      scores.check_split(last, asked, workdir=part.workdir)
