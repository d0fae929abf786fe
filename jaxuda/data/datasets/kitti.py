"""KITTI semantics (Alhaija et al., IJCV 2018): 200 images with labels, 200 not.

Download data_semantics.zip from http://www.cvlibs.net/datasets/kitti. Read are

    training/image_2/000000_10.png   about 1242x375
    training/semantic/000000_10.png  Cityscapes label ids
    testing/image_2/000000_10.png    no labels

GIO-Ada adapts to 'test' and is scored on 'train'.
"""

from jaxuda import errors
from jaxuda.data.files import layout as layout_lib


def describe(name: str, manual_dir: str | None = None) -> layout_lib.Spec:
  """Returns the dataset 'kitti'.

  Raises:
    UserError: another name.
  """
  del manual_dir
  if name != 'kitti':
    raise errors.UserError(f'unknown dataset {name!r}; expected kitti')
  return layout_lib.Spec(
    dataset=name,
    ids='kitti',
    homepage='http://www.cvlibs.net/datasets/kitti/eval_semantics.php',
    get='data_semantics.zip',
    spellings={
      'image': (_spell('image_2'),),
      'label': (_spell('semantic'),),
    },
    splits={'training': 'train', 'testing': 'test'},
    # Vegetation, sky, car.
    telltale=(21, 23, 26),
    expected={'train': 200, 'test': 200},
    unlabelled=('test',),
    scored=('train', 'test'),
  )


def _spell(folder: str) -> layout_lib.Spelling:
  return layout_lib.Spelling(
    shown=f'training/{folder}/000000_10.png',
    pattern=rf'(?P<split>training|testing)/{folder}/(?P<key>\d{{6}}_10)\.png',
  )
