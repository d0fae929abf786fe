"""Finds a dataset's files and pairs those that belong together.

Files with the same split and name form an example; see `specs` for spellings.
"""

from collections.abc import Callable, Iterator, Mapping
import dataclasses
import os
import re
import unicodedata

import numpy as np

from jaxuda import errors
from jaxuda.data.classes import labels
from jaxuda.data.files import decoding
from jaxuda.data.files import specs
from jaxuda.data.files import suspicions
from jaxuda.data.files import tree as tree_lib
from jaxuda.data.pixels import aspect

KINDS = specs.KINDS


@dataclasses.dataclass(frozen=True, kw_only=True)
class Layout:
  """The files found for a dataset, and how to read them.

  Attributes:
    tree: the files under the user's folder.
    spec: description of the dataset.
    splits: name of a split -> its examples, sorted by name.
    spellings: kind of file -> the spelling that is used.
    unlabelled: splits without labels.
    depthless: splits without depth.
    problems: faults in the set of files, whose contents have not been read.
    unused: (path, reason) for every file that no example uses.
  """

  tree: tree_lib.Tree
  spec: specs.Spec
  splits: specs.Splits
  spellings: Mapping[str, specs.Spelling]
  unlabelled: tuple[str, ...]
  depthless: tuple[str, ...]
  problems: list[specs.Problem]
  unused: tuple[tuple[str, str], ...]

  def describe(self) -> str:
    """Returns the spellings found, in human-readable form."""
    return ', '.join(f'{k} {v.shown}' for k, v in self.spellings.items())

  def reader(self, kind: str) -> Callable[..., np.ndarray] | None:
    """Returns the reader of a 'label' or 'depth', or None for a plain PNG."""
    of_all = {'label': self.spec.read_label, 'depth': self.spec.read_depth}
    return self.spellings[kind].read or of_all[kind]

  def read_label(
    self, item: specs.Item, codes: np.ndarray | None = None
  ) -> np.ndarray:
    """Reads a label map as raw ids: uint8 [H, W].

    With `codes`, the result of `Spec.read_codes`, it is not decoded again.

    Raises:
      UserError: the file is broken, not a label map, or has ids that are not in
        the table.
    """
    where, read = self.tree.where(item.label), self.reader('label')
    if read is not None:
      ids = read(self.tree, item, *(() if codes is None else (codes,)))
    else:
      ids = decoding.read_ids(self.tree.read(item.label), where)
    labels.check_ids(ids, dataset=self.spec.ids, file=where, own=self.spec.own)
    return ids

  def read_depth(self, item: specs.Item) -> np.ndarray:
    """Reads raw depth: uint16 [H, W].

    Raises:
      UserError: the file is broken, or not raw depth.
    """
    read = self.reader('depth')
    if read is not None:
      return read(self.tree, item)
    where = self.tree.where(item.depth)
    return decoding.read_depth(self.tree.read(item.depth), where)

  def compare_sizes(
    self,
    item: specs.Item,
    kind: str,
    shape: tuple[int, ...],
    size: tuple[int, ...],
  ) -> specs.Problem | None:
    """Returns a problem if a map and its image differ in size, else None.

    Args:
      item: files of the example.
      kind: kind of the map, 'label' or 'depth'.
      shape: (height, width) of the map.
      size: (height, width) of the image.
    """
    if tuple(shape) == tuple(size):
      return None
    path, image = (
      self.tree.where(x) for x in (getattr(item, kind), item.image)
    )
    # The network that predicted it may have had a smaller input.
    inverse = kind == 'depth' and self.spec.depth['depth_code'] == 'inverse'
    # Where sizes may differ, the image is not read again for a mere note.
    turned = 1 if inverse else decoding.orientation(self.tree.read(item.image))
    note = f', rotated by its EXIF orientation {turned}' if turned != 1 else ''
    return specs.Problem(
      kind=f'size of {kind}',
      text=f'{path} is {shape[1]}x{shape[0]} and its image {image}'
      f' {size[1]}x{size[0]}{note}; expected one size',
      fatal=self.spec.same_size
      and (not inverse or aspect.is_turned(shape, size)),
    )


