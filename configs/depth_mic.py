"""Depth-MIC: CorDA's depth with the parts of DAFormer and MIC.

  jaxuda train --config=depth_mic:pair=streets --workdir=DIR

This project's own combination, of no paper: CorDA (Wang et al., ICCV 2021)
with rare class sampling and feature distance (DAFormer, Hoyer et al., CVPR
2022), masked image consistency (MIC, Hoyer et al., CVPR 2023) and, on
Cityscapes, margins without pseudo-labels. Each is a switch of DACS and CorDA,
too; here they are on.

Arguments: those of configs/corda.py; without=rare, features, masked or margins,
several with +: parts that are left out.

Feature distance keeps what pretraining knew, so it is on only where training
begins with pretrained weights.
"""

from configs import common
from configs import corda

PARTS = ('rare', 'features', 'masked', 'margins')
# Numbers of the classes that are things: lights, signs, people, vehicles.
THINGS = {
  'cityscapes19': (6, 7, *range(11, 19)),
  'synthia16': (6, 7, *range(10, 16)),
  'synthia13': (3, 4, *range(7, 13)),
  'coarse7': (2, 5, 6),
  'kitti10': (3, 4, 8, 9),
  'camvid11': (6, 8, 9, 10),
  'idd7': (2, 3, 4),
}


def get_config(arguments: str = ''):
  """Returns the config; see the module's docstring."""
  pieces = [x for x in arguments.split(',') if x]
  mine = [x for x in pieces if x.startswith('without=')]
  rest = ','.join(x for x in pieces if x not in mine)
  without = mine[-1].removeprefix('without=').split('+') if mine else ()
  for part in without:
    common.choose('without', part, PARTS)
  config = corda.get_config(rest)
  small = common.is_small(config)
  source, things = config.data.source, THINGS.get(config.classes)
  if 'rare' not in without:
    source.rare_temperature = 0.01
    if small:
      # As many of a picture's pixels as 3,000 of GTA's 1914x1052.
      source.rare_pixels = source.size[0] * source.size[1] * 3000 // 2013528
  if 'masked' not in without:
    config.masking = {'weight': 1.0, 'block': 32}
    if small:
      config.masking.block = max(8, min(source.size) // 16)
  pretrained = config.initial not in ('', 'scratch')
  if 'features' not in without and things and pretrained:
    config.features = {'weight': 0.005, 'classes': things}
  if 'margins' not in without and config.data.target.dataset.startswith(
    'cityscapes'
  ):
    config.mixing = {'margins': (15, 120, 0, 0)}
  return config
