import json

import pytest

from jaxuda.data.records import advice
from jaxuda.data.records import units


@pytest.fixture(autouse=True)
def _forget():
  advice.note.cache_clear()


def test_depth_in_metres_is_scored(config, capsys):
  for domain in ('source', 'target'):
    assert units.scores_depth(config, learnt_from=domain)
  assert 'factor' not in capsys.readouterr().err


def test_relative_depth_of_the_target_is_not(config, add_dataset, capsys):
  add_dataset('disparity', depth_code='inverse')
  config.target.dataset = 'disparity'
  for domain in ('source', 'target'):
    assert not units.scores_depth(config, learnt_from=domain)
  assert capsys.readouterr().err.endswith(
    'note: the depth of disparity val is only known up to a factor: depth'
    ' errors, which would be in metres, are left out\n'
  )


@pytest.mark.parametrize('domain', ['source', 'target'])
def test_nor_is_what_was_learnt_from_a_folder(config, tmp_path, domain):
  """The true depth is the dataset's own, in metres, in all of them."""
  config[domain].depth_dir = str(tmp_path)
  other = {'source': 'target', 'target': 'source'}[domain]
  for code, scored in (('inverse', False), ('metres', True)):
    (tmp_path / 'depth.json').write_text(json.dumps({'depth_code': code}))
    assert units.scores_depth(config, learnt_from=domain) == scored
    assert units.scores_depth(config, learnt_from=other)
  # It is not at hand where a run is only evaluated.
  (tmp_path / 'depth.json').unlink()
  assert units.scores_depth(config, learnt_from=domain)


def test_nor_what_was_learnt_from_relative_depth(config, tmp_path, capsys):
  config.source.dataset = 'gta5/mono'
  assert not units.scores_depth(config, learnt_from='source')
  assert 'in gta5/mono, learnt from, is only' in capsys.readouterr().err
  assert units.scores_depth(config, learnt_from='target')
  config.source.dataset = 'gta5'
  config.source.depth_dir = str(tmp_path / 'elsewhere')
  # The folder is not at hand.
  assert units.scores_depth(config, learnt_from='source')
