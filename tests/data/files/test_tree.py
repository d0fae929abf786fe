import io
import lzma
import os
import pathlib
import stat
import tarfile
import zipfile

import pytest

from jaxuda import errors
from jaxuda.data.files import tree

FILES = {'a/1.txt': b'one', 'a/b/2.txt': b'two' * 1000}


def write_zip(path, files=FILES):
  with zipfile.ZipFile(path, 'w', zipfile.ZIP_DEFLATED) as opened:
    for name, data in files.items():
      opened.writestr(name, data)


def write_tar(path, files=FILES, mode='w'):
  with tarfile.open(path, mode) as opened:
    for name, data in files.items():
      info = tarfile.TarInfo(name)
      info.size = len(data)
      opened.addfile(info, io.BytesIO(data))


def write_folder(path):
  for name, data in FILES.items():
    (path / name).parent.mkdir(parents=True, exist_ok=True)
    (path / name).write_bytes(data)


@pytest.mark.parametrize(
  'write',
  [
    write_folder,
    lambda root: write_zip(root / 'x.zip'),
    lambda root: write_tar(root / 'x.tar'),
    lambda root: write_tar(root / 'x.tar.gz', mode='w:gz'),
    lambda root: write_tar(root / 'x.tgz', mode='w:gz'),
    lambda root: write_tar(root / 'x.tar.bz2', mode='w:bz2'),
    lambda root: write_tar(root / 'x.tar.xz', mode='w:xz'),
  ],
)
def test_folder_or_archive_makes_no_difference(tmp_path, write):
  write(tmp_path)
  found = tree.Tree(tmp_path, dataset='d')
  assert {x: found.read(x) for x in found.entries} == FILES


def test_an_archive_by_itself(tmp_path):
  write_zip(tmp_path / 'x.zip')
  found = tree.Tree(tmp_path / 'x.zip', dataset='d')
  assert list(found.entries) == ['a/1.txt', 'a/b/2.txt']
  assert found.where('a/1.txt') == f'{tmp_path}/x.zip: a/1.txt'


def test_archives_in_folders_begin_there(tmp_path):
  (tmp_path / 'deep').mkdir()
  write_zip(tmp_path / 'deep' / 'x.zip')
  assert 'deep/a/1.txt' in tree.Tree(tmp_path, dataset='d').entries


def test_a_loose_file_comes_before_an_archive(tmp_path):
  write_zip(tmp_path / 'x.zip')
  (tmp_path / 'a').mkdir()
  (tmp_path / 'a' / '1.txt').write_bytes(b'mended')
  found = tree.Tree(tmp_path, dataset='d')
  assert found.read('a/1.txt') == b'mended'
  assert found.read('a/b/2.txt') == FILES['a/b/2.txt']


@pytest.mark.parametrize('write', [write_zip, write_tar])
@pytest.mark.filterwarnings('ignore:Duplicate name')
def test_the_later_of_two_members_is_the_newer(tmp_path, write):
  path = tmp_path / ('x.zip' if write is write_zip else 'x.tar')
  write(path, {'a/1.txt': b'old'})
  add = {'a/1.txt': b'new'}
  if write is write_zip:
    with zipfile.ZipFile(path, 'a') as opened:
      opened.writestr('a/1.txt', add['a/1.txt'])
  else:
    write(path, add, mode='a')
  assert tree.Tree(tmp_path, dataset='d').read('a/1.txt') == b'new'


@pytest.mark.parametrize(
  'name', ['../out.txt', '/etc/out.txt', 'a/../../out.txt', 'a\\..\\out.txt']
)
@pytest.mark.parametrize('write', [write_zip, write_tar])
def test_members_do_not_escape(tmp_path, name, write):
  ending = 'zip' if write is write_zip else 'tar'
  write(tmp_path / f'x.{ending}', {name: b'evil'})
  with pytest.raises(errors.UserError, match='leaves its folder') as caught:
    tree.Tree(tmp_path, dataset='d')
  assert f'x.{ending}' in str(caught.value)
  assert not (tmp_path.parent / 'out.txt').exists()


