"""DACS (Tranheden et al., WACV 2021).

  jaxuda train --config=dacs:pair=streets --workdir=DIR

Arguments: pair; classes; weight=batch (default; pseudo-labels weigh as the
batch's share of sure pixels), pixel (sure pixels weigh 1, the others 0) or
none; jitter=kornia0.4 (default; the version that the published numbers used),
standard or none; init=coco or imagenet as configs/corda.py has it.

backbone=efficientnet_lite0 as in every method, see configs/common.py.

Published, from COCO weights: GTA -> Cityscapes 52.1, SYNTHIA -> Cityscapes 48.3
over 16 classes and 54.8 over 13.
"""

from configs import common


def get_config(arguments: str = ''):
  """Returns the config; see the module's docstring."""
  args = common.parse(
    arguments,
    pair='streets',
    classes='',
    weight='batch',
    jitter='kornia0.4',
    init='',
    backbone='',
  )
  config = common.base('dacs', args['pair'], args['classes'], args['backbone'])
  common.choose('weight', args['weight'], ('batch', 'pixel', 'none'))
  common.choose('jitter', args['jitter'], ('kornia0.4', 'standard', 'none'))
  config.initial = common.initial(args['init'], args['backbone'])
  common.self_training(config)
  config.mixing = {'weight': args['weight'], 'jitter': args['jitter']}
  return config
