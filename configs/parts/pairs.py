"""Pairs of domains, and their class sets; `common.base` reads them."""

# The classes of a table of your own are counted by training (see docs/data.md).
NUM_CLASSES = {
  'cityscapes19': 19,
  'synthia16': 16,
  'synthia13': 13,
  'coarse7': 7,
  'kitti10': 10,
  'camvid11': 11,
  'idd7': 7,
}

_SYNTHIA_CLASSES = ('synthia16', 'cityscapes19', 'synthia13', 'coarse7')
_PADDED = {'fit': 'pad'}
_KITTI = {'split': 'test', 'eval_split': 'train'}
# Datasets with depth: of the target, and of a source that has none of its own.
_STEREO = {'target': {'dataset': 'cityscapes/stereo'}}
_MONO_SOURCE = {'source': {'dataset': 'gta5/mono'}}
# DACS and CorDA have an output for every class of Cityscapes, though SYNTHIA's
# labels have only 16 of them, and are scored over those 16.
_SYNTHIA_METHODS = {
  'dacs': {'classes': 'cityscapes19'},
  'corda': {'classes': 'cityscapes19', **_STEREO},
}

# source, target: dataset, training size (height, width), and other fields of
# `_domain`. classes: the class sets that make sense; the first is the default.
# methods: a method's own default class set, and what it reads instead.
# backbone: a key of `common.BACKBONES`, which the pair has if its weights are
# installed.
#
# Sizes and rules are those of ADVENT (GTA5), DADA (the others), CTRL (low) and
# GIO-Ada (Virtual KITTI: its sizes are not given, these are the native ones);
# `self_training` has those of DACS and CorDA, configs/depdis.py of DepDis.
PAIRS = {
  'streets': {
    # Rendered at 160x320 and scored there; trained at a smaller size, for CPUs.
    'source': ('streets/source', (96, 192)),
    'target': ('streets/target', (96, 192)),
    'classes': ('cityscapes19', 'synthia16', 'synthia13', 'coarse7'),
  },
  'streets2camvid': {
    'source': ('streets/wide_180x240', (180, 240)),
    'target': ('camvid', (180, 240)),
    'classes': ('camvid11',),
    'backbone': 'efficientnet_lite0',
  },
  # IDD-Lite's 227x320, reduced to whole steps of the network's stride.
  'streets2idd': {
    'source': ('streets/wide_176x248', (176, 248)),
    'target': ('idd_lite', (176, 248)),
    'classes': ('idd7',),
    'backbone': 'efficientnet_lite0',
  },
  # Its source has no depth: `depth_dir`, see docs/data.md.
  'camvid2idd': {
    'source': ('camvid', (176, 248)),
    'target': ('idd_lite', (176, 248)),
    'classes': ('idd7',),
    'backbone': 'efficientnet_lite0',
  },
  'synthia2cityscapes': {
    'source': ('synthia', (760, 1280)),
    'target': ('cityscapes', (512, 1024)),
    'classes': _SYNTHIA_CLASSES,
    'methods': _SYNTHIA_METHODS,
  },
  'synthia2cityscapes_low': {
    'source': ('synthia', (320, 640)),
    'target': ('cityscapes', (320, 640)),
    'classes': ('coarse7', 'synthia16', 'cityscapes19', 'synthia13'),
    'methods': _SYNTHIA_METHODS,
  },
  'gta2cityscapes': {
    'source': ('gta5', (720, 1280)),
    'target': ('cityscapes', (512, 1024)),
    'classes': ('cityscapes19', 'synthia16', 'synthia13', 'coarse7'),
    'methods': {
      'corda': {
        # Interpolates raw disparity instead of taking its nearest value.
        'source': {'dataset': 'gta5/mono', 'depth_resize': 'linear'},
        **_STEREO,
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
    'backbone': 'efficientnet_lite0',
  },
  # Two folders of your own, and a class table: classes=FILE.
  'folder': {
    'source': ('folder/source', (192, 256)),
    'target': ('folder/target', (192, 256)),
    'classes': tuple(NUM_CLASSES),
  },
}
# Small images, on which the small network trains from scratch on a CPU.
SMALL = (
  *('streets', 'streets2camvid', 'streets2idd', 'camvid2idd'),
  *('camvid_day2dusk', 'folder'),
)

# The schedule of small pairs that start from their own backbone's weights, and
# its stride: the rate chosen for source-only, the length for adaptation, on
# CamVid's validation images, see docs/scores.md.
PRETRAINED = {
  'batch_size': 4,
  'total_steps': 800,
  'stop_step': 800,
  **dict.fromkeys(('eval_every', 'checkpoint_every', 'picture_every'), 200),
  'network': {'output_stride': 16},
  'optim': {'learning_rate': 2e-3},
}
