"""DAFormer (Hoyer, Dai and Van Gool, CVPR 2022).

  jaxuda train --config=daformer:pair=streets --workdir=DIR
  jaxuda train --config=daformer:pair=gta2cityscapes \
      --config.initial=mit_b5.pth --workdir=DIR

Self-training on mixed images (DACS) with SegFormer's encoder, context-aware
fusion, rare class sampling, feature distance and a warm-up.

Arguments: pair; classes, as configs/corda.py has them; depth=none (default) or
corda: CorDA's depth decoders, attention and difficulty on top, this project's
own combination, of no paper (DADA's depth is not to be had: no method here has
it beside mixed images); backbone=mit_b5 on the papers' pairs (default; or any
other, under DAFormer's decoder) and mit_b0 on small ones; init=scratch. The
encoder's ImageNet weights are SegFormer's file, which is not for commercial
use, see `common.initial`; without any there is no feature distance.

On the papers' pairs everything is set as published: 40,000 steps, crops of
512x512, AdamW. On small pairs schedules and sizes are the pair's.

Published, the mean of three seeds: GTA -> Cityscapes 68.3, SYNTHIA ->
Cityscapes 60.9 over 16 classes.
"""

from configs import common
from configs.parts import recipe


def get_config(arguments: str = ''):
  """Returns the config; see the module's docstring."""
  args = common.parse(arguments, **recipe.ARGUMENTS)
  return recipe.build(args, large=False)
