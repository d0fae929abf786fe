"""Depth Distribution (Wu & Liu, NeurIPS 2022).

  jaxuda depdis run --config=depdis:pair=streets --workdir=DIR

fits the source's mixtures, trains the adversarial stage, writes pseudo-labels
and trains on them. The same command continues a run that was killed. Run one by
one, the stages are `jaxuda depdis fit`, `jaxuda train` with this config,
`jaxuda depdis pseudo`, and `jaxuda train` with configs/self_training.py. Rows
M3 and M4 continue the same adversarial stage, M2, which can be trained once for
both: --config.self_training.adversarial=DIR.

Arguments: pair; classes; backbone; ablation=M1..M4, S1..S5 (default M4,
everything); rounds of self-training (default 2, as in the paper; rows without
it have none); init=imagenet or scratch, see `common.initial`.

Rows of the paper's tables 3 and 4, as its sections 4.4 and 4.5 describe them
(the code has no switch for them), with its mIoU on SYNTHIA -> Cityscapes, 16
classes. The discriminator sees the product of the parts of `align`; on the
source the density branch regresses the density of that class at that depth, and
on the target, if at all, that of the predicted class at the predicted depth:

  row  align              source's class, depth  target's  self-training  mIoU
  M1   seg                (no density branch)              no             41.7
  M2   seg_density        predicted, true        yes       no             44.8
  M3   seg_density        predicted, true        yes       no prior       47.6
  M4   seg_density        predicted, true        yes       spatial prior  48.2
  S1   seg_density        true, true             no        no             44.1
  S2   seg_density        predicted, predicted   yes       no             43.4
  S3   seg_depth_density  predicted, true        yes       no             37.8
  S4   seg_depth          predicted, true        yes       no             43.7
  S5   seg_density        predicted, true        yes       no             44.8

M4 has 55.5 over 13 classes; S5 is M2. S1 is the one without the branch-balance
loss. M1 has a depth branch, which adaptation does not see.

The other four settings: pair=synthia2cityscapes,classes=coarse7 72.6;
synthia2cityscapes_low 67.7; synthia2mapillary 70.4; synthia2mapillary_low 60.3.
"""

from typing import Any

from ml_collections import config_dict

from configs import common

# align, the source's map ('' without a density branch), loss of the target's
# density, self-training, prior.
ABLATIONS = {
  'M1': ('seg', '', False, False, False),
  'M2': ('seg_density', 'true_depth', True, False, False),
  'M3': ('seg_density', 'true_depth', True, True, False),
  'M4': ('seg_density', 'true_depth', True, True, True),
  'S1': ('seg_density', 'truth', False, False, False),
  'S2': ('seg_density', 'predicted_depth', True, False, False),
  'S3': ('seg_depth_density', 'true_depth', True, False, False),
  'S4': ('seg_depth', 'true_depth', True, False, False),
  'S5': ('seg_density', 'true_depth', True, False, False),
}

_WEIGHTS_16 = (
  *(0.327, 0.313, 0.206, 22.427, 22.558, 5.811, 155.643, 59.528),
  *(0.586, 0.882, 1.423, 12.871, 1.488, 3.955, 29.164, 27.563),
)
_WEIGHTS_7 = (0.349, 0.462, 11.576, 1.325, 1.993, 3.216, 3.192)

# The official code's five experiments: weights of depth, of the balance loss
# (source, target) and of the adversarial loss; the discriminator's rate; class
# weights; thresholds of the spatial prior (base, range); steps of
# self-training; number of target images that are labelled, the first by name
# (0: all).
SETTINGS = {
  ('synthia2cityscapes', 'synthia16'): dict(
    depth=0.005, balance=0.01, balance_target=0.05, adv=0.05, disc_rate=1e-3,
    weights=_WEIGHTS_16, base=50, range=4950, steps=30000, first=0,
  ),
  ('synthia2cityscapes', 'coarse7'): dict(
    depth=0.005, balance=0.01, balance_target=0.05, adv=0.05, disc_rate=1e-3,
    weights=_WEIGHTS_7, base=100, range=900, steps=10000, first=0,
  ),
  ('synthia2cityscapes_low', 'coarse7'): dict(
    depth=0.001, balance=0.01, balance_target=0.05, adv=0.05, disc_rate=1e-3,
    weights=_WEIGHTS_7, base=100, range=900, steps=30000, first=0,
  ),
  ('synthia2mapillary', 'coarse7'): dict(
    depth=1e-4, balance=0.005, balance_target=1e-3, adv=1e-3, disc_rate=1e-4,
    weights=None, base=50, range=50, steps=30000, first=9000,
  ),
  ('synthia2mapillary_low', 'coarse7'): dict(
    depth=1e-4, balance=0.005, balance_target=1e-3, adv=1e-3, disc_rate=1e-4,
    weights=None, base=50, range=50, steps=30000, first=9000,
  ),
}  # fmt: skip
# Other pairs have the weights of the first setting, and class weights from
# their own source.
_OTHER = {**SETTINGS['synthia2cityscapes', 'synthia16'], 'weights': ()}
# On small ones the balance loss has less weight: at 1e-3 the network learns
# density at the cost of the classes.
_SMALL = {
  **_OTHER,
  **dict(balance=1e-4, balance_target=1e-5, adv=1e-2),
  'disc_rate': 1e-4,
}


