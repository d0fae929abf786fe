"""Descriptions of datasets: their files, and how the paths are spelled.

A `Spec` has for each kind of file (image, label, depth, extra) the spellings of
its path. They are matched against the ends of the paths in a `tree.Tree`: a
folder above the official ones, or several, changes nothing.
"""

from collections.abc import Callable, Mapping, Sequence
import dataclasses
import re
from typing import Any

import numpy as np

from jaxuda import errors
from jaxuda.data.classes import labels

# Of a spelling: a word, digits, an optional part, a choice of suffixes.
_TOKEN = re.compile(r'<(\w+)>|(\d{5,})(?:_\d+)?|[][]|\([\w|]+\)')
_WORDS = {
  # May have folders of its own.
  'name': '.+',
  'world': r'\d{4}',
  'scene': r'Scene\d\d',
  # Not the instances that IDD keeps beside its labels.
  'frame': '[^/]+(?<!_inst)',
}
# Words that are no part of an example's name.
_PLACES = ('split', 'city')


@dataclasses.dataclass(frozen=True, kw_only=True)
class Spelling:
  """One way in which files of a kind are stored.

  Attributes:
    shown: the end of a path as people read it: '<split>/labels/<stem>.png'. A
      word in <> stands for any text without a slash, but see `_WORDS`; a run of
      five digits or more for as many digits; a part in [] may be absent; of the
      suffixes in () any will do. Splits and suffixes are read in any case.
    any_case: whether capital and small letters are the same.
    read: reads such a file, as `Spec.read_label`; None: as others of its kind.
  """

  shown: str
  any_case: bool = False
  read: Callable[..., np.ndarray] | None = None

  def compile(
    self, splits: Sequence[str], *, suffix: bool = True
  ) -> re.Pattern[str]:
    """Returns the expression for whole paths; its groups are the words.

    Args:
      splits: spellings of the splits.
      suffix: False: another suffix will do, too.
    """
    names = '|'.join(re.escape(x) for x in splits if x)
    words = {**_WORDS, 'split': f'(?i:{names})'}
    pattern, end = '(?:.*/)?', 0
    for token in _TOKEN.finditer(self.shown):
      pattern += re.escape(self.shown[end : token.start()])
      end, text = token.end(), token[0]
      if word := token[1]:
        pattern += f'(?P<{word}>{words.get(word, "[^/]+")})'
      elif run := token[2]:
        digits = rf'\d{{{len(run)}}}'
        pattern += f'(?P<number>{digits}{text.removeprefix(run)})'
      else:
        pattern += {'[': '(?:', ']': ')?'}.get(text) or f'(?i:{text[1:-1]})'
    stem, dot, last = self.shown[end:].rpartition('.')
    pattern += re.escape(stem) + (dot and rf'(?i:\.{last})')
    if not suffix:
      pattern = pattern[: pattern.rindex('(?i:')].removesuffix(r'\.')
      pattern += r'\.[^/.]+'
    return re.compile(pattern, re.IGNORECASE if self.any_case else 0)

  def name(self, words: Mapping[str, str | None]) -> str:
    """Returns an example's name, of those of its words that are spelled here.

    Args:
      words: groups of an expression of `compile`.
    """
    mine = [
      token[1] or 'number'
      for token in _TOKEN.finditer(self.shown)
      if token[1] or token[2]
    ]
    return '/'.join(words[x] for x in mine if x not in _PLACES)

  def fill(self, words: Mapping[str, str | None]) -> str:
    """Returns the path of an example of these words, for people."""
    shown = self.shown
    if not words.get('split'):
      shown = shown.replace('[<split>/]', '')

    def choose(token):
      known = token[1] or token[2]
      return words.get(token[1] or 'number', token[0]) if known else ''

    return _TOKEN.sub(choose, shown)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Item:
  """The files of one example, as paths in the tree; '' where there is none."""

  name: str
  image: str
  label: str = ''
  depth: str = ''
  extra: str = ''


Splits = Mapping[str, Sequence[Item]]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Spec:
  """Description of a dataset.

  Attributes:
    dataset: its name, 'cityscapes/stereo'.
    ids: key of `label_tables.TABLES`, whose raw ids its labels hold.
    own: the classes of the raw ids 1, 2, ... if it has names of its own.
    homepage: address of the publisher.
    get: names of the files to download, for messages.
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
      With `read_codes` it also takes (tree, item, codes).
    read_codes: (tree, item) -> int32 [H, W], the user's own ids, or colours as
      numbers; None: the raw ids are the user's.
    codes: such a number -> (how the user wrote it, its class).
    read_depth: (tree, item) -> uint16 [H, W]; None: of a 16-bit PNG.
    factor: (tree, item) -> baseline times focal length in metres times pixels,
      where depth needs it.
    choose: splits as they were found -> splits of this dataset; None: the same.
    check: layout -> problems that only many files show.
    order: (name, split) -> key by which examples are sorted when they are
      stored; None: `record_order.hash_name`.
    tables: files that say what the others mean; not listed as unused.
    token: text that changes when something else than the files changes what is
      prepared.
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
  read_codes: Callable[..., np.ndarray] | None = None
  codes: Mapping[int, tuple[str, str]] = dataclasses.field(default_factory=dict)
  read_depth: Callable[..., np.ndarray] | None = None
  factor: Callable[..., float] | None = None
  choose: Callable[[Splits], Splits] | None = None
  check: Callable[..., Sequence['Problem']] | None = None
  order: Callable[[str, str], Any] | None = None
  tables: tuple[str, ...] = ()
  token: str = ''


@dataclasses.dataclass(frozen=True, kw_only=True)
class Problem:
  """Something that is not as it should be.

  Attributes:
    kind: a few words that all problems of one sort share.
    text: one line that names the file.
    fatal: whether it would spoil a training run.
  """

  kind: str
  text: str
  fatal: bool = True


def check_name(name: str, known: Sequence[str]) -> None:
  """Checks the name of a dataset.

  Raises:
    UserError: it is not one of the known names.
  """
  if name not in known:
    raise errors.UserError(
      f'unknown dataset {name!r}; expected {" or ".join(known)}'
    )
