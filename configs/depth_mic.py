"""Depth-MIC: CorDA's depth with the parts of DAFormer and MIC.

  jaxuda train --config=depth_mic:pair=streets --workdir=DIR

This project's own combination, from no paper: CorDA (Wang et al., ICCV 2021)
with rare class sampling and feature distance (DAFormer, Hoyer et al., CVPR
2022), masked image consistency (MIC, Hoyer et al., CVPR 2023) and, on
Cityscapes, margins without pseudo-labels. Each is also a switch of DACS and
CorDA; here they are all on.

Arguments: those of configs/corda.py; without=rare, features, masked or margins,
or several joined by +: parts that are left out.

Feature distance keeps what pretraining has learned about things, so it is on
only if training starts from pretrained weights, and off with a class table of
your own, which does not name them, see configs/daformer.py.
"""

from configs import common
from configs import corda
from configs.parts import recipe

PARTS = ('rare', 'features', 'masked', 'margins')


def get_config(arguments: str = ''):
  """Returns the config; see the module's docstring."""
  pieces = [x for x in arguments.split(',') if x]
  mine = [x for x in pieces if x.startswith('without=')]
  rest = ','.join(x for x in pieces if x not in mine)
  without = mine[-1].removeprefix('without=').split('+') if mine else ()
  for part in without:
    common.choose('without', part, PARTS)
  config = corda.get_config(rest)
  if 'rare' not in without:
    recipe.set_rare_classes(config)
  if 'masked' not in without:
    recipe.set_masked(config)
  if 'features' not in without:
    recipe.set_features(config)
  if 'margins' not in without:
    recipe.set_margins(config)
  return config
