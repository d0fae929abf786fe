"""The command: flags that a task does not have are named, not ignored."""

import pytest

from jaxuda import errors
from jaxuda.depth.mono import __main__ as mono


@pytest.mark.parametrize(
  ('given', 'message'),
  [
    (['config', 'out'], '--out does not apply to --config; expected it to be'),
    (['config', 'manual_dir'], '--manual_dir does not apply to --config'),
    (['evaluate', 'normalization'], '--normalization does not apply to --eval'),
    (['evaluate', 'out'], '--out does not apply to --evaluate'),
    (['images', 'out', 'split'], '--split does not apply to --images'),
    (['images', 'config'], 'got images and config'),
    (['images'], '--out is not set; expected a folder to write to'),
    ([], 'or --evaluate; got none'),
  ],
)
def test_flags_of_another_task_are_named(given, message):
  with pytest.raises(errors.UserError, match=message):
    mono.choose_task(['workdir', *given])


def test_flags_of_a_task():
  for given in (
    ['config'],
    ['images', 'out', 'checkpoint', 'normalization'],
    ['dataset', 'out', 'split', 'data_dir', 'manual_dir'],
    ['evaluate', 'checkpoint', 'data_dir'],
  ):
    assert mono.choose_task(['workdir', *given]) == given[0]
