"""DACS (Tranheden et al., WACV 2021).

  jaxuda train --config=dacs:pair=streets --workdir=DIR

Arguments: pair; classes, as configs/corda.py has them; weight=batch (default;
pseudo-labels weigh as the batch's share of sure pixels), pixel (sure pixels
weigh 1, the others 0), none or oracle (right pixels weigh 1: it reads the
target's labels and is the bound of any weighting, no adaptation);
jitter=kornia0.4 (default; the version that the published numbers used),
standard or none; init=coco (the default on the papers' pairs), imagenet or
scratch, see `common.initial`; backbone=efficientnet_lite0 as in every method,
see configs/common.py. DADA's depth (`--config.method.lambda_depth`, `fuse`,
`adversarial`) is put on it by configs/daformer.py with depth=dada.

Published, from COCO weights: GTA -> Cityscapes 52.1, SYNTHIA -> Cityscapes 48.3
over 16 classes and 54.8 over 13.
"""

from configs import common

_WEIGHTS = ('batch', 'pixel', 'none', 'oracle')


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
  config = common.base('dacs', **common.shared(args))
  common.choose('weight', args['weight'], _WEIGHTS)
  common.choose('jitter', args['jitter'], ('kornia0.4', 'standard', 'none'))
  common.self_training(config)
  config.mixing = {'weight': args['weight'], 'jitter': args['jitter']}
  return config
