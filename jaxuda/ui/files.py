"""Files that appear whole or not at all."""

from collections.abc import Iterator
import contextlib
import os
import pathlib


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
