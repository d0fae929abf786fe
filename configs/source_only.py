"""Source-only training, and the oracle.

  jaxuda train --config=source_only:pair=streets --workdir=DIR

Arguments: pair; classes; backbone; train_on=source (the lower bound) or target
(the oracle, the upper bound: it reads the target's training labels).
"""

from configs import common


def get_config(arguments: str = ''):
  """Returns the config; see the module's docstring."""
  args = common.parse(
    arguments, pair='streets', classes='', train_on='source', backbone=''
  )
  config = common.base(
    'source_only', args['pair'], args['classes'], args['backbone']
  )
  common.choose('train_on', args['train_on'], ('source', 'target'))
  if args['train_on'] == 'target':
    target = config.data.target.to_dict()
    target.pop('eval_split')
    config.data.source.update(target)
  return config
