import importlib.util
import pathlib
import re
import types

import numpy as np
import pytest

from jaxuda import errors
from jaxuda.streets import street

SCRIPT = pathlib.Path(__file__).resolve().parents[2] / 'scripts'
_spec = importlib.util.spec_from_file_location(
  'show_streets', SCRIPT / 'show_streets.py'
)
show_streets = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(show_streets)


def test_a_sheet_shows_its_domains():
  domains, options = ('source', 'target'), {'first': 3, 'seed': 1}
  sheet = show_streets.draw_sheet(
    domains, rows=2, **options, height=24, width=40
  )
  # Four pictures per domain, a gap, and a legend below.
  assert sheet.shape[0] > 48
  assert sheet.shape[1:] == (332, 3)
  size = {'seed': 1, 'index': 4, 'height': 24, 'width': 40}
  for x, domain, view in (
    (0, 'source', 'left'),
    (120, 'source', 'right'),
    (172, 'target', 'left'),
    (292, 'target', 'right'),
  ):
    drawn = street.render(domain, view=view, **size)['image']
    np.testing.assert_array_equal(sheet[24:48, x : x + 40], drawn)


@pytest.mark.parametrize(
  ('given', 'message'),
  [
    ({'rows': 0}, '--rows is 0; expected at least 1'),
    ({'domains': []}, '--domains is empty; expected source, target, wide'),
    ({'domains': ['sky']}, "no domain 'sky', expected one of source"),
    ({'output': '.'}, '. is a folder; expected a file to write'),
  ],
)
def test_mistakes_are_named_before_anything_is_drawn(
  monkeypatch, given, message
):
  options = {'rows': 1, 'domains': ['source'], 'output': 'a.png', **given}
  fake = types.SimpleNamespace(FLAGS=types.SimpleNamespace(**options))
  monkeypatch.setattr(show_streets, 'flags', fake)
  with pytest.raises(errors.UserError, match=re.escape(message)):
    show_streets.main()