def test_links_out_of_archives_are_no_files(tmp_path):
  info = zipfile.ZipInfo('link')
  info.external_attr = (stat.S_IFLNK | 0o777) << 16
  with zipfile.ZipFile(tmp_path / 'x.zip', 'w') as opened:
    opened.writestr(info, '/etc/passwd')
  with tarfile.open(tmp_path / 'y.tar', 'w') as opened:
    link = tarfile.TarInfo('link')
    link.type, link.linkname = tarfile.SYMTYPE, '/etc/passwd'
    opened.addfile(link)
  assert not tree.Tree(tmp_path, dataset='d').entries


@pytest.mark.parametrize('ending', ['zip', 'tar', 'tar.gz'])
def test_a_truncated_archive_is_named(tmp_path, ending):
  path = tmp_path / f'x.{ending}'
  if ending == 'zip':
    write_zip(path)
  else:
    write_tar(path, mode='w:gz' if ending == 'tar.gz' else 'w')
  data = path.read_bytes()
  path.write_bytes(data[: 2000 if ending == 'tar' else len(data) - 30])
  with pytest.raises(errors.UserError, match='cut short') as caught:
    tree.Tree(tmp_path, dataset='d')
  assert str(path) in str(caught.value)


def test_a_damaged_member_is_named(tmp_path):
  path = tmp_path / 'x.zip'
  write_zip(path)
  data = bytearray(path.read_bytes())
  # In the deflated bytes of the second file, after its header.
  start = data.index(b'a/b/2.txt') + len('a/b/2.txt') + 4
  data[start] ^= 255
  path.write_bytes(bytes(data))
  found = tree.Tree(tmp_path, dataset='d')
  with pytest.raises(errors.UserError, match=r'x\.zip: a/b/2\.txt cannot'):
    found.read('a/b/2.txt')


def test_a_folder_that_links_to_itself_ends(tmp_path):
  write_folder(tmp_path)
  (tmp_path / 'a' / 'loop').symlink_to(tmp_path)
  # The files of a folder that is found twice are listed twice, as the same.
  (tmp_path / 'again').symlink_to(tmp_path / 'a')
  found = tree.Tree(tmp_path, dataset='d')
  assert set(found.entries) == {*FILES, 'again/1.txt', 'again/b/2.txt'}
  assert found.same('again/1.txt', 'a/1.txt')
  assert not found.same('again/1.txt', 'a/b/2.txt')


def test_a_broken_link_is_named_when_it_is_read(tmp_path):
  write_folder(tmp_path)
  (tmp_path / 'a' / 'gone.png').symlink_to('nowhere')
  os.mkfifo(tmp_path / 'pipe.png')
  found = tree.Tree(tmp_path, dataset='d')
  assert found.read('a/1.txt') == b'one'
  for path, why in (('a/gone.png', 'No such file'), ('pipe.png', 'not a reg')):
    with pytest.raises(
      errors.UserError, match=f'{path} cannot be read .*{why}'
    ):
      found.read(path)


def test_names_that_cannot_be_printed_are_escaped(tmp_path):
  for name in (b'M\xfcn.png', b'a\nb.png'):
    (tmp_path / os.fsdecode(name)).write_bytes(name)
  found = tree.Tree(tmp_path, dataset='d')
  assert [*found.entries] == ['M\\xfcn.png', 'a\\nb.png']
  assert found.read('M\\xfcn.png') == b'M\xfcn.png'
  assert found.where('a\\nb.png') == f'{tmp_path}/a\\nb.png'
  assert found.fingerprint(found.entries)


@pytest.mark.parametrize('kind', ['zip', 'tar'])
def test_links_in_archives_are_the_members_that_they_lead_to(tmp_path, kind):
  links = {'b/link': '../a/1.txt', 'b/2nd': 'link', 'b/loop': 'loop'}
  if kind == 'zip':
    write_zip(tmp_path / 'x.zip')
    with zipfile.ZipFile(tmp_path / 'x.zip', 'a') as opened:
      for name, end in links.items():
        info = zipfile.ZipInfo(name)
        info.external_attr = (stat.S_IFLNK | 0o777) << 16
        opened.writestr(info, end)
  else:
    write_tar(tmp_path / 'x.tar')
    # As GNU tar stores a file that it has already stored by another name.
    links = {**links, 'hard': 'a/1.txt'}
    with tarfile.open(tmp_path / 'x.tar', 'a') as opened:
      for name, end in links.items():
        info = tarfile.TarInfo(name)
        info.type = tarfile.LNKTYPE if name == 'hard' else tarfile.SYMTYPE
        info.linkname = end
        opened.addfile(info)
  found = tree.Tree(tmp_path, dataset='d')
  assert set(found.entries) == {*FILES, *links} - {'b/loop'}
  assert {found.read(x) for x in set(links) - {'b/loop'}} == {b'one'}


