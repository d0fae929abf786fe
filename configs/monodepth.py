"""Self-supervised monocular depth (Godard et al., ICCV 2019), a depth tool.

  jaxuda depth mono --config=monodepth --workdir=DIR

Arguments: dataset=streets (default), cityscapes, kitti or folder;
motion=learned (default) or known (streets only). All but streets also need
`--config.data.manual_dir=FOLDER`. On streets expect an absolute relative error
below 0.25 after half an hour on two cores (0.229 was measured on 60 images with
one seed after 1,200 steps); the others have the settings of the paper's KITTI
runs, but start from scratch.
"""

from ml_collections import config_dict

from configs import common

# Dataset, training size, share of the rows that show the camera's own car.
_DATASETS = {
  'streets': ('streets/target_sequence', (96, 192), 0.0),
  'cityscapes': ('folder', (192, 512), 0.25),
  'kitti': ('folder', (192, 640), 0.0),
  'folder': ('folder', (192, 640), 0.0),
}


def get_config(arguments: str = ''):
  """Returns the config; see the module's docstring."""
  args = common.parse(arguments, dataset='streets', motion='learned')
  kind = common.choose('dataset', args['dataset'], _DATASETS)
  common.choose('motion', args['motion'], ('learned', 'known'))
  dataset, size, crop_bottom = _DATASETS[kind]
  config = config_dict.create(
    name='monodepth',
    seed=1234,
    total_steps=66000,
    stop_step=66000,
    batch_size=12,
    eval_batch_size=10,
    log_every=100,
    eval_every=3300,
    checkpoint_every=3300,
    picture_every=3300,
    keep_last=2,
    distributed=False,
    data={
      'dataset': dataset,
      'data_dir': config_dict.placeholder(str),
      'manual_dir': config_dict.placeholder(str),
      'split': 'train',
      'eval_split': 'val',
      'size': size,
      'crop_bottom': crop_bottom,
      'step': 1,
      'focal': config_dict.placeholder(float),
      'flip': True,
      'workers': 4,
    },
    method={
      'network': 'resnet18',
      'scales': (0, 1, 2, 3),
      'min_depth': 0.1,
      'max_depth': 100.0,
      'ssim_weight': 0.85,
      'lambda_smooth': 1e-3,
      'reprojection': 'minimum',
      'auto_mask': True,
      'motion': args['motion'],
      'rotation_scale': 0.01,
      'jitter': 0.2,
      'learning_rate': 1e-4,
      'drop_at': 0.75,
      'warmup_steps': 0,
    },
  )
  if kind == 'streets':
    _shrink(config)
  config.lock()  # A misspelt field is an error in the line that sets it.
  return config


def _shrink(config):
  """The small network, from scratch: half an hour on two cores."""
  config.total_steps = config.stop_step = 1200
  config.batch_size = 8
  config.log_every = 50
  config.eval_every = config.checkpoint_every = config.picture_every = 300
  config.data.workers = 1
  config.method.network = 'small'
  config.method.scales = (1, 3)
  config.method.rotation_scale = 1e-3
  config.method.jitter = 0.0
  config.method.learning_rate = 1e-3
  config.method.warmup_steps = 50
