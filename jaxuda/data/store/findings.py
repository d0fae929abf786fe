"""Examines the contents of a dataset, example by example, for faults.

An `Examination` counts sizes, ids and depth over many examples and collects
`specs.Problem`s. A problem does not stop it.
"""

import collections
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
import dataclasses
import hashlib
from typing import Any

import numpy as np

from jaxuda import errors
from jaxuda.data.classes import labels
from jaxuda.data.files import decoding
from jaxuda.data.files import layout as layout_lib
from jaxuda.data.files import specs
from jaxuda.data.files import tree as tree_lib
from jaxuda.data.pixels import depth_codes
from jaxuda.data.store import ahead

# Number of values from which on a common step is no coincidence: synthetic
# depth may have fewer.
_LEVELS = 8
# The ground in front of a camera is this many times nearer than the upper half,
# at least in all pictures of a dataset.
_STEEP = 2


@dataclasses.dataclass(kw_only=True)
class Sample:
  """Contents of one example; a missing or broken field is None.

  Attributes:
    name: name of the example.
    image: uint8 [H, W, 3].
    label: uint8 [H, W], raw ids.
    depth: uint16 [H, W], raw.
    factor: baseline times focal length, in metres times pixels, or 0.
    codes: user's own id -> number of its pixels, see `Spec.codes`.
    problems: faults of the example.
  """

  name: str
  image: np.ndarray | None = None
  label: np.ndarray | None = None
  depth: np.ndarray | None = None
  factor: float = 0.0
  codes: Mapping[int, int] = dataclasses.field(default_factory=dict)
  problems: list[specs.Problem] = dataclasses.field(default_factory=list)


class Examination:
  """Counts over the examples of a split.

  Attributes:
    images, labelled, deep: numbers of intact images, labels and depth maps.
    sizes: kind of file -> Counter of (height, width).
    ids: int64 [256], number of pixels of each raw id.
    seen: int64 [256], number of images with each raw id.
    depths: int64 [65536], number of pixels of each raw depth.
    codes: user's own id -> number of its pixels.
    slopes: number of depth maps whose raw values are much larger at the bottom
      than in the upper half (1), much smaller (-1), or neither (0).
    flat: name of an example -> its only raw depth, if all pixels have the same.
    pictures: digest of an image's pixels -> name of its example.
    problems: faults of individual examples.
  """

  def __init__(self):
    self.images = self.labelled = self.deep = 0
    self.sizes = collections.defaultdict(collections.Counter)
    self.ids, self.seen = np.zeros((2, 256), np.int64)
    self.depths = np.zeros(depth_codes.FAR_RAW + 1, np.int64)
    self.codes: collections.Counter[int] = collections.Counter()
    self.slopes: collections.Counter[int] = collections.Counter()
    self.flat: dict[str, int] = {}
    self.pictures: dict[bytes, str] = {}
    self.problems: list[specs.Problem] = []

  @property
  def measured(self) -> np.ndarray:
    """The raw depth values that occur, without 0 and 65535, ascending."""
    return np.flatnonzero(self.depths[1:-1]) + 1

  def add(self, sample: Sample) -> None:
    """Adds an example to the counts."""
    self.problems += sample.problems
    for kind in ('image', 'label', 'depth'):
      array = getattr(sample, kind)
      if array is not None:
        self.sizes[kind][array.shape[:2]] += 1
    self.codes.update(sample.codes)
    if sample.image is not None:
      self.images += 1
      digest = hashlib.blake2b(sample.image, digest_size=16).digest()
      self.pictures.setdefault(digest, sample.name)
    if sample.label is not None:
      self.labelled += 1
      count = np.bincount(sample.label.ravel(), minlength=256)
      self.ids += count
      self.seen += count > 0
    if sample.depth is not None:
      self.deep += 1
      self.slopes[_slope(sample.depth)] += 1
      if sample.depth.min() == sample.depth.max():
        self.flat[sample.name] = int(sample.depth.flat[0])
      self.depths += np.bincount(
        sample.depth.ravel(), minlength=len(self.depths)
      )


