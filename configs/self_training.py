"""Self-training on pseudo-labels: the last stage of Depth Distribution.

  jaxuda depdis pseudo --workdir=RUN --out=LABELS
  jaxuda train --config=self_training:pair=streets \
      --config.initial=RUN --config.data.target.label_dir=LABELS --workdir=DIR

`jaxuda depdis run` does both, in several rounds. Arguments: pair; classes;
backbone; branches=depth+density (default; the network of configs/depdis.py),
depth (row M1, and DADA without fusion), depth+fuse (DADA) or none (source-only,
AdvEnt).

On the papers' pairs the first two have the sizes, scores, steps and number of
target images of configs/depdis.py, the others the pair's sizes. Labels are used
at the size at which they were made: those of a run of another size need
--config.data.target.size.
"""

from configs import common
from configs import depdis

# Those of the networks of configs/depdis.py.
_DEPDIS = ('depth+density', 'depth')
BRANCHES = (*_DEPDIS, 'depth+fuse', 'none')


def get_config(arguments: str = ''):
  """Returns the config; see the module's docstring."""
  args = common.parse(
    arguments,
    pair='streets',
    classes='',
    branches='depth+density',
    backbone='',
  )
  parts = common.choose('branches', args['branches'], BRANCHES).split('+')
  config = common.base(
    *('self_training', args['pair'], args['classes']),
    backbone=args['backbone'],
  )
  config.method = {x: x in parts for x in ('depth', 'density', 'fuse')}
  config.initial_checkpoint = 'best'
  with config.data.target.unlocked():
    config.data.target.label_dir = ''
  # The schedule of the adversarial stage from its beginning, but cut short.
  config.stop_step = config.total_steps // 3
  if not common.is_small(config) and args['branches'] in _DEPDIS:
    setting = depdis.find_setting(config)
    config.stop_step = setting['steps']
    config.data.target.first = setting['first']
    depdis.set_target(config)
  if common.is_small(config):
    # As in configs/depdis.py.
    config.optim.learning_rate = 3e-5
    config.network.norm = 'frozen'
  else:
    common.set_intervals(config, 1000)
  return config
