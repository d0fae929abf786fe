import pytest

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
