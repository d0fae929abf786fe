"""Mapillary Vistas (Neuhold et al., ICCV 2017): 18000 / 2000 / 5000 images.

Download it from https://www.mapillary.com/dataset/vistas. 'mapillary' reads the
labels of v1.2 (66 ids), 'mapillary_v2' those of v2.0 (124 ids), from these
files:

    training/images/<id>.jpg
    training/labels/<id>.png, training/v1.2/labels/<id>.png   v1.2
    training/v2.0/labels/<id>.png                             v2.0

and the same in validation/ and testing/; the folders may also be named train,
val and test. Labels are palette PNGs whose indices are read, since the colours
are not unique. Images have many sizes. Test labels are withheld.
"""

from jaxuda.data.files import specs

_SPLITS = {
  **dict.fromkeys(('training', 'train'), 'train'),
  **dict.fromkeys(('validation', 'val'), 'val'),
  **dict.fromkeys(('testing', 'test'), 'test'),
}


def describe(name: str) -> specs.Spec:
  """Returns the spec of 'mapillary' (v1.2) or 'mapillary_v2' (v2.0).

  Raises:
    UserError: the name is unknown.
  """
  specs.check_name(name, ('mapillary', 'mapillary_v2'))
  old = name == 'mapillary'
  folders = ('labels', 'v1.2/labels') if old else ('v2.0/labels',)
  return specs.Spec(
    dataset=name,
    ids=name,
    homepage='https://www.mapillary.com/dataset/vistas',
    get='mapillary-vistas-dataset_public_v1.2.zip or _v2.0.zip',
    spellings={
      'image': (specs.Spelling(shown='<split>/images/<id>.jpg'),),
      'label': tuple(
        specs.Spelling(shown=f'<split>/{x}/<id>.png') for x in folders
      ),
    },
    splits=_SPLITS,
    # Sky, vegetation, car.
    telltale=(27, 30, 55) if old else (61, 64, 108),
    expected={'train': 18000, 'val': 2000, 'test': 5000},
    unlabelled=('test',),
  )
