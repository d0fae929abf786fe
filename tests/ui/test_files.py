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


def test_a_folder_to_write_to_may_be_new_but_no_file(tmp_path):
  assert files.check_folder(str(tmp_path)) == tmp_path
  assert files.check_folder(tmp_path / 'new') == tmp_path / 'new'
  assert not (tmp_path / 'new').exists()
  (tmp_path / 'file').touch()
  with pytest.raises(errors.UserError, match='file is a file; expected a fold'):
    files.check_folder(tmp_path / 'file')