def find(root: str | os.PathLike[str], spec: specs.Spec) -> Layout:
  """Finds a dataset's files and pairs them.

  Args:
    root: the user's folder or archive.
    spec: description of the dataset.

  Raises:
    UserError: there is no such folder, a broken archive, or no images.
  """
  tree = tree_lib.Tree(root, dataset=spec.dataset, get=spec.get)
  problems: list[specs.Problem] = []
  spellings, files, claimed = {}, {}, set()
  for kind in KINDS:
    for spelling in spec.spellings.get(kind, ()):
      found = _match_files(tree, spec, kind, spelling, problems, claimed)
      claimed.update(x.string for x in found.values())
      if found and kind not in files:
        spellings[kind], files[kind] = spelling, found
      elif found:
        problems.append(
          specs.Problem(
            kind=f'more than one {kind} folder',
            text=f'{spec.dataset}: {spellings[kind].shown} and'
            f' {spelling.shown} both exist; {spellings[kind].shown} is'
            ' used',
            fatal=False,
          )
        )
  if 'image' not in files:
    raise errors.UserError(_explain_nothing(tree, spec))
  splits = _pair(spec, spellings, files)
  bare = {
    kind: [
      split
      for split, items in splits.items()
      if not any(getattr(x, kind) for x in items)
    ]
    for kind in KINDS[1:]
  }
  layout = Layout(
    tree=tree,
    spec=spec,
    splits=splits,
    spellings=spellings,
    unlabelled=tuple(
      x for x in splits if x in bare['label'] or x in spec.unlabelled
    ),
    depthless=tuple(bare['depth']),
    problems=problems,
    unused=tuple(_find_unused(tree, spec, splits)),
  )
  problems += _find_unpaired(layout, files, bare)
  problems += suspicions.find_unread(layout, files, bare)
  problems += suspicions.find_odd_splits(layout)
  problems += suspicions.find_unread_splits(layout)
  problems += suspicions.find_shadowed(layout)
  problems += [
    specs.Problem(
      kind='archives that cannot be read',
      text=f'{spec.dataset}: {tree_lib.explain_unread(x)}, if it is needed',
      fatal=False,
    )
    for x in tree.unread
  ]
  return layout


def _match_files(tree, spec, kind, spelling, problems, claimed):
  """Returns a dict from (split, name) to the match of a spelling's file."""
  pattern = spelling.compile(list(spec.splits))
  found: dict[tuple[str, str], re.Match[str]] = {}
  for path in tree.entries:
    match = pattern.fullmatch(path)
    if match is None or path in claimed:
      continue
    words = match.groupdict()
    split = spec.splits.get(specs.fold(words.get('split') or ''))
    if split is None or (kind != 'image' and split in spec.unlabelled):
      continue
    key = (split, _one_form(spelling.name(words)))
    other = found.setdefault(key, match).string
    if other == path or tree.same(other, path):
      continue
    # If a file exists both loose and in an archive, the loose one is taken.
    loose = [tree.entries[x].loose for x in (other, path)]
    if loose[0] == loose[1]:
      problems.append(
        specs.Problem(
          kind='duplicate files',
          text=f'{spec.dataset}: {tree.where(other)} and {tree.where(path)}'
          ' have the same name; expected only one of them',
        )
      )
    elif loose[1]:
      found[key] = match
  return found


def _pair(spec, spellings, files) -> specs.Splits:
  splits: dict[str, list[specs.Item]] = {}
  for (split, name), match in sorted(files['image'].items()):
    words, paths = match.groupdict(), {}
    for kind in KINDS[1:]:
      if kind in files:
        own = _one_form(spellings[kind].name(words))
        other = files[kind].get((split, own))
        paths[kind] = other.string if other else ''
    splits.setdefault(split, []).append(
      specs.Item(name=name, image=match.string, **paths)
    )
  known = dict.fromkeys(spec.splits.values())
  ordered = {x: tuple(splits[x]) for x in known if x in splits}
  return spec.choose(ordered) if spec.choose else ordered


