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
  config.method = {
    'lambda_cycle': 10.0,
    'lambda_identity': 5.0 * int(identity),
    'gan': 'least_squares',
    'gen_width': 64,
    'gen_blocks': 9,
    'gen_residual': 0.0,
    'disc_width': 64,
    'disc_factor': 0.5,
    'pool_size': 50,
  }
  small = config.network.backbone == 'resnet_small'
  steps = config.total_steps if small else 100000
  common.translation(config)
  config.total_steps = config.stop_step = steps
  if small:
    config.method.gen_width = config.method.disc_width = 16
    config.method.gen_blocks = 6
    config.method.gen_residual = 10.0
    config.optim.disc_learning_rate = 1e-3
    config.eval_every = config.checkpoint_every = config.picture_every = 500
  config.data.source.flip = config.data.target.flip = True
  return config
