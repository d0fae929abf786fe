"""Files of a folder and of the archives in it, read without unpacking.

A file's path is where it would be if every archive had been unpacked in place:
`images.zip` with a member `images/1.png` gives `images/1.png`, and so does a
folder `images` with `1.png`. Members are read into memory and never written, so
none can escape the folder; one that tries (an absolute name, or '..') is an
error nevertheless.

Zip and plain tar archives allow random access. Compressed tar archives do not,
so they are decompressed once into an unnamed temporary file.
"""

import bz2
from collections.abc import Callable, Iterable, Iterator
import dataclasses
import functools
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
import weakref
import zipfile
import zlib

from jaxuda import errors
from jaxuda.ui import files

_COMPRESSED = {
  '.tar.gz': gzip.open,
  '.tgz': gzip.open,
  '.tar.bz2': bz2.open,
  '.tar.xz': lzma.open,
}
_OTHER = ('.rar', '.7z')


@dataclasses.dataclass(frozen=True, kw_only=True)
class Entry:
  """A file, either loose or a member of an archive.

  Attributes:
    where: name for messages, 'a.zip: b/c.png' in an archive.
    read: function that returns the bytes.
    size: number of bytes.
    stamp: size and modification time of the file or archive on disk.
    loose: whether it is a file of its own.
  """

  where: str
  read: Callable[[], bytes]
  size: int
  stamp: str
  loose: bool


class Tree:
  """The files under a folder or in an archive, by path.

  Attributes:
    root: the folder or archive.
    entries: path -> Entry, sorted by path.
    unread: archives in formats that cannot be read.
  """

  def __init__(
    self, root: str | os.PathLike[str], *, dataset: str, get: str = ''
  ):
    """Lists the files.

    Args:
      root: a folder or an archive.
      dataset: name of the dataset, for error messages.
      get: description of the expected files, for error messages.

    Raises:
      UserError: the folder does not exist, or an archive is broken or
        malicious.
    """
    self.root = pathlib.Path(root)
    self.unread: list[pathlib.Path] = []
    self._dataset = dataset
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

  def read(self, path: str) -> bytes:
    """Returns the bytes of a file. Safe to call from several threads.

    Raises:
      UserError: the file cannot be read; the message names it, or its archive
        and member.
    """
    entry = self.entries[path]
    try:
      return entry.read()
    except _BROKEN as e:
      raise errors.UserError(
        f'{self._dataset}: {entry.where} cannot be read ({one_line(e)});'
        ' expected a complete file'
      ) from e

  def where(self, path: str) -> str:
    """Returns a file's name for messages."""
    return self.entries[path].where

  def fingerprint(self, paths: Iterable[str], *, token: str = '') -> str:
    """Returns 16 hex digits that change when one of the files does.

    They depend on names, sizes and modification times; contents are not read.

    Args:
      paths: keys of `entries`.
      token: text on which the digits also depend.
    """
    digest = hashlib.sha256(token.encode())
    for path in paths:
      entry = self.entries[path]
      digest.update(f'{path} {entry.size} {entry.stamp}\n'.encode())
    return digest.hexdigest()[:16]

  def _walk(self) -> Iterator[pathlib.Path]:
    seen = set()
    for folder, inside in files.walk(self.root):
      # Skips folders that cannot be read; visits a folder that several links
      # lead to only once.
      here = None if inside == [folder] else files.identify(folder)
      if here and here not in seen:
        seen.add(here)
        yield from inside

  def _add(self, found, path, name):
    lower = path.name.lower()
    if lower.endswith(_OTHER):
      self.unread.append(path)
      return
    info = path.stat()
    stamp = f'{info.st_size} {info.st_mtime_ns}'
    if not lower.endswith(('.zip', '.tar', *_COMPRESSED)):
      found[name] = Entry(
        where=str(path),
        read=path.read_bytes,
        size=info.st_size,
        stamp=stamp,
        loose=True,
      )
      return
    members = {}
    for inside, size, read in self._list(path, lower):
      inner = _check_name(inside, path, self._dataset)
      # Of two members with one name, the later is newer, as in tar and zip.
      members[posixpath.join(posixpath.dirname(name), inner)] = Entry(
        where=f'{path}: {inside}',
        read=read,
        size=size,
        stamp=stamp,
        loose=False,
      )
    # A loose file is newer than the archive that it came from.
    for inner, entry in members.items():
      found.setdefault(inner, entry)

  def _list(self, path, lower):
    try:
      return _list_zip(path) if lower.endswith('.zip') else _list_tar(path)
    except Exception as e:  # A damaged archive can fail in many ways.
      raise errors.UserError(
        f'{self._dataset}: {path} cannot be read as an archive'
        f' ({one_line(e)}); expected a complete one: was the download cut'
        ' short?'
      ) from e


_BROKEN = (
  *(OSError, EOFError, ValueError, RuntimeError, NotImplementedError),
  *(zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError),
)


def _list_zip(path):
  """Returns (name, number of bytes, read function) of each member."""
  opened = zipfile.ZipFile(path)
  return [
    (x.filename, x.file_size, functools.partial(opened.read, x))
    for x in opened.infolist()
    if not x.is_dir()
    and not stat.S_ISLNK(x.external_attr >> 16)
    and not _is_rubbish(x.filename)
  ]


def _list_tar(path):
  """Returns the same as `_list_zip`."""
  name = path.name.lower()
  unpack = next((v for k, v in _COMPRESSED.items() if name.endswith(k)), None)
  # The temporary file has no name and disappears when it is closed.
  with tempfile.TemporaryFile() if unpack else open(path, 'rb') as file:
    if unpack:
      with unpack(path, 'rb') as packed:
        shutil.copyfileobj(packed, file, 1 << 20)
      file.seek(0)
    end = os.fstat(file.fileno()).st_size
    with tarfile.open(fileobj=file, mode='r:') as opened:
      members = [x for x in opened if x.isreg() and not _is_rubbish(x.name)]
    handle = os.dup(file.fileno())

  def read(member):
    # Unlike seek and read, this needs no position that threads would share.
    data = os.pread(handle, member.size, member.offset_data)
    if len(data) != member.size:
      raise EOFError('the archive is too short')
    return data

  weakref.finalize(read, os.close, handle)
  for x in members:
    if x.offset_data + x.size > end:
      raise EOFError(f'it ends within {x.name}')
  return [(x.name, x.size, functools.partial(read, x)) for x in members]


def explain_unread(archive: str | os.PathLike[str]) -> str:
  """Returns advice on an archive in a format that cannot be read."""
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


def _is_rubbish(name):
  parts = [x for x in name.split('/') if x not in ('.', '..')]
  return any(map(files.is_hidden, parts))
