"""Published checkpoints, and how each is scored as its authors did.

  jaxuda evaluate --weights=FILE --config=CONFIG OVERRIDES

Input size, normalisation, resizing filters and label resolution come from the
config; the place of the strides and the number of active dilations come from
the file. The figures are the authors' own. A checkpoint is a single run; papers
often quote the best run, or a mean.
"""

import dataclasses


@dataclasses.dataclass(frozen=True, kw_only=True)
class Checkpoint:
  """A file that authors have published.

  Attributes:
    file: name of the file.
    method: method that trained it, or the data that it was trained on.
    config: value of `--config`; '' for weights that training only starts from.
    expected: figure of `jaxuda evaluate` -> value in percent; {} if none is
      known.
    protocol: the images that the figures were measured on, and their sizes.
  """

  file: str
  method: str
  config: str = ''
  expected: dict[str, float] = dataclasses.field(default_factory=dict)
  protocol: str = ''


_CITYSCAPES = '500 images, network at 512x1024, labels at 1024x2048'
_LARGE = '500 images, network at 1024x2048 in windows, labels likewise'
_WINDOWS = (
  '500 images of 1024x2048 in windows, --config.data.target.size="(1024, 1024)"'
  ' --window; trained once more by the authors after the paper'
)
_DEPDIS = '500 images, network at 760x1280, labels at 1024x2048'
_LOW = '500 images, network at 320x640, labels at 1024x2048'
_MAPILLARY = '2,000 images, padded to 768x1024, labels at their own size'

INITIAL = (
  Checkpoint(
    file='DeepLab_resnet_pretrained_imagenet.pth',
    method='ImageNet, Caffe',
    protocol='initialises ADVENT, DADA, Depth Distribution and CTRL',
  ),
  Checkpoint(
    file='DeepLab_resnet_pretrained_init-f81d91e8.pth',
    method='ImageNet, Caffe',
    protocol='initialises AdaptSegNet, and CorDA with init=imagenet',
  ),
  Checkpoint(
    file='resnet101COCO-41f33a49.pth',
    method='COCO, Caffe',
    protocol='initialises DACS, and CorDA with init=coco',
  ),
  Checkpoint(
    file='vgg16-397923af.pth',
    method='ImageNet, torchvision',
    protocol='initialises GIO-Ada, whose configs have the RGB input it needs',
  ),
)

TRAINED = (
  Checkpoint(
    file='synthia2cityscapes_dada.pth',
    method='DADA',
    config='configs/dada.py:pair=synthia2cityscapes',
    expected={'mIoU16': 42.6, 'mIoU13': 49.8},
    protocol=_CITYSCAPES,
  ),
  Checkpoint(
    file='synthia2cityscapes_dada_cyclegan.pth',
    method='DADA on translated images',
    config='configs/dada.py:pair=synthia2cityscapes',
    expected={'mIoU16': 43.1},
    protocol=_CITYSCAPES,
  ),
  Checkpoint(
    file='synthia2mapillary_dada.pth',
    method='DADA',
    config='configs/dada.py:pair=synthia2mapillary',
    expected={'mIoU7': 67.6},
    protocol=_MAPILLARY,
  ),
  Checkpoint(
    file='gta2cityscapes_advent.pth',
    method='AdvEnt',
    config='configs/advent.py:pair=gta2cityscapes,multi_level=1',
    protocol=_CITYSCAPES,
  ),
  Checkpoint(
    file='gta2cityscapes_minent_ER.pth',
    method='MinEnt',
    config='configs/advent.py:pair=gta2cityscapes,ablation=minent,'
    'multi_level=1',
    protocol=_CITYSCAPES,
  ),
  Checkpoint(
    file='gta2cityscapes_advent_cyclegan.pth',
    method='AdvEnt on translated images',
    config='configs/advent.py:pair=gta2cityscapes,multi_level=1',
    protocol=_CITYSCAPES,
  ),
  Checkpoint(
    file='Syn_City_16cls(M4).pth',
    method='Depth Distribution',
    config='configs/depdis.py:pair=synthia2cityscapes',
    expected={'mIoU16': 48.2, 'mIoU13': 55.5},
    protocol=_DEPDIS,
  ),
  Checkpoint(
    file='Syn_City_7cls.pth',
    method='Depth Distribution',
    config='configs/depdis.py:pair=synthia2cityscapes,classes=coarse7',
    expected={'mIoU7': 72.6},
    protocol=_DEPDIS,
  ),
  Checkpoint(
    file='Syn_City_7cls_small.pth',
    method='Depth Distribution',
    config='configs/depdis.py:pair=synthia2cityscapes_low',
    expected={'mIoU7': 67.7},
    protocol=_LOW,
  ),
  Checkpoint(
    file='Syn_Map_7cls.pth',
    method='Depth Distribution',
    config='configs/depdis.py:pair=synthia2mapillary',
    expected={'mIoU7': 70.4},
    protocol='2,000 images, padded to 760x1280, labels likewise',
  ),
  Checkpoint(
    file='Syn_Map_7cls_small.pth',
    method='Depth Distribution',
    config='configs/depdis.py:pair=synthia2mapillary_low',
    expected={'mIoU7': 60.3},
    protocol='2,000 images, padded to 320x640, labels likewise',
  ),
  Checkpoint(
    file='synthia/checkpoint-iter250000.pth',
    method='CorDA',
    config='configs/corda.py:pair=synthia2cityscapes',
    expected={'mIoU16': 56.3},
    protocol=_CITYSCAPES + '; the paper, a mean of five runs: 55.0',
  ),
  Checkpoint(
    file='gta/checkpoint-iter250000.pth',
    method='CorDA',
    config='configs/corda.py:pair=gta2cityscapes,network=gta',
    expected={'mIoU19': 57.7},
    protocol=_CITYSCAPES + '; the paper, a mean of five runs: 56.6',
  ),
  Checkpoint(
    file='211108_1622_gta2cs_daformer_s0_7f24c/latest.pth',
    method='DAFormer',
    config='configs/daformer.py:pair=gta2cityscapes',
    expected={'mIoU19': 68.85},
    protocol=_CITYSCAPES + '; the paper, a mean of three runs: 68.3',
  ),
  Checkpoint(
    file='gtaHR2csHR_hrda_246ef/iter_40000_relevant.pth',
    method='HRDA',
    config='configs/hrda.py:pair=gta2cityscapes',
    expected={'mIoU19': 73.79},
    protocol=_LARGE + '; the paper, a mean of three runs: 73.8',
  ),
  Checkpoint(
    file='gtaHR2csHR_mic_hrda_650a8/iter_40000_relevant.pth',
    method='MIC on HRDA',
    config='configs/mic.py:pair=gta2cityscapes',
    expected={'mIoU19': 75.9},
    protocol=_LARGE,
  ),
  Checkpoint(
    file='vfmuda_base_gta2city_771miou_step40000.ckpt',
    method='VFM-UDA, ViT-B',
    config='configs/dacs.py:pair=gta2cityscapes,backbone=dinov2_b',
    expected={'mIoU19': 77.1},
    protocol=_WINDOWS,
  ),
  Checkpoint(
    file='vfmuda_large_gta2city_784miou_step40000.ckpt',
    method='VFM-UDA, ViT-L',
    config='configs/dacs.py:pair=gta2cityscapes,backbone=dinov2_l',
    expected={'mIoU19': 78.4},
    protocol=_WINDOWS,
  ),
)
