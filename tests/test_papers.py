"""What docs/papers.md says about the code is true."""

import ast
import pathlib
import re

import pytest
import yaml

import jaxuda
from jaxuda import methods
from jaxuda.reproduce import arguments
from jaxuda.ui import command

ROOT = pathlib.Path(__file__).resolve().parents[1]
PAGE = (ROOT / 'docs' / 'papers.md').read_text()
PLACES = sorted(set(re.findall(r'`([\w/]+\.py(?:::[\w.]+)?)`', PAGE)))
# Heading of a table of fields -> the config that it describes.
PAIR = 'pair=synthia2cityscapes'
CONFIGS = {
  'All methods': ('dada', PAIR),
  'DADA': ('dada', PAIR),
  'DACS': ('dacs', 'pair=gta2cityscapes'),
  'CorDA': ('corda', PAIR),
  'DAFormer, HRDA and MIC': ('mic', 'pair=gta2cityscapes'),
  'Depth Distribution': ('depdis', PAIR),
  'GIO-Ada': ('gio_ada', PAIR),
}


def find(tree, name):
  """Returns the definition of a name in a module or class, or None."""
  for node in tree.body:
    if isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name == name:
      return node
  return None


def test_every_method_of_a_paper_has_its_places():
  files = {place.partition('::')[0] for place in PLACES}
  assert len(PLACES) > 50
  for name in methods.names():
    assert f'jaxuda/methods/{name}.py' in files


@pytest.mark.parametrize('place', PLACES)
def test_places_exist(place):
  file, _, names = place.partition('::')
  node = ast.parse((ROOT / file).read_text())
  for name in filter(None, names.split('.')):
    node = find(node, name)
    assert node, f'{file} has no {name}'


@pytest.mark.parametrize(
  ('paper', 'equation', 'what', 'place'),
  [
    ('CorDA', '1', 'cross entropy on the source', 'source_terms'),
    ('GIO-Ada', '1-3', 'adversarial losses at the input and at', 'judge_as'),
    ('GIO-Ada', '4, 5', 'all losses', 'Method.source_loss'),
  ],
)
def test_equations_have_the_papers_numbers(paper, equation, what, place):
  part = PAGE.split(f'\n### {paper}\n')[1].split('\n### ')[0]
  rows = [line.strip('| ').split(' | ') for line in part.splitlines()]
  (row,) = (row for row in rows if row[0] == equation)
  assert row[1].startswith(what)
  assert f'::{place}`' in row[2]


def read_fields():
  """Yields (heading, field, default, other values)."""
  section = PAGE.split('\n## ')[2]
  assert section.startswith('What differs')
  for part in section.split('\n### ')[1:]:
    heading = part.splitlines()[0]
    for field, default, others in re.findall(
      r'^\| `([\w.]+)` \| ([^|]+) \| ([^|]+) \|', part, re.MULTILINE
    ):
      values = [value.strip() for value in others.split(',')]
      yield pytest.param(
        *(heading, field, default.split()[0], values), id=f'{heading}-{field}'
      )


FIELDS = list(read_fields())


def convert(text, like):
  """Converts a value of the page to the type of the config's."""
  if isinstance(like, bool):
    return {'True': True, 'False': False}[text]
  return type(like)(float(text)) if isinstance(like, int | float) else text


def test_every_paper_has_a_table_of_fields():
  assert {param.values[0] for param in FIELDS} == set(CONFIGS)


@pytest.mark.parametrize(('heading', 'field', 'default', 'others'), FIELDS)
def test_fields_have_these_values(heading, field, default, others):
  name, arguments = CONFIGS[heading]
  config = command.read_config(f'{name}:{arguments}')
  group, _, rest = field.partition('.')
  *inner, last = rest.split('.')
  place = config[group]
  for name in inner:
    place = place[name]
  value = place[last]
  assert value == convert(default, value)
  for other in others:
    place[last] = convert(other, value)
    assert place[last] != value
    if group in ('method', 'network', 'optim', 'mixing'):
      methods.create(config)  # Rejects unknown fields.


def test_every_table_has_its_command():
  """Every command also has a table, under the number on the page."""
  tables = arguments.read_tables(ROOT / 'configs' / 'tables' / '__init__.py')
  (section,) = (
    x for x in PAGE.split('\n## ') if x.startswith('Tables and fig')
  )
  command = r'`jaxuda reproduce --table=(\S+) --workdir=DIR`'
  lines = re.findall(rf'^\| [^|]+ \| ([^|]+) \| {command} \|', section, re.M)
  # All but the head and the line below it.
  assert len(lines) == section.count('\n| ') - 2
  found = {arguments.find_table(tables, name) for _, name in lines}
  assert found == set(tables)
  numbers = {name for table in tables.values() for name in table.other_names}
  assert numbers == {name for _, name in lines if name not in tables}
  for said, name in lines:
    number = name.partition('/')[2]
    if name not in numbers:
      assert said in ('-', 'Tables 3, 4', 'Tables 1-3')
    elif number.isdecimal():
      assert said == f'Table {number}'
    else:
      assert said == f'Figure {number.removeprefix("figure")}'


def test_tables_without_additional_rows_are_named():
  tables = arguments.read_tables(ROOT / 'configs' / 'tables' / '__init__.py')
  bare = {name for name, table in tables.items() if not table.baselines}
  figures = {name for name, table in tables.items() if table.commands}
  assert figures < bare
  (named,) = re.findall(
    r'which\s+`(\S+)` and the runs for figures do not have', PAGE
  )
  assert bare - figures == {named}


def test_citation():
  citation = yaml.safe_load((ROOT / 'CITATION.cff').read_text())
  assert citation['version'] == jaxuda.__version__
  assert citation['cff-version'] == '1.2.0'
  assert {'title', 'message', 'authors', 'license'} <= set(citation)
