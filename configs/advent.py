"""AdvEnt, MinEnt (Vu et al., CVPR 2019) and AdaptSegNet (Tsai et al., 2018).

  jaxuda train --config=advent:pair=streets --workdir=DIR

Arguments: pair; classes; backbone; ablation=advent (default), minent, output
(AdaptSegNet aligns the softmax); multi_level=0 (as in DADA's comparison) or 1
(as in the GTA configs); init=imagenet or scratch, see `common.initial`. On GTA
-> Cityscapes schedules are 250,000 steps long, of which 120,000 are taken, as
in its own code; on SYNTHIA there are 90,000, as in DADA's comparison.

Published on SYNTHIA -> Cityscapes, 16 classes: AdvEnt 40.8, source-only 32.2.
"""

from configs import common


def get_config(arguments: str = ''):
  """Returns the config; see the module's docstring."""
  args = common.parse(
    arguments,
    pair='streets',
    classes='',
    ablation='advent',
    multi_level='0',
    init='',
    backbone='',
  )
  config = common.base('advent', **common.shared(args))
  common.choose('ablation', args['ablation'], ('advent', 'minent', 'output'))
  common.choose('multi_level', args['multi_level'], ('0', '1'))
  if args['pair'] == 'gta2cityscapes':
    config.total_steps, config.stop_step = 250000, 120000
  config.method = {
    'align': args['ablation'],
    'multi_level': args['multi_level'] == '1',
  }
  if common.is_small(config):
    # Ten times the papers'.
    config.method.lambda_adv = 1e-2
  common.adversarial(config)
  return config
