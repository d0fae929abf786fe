"""Assembles the sources of the site: `python pages.py FOLDER`.

FOLDER receives mkdocs.yml and pages/: the README as the first page, the pages
of docs/, and, for each folder of jaxuda/, a page that names the modules whose
docstrings it shows. Needs no package except PyYAML.
"""

import pathlib
import re
import shutil
import sys

import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
# The order of the pages, and their titles; pages not listed here come last.
TITLES = {
  'training.md': 'Training',
  'methods.md': 'Methods',
  'data.md': 'Data',
  'papers.md': 'Papers',
  'scores.md': 'Scores',
  'checkpoints.md': 'Checkpoints',
  'clusters.md': 'Clusters',
  'speed.md': 'Speed',
  'accelerator.md': 'Accelerator',
  'exports.md': 'Exports',
  'extend.md': 'Extending it',
}
# Files next to the README that pages link to.
_BESIDE = ('CITATION.cff', 'LICENSE')


def write(folder: pathlib.Path) -> None:
  """Writes the settings and all pages, replacing earlier ones."""
  for name in ('pages', 'html'):
    shutil.rmtree(folder / name, ignore_errors=True)
  (folder / 'source').unlink(missing_ok=True)
  shutil.copytree(ROOT / 'docs', folder / 'pages')
  for name in _BESIDE:
    shutil.copy(ROOT / name, folder / 'pages')
  pages = folder / 'pages'
  readme = (ROOT / 'README.md').read_text()
  (pages / 'index.md').write_text(readme.replace('](docs/', ']('))
  for path in pages.glob('*.md'):
    path.write_text(re.sub(r'\]\(\.\./(README\.md)?', _move, path.read_text()))
  (folder / 'source').symlink_to(ROOT)
  settings = yaml.safe_load(
    pathlib.Path(__file__).with_name('mkdocs.yml').read_text()
  )
  found = [x.name for x in sorted(pages.glob('*.md')) if x.name != 'index.md']
  names = sorted(found, key=[*TITLES, *found].index)
  settings['nav'] = [
    {'jaxuda': 'index.md'},
    *({TITLES.get(x, x.removesuffix('.md').title()): x} for x in names),
    {'Modules': _write_modules(pages)},
  ]
  (folder / 'mkdocs.yml').write_text(yaml.safe_dump(settings, sort_keys=False))


def _move(link):
  """Returns the start of a link to the parent folder in the repository."""
  return '](index.md' if link[1] else ']('


def _write_modules(pages):
  """Writes a page for each folder with code; returns the list of pages."""
  (pages / 'modules').mkdir()
  entries = []
  for folder in sorted({x.parent for x in (ROOT / 'jaxuda').rglob('*.py')}):
    name = '.'.join(folder.relative_to(ROOT).parts)
    text = f'# {name}\n'
    for path in sorted(folder.glob('*.py')):
      module = f'{name}.{path.stem}'.removesuffix('.__init__')
      text += f'\n::: {module}\n'
    (pages / 'modules' / f'{name}.md').write_text(text)
    entries.append({name: f'modules/{name}.md'})
  return entries


if __name__ == '__main__':
  write(pathlib.Path(sys.argv[1]))
