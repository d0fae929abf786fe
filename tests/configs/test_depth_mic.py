"""The config of CorDA with the parts of DAFormer and MIC."""

import pytest

from configs import depth_mic
from configs.parts import recipe
from jaxuda import errors
from jaxuda import methods
from jaxuda.data.classes import class_names
from jaxuda.ui import command

REAL = 'pair=synthia2cityscapes'
_THINGS = {
  *('traffic light', 'traffic sign', 'person', 'rider', 'car', 'truck', 'bus'),
  *('train', 'motorcycle', 'bicycle'),
}


@pytest.mark.parametrize('classes', recipe.THINGS)
def test_things_are_lights_signs_people_and_vehicles(classes):
  parts = class_names.PARTS[classes].values()
  expected = tuple(i for i, x in enumerate(parts) if _THINGS & {*x})
  assert recipe.THINGS[classes] == expected


def test_every_part_is_on_and_can_be_left_out():
  config = command.read_config(
    f'depth_mic:{REAL}', ['--config.initial=weights.pth']
  )
  assert config.name == 'corda'
  config = depth_mic.get_config(f'{REAL},init=coco')
  method = methods.create(config)
  assert method.masking.weight == 1
  assert (method.masking.block, method.masking.ratio) == (32, 0.7)
  assert method.features.weight == 0.005
  assert method.features.classes == recipe.THINGS[config.classes]
  assert method.mixing.margins == (15, 120, 0, 0)
  assert method.mixing.alpha == 0.999
  source = config.data.source
  assert (source.rare_temperature, source.rare_pixels) == (0.01, 3000)
  assert source.rare_crop == 0.5
  without = '+'.join(depth_mic.PARTS)
  config = depth_mic.get_config(f'{REAL},init=coco,without={without}')
  plain = methods.create(command.read_config(f'corda:{REAL}'))
  assert methods.create(config) == plain
  assert config.data.source.rare_temperature == 0


def test_from_scratch_there_are_no_features_to_keep():
  config = command.read_config('depth_mic:pair=streets')
  method = methods.create(config)
  assert method.features.weight == 0
  assert method.masking.weight == 1
  assert config.data.source.rare_temperature == 0.01
  # 96x192 of 1052x1914 pixels.
  assert config.data.source.rare_pixels == 27


def test_an_unknown_part_is_named():
  with pytest.raises(
    errors.UserError, match=r"without 'maske'; expected one of"
  ):
    command.read_config('depth_mic:pair=streets,without=maske')