def get_config(arguments: str = ''):
  """Returns the config; see the module's docstring."""
  args = common.parse(
    arguments,
    pair='streets',
    classes='',
    ablation='M4',
    rounds='',
    init='',
    backbone='',
  )
  config = common.base(
    'depdis',
    **common.shared(args),
    mixtures=_mixtures(),
    self_training={},  # Depends on what the pair sets.
  )
  setting = find_setting(config)
  row = common.choose('ablation', args['ablation'], ABLATIONS)
  *parts, _, prior = ABLATIONS[row]
  config.method = _method(setting, *parts)
  config.self_training = {
    'rounds': _read_rounds(args['rounds'], row),
    'checkpoint': 'best',
    'total_steps': config.total_steps,
    'stop_step': setting['steps'],
    'learning_rate': 0.0,
    'norm': '',
    'confidence': 0.9,
    'spatial_prior': prior,
    'base': setting['base'],
    'range': setting['range'],
    'scale_area': False,
    'first': setting['first'],
    'share': 1.0,
    'adversarial': '',
  }
  config.optim.disc_learning_rate = setting['disc_rate']
  if common.is_small(config):
    _shrink(config)
  else:
    # Each later stage starts from the best of these snapshots.
    common.set_intervals(config, 1000)
    set_target(config)
  return config


def _read_rounds(text, row):
  """Reads the number of rounds of self-training; '' is the row's own."""
  common.choose('rounds', text, ('', '0', '1', '2', '3', '4'))
  *_, training, _ = ABLATIONS[row]
  if not training and text not in ('', '0'):
    raise ValueError(
      f'rounds={text} with ablation={row}, which has no self-training; expected'
      ' ablation=M3 or M4'
    )
  return int(text or '2') if training else 0


def find_setting(config: config_dict.ConfigDict) -> dict[str, Any]:
  """Returns the entry of `SETTINGS` for a config's pair and classes."""
  small = {**_SMALL, 'depth': common.depth_weight(config)}
  other = small if common.is_small(config) else _OTHER
  return SETTINGS.get((config.pair, config.classes), other)


def set_target(config: config_dict.ConfigDict) -> None:
  """Sets the size and the scores of a pair that is not small, in place.

  All stages have them. Source and target have the same size, whatever their
  images' aspect; Mapillary is scored at the network's size, unlike in DADA and
  CTRL.
  """
  config.data.target.size = config.data.source.size
  if config.pair.startswith('synthia2mapillary'):
    config.data.target.eval_labels = 'input'


def _method(setting, align, source_map, balance_target):
  more = {'source_map': source_map} if source_map else {}
  return {
    'lambda_depth': setting['depth'],
    'lambda_balance': setting['balance'] if source_map else 0.0,
    'lambda_balance_target': (
      setting['balance_target'] if balance_target else 0.0
    ),
    'lambda_adv': setting['adv'],
    'align': align,
    **more,
    'balance_classes': setting['weights'] is not None,
    'class_weights': setting['weights'] or (),
  }


def _mixtures():
  return {
    'components': 5,
    'covariance': 'diag',
    'samples': 50000,
    'images': 0,
    'least': 500,
    'floor': 1e-6,
    'iterations': 200,
    'tolerance': 1e-3,
    'seed': 1234,
    'folder': '',
  }


def _shrink(config):
  """The settings of the small network."""
  common.adversarial(config)
  # The official one is meant for a grid of 96x161.
  config.method.sharpness = 0.0
  training = config.self_training
  training.total_steps = config.total_steps
  training.stop_step = config.total_steps // 3
  # The rate is far below the best one from scratch, and the statistics come
  # from more than two images: otherwise the network forgets more than it
  # learns.
  training.learning_rate = 3e-5
  training.norm = 'frozen'
  # Thresholds are for images of 1280x760.
  training.scale_area = True
  config.mixtures.samples = 20000
