r"""GIO-Ada (Chen et al., CVPR 2019).

  jaxuda train --config=gio_ada:pair=streets --workdir=DIR

Arguments: pair; classes; backbone; ablation, see below (default full);
depth=linear (default on the papers' pairs; the paper's [0, 1] to the letter) or
inverse (default on small pairs), how depth is normalised; for rows with an
output discriminator, output_gradient=target_only (default) or both, and
output_disc=patch (default; the paper's PatchGAN with Gaussian weights), strided
(AdaptSegNet's discriminator, default on small pairs) or local; on the papers'
pairs, without a backbone, network=vgg (default; DeepLab-v2 with ASPP-L),
adaptsegnet (its VGG-16 and heads) or resnet (DeepLab-v2 on ResNet-101);
init=imagenet (for the VGGs, torchvision's weights and normalisation) or
scratch, see `common.initial`. Small pairs have the small ResNet. A backbone
replaces the network; it has DeepLab-v2's heads or, mit_b0 to mit_b5 and
dinov2_s to dinov2_l, its own decoder, see configs/common.py. Depth as `linear`
is metres over 655.35, so that all but the sky is below 0.15; CorDA says that it
adopts inverse depth "following" this paper, which does not mention it.

Row cg translates with a CycleGAN that was trained before on the same pair:

  jaxuda train --config=cyclegan:pair=streets --workdir=runs/cyclegan
  jaxuda train --config=gio_ada:pair=streets,ablation=cg \
      --config.generator=runs/cyclegan --workdir=DIR

The task network can start from a run of source-only training (on the papers'
pairs with network=resnet):

  jaxuda train --config=source_only:pair=streets --workdir=runs/source_only
  jaxuda train --config=gio_ada:pair=streets \
      --config.initial=runs/source_only --workdir=DIR

Rows, with the paper's mIoU on Virtual KITTI -> KITTI (10 classes) and on
SYNTHIA -> Cityscapes (16 and 13 classes):

  row     transform network sees      output discriminator   VKITTI  SYNTHIA
  na      -                           -                      37.5    23.3 26.5
  cg      image; a frozen CycleGAN    -                      39.8
  gd      image                       -                      43.5
  d       image, depth                -                      44.2
  s       image, labels               -                      44.7
  sd      image, labels, depth        -                      45.9    33.8 39.7
  ss      -                           semantics              45.9
  depth   -                           depth                  43.8
  sep     -                           one for each           46.3
  joint   -                           both together          50.0    35.3 40.6
  full    image, labels, depth        both together          53.5    37.3 43.0

(+d, +s, +sd, input and output are other names of d, s, sd, sd and joint.) All
rows train the depth decoder, which the paper leaves open for na and gd:
--config.method.lambda_depth=0 leaves it out if nothing else needs it. On small
pairs the rows that align outputs have running statistics of the target; the
others have them with --config.method.statistics=target.

The paper trains for 10 epochs of one source and one target image, flipped at
random: 212,600 steps on Virtual KITTI, 94,000 on SYNTHIA.
"""

from ml_collections import config_dict

from configs import common

# Transform network, its labels, its depth; what is aligned.
ABLATIONS = {
  'na': ('none', False, False, 'none'),
  'cg': ('frozen', False, False, 'none'),
  'gd': ('guided', False, False, 'none'),
  'd': ('guided', False, True, 'none'),
  's': ('guided', True, False, 'none'),
  'sd': ('guided', True, True, 'none'),
  'ss': ('none', False, False, 'semantic'),
  'depth': ('none', False, False, 'depth'),
  'sep': ('none', False, False, 'separate'),
  'joint': ('none', False, False, 'joint'),
  'full': ('guided', True, True, 'joint'),
}
_NAMES = {'+d': 'd', '+s': 's', '+sd': 'sd', 'input': 'sd', 'output': 'joint'}
# Backbone, decoder, number of dilations used.
NETWORKS = {
  'vgg': ('vgg16', 'aspp_l', 0),
  'adaptsegnet': ('vgg16_adaptsegnet', 'aspp', 2),
  'resnet': ('resnet101', 'aspp', 0),
}
_DISCRIMINATORS = ('patch', 'strided', 'local')
# 10 epochs of the source.
_STEPS = {'vkitti2kitti': 212600, 'vkitti2kitti_v2': 212600}


