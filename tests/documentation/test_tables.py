"""The tables of the README and of docs/ are tables to Markdown, too."""

import re

import pytest

from tests.documentation import test_commands

CODE = re.compile(r'^```.*?^```$', re.DOTALL | re.MULTILINE)
# Bars in code spans and escaped ones separate nothing.
NOT_A_BAR = re.compile(r'\\\||`[^`\n]*`')


def _find_tables(text):
  """Yields the tables of a page: consecutive lines that hold a bar."""
  rows = []
  for line in [*CODE.sub('', text).splitlines(), '']:
    line = NOT_A_BAR.sub('', line)
    if '|' in line:
      rows.append(line)
    elif rows:
      # Text right below a row would be another row of the table.
      assert not line, line
      yield rows
      rows = []


@pytest.mark.parametrize(
  'page', test_commands.PAGES, ids=lambda page: page.name
)
def test_a_row_is_one_line_with_as_many_cells_as_the_head(page):
  for head, rule, *rows in _find_tables(page.read_text()):
    assert re.fullmatch(r'\|( -+:? \|)+', rule), head
    for row in (head, rule, *rows):
      assert row[0] == row[-1] == '|', row
      assert row.count('|') == head.count('|'), row
