"""Faults in a set of files that only look wrong: splits, suffixes, doubles.

Each function takes a `layout.Layout` and yields `specs.Problem`s; contents are
not read.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
import difflib
import posixpath
import re
from typing import Any
import unicodedata

from jaxuda.data.files import decoding
from jaxuda.data.files import specs

_LOSSLESS = 'PNG, which keeps every value'
# Endings of pictures, some of which no dataset reads.
_PICTURES = tuple(
  f'.{x}'
  for x in (
    *(*decoding.SUFFIXES, 'gif', 'avif', 'heic', 'heif', 'hif', 'jxl', 'jp2'),
    *('tga', 'exr', 'hdr', 'dng', 'cr2', 'nef', 'arw', 'npy', 'npz'),
  )
)
# What often surrounds the name of a split, as in testset and my_train_images.
_BEFORE = '(?:my|new|data|images?|imgs?)?'
_AFTER = '(?:s|ings?|ungs?)?(?:sets?|split|data|daten|images?|imgs?|frames?)*'
# Splits by other names and in other languages. Any of them may be the name of
# something else, but two of them side by side are splits.
_FOREIGN = (
  *('fold', 'holdout', 'heldout', 'minival', 'lernen', 'pruefung', 'prüfung'),
  *('validierung', 'entrenamiento', 'prueba', 'validacion', 'validación'),
  *('entrainement', 'entraînement', 'apprentissage', 'treino', 'treinamento'),
  *('teste', 'validacao', 'validação', 'addestramento', 'convalida', 'prova'),
  *[
    '训练',
    '训练集',
    '验证',
    '验证集',
    '测试',
    '测试集',
    '学習',
    '訓練',
    '検証',
  ],
)


def find_unread(
  layout: Any, files: Collection[str], bare: Mapping[str, Sequence[str]]
) -> Iterator[specs.Problem]:
  """Yields kinds for which a split has files but none that can be read.

  Args:
    layout: the layout.
    files: kinds of which there are files.
    bare: kind -> splits without files of it.
  """
  spec = layout.spec
  for kind in specs.KINDS:
    reason = f'no {kind} of another suffix'
    paths = [x for x, why in layout.unused if why.startswith(reason)]
    without = set(bare.get(kind, ())) - set(spec.unlabelled)
    if kind == 'image':
      paths = _find_lost(layout, paths)
      without = paths
    if paths and (without or kind not in files):
      folder, first = posixpath.split(paths[0])
      form = posixpath.basename(spec.spellings[kind][0].shown)
      yield specs.Problem(
        kind=f'no {kind} that can be read',
        text=f'{spec.dataset}: {folder}/ has {len(paths)} files, none is {form}'
        f' (first: {first}); expected '
        + ('one of these' if kind == 'image' else _LOSSLESS),
      )


def _find_lost(layout, paths):
  """Returns the unread pictures of splits of which no image is read."""
  spec = layout.spec
  paths = [x for x in paths if x.lower().endswith(_PICTURES)]
  lost = []
  for spelling in spec.spellings['image']:
    near = spelling.compile(list(spec.splits), suffix=False)
    for match in filter(None, map(near.fullmatch, paths)):
      named = match.groupdict().get('split') or ''
      if spec.splits[specs.fold(named)] not in layout.splits:
        lost.append(match.string)
  return lost


def find_shadowed(layout: Any) -> Iterator[specs.Problem]:
  """Yields a problem if files that are used are in two archives."""
  tree = layout.tree
  both = [
    (tree.entries[path], other)
    for items in layout.splits.values()
    for item in items
    for path in (getattr(item, kind) for kind in specs.KINDS)
    for other in tree.shadowed.get(path, ())
    if not tree.entries[path].loose
  ]
  unlike = [(x, other) for x, other in both if x.size != other.size]
  if both:
    first, other = (unlike or both)[0]
    yield specs.Problem(
      kind='duplicate files',
      text=f'{layout.spec.dataset}: {first.where} and {other.where} have the'
      f' same name{count_more(unlike or both)}; expected only one of them',
      # Two copies of a download do no harm.
      fatal=bool(unlike),
    )


def find_odd_splits(layout: Any) -> Iterator[specs.Problem]:
  """Yields folders that look like splits but are none of the known ones.

  If the split is optional in paths, the images in such a folder would be used
  for training.
  """
  spec = layout.spec
  if '' not in spec.splits or len(set(spec.splits.values())) < 2:
    return
  pattern = layout.spellings['image'].compile(list(spec.splits))
  used = [item.image for items in layout.splits.values() for item in items]
  left = [x for x, why in layout.unused if why.startswith('image without')]
  odd: dict[str, list[str]] = {}
  with_split = False
  for path in (*used, *left):
    match = pattern.fullmatch(path)
    if match and match['split']:
      with_split = True
      continue
    # The parent folder of images/, or a subfolder of it.
    parts = re.split('(?:^|/)images/', path, maxsplit=1, flags=re.I)
    for folder in (parts[0], posixpath.dirname(parts[-1])):
      if folder:
        odd.setdefault(folder, []).append(path)
  known = [x for x in spec.splits if x]
  compound = f'{_BEFORE}(?:{"|".join(known)}){_AFTER}'
  foreign = [x for x in odd if set(_FOREIGN) & set(_list_words(x))]
  named = {x: _find_splits(x, spec) for x in odd}
  several = len(set().union(*named.values())) > 1
  for folder, paths in odd.items():
    words = _list_words(folder)
    alike = any(difflib.get_close_matches(x, known, 1, 0.75) for x in words)
    alike |= any(re.fullmatch(compound, x) for x in words)
    alike |= len(foreign) > 1 and folder in foreign
    # One alone may be the name of a scene.
    alike |= several and bool(named[folder])
    if alike or with_split:
      yield specs.Problem(
        kind='folder that is not a split',
        text=f'{spec.dataset}: {folder}/ looks like a split but is not one'
        f' (first: {layout.tree.where(paths[0])}{count_more(paths)}); expected'
        f' one of {", ".join(known)}, or all images without a split',
      )


def find_unread_splits(layout: Any) -> Iterator[specs.Problem]:
  """Yields pictures in folders named after a split of which none is read.

  Such as those of images_val/, beside images/.
  """
  spec = layout.spec
  if '' not in spec.splits or len(set(spec.splits.values())) < 2:
    return
  found: dict[str, list[str]] = {}
  for path, why in layout.unused:
    if why.startswith('not a path') and path.lower().endswith(_PICTURES):
      for split in _find_splits(posixpath.dirname(path), spec):
        found.setdefault(split, []).append(path)
  for split in found.keys() - layout.splits.keys():
    paths = found[split]
    yield specs.Problem(
      kind='folder that is not read',
      text=f'{spec.dataset}: {layout.tree.where(paths[0])}'
      f'{count_more(paths)} exists but is not read, and there are no images of'
      f' {split}; expected {layout.spellings["image"].shown}',
      # They may be something else.
      fatal=False,
    )


def _find_splits(path, spec):
  """Returns the splits that are among the words of folders' names."""
  words = re.split(r'[\W\d_]+', specs.fold(path))
  return {spec.splits[x] for x in words if x and x in spec.splits}


def _list_words(folder):
  """Returns the names of nested folders, in lower case and without digits."""
  return [
    unicodedata.normalize('NFC', re.sub(r'[\d_ -]+', '', x.lower()))
    for x in folder.split('/')
  ]


def count_more(found: Sequence[Any]) -> str:
  """Returns ' (and N more)' for the others after the first; '' if none."""
  return f' (and {len(found) - 1} more)' if len(found) > 1 else ''
