r"""CycleGAN (Zhu et al., ICCV 2017) on the images of a pair.

  python -m jaxuda.main --config=configs/cyclegan.py:pair=streets --workdir=DIR

Arguments: pair; classes (for those that train on what it makes); identity=0
(default) or 1: the identity loss of the code's default. There is no task
network, so nothing is evaluated; the pictures show what is made of either
domain, and the way back. It serves GIO-Ada's row cg (configs/gio_ada.py), whose
published mIoU on Virtual KITTI -> KITTI is 39.8, and

  python -m jaxuda.translate --workdir=DIR --out=FOLDER

Steps are those of GIO-Ada, the paper's own are 200 epochs.
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
    config.optim.learning_rate = 2e-4
    config.optim.disc_learning_rate = 1e-3
  else:
    config.total_steps = config.stop_step = 100000
    common.set_intervals(config, 5000)
  config.data.source.flip = config.data.target.flip = True
  return config
