"""The site of docs/ and docstrings is complete, and builds without warnings."""

import importlib.util
import os
import pathlib
import re
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
GENERATORS = ('mkdocstrings_handlers.python', 'zensical')


def is_installed(name):
  """Returns whether a package, or a module of one, is installed."""
  try:
    return importlib.util.find_spec(name) is not None
  except ModuleNotFoundError:
    return False


@pytest.fixture(scope='module', name='html')
def _html(tmp_path_factory):
  """Returns the folder of a site built by `scripts/site.sh`."""
  if not all(map(is_installed, GENERATORS)):
    pytest.skip("the extra 'site' is not installed")
  folder = tmp_path_factory.mktemp('site')
  done = subprocess.run(
    ['bash', ROOT / 'scripts' / 'site.sh', folder],
    env={**os.environ, 'PYTHON': sys.executable},
    capture_output=True,
    text=True,
  )
  assert done.returncode == 0, done.stdout + done.stderr
  return folder / 'html'


def test_every_page_is_there(html):
  first = (html / 'index.html').read_text()
  assert '<h2 id="two-commands">' in first
  for path in (ROOT / 'docs').glob('*.md'):
    title = path.read_text().splitlines()[0].removeprefix('# ')
    page = (html / path.stem / 'index.html').read_text()
    assert re.search(rf'<h1 id="[\w-]+">{title}<', page)
    assert f'href="{path.stem}/"' in first


def test_every_module_is_there(html):
  for path in (ROOT / 'jaxuda').rglob('*.py'):
    name = '.'.join(path.relative_to(ROOT).with_suffix('').parts)
    name = name.removesuffix('.__init__')
    folder = '.'.join(path.parent.relative_to(ROOT).parts)
    page = (html / 'modules' / folder / 'index.html').read_text()
    assert f'id="{name}"' in page


def test_docstrings_are_read(html):
  page = (html / 'modules' / 'jaxuda.losses' / 'index.html').read_text()
  text = re.sub(r'\s+', ' ', re.sub('<[^>]+>', '', page))
  # Its first line, an argument of it, and its example as code.
  assert 'Returns the mean reverse Huber loss' in text
  assert 'target' in text
  assert '&gt;&gt;&gt;' in page
  assert '<blockquote>' not in page
