"""AdvEnt, MinEnt (Vu et al., CVPR 2019) and AdaptSegNet (Tsai et al., 2018).

  jaxuda train --config=advent:pair=streets --workdir=DIR

Arguments: pair; classes; backbone; ablation=advent (default), minent, output
(AdaptSegNet aligns the softmax); multi_level=0 or 1, a second head that is
aligned, too; init=imagenet or scratch, see `common.initial`. GTA -> Cityscapes
is as in its own code: multi_level=1, and schedules of 250,000 steps, of which
120,000 are taken. Elsewhere it is as in DADA's comparison: multi_level=0, and
90,000 steps on SYNTHIA.

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
    multi_level='',
    init='',
    backbone='',
  )
  config = common.base('advent', **common.shared(args))
  common.choose('ablation', args['ablation'], ('advent', 'minent', 'output'))
  common.choose('multi_level', args['multi_level'], ('', '0', '1'))
  own_code = args['pair'] == 'gta2cityscapes'
  if own_code:
    config.total_steps, config.stop_step = 250000, 120000
  levels = args['multi_level'] or ('1' if own_code else '0')
  config.method = {'align': args['ablation'], 'multi_level': levels == '1'}
  if common.is_small(config):
    # Ten times the papers'.
    config.method.lambda_adv = 1e-2
  common.adversarial(config)
  return config
