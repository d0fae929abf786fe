"""DAFormer (Hoyer, Dai and Van Gool, CVPR 2022).

  jaxuda train --config=daformer:pair=streets --workdir=DIR
  jaxuda train --config=daformer:pair=gta2cityscapes \
      --config.initial=mit_b5.pth --workdir=DIR

Self-training on mixed images (DACS) with SegFormer's encoder, context-aware
fusion, rare class sampling, feature distance and a warm-up.

Arguments: pair; classes, as in configs/corda.py; depth=none (default), corda or
dada, see below; backbone=mit_b5 (default on the papers' pairs), mit_b0 (default
on small ones) or any other, under DAFormer's decoder; init=scratch. The
encoder's ImageNet weights are SegFormer's file, which is not for commercial
use, see `common.initial`; without any there is no feature distance.

Where training would start from random weights, --config.initial=FILE therefore
needs --config.features.weight as well: 0.005, or 0 for no such distance. It is
a distance of things; a class table of your own does not say which classes are:
there it is off unless --config.features.classes and its weight are given.

Adding depth is this project's own combination, from no paper. depth=corda adds
CorDA's depth decoders, attention and difficulty, as in its network for SYNTHIA,
and needs depth of both domains. depth=dada adds DADA's depth block on the fused
map, which is multiplied by what the block decodes, the source's berHu loss,
and, in one more pass, DADA's discriminator of self-information times depth on
unmixed target images; it needs depth of the source only. Its weights are those
of configs/dada.py; --config.method.adversarial=none or advent and
--config.method.fuse=False turn parts of it off. On the papers' pairs the
block's output is scaled by 100, as on small ones (`network.depth_scale`; 1 in
DADA).

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
