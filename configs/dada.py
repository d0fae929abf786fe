"""DADA (Vu et al., ICCV 2019).

  jaxuda train --config=dada:pair=streets --workdir=DIR

Arguments: pair; classes; backbone; ablation=S1..S7 (default S7, everything);
fraction=0.1 .. 1.0 of the source images (the paper's Table 4 has 10, 30, 50, 70
and 100 %: 32.6, 35.1, 40.9, 41.0, 42.6 on SYNTHIA -> Cityscapes);
init=imagenet or scratch, see `common.initial`.

Rows, with the paper's mIoU on SYNTHIA -> Cityscapes, 16 classes. The official
repository has S2 and S7 only; the other rows follow section 4.3:

  row  discriminator sees                depth loss  feature fusion  published
  S1   - (source only)                   no          no              32.2
  S2   self-information (AdvEnt)         no          no              40.8
  S3   self-information                  yes         yes             40.7
  S4   depth                             yes         no              35.7
  S5   depth                             yes         yes             38.0
  S6   one self-information, one depth   yes         yes             41.6
  S7   their product                     yes         yes             42.6

(S7 over 13 classes: 49.8.) S2 has the discriminator's terms at weight 1, unlike
configs/advent.py. On small pairs all rows but S1 have running statistics of the
target; S1 has them with --config.method.statistics=target. Variants of S7 that
are not the paper's: --config.method.align_scale=mean and
--config.method.align_depth_gradient=False.
"""

from configs import common

# align, depth loss, feature fusion.
ABLATIONS = {
  'S1': ('none', False, False),
  'S2': ('seg', False, False),
  'S3': ('seg', True, True),
  'S4': ('depth', True, False),
  'S5': ('depth', True, True),
  'S6': ('separate', True, True),
  'S7': ('dada', True, True),
}


def get_config(arguments: str = ''):
  """Returns the config; see the module's docstring."""
  args = common.parse(
    arguments,
    pair='streets',
    classes='',
    ablation='S7',
    fraction='1.0',
    init='',
    backbone='',
  )
  config = common.base('dada', **common.shared(args))
  row = common.choose('ablation', args['ablation'], ABLATIONS)
  align, depth, fuse = ABLATIONS[row]
  config.data.source.fraction = common.fraction(args['fraction'])
  # Small pairs: ten times the paper's.
  weight = 1e-2 if common.is_small(config) else 1e-3
  config.method = {
    'align': align,
    'fuse': fuse,
    'lambda_depth': common.depth_weight(config) if depth else 0.0,
    'lambda_adv': weight,
  }
  common.adversarial(config)
  return config
