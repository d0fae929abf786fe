"""What the configurations share: arguments, domain pairs, network sizes.

A config file is called with a string of arguments, `--config=configs/dada.py:
pair=streets,ablation=S5`. Every field can then be overridden on the command
line: `--config.method.lambda_adv=0.01`.
"""

from ml_collections import config_dict

# The files that the official code begins with.
INITIAL = {
  'coco': 'resnet101COCO-41f33a49.pth',
  'imagenet': 'DeepLab_resnet_pretrained_init-f81d91e8.pth',
}
# The BGR mean of the Caffe models.
CAFFE_MEAN = (104.00698793, 116.66876762, 122.67891434)

# Of a class table of one's own (see docs/data.md) it is found by training.
NUM_CLASSES = {
  'cityscapes19': 19,
  'synthia16': 16,
  'synthia13': 13,
  'coarse7': 7,
  'kitti10': 10,
  'camvid11': 11,
}

_SYNTHIA_CLASSES = ('synthia16', 'synthia13', 'coarse7')
_PADDED = {'fit': 'pad'}
_KITTI = {'split': 'test', 'eval_split': 'train'}
# What reads depth of the target, and of a source without any of its own.
_STEREO = {'corda': {'target': {'dataset': 'cityscapes/stereo'}}}
_MONO_SOURCE = {'source': {'dataset': 'gta5/mono'}}

# source, target: dataset, training size (height, width), and other fields of
# `_domain`. classes: the class sets that make sense, the first is the default.
# methods: what a method reads otherwise.
#
# Sizes and rules are those of ADVENT (GTA5), DADA (the others), CTRL (low) and
# GIO-Ada (Virtual KITTI: its sizes are not given, these are the native ones);
# `self_training` has those of DACS and CorDA, configs/depdis.py of DepDis.
PAIRS = {
  'streets': {
    # Drawn at 160x320 and scored there; trained at less, for CPUs.
    'source': ('streets/source', (96, 192)),
    'target': ('streets/target', (96, 192)),
    'classes': ('cityscapes19', 'synthia16', 'synthia13', 'coarse7'),
  },
  'streets2camvid': {
    'source': ('streets/source_180x240', (180, 240)),
    'target': ('camvid', (180, 240)),
    'classes': ('camvid11',),
  },
  'synthia2cityscapes': {
    'source': ('synthia', (760, 1280)),
    'target': ('cityscapes', (512, 1024)),
    'classes': _SYNTHIA_CLASSES,
    'methods': _STEREO,
  },
  'synthia2cityscapes_low': {
    'source': ('synthia', (320, 640)),
    'target': ('cityscapes', (320, 640)),
    'classes': ('coarse7', 'synthia16', 'synthia13'),
    'methods': _STEREO,
  },
  'gta2cityscapes': {
    'source': ('gta5', (720, 1280)),
    'target': ('cityscapes', (512, 1024)),
    'classes': ('cityscapes19', *_SYNTHIA_CLASSES),
    'methods': {
      'corda': {
        # Of raw disparity, not its nearest value.
        'source': {'dataset': 'gta5/mono', 'depth_resize': 'linear'},
        'target': {'dataset': 'cityscapes/mono'},
      },
      **dict.fromkeys(('dada', 'depdis', 'gio_ada'), _MONO_SOURCE),
    },
  },
  'synthia2mapillary': {
    'source': ('synthia', (760, 1280)),
    'target': ('mapillary', (768, 1024), _PADDED),
    'classes': ('coarse7',),
  },
  'synthia2mapillary_low': {
    'source': ('synthia', (320, 640)),
    'target': ('mapillary', (320, 640), _PADDED),
    'classes': ('coarse7',),
  },
  'vkitti2kitti': {
    'source': ('vkitti', (375, 1242)),
    'target': ('kitti', (375, 1242), _KITTI),
    'classes': ('kitti10',),
  },
  'vkitti2kitti_v2': {
    'source': ('vkitti/2.0.3', (375, 1242)),
    'target': ('kitti', (375, 1242), _KITTI),
    'classes': ('kitti10',),
  },
  'camvid_day2dusk': {
    'source': ('camvid/day', (180, 240)),
    'target': ('camvid/dusk', (180, 240)),
    'classes': ('camvid11',),
  },
  # Two folders of one's own, and a class table: classes=FILE.
  'folder': {
    'source': ('folder/source', (192, 256)),
    'target': ('folder/target', (192, 256)),
    'classes': tuple(NUM_CLASSES),
  },
}
# Small pictures: trained by the small network, from scratch, on a CPU.
_SMALL = ('streets', 'streets2camvid', 'camvid_day2dusk', 'folder')
_TABLES = ('.yaml', '.yml', '.json')


