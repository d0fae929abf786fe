"""GTA5 (Richter et al., ECCV 2016): 24966 frames of a game.

Download 01_images.zip .. 10_images.zip and 01_labels.zip .. 10_labels.zip from
https://download.visinf.tu-darmstadt.de/data/from_games/. These files are
read:

    images/00001.png     1914x1052, with a few exceptions
    labels/00001.png     palette PNG; its indices are Cityscapes label ids
    disparity/00001.png  16-bit disparity of a network, only for 'gta5/mono'

A few labels differ in size from their image, which resizing hides.
"""

from jaxuda.data.files import specs


def describe(name: str) -> specs.Spec:
  """Returns the spec of 'gta5', or of 'gta5/mono' with monocular disparity.

  Raises:
    UserError: the name is unknown.
  """
  specs.check_name(name, ('gta5', 'gta5/mono'))
  mono = name == 'gta5/mono'
  return specs.Spec(
    dataset=name,
    ids='gta5',
    homepage='https://download.visinf.tu-darmstadt.de/data/from_games/',
    get='01_images.zip .. 10_images.zip and 01_labels.zip .. 10_labels.zip',
    spellings={
      'image': (specs.Spelling(shown='images/00001.png'),),
      'label': (specs.Spelling(shown='labels/00001.png'),),
      'depth': (specs.Spelling(shown='disparity/00001.png'),) if mono else (),
    },
    # Vegetation, sky, car.
    telltale=(21, 23, 26),
    expected={'train': 24966},
    scored=(),
    depth={'depth_code': 'inverse'} if mono else None,
    needs_depth=mono,
    same_size=False,
  )
