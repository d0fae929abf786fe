"""AdvEnt, MinEnt (Vu et al., CVPR 2019) and AdaptSegNet (Tsai et al., 2018).

  python -m jaxuda.main --config=configs/advent.py:pair=streets --workdir=DIR

Arguments: pair; classes; ablation=advent (default), minent, output (AdaptSegNet
aligns the softmax); multi_level=0 (as DADA compares) or 1 (as the GTA configs).
Published on SYNTHIA -> Cityscapes, 16 classes: AdvEnt 40.8, source-only 32.2.
"""

from configs import common


def get_config(arguments: str = ''):
  """Returns the config; see the module's docstring."""
  args = common.parse(
    arguments, pair='streets', classes='', ablation='advent', multi_level='0'
  )
  config = common.base('advent', args['pair'], args['classes'])
  common.choose('ablation', args['ablation'], ('advent', 'minent', 'output'))
  common.choose('multi_level', args['multi_level'], ('0', '1'))
  config.method = {
    'align': args['ablation'],
    'multi_level': args['multi_level'] == '1',
    'lambda_seg': 1.0,
    'lambda_seg_aux': 0.1,
    'lambda_adv': 1e-3,
    'lambda_adv_aux': 2e-4,
    'lambda_ent': 1e-3,
    'lambda_ent_aux': 2e-4,
    'disc_factor': 0.5,
    'disc_width': 64,
    'statistics': 'both',
  }
  common.adversarial(config)
  return config