def parse(text: str, **defaults: str) -> dict[str, str]:
  """Reads 'name=value,name=value' over defaults.

  Args:
    text: what follows the colon on the command line; may be empty.
    **defaults: the known names and their defaults.

  Raises:
    ValueError: a name that is not among the defaults, or a piece without '='.
  """
  values = dict(defaults)
  for piece in filter(None, text.split(',')):
    name, equals, value = piece.partition('=')
    if not equals or name not in defaults:
      raise ValueError(
        f'unknown config argument {piece!r}; expected name=value with a name of'
        f' {", ".join(defaults)}'
      )
    values[name] = value
  return values


def choose(name: str, value: str, choices) -> str:
  """Returns `value` if it is one of `choices`.

  Raises:
    ValueError: it is not; the message names all of them.
  """
  if value not in choices:
    raise ValueError(
      f'unknown {name} {value!r}; expected one of {", ".join(choices)}'
    )
  return value


def initial(name: str) -> str:
  """Returns where the published weights `name` are expected; '' for none.

  Another place is `--config.initial=FILE`.

  Raises:
    ValueError: neither '' nor a key of `INITIAL`.
  """
  choose('init', name, ('', *INITIAL))
  return f'pretrained/{INITIAL[name]}' if name else ''


def fraction(text: str) -> float:
  """Reads a share of the source images, in (0, 1].

  Raises:
    ValueError: it is not a number in that range.
  """
  try:
    value = float(text)
  except ValueError:
    value = 0.0
  if not 0 < value <= 1:
    raise ValueError(f'fraction={text!r}; expected a number in (0, 1]')
  return value


def _domain(dataset, size, other=(), **more):
  fields = {
    'dataset': dataset,
    'split': 'train',
    'manual_dir': config_dict.placeholder(str),
    'size': size,
    'crop': (0, 0),
    'flip': False,
    # The first images by name, 0 for all; and a random share of these.
    'first': 0,
    'fraction': 1.0,
    'image_resize': 'bicubic',
    'depth_resize': 'default',
    # 'stretch', or 'pad' to keep the aspect.
    'fit': 'stretch',
    # 'raw', or prepared at `size` as 'png' or (quality 95) 'jpeg'.
    'store': 'raw',
    # Folder of a depth tool, instead of the dataset's own depth.
    'depth_dir': config_dict.placeholder(str),
  }
  return config_dict.create(**{**fields, **more, **dict(other)})


def _network():
  return {
    'backbone': 'resnet101',
    'stride_at': 'conv1',
    'norm': 'batch',
    'train_affine': False,
    'init': 'reference',
    'rates': (6, 12, 18, 24),
    'active_rates': 0,
    'depth_scale': 1.0,
    'image_order': 'bgr',
    'image_mean': CAFFE_MEAN,
    'image_scale': (1.0, 1.0, 1.0),
    'dtype': 'float32',
    'remat': False,
    'dot_1x1': True,
    'dot_wgrad': True,
    'barriers': True,
    'aspp_dot': True,
  }


def _optim():
  return {
    'name': 'sgd',
    'learning_rate': 2.5e-4,
    'warmup_steps': 0,
    'betas': (0.9, 0.999),
    'momentum': 0.9,
    'weight_decay': 5e-4,
    'head_multiplier': 10.0,
    'repeats': 'reference',
    'power': 0.9,
    'hold': 0.0,
    'disc_learning_rate': 1e-4,
    'gen_learning_rate': 0.0,
    'disc_betas': (0.9, 0.99),
  }


