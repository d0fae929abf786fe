"""Mapillary Vistas (Neuhold et al., ICCV 2017): 18000 / 2000 / 5000 images.

Download from https://www.mapillary.com/dataset/vistas. 'mapillary' reads the
labels of v1.2 (66 ids), 'mapillary_v2' those of v2.0 (124 ids), of

    training/images/<id>.jpg
    training/labels/<id>.png, training/v1.2/labels/<id>.png   v1.2
    training/v2.0/labels/<id>.png                             v2.0

and the same in validation/ and testing/; train, val and test are other
spellings. Labels are palette PNGs, of which the indices are read: colours are
not one to one. Images have many sizes. Test labels are withheld.
"""

from jaxuda import errors
from jaxuda.data.files import layout as layout_lib

_SPLITS = {
  **dict.fromkeys(('training', 'train'), 'train'),
  **dict.fromkeys(('validation', 'val'), 'val'),
  **dict.fromkeys(('testing', 'test'), 'test'),
}


def describe(name: str, manual_dir: str | None = None) -> layout_lib.Spec:
  """Returns 'mapillary' (v1.2) or 'mapillary_v2' (v2.0).

  Raises:
    UserError: another name.
  """
  del manual_dir
  if name not in ('mapillary', 'mapillary_v2'):
    raise errors.UserError(
      f'unknown dataset {name!r}; expected mapillary or mapillary_v2'
    )
  old = (_spell('labels', 'png'), _spell('v1.2/labels', 'png'))
  new = (_spell('v2.0/labels', 'png'),)
  return layout_lib.Spec(
    dataset=name,
    ids=name,
    homepage='https://www.mapillary.com/dataset/vistas',
    get='mapillary-vistas-dataset_public_v1.2.zip or _v2.0.zip',
    spellings={
      'image': (_spell('images', 'jpg'),),
      'label': old if name == 'mapillary' else new,
    },
    splits=_SPLITS,
    # Sky, vegetation, car.
    telltale=(27, 30, 55) if name == 'mapillary' else (61, 64, 108),
    expected={'train': 18000, 'val': 2000, 'test': 5000},
    unlabelled=('test',),
  )


def _spell(folder: str, ending: str) -> layout_lib.Spelling:
  splits = '|'.join(_SPLITS)
  where = folder.replace('.', r'\.')
  return layout_lib.Spelling(
    shown=f'training/{folder}/<id>.{ending}',
    pattern=rf'(?P<split>{splits})/{where}/(?P<key>[^/]+)\.{ending}',
  )
