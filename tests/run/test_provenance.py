import importlib.metadata
import pathlib
import subprocess

from jaxuda.run import provenance

ROOT = pathlib.Path(__file__).resolve().parents[2]


def test_code_is_that_of_the_repository(tmp_path):
  done = subprocess.run(
    ['git', '-C', str(ROOT), 'rev-parse', '--short=12', 'HEAD'],
    capture_output=True,
    text=True,
  )
  text = provenance.describe_code()
  assert text.startswith('jaxuda ')
  # An archive of the code has no repository.
  assert ('commit' in text) == (done.returncode == 0)
  assert done.stdout.strip() in text
  provenance.note(tmp_path)
  assert provenance.read(tmp_path) == [text]


def test_code_that_is_not_installed(monkeypatch):
  def version(name):
    raise importlib.metadata.PackageNotFoundError(name)

  monkeypatch.setattr(importlib.metadata, 'version', version)
  text = provenance.describe_code()
  assert text.startswith('jaxuda (not installed), jax ')


def test_every_code_is_kept_once(tmp_path):
  assert provenance.read(tmp_path) == []
  for code in ('a', 'b', 'a'):
    provenance.note(tmp_path, code)
  assert provenance.read(tmp_path) == ['a', 'b']
