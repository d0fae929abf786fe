"""MIC (Hoyer, Dai, Wang and Van Gool, CVPR 2023): masked images on top.

  jaxuda train --config=mic:pair=streets --workdir=DIR
  jaxuda train --config=mic:pair=gta2cityscapes \
      --config.initial=mit_b5.pth --workdir=DIR

The student also learns the teacher's labels on target images with most blocks
missing. Arguments: on=hrda (default) or daformer, what it is added to; and
those of configs/daformer.py. On DACS and CorDA, whose networks are ResNets, it
is a switch, `--config.masking.weight=1`; configs/depth_mic.py combines it there
with all the rest.

Blocks are 64 pixels in HRDA's crops and 32 in DAFormer's, as published; on
small pairs a sixteenth of the image's shorter side, and at least 8.

Published, on HRDA: GTA -> Cityscapes 75.9, SYNTHIA -> Cityscapes 67.3 over 16
classes; on DAFormer: GTA -> Cityscapes 70.6.
"""

from configs import common
from configs import daformer
from configs import hrda
from configs.parts import recipe

HOSTS = {'hrda': (hrda, 64), 'daformer': (daformer, 32)}


def get_config(arguments: str = ''):
  """Returns the config; see the module's docstring."""
  args = common.parse(arguments, on='hrda', **recipe.ARGUMENTS)
  host, block = HOSTS[common.choose('on', args.pop('on'), HOSTS)]
  config = host.get_config(','.join(f'{k}={v}' for k, v in args.items()))
  recipe.set_masked(config, block=block)
  return config