def _check_row(row, args, *, small):
  """Refuses arguments for what a row or its network does not have."""
  for name in ('output_gradient', 'output_disc'):
    if args[name] and ABLATIONS[row][-1] == 'none':
      rows = ', '.join(k for k, v in ABLATIONS.items() if v[-1] != 'none')
      raise ValueError(
        f'{name}={args[name]} with ablation={row}, which has no output'
        f' discriminator; expected ablation={rows}'
      )
  for there, with_ in (
    (args['backbone'], f'backbone={args["backbone"]}, which replaces it'),
    (small, f'pair={args["pair"]}, whose network is a small one'),
  ):
    if args['network'] and there:
      raise ValueError(
        f'network={args["network"]} with {with_}; expected no network='
      )


def get_config(arguments: str = ''):
  """Returns the config; see the module's docstring."""
  args = common.parse(
    arguments,
    pair='streets',
    classes='',
    ablation='full',
    depth='',
    output_gradient='',
    network='',
    output_disc='',
    init='',
    backbone='',
  )
  row = args['ablation']
  row = common.choose('ablation', _NAMES.get(row, row), ABLATIONS)
  generator = {
    # The CycleGAN's workdir, and its checkpoint.
    'generator': config_dict.placeholder(str),
    'generator_checkpoint': 'last',
  }
  config = common.base(
    *('gio_ada', args['pair'], args['classes']),
    backbone=args['backbone'],
    **(generator if row == 'cg' else {}),
  )
  common.choose('depth', args['depth'], ('', 'linear', 'inverse'))
  transform, label, depth, align = ABLATIONS[row]
  small = common.is_small(config)
  inverse = (args['depth'] or ('inverse' if small else 'linear')) == 'inverse'
  common.choose(
    'output_gradient', args['output_gradient'], ('', 'target_only', 'both')
  )
  common.choose('network', args['network'], ('', *NETWORKS))
  common.choose('output_disc', args['output_disc'], ('', *_DISCRIMINATORS))
  _check_row(row, args, small=small)
  config.method = {
    'transform': transform,
    'input_label': label,
    'input_depth': depth,
    'align': align,
    'output_gradient': args['output_gradient'] or 'target_only',
  }
  if inverse:
    config.method.depth_encoding = 'inverse'
    config.method.depth_near = 2.0
  if small:
    _shrink(config)
  else:
    network = args['network'] or ('resnet' if args['backbone'] else 'vgg')
    _publish(config, args['pair'], network)
    common.set_backbone(config, args['backbone'])
  # The ResNet is DADA's.
  like = 'dada' if args['network'] == 'resnet' else ''
  config.initial = common.initial(config, args['init'], like=like)
  if args['output_disc']:
    config.method.output_disc = args['output_disc']
  config.data.source.flip = config.data.target.flip = True
  return config


def _publish(config, pair, network):
  """The settings of the paper's network and schedule."""
  fields = ('backbone', 'decoder', 'active_rates')
  config.network = dict(zip(fields, NETWORKS[network], strict=True))
  if network != 'resnet':
    config.network.update(common.TORCHVISION)
  common.set_intervals(config, 5000)
  config.total_steps = config.stop_step = _STEPS.get(pair, 94000)


def _shrink(config):
  """The settings of the small network."""
  common.adversarial(config)
  method = config.method
  config.network.decoder = config.network.get('decoder', 'aspp')
  method.gen_width, method.gen_blocks = 16, 6
  # Not the paper's: a generator from scratch would paint labels, not images, so
  # its changes are bounded; and a discriminator with instance norms is blind to
  # lighting, which differs most. A frozen generator is that of
  # configs/cyclegan.py.
  method.gen_residual = 10.0 if method.transform == 'frozen' else 0.5
  method.input_disc = method.output_disc = 'strided'
  method.lambda_input = 1.0
  method.lambda_output = 1e-2
  optim = config.optim
  # The task network is trained as in the other methods.
  optim.betas = (0.9, 0.999)
  optim.weight_decay = 5e-4
  optim.power, optim.hold = 0.9, 0.0
  optim.disc_learning_rate = 5e-4
  # A faster generator outruns the discriminators: images go dark for hundreds
  # of steps.
  optim.gen_learning_rate = 2e-4
