"""What a dataset looks like on disk, and which of its files belong together.

A dataset is described by a `Spec`: for each kind of file (image, label, depth,
extra) the spellings under which it is found, as regular expressions over paths
in a `tree.Tree`, which may start anywhere: a folder above the official ones, or
several, changes nothing. The groups 'split' and 'key' of an expression say
where a file belongs; files of equal split and key make an example.
"""

from collections.abc import Callable, Mapping, Sequence
import dataclasses
import re
from typing import Any

import numpy as np

from jaxuda import errors
from jaxuda.data.classes import labels
from jaxuda.data.files import tree as tree_lib

KINDS = ('image', 'label', 'depth', 'extra')


@dataclasses.dataclass(frozen=True, kw_only=True)
class Spelling:
  """One way in which files of a kind are stored.

  Attributes:
    shown: for people, e.g. 'Depth/Depth/<name>.png'.
    pattern: matched against the end of a path; groups 'key' and maybe 'split',
      and 'key2', which is appended to the key.
    read: reads such a file, see `Spec.read_label`; None for the kind's own way.
  """

  shown: str
  pattern: str
  read: Callable[..., np.ndarray] | None = None

  def compile(self) -> re.Pattern[str]:
    """Returns the expression, for whole paths."""
    return re.compile(r'(?:.*/)?' + self.pattern)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Item:
  """The files of one example, as paths in the tree; '' where there is none."""

  name: str
  image: str
  label: str = ''
  depth: str = ''
  extra: str = ''


@dataclasses.dataclass(frozen=True, kw_only=True)
class Spec:
  """A dataset.

  Attributes:
    dataset: as the user calls it, 'cityscapes/stereo'.
    ids: whose raw ids its labels are, a dataset of `label_tables`.
    own: the classes of the raw ids 1, 2, ... if it has names of its own.
    homepage: where it comes from.
    get: which archives to download.
    spellings: kind -> ways of storing it, the preferred first.
    splits: spelling of a split -> its name; {'': 'train'} without splits.
    expected: split -> number of images that the publisher gives.
    telltale: raw ids of which some are in any honest set of labels, and which
      are no train ids.
    unlabelled: splits whose labels are withheld; they are not looked for.
    scored: splits whose labels are kept at their own size.
    depth: metadata of depth, see `depth_codes`; None if it is not read.
    needs_depth: whether a dataset without depth is an error.
    same_size: whether images and labels must have one size.
    read_label: (tree, item) -> uint8 [H, W] raw ids; None: of an 8-bit PNG.
    read_depth: (tree, item) -> uint16 [H, W]; None: of a 16-bit PNG.
    factor: (tree, item) -> baseline times focal length, where depth needs it.
    name_extra: key of an image -> key of its extra file; None: the same.
    check: (tree, layout) -> problems that only many files show.
    token: changes when something else than the files changes what is prepared.
  """

  dataset: str
  ids: str
  homepage: str
  get: str
  spellings: Mapping[str, Sequence[Spelling]]
  splits: Mapping[str, str] = dataclasses.field(
    default_factory=lambda: {'': 'train'}
  )
  expected: Mapping[str, int] = dataclasses.field(default_factory=dict)
  telltale: tuple[int, ...] = ()
  unlabelled: tuple[str, ...] = ()
  scored: tuple[str, ...] = ('val', 'test')
  depth: Mapping[str, Any] | None = None
  needs_depth: bool = False
  same_size: bool = True
  own: labels.ClassSet | None = None
  read_label: Callable[..., np.ndarray] | None = None
  read_depth: Callable[..., np.ndarray] | None = None
  factor: Callable[..., float] | None = None
  name_extra: Callable[[str], str] | None = None
  check: Callable[..., Sequence['Problem']] | None = None
  token: str = ''

  @property
  def family(self) -> str:
    """The dataset's name up to the slash."""
    return self.dataset.split('/')[0]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Problem:
  """Something that is not as it should be.

  Attributes:
    kind: a few words, the same for problems of one sort.
    text: one line that names the file.
    fatal: whether it would spoil a training run.
  """

  kind: str
  text: str
  fatal: bool = True


@dataclasses.dataclass(frozen=True, kw_only=True)
class Layout:
  """What was found of a dataset.

  Attributes:
    splits: name -> examples in the order of their names.
    spellings: kind -> the spelling that is used.
    unlabelled: splits without labels.
    depthless: splits without depth.
    problems: what is wrong with the set of files; contents were not read.
  """

  splits: Mapping[str, tuple[Item, ...]]
  spellings: Mapping[str, Spelling]
  unlabelled: tuple[str, ...]
  depthless: tuple[str, ...]
  problems: tuple[Problem, ...]

  def describe(self) -> str:
    """Returns which spellings were found, for people."""
    return ', '.join(f'{k} {v.shown}' for k, v in self.spellings.items())


