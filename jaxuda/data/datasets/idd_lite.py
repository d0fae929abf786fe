"""IDD-Lite, roads in India: 1403 / 204 / 404 images of 320x227, 7 classes.

Source: https://idd.insaan.iiit.ac.in (registration; research use only), from
Varma et al., "IDD", WACV 2019, and Mishra et al., "Semantic segmentation
datasets for resource constrained training", NCVPRIPG 2019. These files are
read, with or without `idd20k_lite/` above them:

    leftImg8bit/train/472/frame0992_image.jpg
    gtFine/train/472/frame0992_label.png       0..6, 255 = ignored

An example is named 'SCENE/STEM', since stems recur in other scenes. Test labels
are withheld, and there is no depth.
"""

from jaxuda.data.files import specs


def describe(name: str) -> specs.Spec:
  """Returns the spec of 'idd_lite'.

  Raises:
    UserError: the name is unknown.
  """
  specs.check_name(name, ('idd_lite',))
  return specs.Spec(
    dataset=name,
    ids='idd_lite',
    homepage='https://idd.insaan.iiit.ac.in',
    get='IDD Lite (idd-lite.tar.gz)',
    spellings={
      'image': _spell('leftImg8bit', '<frame>_image.(jpg|jpeg|png)'),
      'label': _spell('gtFine', '<frame>_label.png'),
    },
    splits={x: x for x in ('train', 'val', 'test')},
    expected={'train': 1403, 'val': 204, 'test': 404},
    unlabelled=('test',),
  )


def _spell(folder: str, file: str) -> tuple[specs.Spelling]:
  return (specs.Spelling(shown=f'{folder}/<split>/<drive>/{file}'),)
