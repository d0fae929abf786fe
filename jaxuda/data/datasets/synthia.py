"""SYNTHIA-RAND-CITYSCAPES (Ros et al., CVPR 2016): 9400 rendered images.

Download SYNTHIA_RAND_CITYSCAPES from https://synthia-dataset.net; the archive
SYNTHIA_RAND_CVPR16 is a different collection, without depth. These files are
read:

    RGB/0000000.png                          1280x760
    GT/LABELS/0000000.png                    16-bit colour, ids in red
    parsed_LABELS/0000000.png                8-bit ids (DADA's release)
    synthia_mapped_to_cityscapes/0000000.png 8-bit ids, despite the name
    Depth/0000000.png, Depth/Depth/0000000.png  16-bit, centimetres

under any folder; for labels, the first of these folders that exists is used.
The name `synthia_mapped_to_cityscapes` is also used for a folder whose labels
are train ids. Only the ids themselves tell which one it is; if they do not, the
folder is rejected. Depth 65535, 655.35 m, is the sky. Depth may be missing.
"""

from collections.abc import Sequence

import numpy as np

from jaxuda.data.files import decoding
from jaxuda.data.files import layout as layout_lib
from jaxuda.data.files import specs
from jaxuda.data.files import tree as tree_lib

# Raw ids that are not train ids: wall, lane marking, train, bus.
_ONLY_RAW = (19, 20, 21, 22)
_LOOKED_AT = 60


def describe(name: str) -> specs.Spec:
  """Returns the spec of 'synthia'.

  Raises:
    UserError: the name is unknown.
  """
  specs.check_name(name, ('synthia',))
  return specs.Spec(
    dataset=name,
    ids='synthia',
    homepage='https://synthia-dataset.net',
    get='SYNTHIA_RAND_CITYSCAPES',
    spellings={
      'image': (specs.Spelling(shown='RGB/0000000.png'),),
      'label': (
        specs.Spelling(shown='GT/LABELS/0000000.png', read=_read_official),
        specs.Spelling(shown='parsed_LABELS/0000000.png'),
        specs.Spelling(shown='synthia_mapped_to_cityscapes/0000000.png'),
      ),
      'depth': (specs.Spelling(shown='Depth/[Depth/]0000000.png'),),
    },
    expected={'train': 9400},
    scored=(),
    depth={'depth_code': 'metres', 'depth_unit': 0.01, 'depth_missing': []},
    check=_check_mapped,
  )


def _read_official(tree: tree_lib.Tree, item: specs.Item) -> np.ndarray:
  return decoding.read_synthia_ids(
    tree.read(item.label), tree.where(item.label)
  )


def _check_mapped(layout: layout_lib.Layout) -> Sequence[specs.Problem]:
  """Finds out whether 8-bit labels are raw ids or train ids."""
  if 'label' not in layout.spellings or layout.reader('label'):
    return ()
  tree = layout.tree
  items = [x for x in layout.splits['train'] if x.label]
  if not items:
    # Labels, but none of these images: the layout notes that.
    return ()
  text = (
    f'synthia: {tree.where(items[0].label)} and others have none of the ids'
    ' 19..22, so that raw ids and train ids cannot be told apart; expected'
    ' GT/LABELS of the dataset'
  )
  for item in items[:: max(1, len(items) // _LOOKED_AT)]:
    where = tree.where(item.label)
    ids = np.unique(decoding.read_ids(tree.read(item.label), where))
    if 255 in ids:
      text = (
        f'synthia: {where} has id 255: these are train ids, not SYNTHIA ids;'
        ' expected GT/LABELS of the dataset, or labels with its raw ids 0..22'
      )
      break
    if np.isin(_ONLY_RAW, ids).any():
      return ()
  return (specs.Problem(kind='mapped labels', text=text),)
