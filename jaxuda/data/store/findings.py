"""What a dataset holds, file by file: the findings of the doctor.

An `Examination` counts sizes, ids and depth over many examples and collects
`layout.Problem`s. Nothing here stops at a problem.
"""

import collections
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent import futures
import dataclasses
import os
from typing import Any

import numpy as np

from jaxuda import errors
from jaxuda.data.classes import labels
from jaxuda.data.files import decoding
from jaxuda.data.files import layout as layout_lib
from jaxuda.data.files import tree as tree_lib
from jaxuda.data.pixels import depth_codes
from jaxuda.data.store import encoding


@dataclasses.dataclass(kw_only=True)
class Sample:
  """What one example holds; None where it has none, or where it is broken.

  Attributes:
    name: of the example.
    image: uint8 [H, W, 3].
    label: uint8 [H, W], raw ids.
    depth: uint16 [H, W], raw.
    factor: of depth by disparity.
    problems: what is wrong with it.
  """

  name: str
  image: np.ndarray | None = None
  label: np.ndarray | None = None
  depth: np.ndarray | None = None
  factor: float = 0.0
  problems: list[layout_lib.Problem] = dataclasses.field(default_factory=list)


@dataclasses.dataclass(kw_only=True)
class Examination:
  """Counts over the examples of a split.

  Attributes:
    images, labelled, deep: how many have an image, label, depth that is whole.
    sizes: kind -> Counter of (height, width).
    ids: pixels of each raw id, int64 [256].
    seen: images in which each raw id is, int64 [256].
    zero, far, pixels: depth pixels that are 0, 65535, and in all.
    low, high: least and largest raw depth but those.
    steps: greatest common divisor of the raw depths.
    problems: of single examples.
  """

  images: int = 0
  labelled: int = 0
  deep: int = 0
  sizes: dict[str, collections.Counter] = dataclasses.field(
    default_factory=lambda: collections.defaultdict(collections.Counter)
  )
  ids: np.ndarray = dataclasses.field(
    default_factory=lambda: np.zeros(256, np.int64)
  )
  seen: np.ndarray = dataclasses.field(
    default_factory=lambda: np.zeros(256, np.int64)
  )
  zero: int = 0
  far: int = 0
  pixels: int = 0
  low: int | None = None
  high: int | None = None
  steps: int = 0
  problems: list[layout_lib.Problem] = dataclasses.field(default_factory=list)

  def add(self, sample: Sample) -> None:
    """Counts an example."""
    self.problems += sample.problems
    for kind in ('image', 'label', 'depth'):
      array = getattr(sample, kind)
      if array is not None:
        self.sizes[kind][array.shape[:2]] += 1
    self.images += sample.image is not None
    if sample.label is not None:
      self.labelled += 1
      count = np.bincount(sample.label.ravel(), minlength=256)
      self.ids += count
      self.seen += count > 0
    if sample.depth is not None:
      self._add_depth(sample.depth)

  def _add_depth(self, depth):
    self.deep += 1
    self.pixels += depth.size
    self.zero += int((depth == 0).sum())
    self.far += int((depth == depth_codes.FAR_RAW).sum())
    values = np.flatnonzero(np.bincount(depth.ravel(), minlength=65536))
    self.steps = int(np.gcd.reduce([self.steps, *values.tolist()]))
    inner = values[(values > 0) & (values < depth_codes.FAR_RAW)]
    if inner.size:
      low, high = int(inner[0]), int(inner[-1])
      self.low = low if self.low is None else min(self.low, low)
      self.high = high if self.high is None else max(self.high, high)


def examine(
  samples: Iterable[Sample], *, done: Callable[[], None] = lambda: None
) -> Examination:
  """Counts examples, calling `done` after each."""
  found = Examination()
  for sample in samples:
    found.add(sample)
    done()
  return found


def read_raw(
  tree: tree_lib.Tree,
  spec: layout_lib.Spec,
  layout: layout_lib.Layout,
  items: Sequence[layout_lib.Item],
) -> Iterator[Sample]:
  """Yields what a user's files hold, in order, reading ahead in threads."""
  return _in_threads(lambda x: _read_item(tree, spec, layout, x), items)


def read_prepared(
  read: Callable[[int], dict[str, Any]],
  numbers: Sequence[int],
  *,
  ids: str,
  own: labels.ClassSet | None = None,
  where: str,
) -> Iterator[Sample]:
  """Yields what prepared records hold.

  Args:
    read: number of a record -> its encoded fields; may raise.
    numbers: of the records.
    ids: whose raw ids the labels are.
    own: the classes of the raw ids 1, 2, ... if they have names of their own.
    where: the folder, for the problems.
  """
  return _in_threads(lambda x: _read_record(read, x, ids, own, where), numbers)


def _in_threads(function, items):
  workers = max(os.cpu_count() or 1, 1)
  items = iter(items)
  with futures.ThreadPoolExecutor(workers) as pool:
    waiting = collections.deque()
    for item in items:
      waiting.append(pool.submit(function, item))
      if len(waiting) > 2 * workers:
        yield waiting.popleft().result()
    while waiting:
      yield waiting.popleft().result()