def base(name: str, pair: str, classes: str = '') -> config_dict.ConfigDict:
  """Returns a config for a method on a pair, in the references' settings.

  Args:
    name: the method.
    pair: a key of `PAIRS`.
    classes: a class set of the pair, or the file of a class table; '' for the
      pair's default.
  """
  choose('pair', pair, PAIRS)
  spec = PAIRS[pair]
  if not classes.lower().endswith(_TABLES):
    classes = choose('classes', classes or spec['classes'][0], spec['classes'])
  config = config_dict.create(
    name=name,
    pair=pair,
    classes=classes,
    num_classes=NUM_CLASSES.get(classes, 0),
    seed=1234,
    # Schedules run to total_steps; training ends at stop_step.
    total_steps=90000,
    stop_step=90000,
    batch_size=1,
    eval_batch_size=1,
    log_every=100,
    eval_every=2000,
    checkpoint_every=2000,
    picture_every=2000,
    keep_last=2,
    # One of several processes, see docs/clusters.md.
    distributed=False,
    # What training begins with: a file of weights, a conversion, or a run.
    initial='',
    initial_checkpoint='last',
    data={
      'data_dir': config_dict.placeholder(str),
      'resize': 'reference',
      'zero_depth': 'keep',
      'far_depth': 'keep',
      'source': _domain(*spec['source']),
      'target': _domain(
        *spec['target'], eval_split='val', eval_labels='native'
      ),
    },
    network=_network(),
    optim=_optim(),
  )
  for side, fields in spec.get('methods', {}).get(name, {}).items():
    config.data[side].update(fields)
  if pair in _SMALL:
    _shrink(config)
  if pair == 'folder':
    # Labels may differ in size.
    config.eval_batch_size = 1
  return config


def self_training(config: config_dict.ConfigDict, *, alpha: float) -> None:
  """Adds what DACS and CorDA share: teacher, pseudo-labels, mixed images.

  Args:
    config: changed in place.
    alpha: largest decay of the teacher's average.
  """
  config.mixing = {
    'alpha': alpha,
    'weight': 'batch',
    'threshold': 0.968,
    'start_step': 0,
    'with_void': True,
    'jitter': 'kornia0.4',
    'jitter_strength': 0.25,
    'jitter_probability': 0.8,
    'blur_sigma': (0.15, 1.15),
    'blur_probability': 0.5,
  }
  # The official code returns inside the loop over its four rates.
  config.network.active_rates = 2
  if config.network.backbone == 'resnet_small':
    config.mixing.alpha = 0.99
    # The student's running statistics are half of the source's.
    config.method.evaluate = 'teacher'
    return
  config.total_steps = config.stop_step = 250000
  config.batch_size = 2
  config.eval_every = config.checkpoint_every = config.picture_every = 5000
  source, target = config.data.source, config.data.target
  if config.pair in ('synthia2cityscapes', 'gta2cityscapes'):
    source.size, target.size = (720, 1280), (512, 1024)
    target.image_resize = 'bilinear'
  # Images are pasted onto one another: one size. 512x512 in the papers.
  sides = zip(source.size, target.size, strict=True)
  source.crop = target.crop = tuple(min(512, *side) for side in sides)


def adversarial(config: config_dict.ConfigDict) -> None:
  """Sets what the adversarial methods need to train the small network."""
  if config.network.backbone == 'resnet_small':
    config.method.disc_width = 16
    config.method.statistics = 'target'
    for field in ('lambda_adv', 'lambda_depth'):
      if config.method.get(field):
        config.method[field] = 1e-2


def translation(config: config_dict.ConfigDict) -> None:
  """Sets the optimizers of GIO-Ada and CycleGAN: Adam, and CycleGAN's schedule.

  Constant for half of the steps, then linearly to 0.
  """
  optim = config.optim
  optim.name = 'adamw'
  optim.learning_rate = optim.disc_learning_rate = 2e-4
  optim.betas = optim.disc_betas = (0.5, 0.999)
  optim.weight_decay = 0.0
  optim.head_multiplier = 1.0
  optim.repeats = 'plain'
  optim.power, optim.hold = 1.0, 0.5
  config.eval_every = config.checkpoint_every = config.picture_every = 5000


def _shrink(config):
  """The small network, trained from scratch: minutes on two cores."""
  config.total_steps = config.stop_step = 1500
  config.batch_size = 2
  config.eval_batch_size = 10
  config.log_every = 20
  config.eval_every = config.checkpoint_every = config.picture_every = 500
  network, optim = config.network, config.optim
  network.backbone = 'resnet_small'
  network.init = 'torch'
  network.train_affine = True
  network.image_scale = (1 / 58.0,) * 3
  network.depth_scale = 100.0
  optim.name = 'adamw'
  optim.learning_rate = 1e-3
  optim.warmup_steps = 50
  optim.head_multiplier = 1.0
  optim.repeats = 'plain'