def _find_unpaired(layout, files, bare) -> Iterator[specs.Problem]:
  """Yields which images lack files of a kind, and which files lack an image."""
  spec, tree, splits = layout.spec, layout.tree, layout.splits
  for kind in KINDS[1:]:
    if not spec.spellings.get(kind):
      continue
    if kind == 'depth' and spec.needs_depth:
      yield from _find_no_depth(layout, bare[kind])
    what = {'extra': 'camera or colour file'}.get(kind, kind)
    # Extra files are required by the kind that cannot be read without them.
    needy = {'extra': 'depth' if spec.factor else 'label'}.get(kind, 'image')
    for split, items in splits.items():
      lonely = [x for x in items if not getattr(x, kind) and getattr(x, needy)]
      # A kind may be missing altogether, e.g. labels of an unlabelled split.
      if lonely and (kind == 'extra' or split not in bare[kind]):
        spelling = layout.spellings.get(kind, spec.spellings[kind][0])
        pattern = layout.spellings['image'].compile(list(spec.splits))
        words = pattern.fullmatch(lonely[0].image).groupdict()
        yield specs.Problem(
          kind=f'images without {what}',
          text=f'{spec.dataset}: {tree.where(lonely[0].image)} has no {what}'
          f'{suspicions.count_more(lonely)}; expected {spelling.fill(words)}',
        )
    stray = [
      match.string
      for key, match in files.get(kind, {}).items()
      if kind != 'extra' and key not in files['image']
    ]
    if stray:
      yield specs.Problem(
        kind=f'{kind} without image',
        text=f'{spec.dataset}: {tree.where(stray[0])} has no'
        f' image{suspicions.count_more(stray)}',
        fatal=False,
      )


def _find_no_depth(layout, bare):
  """Yields a problem if depth is required and missing where it is trained."""
  spec = layout.spec
  trained = [x for x in bare if x not in spec.scored]
  whole = len(bare) == len(layout.splits)
  if whole or trained:
    where = '' if whole else f' for {" and ".join(trained)}'
    yield specs.Problem(
      kind='no depth',
      text=f'{spec.dataset}: {layout.tree.root} has no depth{where}; expected'
      f' {_show(spec, "depth")}',
    )


def _one_form(name):
  """Returns a name in the Unicode form that is used to compare names.

  macOS stores letters and their accents separately.
  """
  return unicodedata.normalize('NFC', name)


def _find_unused(tree, spec, splits):
  """Yields (path, reason) for the files that no example uses."""
  used = {
    path
    for items in splits.values()
    for item in items
    for path in (getattr(item, kind) for kind in KINDS)
  }
  places = list(spec.splits)
  near = [
    (kind, spelling, spelling.compile(places, suffix=False))
    for kind in KINDS
    for spelling in spec.spellings.get(kind, ())
  ]
  exact = {id(x): x.compile(places) for _, x, _ in near}
  tables = {x for x in tree.entries if x.lower() in spec.tables}
  for path in sorted(set(tree.entries) - used - tables):
    matches = [(k, x) for k, x, pattern in near if pattern.fullmatch(path)]
    whole = [k for k, x in matches if exact[id(x)].fullmatch(path)]
    if whole:
      reason = f'{whole[0]} without an example'
    elif matches:
      kind, spelling = matches[0]
      lossy = path.lower().endswith(('.jpg', '.jpeg', '.jpe', '.jfif'))
      reason = f'no {kind} of another suffix than {spelling.shown} is read'
      if kind != 'image' and lossy:
        reason += '; JPEG changes values'
    else:
      reason = f'not a path of {spec.dataset}'
    yield path, reason


def _show(spec, kind):
  shown = ' or '.join(x.shown for x in spec.spellings[kind])
  if '<split>' in shown:
    shown += f', <split> being {", ".join(filter(None, spec.splits))}'
  return shown


def _explain_nothing(tree, spec):
  expected = _show(spec, 'image')
  text = f'{spec.dataset}: {tree.root} has no images; expected {expected}'
  if tree.unread:
    text += f'; {tree_lib.explain_unread(tree.unread[0])}'
  return f'{text} (download {spec.get})'


def raise_first(layout: Layout) -> None:
  """Raises the first problem that would spoil a training run.

  Raises:
    UserError: the layout has such a problem.
  """
  for problem in layout.problems:
    if problem.fatal:
      raise errors.UserError(problem.text)