def _read_item(tree, spec, layout, item):
  sample = Sample(name=item.name)

  def attempt(kind, read):
    try:
      return read()
    except errors.UserError as e:
      sample.problems.append(
        layout_lib.Problem(kind=f'bad {kind}', text=str(e))
      )
      return None

  sample.image = attempt(
    'image',
    lambda: np.asarray(
      decoding.read_image(tree.read(item.image), tree.where(item.image))
    ),
  )
  if item.label and 'label' in layout.spellings:
    sample.label = attempt(
      'label', lambda: encoding.read_label(tree, spec, layout, item)
    )
  if item.depth:
    sample.depth = attempt(
      'depth', lambda: encoding.read_depth(tree, spec, layout, item)
    )
    if spec.factor and (item.extra or not spec.spellings.get('extra')):
      factor = attempt('camera file', lambda: spec.factor(tree, item))
      sample.factor = factor or 0.0
  inverse = spec.depth and spec.depth['depth_code'] == 'inverse'
  _compare_sizes(
    sample,
    {kind: tree.where(getattr(item, kind)) for kind in _kinds(sample)},
    fatal={'label': spec.same_size, 'depth': not inverse},
  )
  return sample


def _kinds(sample):
  return [
    x for x in ('image', 'label', 'depth') if getattr(sample, x) is not None
  ]


def _compare_sizes(sample, where, *, fatal):
  if sample.image is None:
    return
  size = sample.image.shape[:2]
  for kind in _kinds(sample)[1:]:
    other = getattr(sample, kind).shape
    if other != size:
      text = (
        f'{where[kind]} is {other[1]}x{other[0]} and its image'
        f' {size[1]}x{size[0]}; expected one size'
      )
      sample.problems.append(
        layout_lib.Problem(kind=f'size of {kind}', text=text, fatal=fatal[kind])
      )


def _get_stored(record, field):
  """A picture or an array of a record; None where there is none."""
  stored = record.get(field)
  return stored if stored is not None and len(stored) else None


def _decode_stored(stored, decode, where):
  return decode(stored, where) if isinstance(stored, bytes) else stored[..., 0]


def _read_record(read, number, ids, own, where):
  sample = Sample(name=f'record {number}')
  where = f'{where}: record {number}'
  try:
    record = read(number)
    sample.name = record['name'].decode()
    where = f'{where} ({sample.name})'
    sample.image = np.asarray(decoding.read_image(record['image'], where))
    label, depth = (_get_stored(record, x) for x in ('label', 'depth'))
    if label is not None:
      sample.label = _decode_stored(label, decoding.read_ids, where)
      labels.check_ids(sample.label, dataset=ids, file=where, own=own)
    if depth is not None:
      sample.depth = _decode_stored(depth, decoding.read_depth, where)
      sample.factor = float(record.get('depth_factor', 0.0))
  except Exception as e:
    # Whatever a damaged file makes TFDS raise.
    sample.problems.append(
      layout_lib.Problem(
        kind='bad record',
        text=f'{where}: {tree_lib.one_line(e)[:300]}',
      )
    )
  return sample


def judge(
  found: Examination,
  *,
  dataset: str,
  telltale: Sequence[int],
  where: str,
) -> list[layout_lib.Problem]:
  """Finds what only many examples show.

  Args:
    found: of a split.
    dataset: named in the problems.
    telltale: raw ids of which some are in any honest split.
    where: the split and folder, for the problems.
  """
  problems = []
  if found.labelled and telltale and not found.ids[list(telltale)].any():
    problems.append(
      layout_lib.Problem(
        kind='label folder is something else',
        text=f'{dataset}: labels of {where} have none of the ids'
        f' {", ".join(str(x) for x in telltale)}, only'
        f' {_show_ids(found.ids)}; expected the raw ids of the dataset, not'
        ' train ids or colours',
      )
    )
  if found.deep:
    problems += _judge_depth(found, dataset, where)
  return problems


def _judge_depth(found, dataset, where):
  if found.high is None:
    text = f'has only the values 0 and {depth_codes.FAR_RAW}'
  elif found.high <= 255 and not found.far:
    text = f'has no value above {found.high}'
  elif found.steps >= 256:
    text = f'has only multiples of {found.steps}'
  else:
    return []
  return [
    layout_lib.Problem(
      kind='depth of 8 bits in 16',
      text=f'{dataset}: depth of {where} {text}; expected 16-bit numbers: it'
      ' was saved with 8 bits in between, take the original files',
    )
  ]


def _show_ids(count):
  known = np.flatnonzero(count)
  shown = ', '.join(str(x) for x in known[:24])
  return shown + (' ...' if len(known) > 24 else '')


def describe_ids(
  found: Examination,
  *,
  known: Sequence[int],
  table: np.ndarray,
  names: Sequence[str],
) -> list[tuple[str, str, str, str]]:
  """Returns rows of a table: class, its raw ids, share of pixels, of images.

  Args:
    found: of a split.
    known: the raw ids that there may be.
    table: uint8 [256], class of each raw id, 255 = ignored.
    names: of the classes.
  """
  total = max(found.ids.sum(), 1)
  rows = []
  for i, name in [*enumerate(names), (labels.IGNORE, 'ignored')]:
    raw = [x for x in known if table[x] == i]
    pixels = found.ids[table == i].sum() / total
    images = found.seen[table == i].max(initial=0) / max(found.labelled, 1)
    shown = ' '.join(str(x) for x in raw)
    if len(shown) > 30:
      shown = f'{len(raw)} ids'
    rows.append((name, shown, f'{pixels:.4%}', f'{images:.1%}'))
  return rows
