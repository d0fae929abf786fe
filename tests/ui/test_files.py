import pytest

from jaxuda import errors
from jaxuda.ui import files


def test_appears_whole(tmp_path):
  path = tmp_path / 'new' / 'a.json'
  with files.atomic(path) as part:
    part.write_text('{}')
    assert part.suffix == '.json'
    assert not path.exists()
  assert path.read_text() == '{}'
  assert list(path.parent.iterdir()) == [path]


def test_an_error_leaves_the_old_file(tmp_path):
  path = tmp_path / 'a.json'
  path.write_text('old')

  def fail():
    with files.atomic(path) as part:
      part.write_text('new')
      raise ZeroDivisionError

  with pytest.raises(ZeroDivisionError):
    fail()
  assert path.read_text() == 'old'
  assert list(tmp_path.iterdir()) == [path]


def test_what_a_killed_process_had_begun_is_nothing(tmp_path):
  assert files.is_empty(tmp_path)
  assert files.is_empty(tmp_path / 'none')
  with files.atomic(tmp_path / 'a.json') as part:
    part.write_text('{')
    assert files.is_empty(tmp_path)
  assert not files.is_empty(tmp_path)
  (tmp_path / 'mine' / '.part').mkdir(parents=True)
  assert not files.is_empty(tmp_path / 'mine')


def test_a_folder_to_write_to_may_be_new_but_no_file(tmp_path):
  assert files.check_folder(str(tmp_path)) == tmp_path
  assert files.check_folder(tmp_path / 'new') == tmp_path / 'new'
  assert not (tmp_path / 'new').exists()
  (tmp_path / 'file').touch()
  with pytest.raises(errors.UserError, match='file is a file; expected a fold'):
    files.check_folder(tmp_path / 'file')
  with pytest.raises(errors.UserError, match='file is a file; expected a fold'):
    files.check_folder(tmp_path / 'file' / 'below')


def test_what_is_not_there_is_not_read(tmp_path):
  files.check_apart(tmp_path / 'out', tmp_path / 'nowhere')


def test_the_home_is_known(tmp_path, monkeypatch):
  monkeypatch.setenv('HOME', str(tmp_path))
  (tmp_path / 'data').mkdir()
  with pytest.raises(errors.UserError, match='out lies in ~/data'):
    files.check_apart(tmp_path / 'data/out', '~/data')


def test_what_cannot_be_written_is_named(tmp_path):
  (tmp_path / 'file').touch()
  with (
    pytest.raises(
      errors.UserError, match=r'file/a\.png cannot be written: .*Er'
    ),
    files.atomic(tmp_path / 'file' / 'a.png'),
  ):
    pass

  def fill():
    with files.atomic(tmp_path / 'a.png') as part:
      part.write_text('half')
      raise OSError(28, 'No space left on device')

  with pytest.raises(errors.UserError, match=r'a\.png cannot be written: .*28'):
    fill()
  assert [x.name for x in tmp_path.iterdir()] == ['file']
  # The longest name that a file may have.
  long = tmp_path / f'{"x" * 251}.png'
  with files.atomic(long) as part:
    part.write_text('whole')
  assert long.read_text() == 'whole'


def test_lines_are_appended_or_the_file_is_named(tmp_path):
  for line in 'ab':
    files.append_line(tmp_path / 'log', line)
  assert (tmp_path / 'log').read_text() == 'a\nb\n'
  with pytest.raises(errors.UserError, match=r'full cannot be written: .*28'):
    files.append_line('/dev/full', 'a')


@pytest.fixture(name='linked')
def _linked(tmp_path):
  """Makes a folder with a link out of it, one to itself, and hidden files."""
  folder, other = tmp_path / 'folder', tmp_path / 'other'
  for path in (
    *(folder / 'a', folder / '._a', folder / '.git/b', folder / 'sub/b'),
    *(folder / '__MACOSX/c', other / 'c', other / 'deep/d'),
  ):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
  (folder / 'sub' / 'link').symlink_to(other)
  (folder / 'again').symlink_to(other / 'deep')
  (folder / 'sub' / 'loop').symlink_to(folder)
  (folder / 'itself').symlink_to('itself')
  return folder, other


def test_links_are_followed_and_loops_are_not(linked):
  folder, _ = linked
  found = [
    str(path.relative_to(folder))
    for _, inside in files.walk(folder)
    for path in inside
  ]
  expected = ['a', 'again/d', 'itself', 'sub/b', 'sub/link/c']
  assert sorted(found) == [*expected, 'sub/link/deep/d']
  # A missing or forbidden folder is not mistaken for an empty one.
  gone = folder / 'gone'
  assert list(files.walk(gone)) == [(gone, [gone])]


def test_results_are_not_read_again(linked, tmp_path, monkeypatch):
  folder, other = linked
  for out in (folder, folder / 'new' / 'ids', other / 'ids', other / 'deep'):
    with pytest.raises(errors.UserError, match=r'lies in .*folder, where'):
      files.check_apart(out, folder)
  (tmp_path / 'way').symlink_to(folder)
  with pytest.raises(errors.UserError, match='way/x lies in'):
    files.check_apart(tmp_path / 'way' / 'x', folder)
  files.check_apart(tmp_path / 'out', folder)
  files.check_apart(tmp_path, folder)
  monkeypatch.chdir(folder)
  with pytest.raises(errors.UserError, match='out lies in'):
    files.check_apart('out', folder)


def test_folders_that_are_not_there_yet_lie_apart(tmp_path):
  """As the maps of `depth.transfer` and its run, which makes pictures."""
  for folder, out in (('a', 'a/../a'), ('a', 'a/run'), ('.', 'a')):
    with pytest.raises(errors.UserError, match=r'lies in .*next time'):
      files.check_apart(tmp_path / out, tmp_path / folder)
  for folder, out in (('a/maps', 'a'), ('a', 'ab'), ('b', 'a')):
    files.check_apart(tmp_path / out, tmp_path / folder)


def test_a_file_to_write_may_be_there_but_no_folder(tmp_path):
  (tmp_path / 'file').touch()
  for name in ('file', 'new', 'new/below'):
    assert files.check_file(tmp_path / name) == tmp_path / name
  with pytest.raises(errors.UserError, match='is a folder; expected a file'):
    files.check_file(tmp_path)
  with pytest.raises(errors.UserError, match='file is a file; expected a fold'):
    files.check_file(tmp_path / 'file' / 'below')
