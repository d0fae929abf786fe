"""Source-only training, and the oracle.

  jaxuda train --config=source_only:pair=streets --workdir=DIR

Arguments: pair; classes; backbone; train_on=source (the lower bound) or target
(the oracle, the upper bound: it reads the target's training labels);
statistics=source (default) or target: whose images the running statistics come
from. Target images alone, without labels, is AdaBN (Li et al., 2016): the row
to compare with a method whose statistics are the target's, as those of all
adversarial methods are on small pairs; init=imagenet or scratch, see
`common.initial`.
"""

from configs import common


def get_config(arguments: str = ''):
  """Returns the config; see the module's docstring."""
  args = common.parse(
    arguments,
    pair='streets',
    classes='',
    train_on='source',
    statistics='source',
    init='',
    backbone='',
  )
  config = common.base('source_only', **common.shared(args))
  common.choose('train_on', args['train_on'], ('source', 'target'))
  statistics = args['statistics']
  config.method.statistics = common.choose(
    'statistics', statistics, ('source', 'target')
  )
  if args['train_on'] == 'target':
    if statistics == 'target':
      raise ValueError(
        'statistics=target with train_on=target; expected statistics=source,'
        " which are the target's then"
      )
    target = config.data.target.to_dict()
    target.pop('eval_split')
    with config.data.source.unlocked():
      config.data.source.update(target)
    # The folder that is given for one is given for both.
    config.data.source.manual_dir = config.data.target.get_oneway_ref(
      'manual_dir'
    )
  return config
