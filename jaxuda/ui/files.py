"""Files that appear whole or not at all, and folders to write them to."""

from collections.abc import Iterator
import contextlib
import os
import pathlib
import shutil
import zlib

from jaxuda import errors


@contextlib.contextmanager
def atomic(path: str | os.PathLike) -> Iterator[pathlib.Path]:
  """Gives a temporary path that becomes `path` when the block succeeds.

  The temporary file lies in the folder of `path`, which is made, and keeps its
  suffix, by which many writers choose their format. A process that is killed
  inside the block leaves `path` as it was.

  Args:
    path: the file to write; or a folder, which must not be there.

  Yields:
    The path to write to. An exception in the block removes it and passes on.

  Raises:
    UserError: it cannot be written: the disk is full, there is a file where a
      folder should be, or a right is missing.
  """
  path = pathlib.Path(path)
  # Not longer than the name itself may be.
  name = f'.{zlib.crc32(os.fsencode(path.name)):08x}.{os.getpid()}.part'
  part = path.with_name(name + path.suffix)
  try:
    path.parent.mkdir(parents=True, exist_ok=True)
    yield part
    os.replace(part, path)
  except OSError as e:
    raise errors.UserError(f'{path} cannot be written: {e}') from e
  finally:
    shutil.rmtree(part, ignore_errors=True)  # Of a file it does nothing.
    with contextlib.suppress(OSError):
      part.unlink()


def walk(
  folder: str | os.PathLike, *, above: frozenset[tuple[int, int]] = frozenset()
) -> Iterator[tuple[pathlib.Path, list[pathlib.Path]]]:
  """Goes through a folder and the folders in it, as `os.walk` does.

  Links are followed, but never to a folder that they lie in. What is hidden is
  left out.

  Args:
    folder: where to begin.
    above: devices and inodes of the folders that it lies in.

  Yields:
    Each folder with its files; with itself if it cannot be read.
  """
  folder = pathlib.Path(folder)
  try:
    here, names = identify(folder), sorted(os.listdir(folder))
  except OSError:
    yield folder, [folder]
    return
  if here in above:
    return
  paths = [folder / x for x in names if not is_hidden(x)]
  folders = [x for x in paths if os.path.isdir(x)]
  yield folder, [x for x in paths if x not in folders]
  for inner in folders:
    yield from walk(inner, above=above | {here})


def is_hidden(name: str) -> bool:
  """Whether a name has a dot in front, or is macOS's `__MACOSX`."""
  return name.startswith('.') or name == '__MACOSX'


def identify(path: str | os.PathLike) -> tuple[int, int]:
  """Returns device and inode: one file has one pair, whatever it is called."""
  info = os.stat(path)
  return info.st_dev, info.st_ino


def check_apart(out: str | os.PathLike, folder: str | os.PathLike) -> None:
  """Checks that what is written is not read again.

  Args:
    out: folder to write to, which may not exist yet.
    folder: folder that is read, with the folders in it and links from it.

  Raises:
    UserError: `out` is the folder, or lies in it.
  """
  inside = walk(os.path.expanduser(folder))
  read = {identify(x) for x, _ in inside if os.path.exists(x)}
  real = pathlib.Path(os.path.realpath(out))
  for above in (real, *real.parents):
    if os.path.exists(above) and identify(above) in read:
      raise errors.UserError(
        f'{out} lies in {folder}, where its files would be read next time;'
        ' expected a folder outside of it'
      )


def check_file(path: str | os.PathLike) -> pathlib.Path:
  """Returns the path of a file to write, which may be there.

  Raises:
    UserError: there is a folder of that name, or nothing can be written there.
  """
  path = pathlib.Path(path)
  if path.is_dir():
    raise errors.UserError(f'{path} is a folder; expected a file to write')
  check_folder(path.parent)
  return path


def check_folder(path: str | os.PathLike) -> pathlib.Path:
  """Returns the path of a folder to write to, which may not exist yet.

  Raises:
    UserError: there is a file of that name, or nothing can be written there.
  """
  path = pathlib.Path(path)
  above = (path, *path.absolute().parents)
  there = next(x for x in above if os.path.exists(x))
  if not there.is_dir():
    raise errors.UserError(f'{there} is a file; expected a folder to write to')
  if not os.access(there, os.W_OK | os.X_OK):
    raise errors.UserError(f'{path}: no right to write to {there}')
  return path
