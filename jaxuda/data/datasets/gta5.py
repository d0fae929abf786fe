"""GTA5 (Richter et al., ECCV 2016): 24966 frames of a game.

Download 01_images.zip .. 10_images.zip and 01_labels.zip .. 10_labels.zip from
https://download.visinf.tu-darmstadt.de/data/from_games/. Read are

    images/00001.png     1914x1052, a few others
    labels/00001.png     palette PNG; its indices are Cityscapes label ids
    disparity/00001.png  of 'gta5/mono': 16-bit disparity of a network

A few labels have another size than their image, which resizing hides.
"""

from jaxuda import errors
from jaxuda.data.files import layout as layout_lib

_KEY = r'(?P<key>\d{5})\.png'


def describe(name: str, manual_dir: str | None = None) -> layout_lib.Spec:
  """Returns 'gta5', or 'gta5/mono' with disparity of a monocular network.

  Raises:
    UserError: another name.
  """
  del manual_dir
  if name not in ('gta5', 'gta5/mono'):
    raise errors.UserError(
      f'unknown dataset {name!r}; expected gta5 or gta5/mono'
    )

  def spell(folder: str) -> layout_lib.Spelling:
    return layout_lib.Spelling(
      shown=f'{folder}/00001.png', pattern=f'{folder}/{_KEY}'
    )

  mono = name == 'gta5/mono'
  return layout_lib.Spec(
    dataset=name,
    ids='gta5',
    homepage='https://download.visinf.tu-darmstadt.de/data/from_games/',
    get='01_images.zip .. 10_images.zip and 01_labels.zip .. 10_labels.zip',
    spellings={
      'image': (spell('images'),),
      'label': (spell('labels'),),
      'depth': (spell('disparity'),) if mono else (),
    },
    # Vegetation, sky, car.
    telltale=(21, 23, 26),
    expected={'train': 24966},
    scored=(),
    depth={'depth_code': 'inverse'} if mono else None,
    needs_depth=mono,
    same_size=False,
  )
