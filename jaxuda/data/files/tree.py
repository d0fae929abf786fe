"""Files of a folder and of the archives in it, read without unpacking.

A file's path is where it would be if every archive had been unpacked in place:
`images.zip` with a member `images/1.png` gives `images/1.png`, and so does a
folder `images` with `1.png`. Members are read into memory and never written, so
none can escape the folder; one that tries (an absolute name, or '..') is an
error nevertheless. A member that is a link to another member is read as that
one; links that lead out of the archive are no files. Names that cannot be
printed are escaped, see `files.printable`.

Zip and plain tar archives allow random access. Compressed tar archives do not,
so they are decompressed once into an unnamed temporary file.
"""

import bz2
from collections.abc import Callable, Iterable, Iterator, Sequence
import contextlib
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
  **dict.fromkeys(('.tar.gz', '.tgz'), gzip.open),
  **dict.fromkeys(('.tar.bz2', '.tbz2', '.tbz'), bz2.open),
  **dict.fromkeys(('.tar.xz', '.txz', '.tar.lzma'), lzma.open),
}
_OTHER = (
  *('.rar', '.7z', '.zipx', '.tar.zst', '.tzst', '.tar.lz4', '.tar.lz'),
  *('.tar.z', '.7z.001', '.zip.001', '.z01'),
)
# Most links in an archive that are followed one after another.
_LINKS = 8
# Number of files whose contents tell two datasets apart.
_READ = 16


@dataclasses.dataclass(frozen=True, kw_only=True)
class Entry:
  """A file, either loose or a member of an archive.

  Attributes:
    where: name for messages, 'a.zip: b/c.png' in an archive.
    read: function that returns the bytes.
    size: number of bytes.
    stamp: size and modification time of the file or archive on disk.
    loose: whether it is a file of its own.
    file: the file or archive on disk.
  """

  where: str
  read: Callable[[], bytes]
  size: int
  stamp: str
  loose: bool
  file: pathlib.Path


