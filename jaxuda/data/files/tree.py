"""Files of a folder, and of the archives in it, read without unpacking.

A file's path is where it would be if every archive had been unpacked beside
itself: `images.zip` with a member `images/1.png` gives `images/1.png`, and so
does a folder `images` with `1.png`. Members are read into memory and never
written, so none can escape; one that tries (an absolute name, or '..') is an
error all the same.

Zip and plain tar archives are read at random. Compressed tar archives cannot
be, so they are expanded once into a temporary file without a name.
"""

import bz2
from collections.abc import Iterable, Iterator
import dataclasses
import gzip
import hashlib
import lzma
import os
import pathlib
import posixpath
import shlex
import shutil
import stat
import tarfile
import tempfile
from typing import Any
import weakref
import zipfile
import zlib

from jaxuda import errors

_COMPRESSED = {
  '.tar.gz': gzip.open,
  '.tgz': gzip.open,
  '.tar.bz2': bz2.open,
  '.tar.xz': lzma.open,
}
_OTHER = ('.rar', '.7z')


@dataclasses.dataclass(frozen=True, kw_only=True)
class Entry:
  """A file: loose, or a member of an archive.

  Attributes:
    file: the loose file, or the archive.
    size: number of bytes.
    stamp: size and time of modification of the file on disk.
    archive: reader of the archive, or None.
    member: handle of the member in the archive.
    inside: name of the member in the archive.
  """

  file: pathlib.Path
  size: int
  stamp: str
  archive: Any = None
  member: Any = None
  inside: str = ''


class Tree:
  """The files under a folder or in an archive, by their path.

  Attributes:
    root: the folder or archive.
    entries: path -> Entry, in the order of the paths.
    archives: archives that were opened.
    unread: archives of a kind that cannot be read.
  """

  def __init__(
    self, root: str | os.PathLike[str], *, dataset: str, get: str = ''
  ):
    """Lists the files.

    Args:
      root: a folder or an archive.
      dataset: name of the dataset for errors.
      get: what should be there, for errors; default: the dataset's files.

    Raises:
      UserError: no such folder, or a broken or malicious archive.
    """
    self.root = pathlib.Path(root)
    self.archives: list[pathlib.Path] = []
    self.unread: list[pathlib.Path] = []
    self._dataset = dataset
    self._closing: list[Any] = []
    found: dict[str, Entry] = {}
    if self.root.is_dir():
      for path in self._walk():
        self._add(found, path, path.relative_to(self.root).as_posix())
    elif self.root.is_file():
      self._add(found, self.root, self.root.name)
    else:
      raise errors.UserError(
        f'{dataset}: {self.root} is not a folder or an archive; expected the'
        f' folder with {get or f"the files of {dataset}"}'
      )
    self.entries = dict(sorted(found.items()))

  def __contains__(self, path: str) -> bool:
    return path in self.entries

  def read(self, path: str) -> bytes:
    """Returns the bytes of a file. Safe to call from several threads.

    Raises:
      UserError: it cannot be read; names the file, or archive and member.
    """
    entry = self.entries[path]
    try:
      if entry.archive is None:
        return entry.file.read_bytes()
      return entry.archive.read(entry.member)
    except _BROKEN as e:
      raise errors.UserError(
        f'{self._dataset}: {self.where(path)} cannot be read ({one_line(e)});'
        ' expected a whole file'
      ) from e

  def where(self, path: str) -> str:
    """Returns a file's name for messages, 'a.zip: b/c.png' in an archive."""
    entry = self.entries[path]
    if entry.archive is None:
      return str(entry.file)
    return f'{entry.file}: {entry.inside}'

  def fingerprint(self, paths: Iterable[str], *, token: str = '') -> str:
    """Returns 16 hex digits that change when one of the files does.

    They depend on names, sizes and times of modification: contents are not
    read.

    Args:
      paths: keys of `entries`.
      token: text on which the digits depend, too.
    """
    digest = hashlib.sha256(token.encode())
    for path in paths:
      entry = self.entries[path]
      digest.update(f'{path} {entry.size} {entry.stamp}\n'.encode())
    return digest.hexdigest()[:16]

  def close(self) -> None:
    """Closes the archives."""
    for archive in self._closing:
      archive.close()
    self._closing = []

  def _walk(self) -> Iterator[pathlib.Path]:
    seen = set()
    for folder, names, files in os.walk(self.root, followlinks=True):
      # A link to a folder above would go round for ever.
      real = os.path.realpath(folder)
      if real in seen:
        names.clear()
        continue
      seen.add(real)
      names[:] = sorted(x for x in names if not _is_hidden(x))
      for name in sorted(files):
        if not _is_hidden(name):
          yield pathlib.Path(folder, name)

  def _add(self, found, path, name):
    lower = path.name.lower()
    if lower.endswith(_OTHER):
      self.unread.append(path)
    elif lower.endswith(('.zip', '.tar', *_COMPRESSED)):
      archive = self._open(path, lower)
      self.archives.append(path)
      stamp = _stamp(path)
      for inside, size, member in archive.members():
        inner = _check_name(inside, path, self._dataset)
        entry = Entry(
          file=path,
          size=size,
          stamp=stamp,
          archive=archive,
          member=member,
          inside=inside,
        )
        # A loose file is newer than the archive that it came from.
        found.setdefault(posixpath.join(posixpath.dirname(name), inner), entry)
    else:
      size = path.stat().st_size
      found[name] = Entry(file=path, size=size, stamp=_stamp(path))

  def _open(self, path, lower):
    try:
      archive = _Zip(path) if lower.endswith('.zip') else _Tar(path, lower)
    except _BROKEN as e:
      raise errors.UserError(
        f'{self._dataset}: {path} cannot be read as an archive'
        f' ({one_line(e)}); expected a whole one: was the download cut short?'
      ) from e
    self._closing.append(archive)
    return archive


