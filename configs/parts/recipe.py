"""The parts of DAFormer, HRDA and MIC, as configs switch them on.

Hoyer, Dai and Van Gool, CVPR 2022 and ECCV 2022; Hoyer, Dai, Wang and Van Gool,
CVPR 2023. Sizes and rates are those of their code for GTA5 and SYNTHIA to
Cityscapes; small pairs keep their own.
"""

from ml_collections import config_dict

from configs import common
from configs import corda
from configs import dacs

# Arguments of configs/daformer.py, hrda.py and mic.py.
ARGUMENTS = {
  'pair': 'streets',
  'classes': '',
  'depth': 'none',
  'backbone': '',
  'init': '',
}
# depth= -> the config that it starts from.
METHODS = {'none': dacs, 'corda': corda, 'dada': dacs}
# Numbers of the classes that are things: lights, signs, people, vehicles.
THINGS = {
  'cityscapes19': (6, 7, *range(11, 19)),
  'synthia16': (6, 7, *range(10, 16)),
  'synthia13': (3, 4, *range(7, 13)),
  'coarse7': (2, 5, 6),
  'kitti10': (3, 4, 8, 9),
  'camvid11': (6, 8, 9, 10),
  'idd7': (2, 3, 4),
}
# Height of the target, and margins in its pixels (top, bottom, left, right):
# of crops in DAFormer, which are as high, and of whole images in HRDA.
_MARGINS = ((512, (15, 120, 0, 0)), (1024, (30, 240, 30, 30)))
# Height and width of the source, with its aspect ratio, at 1280 and at 2560.
_SOURCES = {
  'gta2cityscapes': ((704, 1280), (1407, 2560)),
  'synthia2cityscapes': ((760, 1280), (1520, 2560)),
}


def build(args: dict[str, str], *, large: bool) -> config_dict.ConfigDict:
  """Returns DAFormer's recipe on a pair.

  Args:
    args: values of `ARGUMENTS`.
    large: whether the published pairs have twice the size, as in HRDA.
  """
  args = dict(args)
  depth = common.choose('depth', args.pop('depth'), METHODS)
  small = args['pair'] in common.pairs.SMALL
  args['backbone'] = args['backbone'] or ('mit_b0' if small else 'mit_b5')
  if depth == 'corda':
    # The initial head on the backbone, from which the teacher of CorDA's other
    # network labels for 25,001 steps, is meant for schedules of 250,000.
    args['network'] = 'synthia'
  text = ','.join(f'{k}={v}' for k, v in args.items())
  config = METHODS[depth].get_config(text)
  config.network.decoder = 'daformer'
  config.method.average_all = True
  put(config, 'mixing', classes_of='batch', jitter_strength=0.2)
  for side in ('source', 'target'):
    config.data[side].flip = True
  if not small:
    _set_schedule(config)
    _set_sizes(config, large)
  set_rare_classes(config, crop=2.0 if large else 0.5)
  set_features(config)
  if depth == 'dada':
    _set_dada(config)
  return config


def put(config: config_dict.ConfigDict, group: str, **fields) -> None:
  """Sets fields of a group, which the config may already have, in place."""
  config[group] = {**config.get(group, {}), **fields}


def _set_schedule(config):
  config.total_steps = config.stop_step = 40000
  config.batch_size = 2
  common.set_intervals(config, 4000)
  config.network.init = 'mmcv'
  config.optim = {
    'name': 'adamw',
    'learning_rate': 6e-5,
    'weight_decay': 0.01,
    'no_decay': ('norm',),
    'warmup_steps': 1500,
    'warmup_ratio': 1e-6,
    'power': 1.0,
  }
  config.mixing.update(alpha=0.999, count_initial=True)


def _set_dada(config):
  """DADA's depth block with fusion, and its alignment of the outputs."""
  own = common.pairs.PAIRS[config.pair].get('methods', {}).get('dada', {})
  config.data.source.update(own.get('source', {}))
  # As in configs/dada.py.
  weight = 1e-2 if common.is_small(config) else 1e-3
  fields = {'lambda_depth': common.depth_weight(config), 'fuse': True}
  put(config, 'method', adversarial='dada', lambda_adv=weight, **fields)
  if common.is_small(config):
    config.method.disc_width = 16
  # Inverse depths reach the hundreds, which a block would reach late with
  # AdamW, whose steps are all of one size.
  config.network.depth_scale = 100.0


def _set_sizes(config, large):
  source, target = config.data.source, config.data.target
  if config.pair in _SOURCES:
    source.size = _SOURCES[config.pair][large]
    target.size = (1024, 2048) if large else (512, 1024)
  source.image_resize = target.image_resize = 'linear'
  most = 1024 if large else 512
  sides = zip(source.size, target.size, strict=True)
  source.crop = target.crop = tuple(min(most, *side) for side in sides)
  source.crop_most = 0.75
  set_margins(config, large=large)


def set_margins(config: config_dict.ConfigDict, *, large: bool = False) -> None:
  """Sets margins without pseudo-labels if the target is Cityscapes, in place.

  Args:
    config: the height of its target, 512 rows as published, or 1024 if `large`;
      at another height the margins are in proportion.
    large: whether they are HRDA's.
  """
  target = config.data.target
  if not target.dataset.startswith('cityscapes'):
    return
  height, margins = _MARGINS[large]
  margins = tuple(round(x * target.size[0] / height) for x in margins)
  whole = {'margins_of': 'image'} if large else {}
  put(config, 'mixing', margins=margins, **whole)


def set_rare_classes(
  config: config_dict.ConfigDict, *, crop: float = 0.5
) -> None:
  """Switches on rare class sampling, in place.

  Args:
    config: its pair and its sizes.
    crop: share of the pixels required of an image that a crop should have.
  """
  source = config.data.source
  source.rare_temperature = 0.01
  if common.is_small(config):
    # The share of an image of this size that 3,000 pixels are of GTA's
    # 1914x1052; of images that are stored larger it is a smaller one.
    source.rare_pixels = source.size[0] * source.size[1] * 3000 // 2013528
  else:
    source.rare_crop = crop


def set_features(config: config_dict.ConfigDict) -> None:
  """Sets the feature distance, in place.

  There is none with a class table of one's own, which does not say which
  classes are things. With random weights there are no features to keep: its
  weight is then 0, and `jaxuda.ui.command` asks for it if the command line
  names weights. An empty `initial` must be filled there.

  Args:
    config: its class set, and what training starts from.
  """
  things = THINGS.get(config.classes)
  if things:
    weight = 0.0 if config.initial == 'scratch' else 0.005
    config.features = {'weight': weight, 'classes': things}


def set_masked(config: config_dict.ConfigDict, *, block: int = 32) -> None:
  """Switches on masked image consistency, with blocks of so many pixels.

  On small pairs a block is a sixteenth of the image's shorter side, and at
  least 8 pixels.
  """
  if common.is_small(config):
    block = max(8, min(config.data.source.size) // 16)
  config.masking = {'weight': 1.0, 'block': block}