def _slope(raw):
  """Classifies a map for `Examination.slopes`; a few pixels suffice."""
  parts = raw[: len(raw) // 2 : 4, ::4], raw[-len(raw) // 5 :: 4, ::4]
  known = [x[(x > 0) & (x < depth_codes.FAR_RAW)] for x in parts]
  if not all(x.size for x in known):
    return 0
  top, bottom = map(np.median, known)
  return int(bottom > _STEEP * top) - int(top > _STEEP * bottom)


def read_raw(
  layout: layout_lib.Layout, items: Iterable[specs.Item]
) -> Iterator[Sample]:
  """Yields the contents of a user's files, in order, reading ahead."""
  return ahead.map_ahead(lambda x: _read_item(layout, x), items)


def read_prepared(
  read: Callable[[int], dict[str, Any]],
  numbers: Iterable[int],
  *,
  ids: str,
  own: labels.ClassSet | None = None,
  where: str,
) -> Iterator[Sample]:
  """Yields the contents of prepared records, in order, reading ahead.

  Args:
    read: function from a record's number to its encoded fields; may raise.
    numbers: numbers of the records.
    ids: name of the dataset that defines the raw ids of the labels.
    own: the classes of the raw ids 1, 2, ... if they have names of their own.
    where: folder and split, for messages.
  """
  return ahead.map_ahead(
    lambda x: _read_record(read, x, ids, own, where), numbers
  )


def _read_item(layout, item):
  sample, tree, spec = Sample(name=item.name), layout.tree, layout.spec

  def attempt(kind, read, *arguments):
    try:
      return read(*arguments)
    except errors.UserError as e:
      sample.problems.append(specs.Problem(kind=f'bad {kind}', text=str(e)))
      return None

  def read_image():
    return decoding.read_image(tree.read(item.image), tree.where(item.image))

  sample.image = attempt('image', read_image)
  if item.label and spec.read_codes:
    codes = attempt('label', spec.read_codes, tree, item)
    if codes is not None:
      sample.label = attempt('label', layout.read_label, item, codes)
    if sample.label is not None:
      counts = np.unique(codes, return_counts=True)
      sample.codes = dict(zip(*(x.tolist() for x in counts), strict=True))
  elif item.label and not _lacks_colors(spec, item):
    sample.label = attempt('label', layout.read_label, item)
  if item.depth:
    sample.depth = attempt('depth', layout.read_depth, item)
    if spec.factor and (item.extra or not spec.spellings.get('extra')):
      factor = attempt('camera file', spec.factor, tree, item)
      sample.factor = factor or 0.0
  for kind in ('label', 'depth'):
    array = getattr(sample, kind)
    if sample.image is not None and array is not None:
      size = sample.image.shape[:2]
      problem = layout.compare_sizes(item, kind, array.shape, size)
      sample.problems += [problem] if problem else []
  return sample


def _lacks_colors(spec, item):
  """Whether the file that decodes a label is missing, a fault of the layout."""
  return bool(spec.spellings.get('extra')) and not (spec.factor or item.extra)


def _read_record(read, number, ids, own, where):
  sample = Sample(name=f'record {number}')
  where = f'{where}: record {number}'
  try:
    record = read(number)
    sample.name = record['name'].decode()
    where = f'{where} ({sample.name})'
    sample.image = decoding.read_image(record['image'], where)
    sample.label = _decode_stored(record, 'label', decoding.read_ids, where)
    if sample.label is not None:
      labels.check_ids(sample.label, dataset=ids, file=where, own=own)
    sample.depth = _decode_stored(record, 'depth', decoding.read_depth, where)
    sample.factor = float(record.get('depth_factor', 0.0))
  except Exception as e:
    # Damaged files can make TFDS raise anything.
    text = f'{where}: {tree_lib.one_line(e)[:300]}'
    sample.problems.append(specs.Problem(kind='bad record', text=text))
  return sample


def _decode_stored(record, field, decode, where):
  """Returns a record's picture or plain array, or None if there is none."""
  stored = record.get(field)
  if stored is None or not len(stored):
    return None
  return decode(stored, where) if isinstance(stored, bytes) else stored[..., 0]


def show_code(number: int, codes: Mapping[int, tuple[str, str]]) -> str:
  """Returns an id or packed colour in the form of the user's table.

  Args:
    number: value in the labels, which the table need not have.
    codes: see `Spec.codes`.
  """
  if number in codes:
    return codes[number][0]
  colors = any(shown.startswith('#') for shown, _ in codes.values())
  return f'#{number:06x}' if colors else str(number)


def judge(
  found: Examination,
  *,
  dataset: str,
  where: str,
  telltale: Sequence[int] = (),
  codes: Mapping[int, tuple[str, str]] | None = None,
) -> list[specs.Problem]:
  """Finds problems that show only across many examples.

  Args:
    found: counts over a split.
    dataset: name of the dataset, for messages.
    where: split and folder, for messages.
    telltale: raw ids; every genuine split has some of them.
    codes: see `Spec.codes`.
  """
  problems = []
  none = found.labelled and telltale and not found.ids[list(telltale)].any()
  if none and codes:
    there = [show_code(x, codes) for x in sorted(found.codes)[:24]]
    text = (
      f'{dataset}: every pixel of the labels of {where} is ignored: they have'
      f' {", ".join(there)}; expected some of'
      f' {", ".join(x for x, name in codes.values() if name != "ignored")}'
    )
    problems.append(specs.Problem(kind='every pixel ignored', text=text))
  elif none:
    known = [str(x) for x in np.flatnonzero(found.ids)]
    more = ' ...' if len(known) > 24 else ''
    text = (
      f'{dataset}: labels of {where} have none of the ids'
      f' {", ".join(map(str, telltale))}, only {", ".join(known[:24])}{more};'
      ' expected the raw ids of the dataset, not train ids or colours'
    )
    problems.append(
      specs.Problem(kind='label folder holds something else', text=text)
    )
  if not found.deep:
    return problems
  far = depth_codes.FAR_RAW
  steps = np.gcd.reduce(np.flatnonzero(found.depths))
  fault = None
  if not found.measured.size:
    fault = f'only the values 0 and {far}'
  elif found.measured[-1] <= 255 and not found.depths[far]:
    fault = f'no value above {found.measured[-1]}'
  elif steps in (256, 257) or (steps > 256 and found.measured.size >= _LEVELS):
    fault = f'only multiples of {steps}'
  if fault:
    text = (
      f'{dataset}: depth of {where} has {fault}; expected 16-bit numbers:'
      ' it was saved with 8 bits at some point, use the original files'
    )
    problems.append(
      specs.Problem(kind='8-bit depth saved as 16 bits', text=text)
    )
  return problems
