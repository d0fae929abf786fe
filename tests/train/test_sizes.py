"""Sizes of images, with real methods."""

import pytest

from jaxuda import errors
from jaxuda.train import segmentation
from jaxuda.ui import command


def test_a_size_that_could_not_be_scored_is_named_before_training(
  tmp_path, monkeypatch
):
  crop = 'crop=(96, 192)'
  config = command.read_config(
    'hrda:pair=streets',
    [
      *(f'--config.data.{side}.{crop}' for side in ('source', 'target')),
      '--config.data.target.size=(100, 200)',
    ],
  )
  monkeypatch.setattr(segmentation.loop, 'run', lambda *_: pytest.fail('began'))
  message = r'^config\.data\.target\.size=\(100, 200\); expected multiples of 8'
  with pytest.raises(errors.UserError, match=message):
    segmentation.train(config, tmp_path)
