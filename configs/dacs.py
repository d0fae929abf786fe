"""DACS (Tranheden et al., WACV 2021).

  jaxuda train --config=dacs:pair=streets --workdir=DIR

Arguments: pair; classes, as in configs/corda.py; weight=batch (default;
pseudo-labels are weighted by the batch's share of confident pixels), pixel
(confident pixels have weight 1, the others 0), none or oracle (correct pixels
have weight 1: it reads the target's labels and is the bound for any weighting,
not adaptation); jitter=kornia0.4 (default; the version that the published
numbers used), standard or none; init=coco (the default on the papers' pairs),
imagenet or scratch, see `common.initial`; backbone=efficientnet_lite0 as in
every method, see configs/common.py. DADA's depth
(`--config.method.lambda_depth`, `fuse`, `adversarial`) is added by
configs/daformer.py with depth=dada.

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
