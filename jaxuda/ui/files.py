"""Files that appear whole or not at all, and folders to write them to."""

from collections.abc import Iterator
import contextlib
import os
import pathlib

from jaxuda import errors


@contextlib.contextmanager
def atomic(path: str | os.PathLike) -> Iterator[pathlib.Path]:
  """Gives a temporary path that becomes `path` when the block succeeds.

  The temporary file lies in the folder of `path`, which is made, and keeps its
  suffix, by which many writers choose their format. A process that is killed
  inside the block leaves `path` as it was.

  Args:
    path: the file to write.

  Yields:
    The path to write to. An exception in the block removes it and passes on.
  """
  path = pathlib.Path(path)
  path.parent.mkdir(parents=True, exist_ok=True)
  part = path.with_name(f'.{path.stem}.{os.getpid()}.part{path.suffix}')
  try:
    yield part
    os.replace(part, path)
  finally:
    part.unlink(missing_ok=True)


def check_folder(path: str | os.PathLike) -> pathlib.Path:
  """Returns the path of a folder to write to, which may not exist yet.

  Raises:
    UserError: there is a file of that name.
  """
  path = pathlib.Path(path)
  if path.exists() and not path.is_dir():
    raise errors.UserError(f'{path} is a file; expected a folder to write to')
  return path
