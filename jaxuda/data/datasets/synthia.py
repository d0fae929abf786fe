"""SYNTHIA-RAND-CITYSCAPES (Ros et al., CVPR 2016): 9400 rendered images.

Download SYNTHIA_RAND_CITYSCAPES from https://synthia-dataset.net; the archive
SYNTHIA_RAND_CVPR16 is another collection, without depth. Read are

    RGB/0000000.png                          1280x760
    GT/LABELS/0000000.png                    16-bit colour, ids in red
    parsed_LABELS/0000000.png                8-bit ids (DADA's release)
    synthia_mapped_to_cityscapes/0000000.png 8-bit ids, in spite of its name
    Depth/0000000.png, Depth/Depth/0000000.png  16-bit, centimetres

wherever they begin, the first label folder that is there. Under the name
`synthia_mapped_to_cityscapes` also goes a folder whose labels are train ids:
which one it is can only be told from its ids, and where it cannot, it is
refused. Depth 65535, 655.35 m, is the sky. Depth may be absent.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from jaxuda import errors
from jaxuda.data.files import decoding
from jaxuda.data.files import layout as layout_lib
from jaxuda.data.files import tree as tree_lib

# Wall, lane marking, train, bus: raw ids that are no train ids.
_ONLY_RAW = (19, 20, 21, 22)
_LOOKED_AT = 60


def describe(name: str, manual_dir: str | None = None) -> layout_lib.Spec:
  """Returns the dataset 'synthia'.

  Raises:
    UserError: another name.
  """
  del manual_dir
  if name != 'synthia':
    raise errors.UserError(f'unknown dataset {name!r}; expected synthia')
  key = r'(?P<key>\d{7})\.png'

  def spell(folder: str, **more: Any) -> layout_lib.Spelling:
    return layout_lib.Spelling(
      shown=f'{folder}/0000000.png', pattern=f'{folder}/{key}', **more
    )

  return layout_lib.Spec(
    dataset=name,
    ids='synthia',
    homepage='https://synthia-dataset.net',
    get='SYNTHIA_RAND_CITYSCAPES',
    spellings={
      'image': (spell('RGB'),),
      'label': (
        spell('GT/LABELS', read=_read_official),
        spell('parsed_LABELS'),
        spell('synthia_mapped_to_cityscapes'),
      ),
      'depth': (
        layout_lib.Spelling(
          shown='Depth/[Depth/]0000000.png',
          pattern=f'Depth/(?:Depth/)?{key}',
        ),
      ),
    },
    expected={'train': 9400},
    scored=(),
    depth={'depth_code': 'metres', 'depth_unit': 0.01, 'depth_missing': []},
    check=_check_mapped,
  )


def _read_official(tree: tree_lib.Tree, item: layout_lib.Item) -> np.ndarray:
  return decoding.read_synthia_ids(
    tree.read(item.label), tree.where(item.label)
  )


def _check_mapped(
  tree: tree_lib.Tree, layout: layout_lib.Layout
) -> Sequence[layout_lib.Problem]:
  """Finds out whether 8-bit labels are raw ids or train ids."""
  spelling = layout.spellings.get('label')
  if spelling is None or spelling.read is not None:
    return ()
  items = [x for x in layout.splits['train'] if x.label]
  folder = tree.where(items[0].label)
  for item in items[:: max(1, len(items) // _LOOKED_AT)]:
    where = tree.where(item.label)
    ids = np.unique(decoding.read_ids(tree.read(item.label), where))
    if 255 in ids:
      text = (
        f'synthia: {where} has id 255: these are train ids, not SYNTHIA ids;'
        ' expected GT/LABELS of the dataset, or labels with its raw ids 0..22'
      )
      return (layout_lib.Problem(kind='mapped labels', text=text),)
    if np.isin(_ONLY_RAW, ids).any():
      return ()
  text = (
    f'synthia: {folder} and others have none of the ids 19..22, so that raw ids'
    ' and train ids cannot be told apart; expected GT/LABELS of the dataset'
  )
  return (layout_lib.Problem(kind='mapped labels', text=text),)
