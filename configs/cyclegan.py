"""CycleGAN (Zhu et al., ICCV 2017) on the images of a pair.

  jaxuda train --config=cyclegan:pair=streets --workdir=DIR

Arguments: pair; classes (for later training on the translated images);
identity=0 (default) or 1, the identity loss that the official code has by
default. There is no task network, so nothing is evaluated; the pictures show
images of either domain, translated and translated back. The generators serve
GIO-Ada's row cg (configs/gio_ada.py), whose published mIoU on Virtual KITTI ->
KITTI is 39.8, and

  jaxuda translate --workdir=DIR --out=FOLDER

The number of steps is that of GIO-Ada; the paper trains for 200 epochs.
"""

from configs import common


def get_config(arguments: str = ''):
  """Returns the config; see the module's docstring."""
  args = common.parse(arguments, pair='streets', classes='', identity='0')
  config = common.base('cyclegan', args['pair'], args['classes'])
  identity = common.choose('identity', args['identity'], ('0', '1'))
  config.method.lambda_identity = 5.0 * int(identity)
  if common.is_small(config):
    config.method.gen_width = config.method.disc_width = 16
    config.method.gen_blocks = 6
    config.method.gen_residual = 10.0
    # Recorded in all runs, but no network has it: the rate of all four is the
    # discriminators'.
    config.optim.learning_rate = 2e-4
    config.optim.disc_learning_rate = 1e-3
  else:
    config.total_steps = config.stop_step = 100000
    common.set_intervals(config, 5000)
  config.data.source.flip = config.data.target.flip = True
  return config
