"""CorDA (Wang et al., ICCV 2021).

  jaxuda train --config=corda:pair=streets --workdir=DIR

Arguments: pair; classes (with SYNTHIA: cityscapes19, 19 outputs, scored over 16
of the classes, as published; or synthia16, ...); ablation, see below;
network=gta (the default with GTA5, as published: the initial semantic head sits
on the backbone, and the teacher labels with it for the first 25,001 steps) or
synthia (elsewhere, and in the rows without initial heads);
difficulty=batch_mean (default; what the official code computes), per_image or
paper; adversarial=none (default), advent or dada, in addition; depth=stereo or
mono, for the target (default: stereo for Cityscapes, as published for either
source, and elsewhere what the dataset has: exact depth in `streets`; for GTA5
there is only mono); init=coco (the default on the papers' pairs), imagenet or
scratch, see `common.initial`. Depth that a dataset lacks is estimated first:

  jaxuda depth stereo --dataset=streets/target_stereo --out=depth/streets_stereo

backbone=efficientnet_lite0 as in every method, see configs/common.py.

Rows, with the paper's mIoU on SYNTHIA -> Cityscapes, 16 and 13 classes, from
COCO weights and with stereo depth of the target (monocular: 54.5, 62.0; from
ImageNet weights: 54.6). GTA, likewise with stereo depth of the target: 56.6,
from ImageNet weights 56.4:

  row           network                               difficulty  published
  DACS          configs/dacs.py                       -           48.3  54.8
  simple_aux    two heads on the backbone             no          49.6  55.9
  no_attention  task bottlenecks                      no          51.7
  F             and attention, a depth decoder each   no          54.2  62.4
  FD            the same                              yes         55.0  62.8
"""

from configs import common

# Structure of the network, difficulty.
ABLATIONS = {
  'simple_aux': ('simple_aux', False),
  'no_attention': ('no_attention', False),
  'F': ('full', False),
  'FD': ('full', True),
}
NETWORKS = {'synthia': 'bottleneck', 'gta': 'backbone'}


def _set_depth(target, pair, depth):
  """Sets where the target's depth is: in the dataset or in a folder."""
  if not depth:
    return
  if target.dataset.startswith('cityscapes'):
    target.dataset = f'cityscapes/{depth}'
  else:
    target.depth_dir = f'depth/{pair}_{depth}'


def _find_network(pair, structure):
  """Returns the network that was published for a pair's source."""
  has_initial = structure == 'full'
  return 'gta' if pair == 'gta2cityscapes' and has_initial else 'synthia'


def _check_row(row, args):
  """Refuses arguments for what a row does not have."""
  structure, difficulty = ABLATIONS[row]
  if args['difficulty'] and not difficulty:
    raise ValueError(
      f'difficulty={args["difficulty"]} with ablation={row}, which has none;'
      ' expected ablation=FD'
    )
  if args['network'] and structure != 'full':
    raise ValueError(
      f'network={args["network"]} with ablation={row}, which has no initial'
      ' heads; expected ablation=F or FD'
    )


def get_config(arguments: str = ''):
  """Returns the config; see the module's docstring."""
  args = common.parse(
    arguments,
    pair='streets',
    classes='',
    ablation='FD',
    network='',
    difficulty='',
    adversarial='none',
    depth='',
    init='',
    backbone='',
  )
  row = common.choose('ablation', args['ablation'], ABLATIONS)
  structure, difficulty = ABLATIONS[row]
  common.choose('network', args['network'], ('', *NETWORKS))
  common.choose(
    'difficulty', args['difficulty'], ('', 'batch_mean', 'per_image', 'paper')
  )
  _check_row(row, args)
  common.choose('adversarial', args['adversarial'], ('none', 'advent', 'dada'))
  common.choose('depth', args['depth'], ('', 'stereo', 'mono'))
  config = common.base('corda', **common.shared(args))
  _set_depth(config.data.target, args['pair'], args['depth'])
  network = args['network'] or _find_network(args['pair'], structure)
  labelled_first = network == 'gta'
  config.method = {
    'structure': structure,
    'initial_semantic': NETWORKS[network],
    'difficulty': args['difficulty']
    or ('batch_mean' if difficulty else 'none'),
    'adversarial': args['adversarial'],
  }
  common.self_training(config)
  # 655.35 m and beyond means that nothing is there: it is masked by its value.
  config.data.far_depth = 'mask'
  # The official reader of the target resizes depth like labels, with Pillow;
  # that of the source uses OpenCV.
  config.data.target.depth_resize = 'consistent'
  if common.is_small(config):
    config.method.width = 128
    config.method.lambda_depth = common.depth_weight(config)
    if labelled_first:
      # A tenth of the steps, as in the paper.
      config.method.initial_fraction = 0.1
    if args['adversarial'] != 'none':
      config.method.disc_width = 16
      # Ten times DADA's.
      config.method.lambda_adv = 1e-2
      config.optim.disc_learning_rate = 3e-4
  elif labelled_first:
    config.method.initial_steps = 25001
  return config
