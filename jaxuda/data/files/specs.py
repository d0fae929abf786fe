"""Descriptions of datasets: their files and how the paths are spelled.

For each kind of file (image, label, depth, extra), a `Spec` lists the possible
spellings of its path. They are matched against the ends of the paths in a
`tree.Tree`, so additional folders above the official ones make no difference.
"""

from collections.abc import Callable, Mapping, Sequence
import dataclasses
import re
from typing import Any

import numpy as np

from jaxuda import errors
from jaxuda.data.classes import labels

KINDS = ('image', 'label', 'depth', 'extra')
# Tokens of a spelling: a word, digits, an optional part, a choice of suffixes.
_TOKEN = re.compile(r'<(\w+)>|(\d{5,})(?:_\d+)?|[][]|\([\w|]+\)')
_WORDS = {
  # May contain folders.
  'name': '.+',
  'world': r'\d{4}',
  'scene': r'Scene\d\d',
  # Excludes the instance maps that IDD keeps next to its labels.
  'frame': '[^/]+(?<!_inst)',
}
# Common names of the splits.
SPLITS = {
  '': 'train',
  **dict.fromkeys(('train', 'training', 'trn'), 'train'),
  **dict.fromkeys(('val', 'valid', 'validation', 'dev', 'eval'), 'val'),
  **dict.fromkeys(('test', 'testing', 'tst'), 'test'),
}
_LETTERS = str.maketrans('İıſ', 'iis')
# Words that are not part of an example's name.
_PLACES = ('split', 'city')


@dataclasses.dataclass(frozen=True, kw_only=True)
class Spelling:
  """One way in which files of a kind are named.

  Attributes:
    shown: the end of a path in readable form: '<split>/labels/<stem>.png'. A
      word in <> stands for any text without a slash, but see `_WORDS`; a run of
      five or more digits for the same number of digits; a part in [] is
      optional; any of the suffixes in () matches. Splits and suffixes are
      matched regardless of case.
    any_case: whether the whole path is matched regardless of case.
    read: function that reads such a file, like `Spec.read_label`; None if it is
      read like others of its kind.
  """

  shown: str
  any_case: bool = False
  read: Callable[..., np.ndarray] | None = None

  def compile(
    self, splits: Sequence[str], *, suffix: bool = True
  ) -> re.Pattern[str]:
    """Returns a regular expression for whole paths; its groups are the words.

    Args:
      splits: spellings of the splits.
      suffix: whether the suffix must match; if False, any suffix does.
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
    """Returns an example's name, made of the words that this spelling has.

    Args:
      words: groups matched by an expression from `compile`.
    """
    mine = [
      token[1] or 'number'
      for token in _TOKEN.finditer(self.shown)
      if token[1] or token[2]
    ]
    return '/'.join(words[x] for x in mine if x not in _PLACES)

  def fill(self, words: Mapping[str, str | None]) -> str:
    """Returns the path of an example with these words, for messages."""
    shown = self.shown
    if not words.get('split'):
      shown = shown.replace('[<split>/]', '')

    def choose(token):
      known = token[1] or token[2]
      return words.get(token[1] or 'number', token[0]) if known else ''

    return _TOKEN.sub(choose, shown)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Item:
  """The files of one example, as paths in the tree; '' if there is none."""

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
    dataset: its name, such as 'cityscapes/stereo'.
    ids: key of `label_tables.TABLES` for the raw ids in its labels.
    own: the classes of the raw ids 1, 2, ... if it has names of its own.
    homepage: address of the publisher.
    get: names of the files to download, for messages.
    spellings: kind of file -> its possible spellings, the preferred one first.
    splits: spelling of a split -> its name; {'': 'train'} without splits.
    expected: split -> number of images that the publisher states.
    telltale: raw ids that are not train ids; every genuine set of labels has
      some of them.
    unlabelled: splits whose labels are withheld and therefore not looked for.
    scored: splits whose labels are stored at their own size.
    depth: metadata of depth, see `depth_codes`; None if it is not read.
    needs_depth: whether missing depth is an error.
    same_size: whether images and labels must have the same size.
    read_label: (tree, item) -> uint8 [H, W] raw ids; None reads an 8-bit PNG.
      If `read_codes` is set, it also takes (tree, item, codes).
    read_codes: (tree, item) -> int32 [H, W], the user's own ids, or colours
      packed as numbers; None if the raw ids are the user's own.
    codes: id or packed colour -> (how the user wrote it, its class).
    read_depth: (tree, item) -> uint16 [H, W]; None reads a 16-bit PNG.
    factor: (tree, item) -> baseline times focal length, in metres times pixels,
      if depth needs it.
    choose: splits as found -> splits of this dataset; None keeps them.
    check: layout -> problems that show only across many files.
    order: (name, split) -> key by which examples are sorted when they are
      stored; None for `record_order.hash_name`.
    tables: names, in lower case, of files that define the meaning of others;
      not listed as unused.
    token: text that changes when something other than the files changes the
      prepared dataset.
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
  """A fault in a dataset.

  Attributes:
    kind: a few words shared by all problems of the same sort.
    text: one line that names the file.
    fatal: whether the problem would spoil a training run.
  """

  kind: str
  text: str
  fatal: bool = True


def name_split(folder: str) -> str:
  """Returns the split that a folder is named after, or its name if none."""
  return SPLITS.get(fold(folder), folder)


def fold(text: str) -> str:
  """Returns a text in lower case, as regular expressions ignore case.

  For these, the Turkish i's and the long s are letters of English, too: TRAİN
  is train.
  """
  return text.translate(_LETTERS).lower()


def check_name(name: str, known: Sequence[str]) -> None:
  """Checks the name of a dataset.

  Raises:
    UserError: the name is not among the known ones.
  """
  if name not in known:
    raise errors.UserError(
      f'unknown dataset {name!r}; expected {" or ".join(known)}'
    )
