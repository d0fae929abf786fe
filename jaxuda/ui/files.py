"""Writes files atomically, and checks the folders to write them to."""

from collections.abc import Iterator
import contextlib
import os
import pathlib
import re
import shutil
import zlib

from jaxuda import errors

# Names of temporary files.
_PART = re.compile(r'\.[0-9a-f]{8}\.\d+\.part')


@contextlib.contextmanager
def atomic(path: str | os.PathLike) -> Iterator[pathlib.Path]:
  """Yields a temporary path that becomes `path` when the block succeeds.

  The temporary file is in the folder of `path`, which is created, and keeps its
  suffix, by which many writers choose their format. A process that is killed
  inside the block leaves `path` as it was.

  Args:
    path: the file to write; or a folder, which must not exist.

  Yields:
    The path to write to. It is removed if the block raises an exception.

  Raises:
    UserError: the file cannot be written: the disk is full, there is a file
      where a folder should be, or a permission is missing.
  """
  path = pathlib.Path(path)
  # Of fixed length, so that it fits wherever the name itself does.
  name = f'.{zlib.crc32(os.fsencode(path.name)):08x}.{os.getpid()}.part'
  part = path.with_name(name + path.suffix)
  try:
    path.parent.mkdir(parents=True, exist_ok=True)
    yield part
    os.replace(part, path)
  except OSError as e:
    raise errors.UserError(f'{path} cannot be written: {e}') from e
  finally:
    shutil.rmtree(part, ignore_errors=True)  # Does nothing to a file.
    with contextlib.suppress(OSError):
      part.unlink()


def is_empty(folder: str | os.PathLike) -> bool:
  """Returns whether a folder is missing, or empty.

  What a process that was killed inside `atomic` has left there does not count.
  """
  if not os.path.isdir(folder):
    return True
  return all(_PART.match(name) for name in os.listdir(folder))


def append_line(path: str | os.PathLike, line: str) -> None:
  """Appends a line to a file, which is created if it is missing.

  At once: a killed process does not take it with it.

  Raises:
    UserError: it cannot be written, or only a part of it.
  """
  try:
    with pathlib.Path(path).open('a') as f:
      f.write(f'{line}\n')
  except OSError as e:
    raise errors.UserError(f'{path} cannot be written: {e}') from e


def walk(
  folder: str | os.PathLike, *, above: frozenset[tuple[int, int]] = frozenset()
) -> Iterator[tuple[pathlib.Path, list[pathlib.Path]]]:
  """Walks through a folder and its subfolders, like `os.walk`.

  Links are followed, except to a folder that contains them. Hidden files and
  folders are left out.

  Args:
    folder: where to begin.
    above: devices and inodes of the folders that contain it.

  Yields:
    (folder, its files) for each folder; (folder, [folder]) if it cannot be
    read.
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


def printable(name: str) -> str:
  r"""Returns the name of a file as it can be printed and stored.

  Bytes that are not UTF-8, as in names from old archives, and control
  characters, such as line breaks, are escaped: `M\xfcn`, `a\nb`.
  """
  text = os.fsencode(name).decode(errors='backslashreplace')
  return re.sub(
    '[\x00-\x1f\x7f]', lambda x: x[0].encode('unicode_escape').decode(), text
  )


def is_hidden(name: str) -> bool:
  """Returns whether a name starts with a dot, or is macOS's `__MACOSX`."""
  return name.startswith('.') or name == '__MACOSX'


def identify(path: str | os.PathLike) -> tuple[int, int]:
  """Returns device and inode, which identify a file whatever its name."""
  info = os.stat(path)
  return info.st_dev, info.st_ino


def places(
  path: str | os.PathLike, folder: str | os.PathLike
) -> Iterator[pathlib.PurePath]:
  """Yields where a path lies in a folder, also by way of links.

  Args:
    path: file or folder, which need not exist yet.
    folder: folder that is read, with its subfolders and links from it.

  Yields:
    The path relative to the folder; nothing if it lies outside.
  """
  real = pathlib.Path(os.path.realpath(path))
  above = {identify(x): x for x in (real, *real.parents) if os.path.exists(x)}
  for inner, _ in walk(folder):
    if os.path.isdir(inner) and identify(inner) in above:
      rest = real.relative_to(above[identify(inner)])
      yield inner.relative_to(folder) / rest


def check_apart(out: str | os.PathLike, folder: str | os.PathLike) -> None:
  """Checks that the output would not be read as input.

  Args:
    out: folder to write to.
    folder: folder that is read, with its subfolders and links from it. Neither
      need exist yet.

  Raises:
    UserError: `out` is the folder, or is inside it.
  """
  start = os.path.expanduser(folder)
  read = {identify(x) for x, _ in walk(start) if os.path.exists(x)}
  start = pathlib.Path(os.path.realpath(start))
  real = pathlib.Path(os.path.realpath(out))
  for above in (real, *real.parents):
    there = os.path.exists(above) and identify(above) in read
    if there or above == start:
      raise errors.UserError(
        f'{out} lies in {folder}, where its files would be read next time;'
        ' expected a folder outside it'
      )


def check_file(path: str | os.PathLike) -> pathlib.Path:
  """Returns the path of a file to write, which may already exist.

  Raises:
    UserError: a folder has that name, or nothing can be written there.
  """
  path = pathlib.Path(path)
  if path.is_dir():
    raise errors.UserError(f'{path} is a folder; expected a file to write')
  check_folder(path.parent)
  return path


def check_folder(path: str | os.PathLike) -> pathlib.Path:
  """Returns the path of a folder to write to, which need not exist yet.

  Raises:
    UserError: a file has that name, or nothing can be written there.
  """
  path = pathlib.Path(path)
  above = (path, *path.absolute().parents)
  there = next(x for x in above if os.path.exists(x))
  if not there.is_dir():
    raise errors.UserError(f'{there} is a file; expected a folder to write to')
  if not os.access(there, os.W_OK | os.X_OK):
    raise errors.UserError(f'{path}: no permission to write to {there}')
  return path
