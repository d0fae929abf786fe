"""KITTI semantics (Alhaija et al., IJCV 2018): 200 + 200 images.

Download data_semantics.zip from http://www.cvlibs.net/datasets/kitti. These
files are read:

    training/image_2/000000_10.png   about 1242x375
    training/semantic/000000_10.png  Cityscapes label ids
    testing/image_2/000000_10.png    without labels

GIO-Ada adapts to 'test' and scores on 'train'.
"""

from jaxuda.data.files import specs


def describe(name: str) -> specs.Spec:
  """Returns the spec of 'kitti'.

  Raises:
    UserError: the name is unknown.
  """
  specs.check_name(name, ('kitti',))
  return specs.Spec(
    dataset=name,
    ids='kitti',
    homepage='http://www.cvlibs.net/datasets/kitti/eval_semantics.php',
    get='data_semantics.zip',
    spellings={
      'image': (specs.Spelling(shown='<split>/image_2/000000_10.png'),),
      'label': (specs.Spelling(shown='<split>/semantic/000000_10.png'),),
    },
    splits={'training': 'train', 'testing': 'test'},
    # Vegetation, sky, car.
    telltale=(21, 23, 26),
    expected={'train': 200, 'test': 200},
    unlabelled=('test',),
    scored=('train', 'test'),
  )