_BROKEN = (
  *(OSError, EOFError, ValueError, RuntimeError, NotImplementedError),
  *(zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError),
)


class _Zip:
  def __init__(self, path):
    self._zip = zipfile.ZipFile(path)
    self.read, self.close = self._zip.read, self._zip.close

  def members(self):
    """Yields (name, number of bytes, handle)."""
    for info in self._zip.infolist():
      link = stat.S_ISLNK(info.external_attr >> 16)
      if not info.is_dir() and not link and not _is_rubbish(info.filename):
        yield info.filename, info.file_size, info


class _Tar:
  def __init__(self, path, lower):
    ending = next((x for x in _COMPRESSED if lower.endswith(x)), None)
    # A temporary file has no name: it is gone when it is closed.
    with tempfile.TemporaryFile() if ending else open(path, 'rb') as file:
      if ending:
        with _COMPRESSED[ending](path, 'rb') as packed:
          shutil.copyfileobj(packed, file, 1 << 20)
        file.seek(0)
      end = os.fstat(file.fileno()).st_size
      with tarfile.open(fileobj=file, mode='r:') as opened:
        self._members = [
          x for x in opened if x.isreg() and not _is_rubbish(x.name)
        ]
      self._file = os.dup(file.fileno())
    self.close = weakref.finalize(self, os.close, self._file)
    for x in self._members:
      if x.offset_data + x.size > end:
        raise EOFError(f'it ends within {x.name}')

  def members(self):
    """Yields (name, number of bytes, handle)."""
    for member in self._members:
      yield member.name, member.size, member

  def read(self, member):
    # Without a position that threads would share.
    data = os.pread(self._file, member.size, member.offset_data)
    if len(data) != member.size:
      raise EOFError('the archive is too short')
    return data


def explain_unread(archive: str | os.PathLike[str]) -> str:
  """Returns what to do about an archive of a kind that cannot be read."""
  name = pathlib.Path(archive).name
  tool = 'unrar x' if name.lower().endswith('.rar') else '7z x'
  return (
    f'{archive} cannot be read as it is; unpack it there, e.g. with'
    f' {tool} {shlex.quote(name)}'
  )


def one_line(error: BaseException) -> str:
  """Returns an error's message as one line, or its type if it has none."""
  return ' '.join(str(error).split()) or type(error).__name__


def _check_name(name, archive, dataset):
  parts = name.replace('\\', '/').split('/')
  if not parts[0] or '..' in parts or ':' in parts[0]:
    raise errors.UserError(
      f'{dataset}: {archive} has a member {name!r} that leaves its folder;'
      ' expected an archive from the publisher of the dataset'
    )
  return posixpath.normpath('/'.join(parts))


def _is_hidden(name):
  return name.startswith('.') or name == '__MACOSX'


def _is_rubbish(name):
  return any(_is_hidden(x) for x in name.split('/') if x not in ('.', '..'))


def _stamp(path):
  found = path.stat()
  return f'{found.st_size} {found.st_mtime_ns}'
