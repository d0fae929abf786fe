"""HRDA (Hoyer, Dai and Van Gool, ECCV 2022): DAFormer at two resolutions.

  jaxuda train --config=hrda:pair=streets --workdir=DIR
  jaxuda train --config=hrda:pair=gta2cityscapes \
      --config.initial=mit_b5.pth --workdir=DIR

The network sees the whole crop at half its size and a part of it at full size,
see `jaxuda/models/hrda.py`. Arguments: those of configs/daformer.py.

Depth (depth=corda or dada) is regressed only from the small image, which shows
the whole crop, as are the outputs of initial heads and the features for the
feature distance; the logits come from both.

On the papers' pairs everything is set as published: images of twice DAFormer's
size, crops of 1024x1024, parts of 512x512, predictions in windows. A part has
half the height and width of the crop, or on small pairs of the image, and sides
are rounded down to what both resolutions can share.

These of its ablations are fields. What the paper reports for them is not known
here. Two are missing: parts of an image that was shrunk to half its size and
enlarged again, and the small image at full size, too.

  --config.network.scale_attention=fixed       both count as 1/2 everywhere
  --config.network.scale_attention=single      one attention for all classes
  --config.network.detail_overlap=False        parts side by side in labels
  --config.network.context_scale=0.25          a smaller picture of the whole

Published, the mean of three seeds: GTA -> Cityscapes 73.8, SYNTHIA ->
Cityscapes 65.8 over 16 classes.
"""

from configs import common
from configs.parts import recipe

# Pixels of the image between outputs of the half-sized one; sides of images,
# parts and windows are multiples of it.
CELL = 8


def get_config(arguments: str = ''):
  """Returns the config; see the module's docstring."""
  args = common.parse(arguments, **recipe.ARGUMENTS)
  config = recipe.build(args, large=True)
  source, target = config.data.source, config.data.target
  if common.is_small(config):
    source.size = target.size = crop = _cut(source.size, 2 * CELL)
  else:
    target.size = _cut(target.size, CELL)
    source.crop = target.crop = crop = _cut(source.crop, 2 * CELL)
  config.network.update(
    {
      'resolutions': 'hrda',
      'window': crop,
      'detail_crop': tuple(side // 2 for side in crop),
    }
  )
  return config


def _cut(size, step):
  """Rounds sides down to whole steps."""
  return tuple(side // step * step for side in size)
