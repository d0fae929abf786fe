"""The miniature of every builder of files."""

from tests.data import releases

# Dataset -> writer, a label and a depth map of one example, and the folders of
# all images, labels and depth.
DATASETS = {
  'synthia': (
    releases.synthia,
    'RAND_CITYSCAPES/RGB/0000001.png',
    'RAND_CITYSCAPES/GT/LABELS/0000001.png',
    'RAND_CITYSCAPES/Depth/Depth/0000001.png',
  ),
  'gta5/mono': (
    lambda root: releases.gta5(root, mono=True),
    'images/00002.png',
    'labels/00002.png',
    'disparity/00002.png',
  ),
  'cityscapes/disparity': (
    lambda root: releases.cityscapes(root, kind='disparity'),
    'leftImg8bit/val/aachen/aachen_000001_000019_leftImg8bit.png',
    'gtFine/val/aachen/aachen_000001_000019_gtFine_labelIds.png',
    'disparity/val/aachen/aachen_000001_000019_disparity.png',
  ),
  'mapillary': (
    releases.mapillary,
    'training/images/id-0_x.jpg',
    'training/labels/id-0_x.png',
    None,
  ),
  'mapillary_v2': (
    lambda root: releases.mapillary(root, version='2.0'),
    'training/images/id-0_x.jpg',
    'training/v2.0/labels/id-0_x.png',
    None,
  ),
  'kitti': (
    releases.kitti,
    'data_semantics/training/image_2/000001_10.png',
    'data_semantics/training/semantic/000001_10.png',
    None,
  ),
  'idd_lite': (
    releases.idd_lite,
    'leftImg8bit/train/472/0992_image.jpg',
    'gtFine/train/472/0992_label.png',
    None,
  ),
  'vkitti': (
    releases.vkitti,
    'vkitti_1.3.1_rgb/0001/clone/00001.png',
    'vkitti_1.3.1_scenegt/0001/clone/00001.png',
    'vkitti_1.3.1_depthgt/0001/clone/00001.png',
  ),
  'folder': (
    releases.folder,
    'images/a b-1.jpg',
    'labels/a b-1.png',
    'depth/a b-1.png',
  ),
}


def write(tmp_path, name):
  """Returns the miniature's folder, and the three files of the table."""
  root = tmp_path / 'raw'
  writer, *paths = DATASETS[name]
  writer(root)
  return root, [x and root / x for x in paths]