def find(tree: tree_lib.Tree, spec: Spec) -> Layout:
  """Finds a dataset's files and pairs them.

  Raises:
    UserError: there is not one image where there should be.
  """
  problems: list[Problem] = []
  spellings, files = {}, {}
  for kind in KINDS:
    if not spec.spellings.get(kind):
      continue
    spelling, found = _find_kind(tree, spec, kind, problems)
    if found:
      spellings[kind], files[kind] = spelling, found
  if 'image' not in files:
    raise errors.UserError(_explain_nothing(tree, spec))
  splits: dict[str, list[Item]] = {}
  for (split, key), path in sorted(files['image'].items()):
    own = {'extra': spec.name_extra(key)} if spec.name_extra else {}
    more = {
      kind: files.get(kind, {}).get((split, own.get(kind, key)), '')
      for kind in KINDS[1:]
    }
    splits.setdefault(split, []).append(Item(name=key, image=path, **more))
  splits = {x: splits[x] for x in _order(spec, splits)}
  bare = {kind: _without(splits, kind) for kind in KINDS[1:]}
  for kind in ('label', 'depth', 'extra'):
    problems += _find_unpaired(tree, spec, splits, files, kind, bare[kind])
  problems += [
    Problem(
      kind='archives that cannot be read',
      text=f'{spec.dataset}: {tree_lib.explain_unread(x)}, if it is needed',
      fatal=False,
    )
    for x in tree.unread
  ]
  return Layout(
    splits={x: tuple(items) for x, items in splits.items()},
    spellings=spellings,
    unlabelled=tuple(
      x for x in splits if x in bare['label'] or x in spec.unlabelled
    ),
    depthless=tuple(bare['depth']),
    problems=tuple(problems),
  )


def _order(spec, splits):
  known = list(dict.fromkeys(spec.splits.values()))
  return sorted(splits, key=known.index)


def _find_kind(tree, spec, kind, problems):
  """Returns the first spelling with files, and (split, key) -> path."""
  hits = []
  for spelling in spec.spellings[kind]:
    found: dict[tuple[str, str], str] = {}
    pattern = spelling.compile()
    for path in tree.entries:
      match = pattern.fullmatch(path)
      if match is None:
        continue
      groups = match.groupdict()
      split = spec.splits.get(groups.get('split') or '')
      if split is None or (kind != 'image' and split in spec.unlabelled):
        continue
      key = '/'.join(filter(None, (groups['key'], groups.get('key2'))))
      _keep_one(tree, spec, found, (split, key), path, problems)
    if found:
      hits.append((spelling, found))
  if len(hits) > 1:
    problems.append(
      Problem(
        kind=f'more than one {kind} folder',
        text=f'{spec.dataset}: {hits[0][0].shown} and {hits[1][0].shown} are'
        f' both there; {hits[0][0].shown} is used',
        fatal=False,
      )
    )
  return hits[0] if hits else (None, {})


def _keep_one(tree, spec, found, key, path, problems):
  """Of a file that is there twice, takes the loose one."""
  other = found.setdefault(key, path)
  if other == path:
    return
  loose = [tree.entries[x].archive is None for x in (other, path)]
  if loose[0] == loose[1]:
    problems.append(
      Problem(
        kind='files twice',
        text=f'{spec.dataset}: {tree.where(other)} and {tree.where(path)} are'
        ' the same example; expected one of them',
      )
    )
  elif loose[1]:
    found[key] = path


def _without(splits, kind):
  """Returns the splits none of whose items has a file of a kind."""
  return [
    split
    for split, items in splits.items()
    if not any(getattr(x, kind) for x in items)
  ]


def _find_unpaired(tree, spec, splits, files, kind, bare):
  if not spec.spellings.get(kind):
    return
  expected = ' or '.join(x.shown for x in spec.spellings[kind])
  if kind == 'depth' and spec.needs_depth and len(bare) == len(splits):
    yield Problem(
      kind='no depth',
      text=f'{spec.dataset}: {tree.root} has no depth; expected {expected}',
    )
  for split, items in splits.items():
    # Whole kinds may be missing: an unlabelled split, say.
    lonely = [x for x in items if not getattr(x, kind)]
    if kind == 'extra':
      # What cannot be read without it.
      needy = 'depth' if spec.factor else 'label'
      lonely = [x for x in lonely if getattr(x, needy)]
    elif split in bare:
      continue
    if lonely:
      more = f' (and {len(lonely) - 1} more)' if len(lonely) > 1 else ''
      what = {'extra': 'camera or colour file'}.get(kind, kind)
      yield Problem(
        kind=f'images without {what}',
        text=f'{spec.dataset}: {tree.where(lonely[0].image)} has no'
        f' {what}{more}; expected {expected}',
      )
  if kind == 'extra':
    return
  images = files['image']
  stray = [
    path for key, path in files.get(kind, {}).items() if key not in images
  ]
  if stray:
    more = f' (and {len(stray) - 1} more)' if len(stray) > 1 else ''
    yield Problem(
      kind=f'{kind} without image',
      text=f'{spec.dataset}: {tree.where(stray[0])} has no image{more}',
      fatal=False,
    )


def _explain_nothing(tree, spec):
  expected = ' or '.join(x.shown for x in spec.spellings['image'])
  text = f'{spec.dataset}: {tree.root} has no images; expected {expected}'
  if tree.unread:
    text += f'; {tree_lib.explain_unread(tree.unread[0])}'
  return f'{text} (download {spec.get})'


def raise_first(layout: Layout) -> None:
  """Raises what would spoil a training run.

  Raises:
    UserError: the layout has such a problem.
  """
  for problem in layout.problems:
    if problem.fatal:
      raise errors.UserError(problem.text)
