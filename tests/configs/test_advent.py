"""The schedules and the heads of AdvEnt."""

import pytest

from jaxuda import methods
from jaxuda.ui import command


@pytest.mark.parametrize('row', ['advent', 'minent', 'output'])
@pytest.mark.parametrize(
  ('pair', 'steps'),
  [
    # ADVENT's own code stops before its schedules end.
    ('gta2cityscapes', (250000, 120000)),
    # Where DADA compares with it.
    ('synthia2cityscapes', (90000, 90000)),
    ('synthia2mapillary', (90000, 90000)),
    ('streets', (1500, 1500)),
  ],
)
def test_steps(row, pair, steps):
  config = command.read_config(f'advent:pair={pair},ablation={row}')
  assert (config.total_steps, config.stop_step) == steps


@pytest.mark.parametrize('row', ['advent', 'minent', 'output'])
@pytest.mark.parametrize(
  ('arguments', 'expected'),
  [
    # All configs of ADVENT's own code have both heads, those of DADA's one.
    ('pair=gta2cityscapes', True),
    ('pair=gta2cityscapes,multi_level=0', False),
    ('pair=synthia2cityscapes', False),
    ('pair=synthia2cityscapes,multi_level=1', True),
    ('pair=streets', False),
  ],
)
def test_levels(row, arguments, expected):
  config = command.read_config(f'advent:{arguments},ablation={row}')
  assert methods.create(config).multi_level == expected
