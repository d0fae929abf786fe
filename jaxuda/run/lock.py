"""Keeps two trainings out of one folder."""

from collections.abc import Iterator
import contextlib
import fcntl
import os

from jaxuda import errors


@contextlib.contextmanager
def hold(folder: str | os.PathLike) -> Iterator[None]:
  """A context in which this process alone trains in a folder.

  A process that dies lets go of it. Where the file system has no locks, as some
  network ones, nothing is checked.

  Args:
    folder: the run's folder, which exists.

  Raises:
    UserError: another process, or this one, holds it.
  """
  # The folder itself is locked, so that no file is left behind.
  opened = os.open(folder, os.O_RDONLY)
  try:
    try:
      fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
      raise errors.UserError(
        f'{folder} is in use by another training; expected only one at a time'
      ) from None
    except OSError:
      pass
    yield
  finally:
    os.close(opened)
