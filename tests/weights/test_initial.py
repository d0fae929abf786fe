"""Initial weights are checked before anything is read."""

import pytest

from configs import common
from jaxuda import errors
from jaxuda import methods
from jaxuda.ui import command
from jaxuda.weights import initial


def check(config, *overrides):
  config = command.read_config(config, overrides)
  initial.check(config.initial, methods.create(config))


@pytest.mark.parametrize('name', ['dada', 'corda', 'gio_ada', 'self_training'])
def test_random_weights_are_asked_for_by_name(name):
  paper = f'{name}:pair=synthia2cityscapes'
  backbone = 'vgg16' if name == 'gio_ada' else 'resnet101'
  with pytest.raises(
    errors.UserError,
    match=f"config.initial='' with network.backbone={backbone}, which no paper"
    '.* expected --config.initial=FILE .*--config.initial=scratch',
  ):
    check(paper, '--config.initial=')
  check(paper, '--config.initial=scratch')
  check(f'{name}:pair=streets', '--config.initial=')
  # A different backbone on a small pair is also the user's choice.
  large = '--config.network.backbone=resnet50'
  with pytest.raises(errors.UserError, match=r'resnet50, which .*=scratch'):
    check(f'{name}:pair=streets', '--config.initial=', large)


def test_what_has_no_network_that_segments_begins_with_nothing():
  check('cyclegan:pair=synthia2cityscapes')
  assert not initial.is_given('')
  assert not initial.is_given(None)
  assert not initial.is_given('scratch')
  assert initial.is_given('scratch/a.pth')


def test_a_missing_file_is_one_line_that_says_where_it_is_to_be_had(
  tmp_path, monkeypatch
):
  monkeypatch.chdir(tmp_path)
  place = 'pretrained/DeepLab_resnet_pretrained_imagenet.pth'
  with pytest.raises(errors.UserError) as caught:
    check('dada:pair=synthia2cityscapes')
  assert str(caught.value) == (
    f'config.initial={place}: there is no such file or folder; expected it'
    ' there (the releases of DADA and of ADVENT on GitHub have it), as it is or'
    ' converted (jaxuda convert FILE --to=DIR, --config.initial=DIR), or'
    ' --config.initial=scratch to train from random weights'
  )
  with pytest.raises(
    errors.UserError, match=r'runs/M2: .* expected it there, '
  ):
    initial.check_exists('runs/M2')
  (tmp_path / 'pretrained').mkdir()
  (tmp_path / place).write_text('')
  check('dada:pair=synthia2cityscapes')


def test_every_file_has_an_origin():
  files = {x for names in common.INITIAL.values() for x in names.values()}
  assert files == initial.ORIGINS.keys()