class Tree:
  """The files under a folder or in an archive, by path.

  Attributes:
    root: the folder or archive.
    entries: path -> Entry, sorted by path.
    shadowed: path -> members of that path in other archives, which are unread.
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
    self.shadowed: dict[str, list[Entry]] = {}
    self._dataset = dataset
    found: dict[str, Entry] = {}
    if self.root.is_dir():
      for path in self._walk():
        name = path.relative_to(self.root).as_posix()
        self._add(found, path, files.printable(name))
    elif self.root.is_file():
      self._add(found, self.root, files.printable(self.root.name))
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

  def fingerprint(
    self,
    paths: Iterable[str],
    *,
    token: str = '',
    contents: Sequence[str] = (),
  ) -> str:
    """Returns 16 hex digits that change when one of the files does.

    They depend on names, sizes and modification times. These can be the same in
    two folders: archives are often made with one time for all of their files,
    and uncompressed pictures of one shape have one size. So a few files are
    read, too.

    Args:
      paths: keys of `entries`.
      token: text on which the digits also depend.
      contents: keys of `entries` of which `_READ` are read, evenly spaced.
    """
    digest = hashlib.sha256(token.encode())
    for path in paths:
      entry = self.entries[path]
      digest.update(f'{path} {entry.size} {entry.stamp}\n'.encode())
    for path in contents[:: -(-len(contents) // _READ) or 1]:
      # One that cannot be read is reported when all are prepared.
      with contextlib.suppress(errors.UserError):
        digest.update(hashlib.sha256(self.read(path)).digest())
    return digest.hexdigest()[:16]

  def same(self, one: str, other: str) -> bool:
    """Returns whether two paths lead to one file on disk, by a link."""
    ours, theirs = self.entries[one], self.entries[other]
    if not (ours.loose and theirs.loose):
      return False
    with contextlib.suppress(OSError):
      return os.path.samefile(ours.file, theirs.file)
    return False

  def _walk(self) -> Iterator[pathlib.Path]:
    for folder, inside in files.walk(self.root):
      if inside != [folder]:  # Skips folders that cannot be read.
        yield from inside

  def _add(self, found, path, name):
    lower = path.name.lower()
    if lower.endswith(_OTHER):
      self.unread.append(path)
      return
    size, stamp = 0, ''
    # A broken link is an error only if the file is needed.
    with contextlib.suppress(OSError):
      info = path.stat()
      size, stamp = info.st_size, f'{info.st_size} {info.st_mtime_ns}'
    if not lower.endswith(('.zip', '.tar', *_COMPRESSED)):
      found[name] = Entry(
        where=files.printable(str(path)),
        read=functools.partial(_read_file, path),
        size=size,
        stamp=stamp,
        loose=True,
        file=path,
      )
      return
    members = {}
    for inside, size, read in self._list(path, lower):
      inside = files.printable(inside)
      inner = _check_name(inside, path, self._dataset)
      # Of two members with one name, the later is newer, as in tar and zip.
      members[posixpath.join(posixpath.dirname(name), inner)] = Entry(
        where=f'{files.printable(str(path))}: {inside}',
        read=read,
        size=size,
        stamp=stamp,
        loose=False,
        file=path,
      )
    # A loose file is newer than the archive that it came from.
    for inner, entry in members.items():
      if found.setdefault(inner, entry) is not entry and not found[inner].loose:
        self.shadowed.setdefault(inner, []).append(entry)

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


def _read_file(path):
  if path.exists() and not path.is_file():
    raise OSError('it is not a regular file')
  return path.read_bytes()


def _list_zip(path):
  """Returns (name, number of bytes, read function) of each member."""
  opened = zipfile.ZipFile(path)
  every = [x for x in opened.infolist() if not x.is_dir()]
  links, members = {}, {}
  for x in every:
    if stat.S_ISLNK(x.external_attr >> 16):
      inside = os.fsdecode(opened.read(x))
      links[x.filename] = posixpath.join(posixpath.dirname(x.filename), inside)
    else:
      members[x.filename] = x
  return [
    (name, x.file_size, functools.partial(opened.read, x))
    for name, x in _follow(members, links)
  ]


def _follow(members, links):
  """Returns (name, member) of all members, and of the links to them."""
  whole = {posixpath.normpath(name): x for name, x in members.items()}
  ways = {posixpath.normpath(name): x for name, x in links.items()}
  found = [*members.items()]
  for name, end in links.items():
    # A link may lead to a link, and links may form a circle.
    for _ in range(_LINKS):
      end = posixpath.normpath(end)
      end = ways.get(end, end)
    if end in whole and posixpath.normpath(name) not in whole:
      found.append((name, whole[end]))
  return [(name, x) for name, x in found if not _is_rubbish(name)]


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
      every = [*opened]
    handle = os.dup(file.fileno())

  def read(member):
    # Unlike seek and read, this needs no position that threads would share.
    data = os.pread(handle, member.size, member.offset_data)
    if len(data) != member.size:
      raise EOFError('the archive is too short')
    return data

  weakref.finalize(read, os.close, handle)
  members = {x.name: x for x in every if x.isreg()}
  links = {x.name: x.linkname for x in every if x.islnk()}
  for x in every:
    if x.issym():
      links[x.name] = posixpath.join(posixpath.dirname(x.name), x.linkname)
  found = _follow(members, links)
  for name, x in found:
    if x.offset_data + x.size > end:
      raise EOFError(f'it ends within {name}')
  return [(name, x.size, functools.partial(read, x)) for name, x in found]


def explain_unread(archive: str | os.PathLike[str]) -> str:
  """Returns advice on an archive in a format that cannot be read."""
  name = pathlib.Path(archive).name
  lower = name.lower()
  tool = 'unrar x' if lower.endswith('.rar') else '7z x'
  if '.tar.' in lower or lower.endswith('.tzst'):
    tool = 'tar xf'
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