def test_a_member_of_two_archives_is_known(tmp_path):
  write_zip(tmp_path / 'x.zip')
  write_tar(tmp_path / 'y.tar', {'a/1.txt': b'newer'})
  found = tree.Tree(tmp_path, dataset='d')
  assert found.read('a/1.txt') == b'one'
  ((path, (other,)),) = found.shadowed.items()
  assert (path, other.where) == ('a/1.txt', f'{tmp_path}/y.tar: a/1.txt')


def test_no_folder(tmp_path):
  with pytest.raises(errors.UserError, match='is not a folder or an archive'):
    tree.Tree(tmp_path / 'nowhere', dataset='d')


def test_other_archives_are_told(tmp_path):
  (tmp_path / 'SYNTHIA.rar').write_bytes(b'Rar!')
  found = tree.Tree(tmp_path, dataset='d')
  path = pathlib.Path(tmp_path, 'SYNTHIA.rar')
  assert found.unread == [path]
  assert tree.explain_unread(path) == (
    f'{path} cannot be read as it is; unpack it there, e.g. with unrar x'
    ' SYNTHIA.rar'
  )
  assert tree.explain_unread('a b.7z').endswith("with 7z x 'a b.7z'")


def test_fingerprint_sees_changes(tmp_path):
  write_folder(tmp_path)

  def fingerprint(**options):
    found = tree.Tree(tmp_path, dataset='d')
    return found.fingerprint(['a/1.txt'], **options)

  first = fingerprint()
  assert first == fingerprint()
  assert first != fingerprint(token='x')
  (tmp_path / 'a/b/2.txt').write_bytes(b'not looked at')
  assert first == fingerprint()
  (tmp_path / 'a/1.txt').write_bytes(b'changed')
  assert first != fingerprint()
  read = fingerprint(contents=['a/1.txt'])
  info = os.stat(tmp_path / 'a/1.txt')
  (tmp_path / 'a/1.txt').write_bytes(b'CHANGED')
  os.utime(tmp_path / 'a/1.txt', ns=(info.st_atime_ns, info.st_mtime_ns))
  assert read != fingerprint(contents=['a/1.txt'])


@pytest.mark.parametrize('name', ['a.TXZ', 'a.tbz2', 'a.tar.lzma'])
def test_short_endings_of_archives(tmp_path, name):
  write_folder(tmp_path / 'raw')
  form = 'bz2' if 'bz2' in name else 'xz'
  made = tmp_path / 'made'
  with tarfile.open(made, f'w:{form}') as opened:
    opened.add(tmp_path / 'raw', arcname='.')
  if name.endswith('lzma'):
    with (
      lzma.open(made) as opened,
      lzma.open(tmp_path / name, 'wb', format=lzma.FORMAT_ALONE) as packed,
    ):
      packed.write(opened.read())
  else:
    made.rename(tmp_path / name)
  found = tree.Tree(tmp_path / name, dataset='d')
  assert set(found.entries) == set(
    tree.Tree(tmp_path / 'raw', dataset='d').entries
  )


@pytest.mark.parametrize('name', ['a.tar.zst', 'a.tzst', 'a.zipx', 'a.tar.Z'])
def test_archives_of_other_kinds_are_not_overlooked(tmp_path, name):
  (tmp_path / name).write_bytes(b'')
  found = tree.Tree(tmp_path, dataset='d')
  assert found.unread == [tmp_path / name]
  tool = 'tar xf' if '.t' in name else '7z x'
  assert f'{tool} {name}' in tree.explain_unread(tmp_path / name)
