"""Finds problems in a dataset, in the user's files or the prepared records."""

import collections
from collections.abc import Mapping, Sequence
import contextlib
import dataclasses
import functools
import itertools
import pathlib
import re

from jaxuda import errors
from jaxuda.data.classes import labels
from jaxuda.data.datasets import registry
from jaxuda.data.doctor import depth_checks
from jaxuda.data.files import decoding
from jaxuda.data.files import layout as layout_lib
from jaxuda.data.files import specs
from jaxuda.data.files import suspicions
from jaxuda.data.files import tree as tree_lib
from jaxuda.data.pixels import depth_codes
from jaxuda.data.store import findings
from jaxuda.ui import display

# Number of examples of a split kept for pictures.
_SHOWN = 6
# Parts of paths of pictures that are certainly no labels.
_NO_LABELS = re.compile('image|img|depth|disp|flow|camera|right')


@dataclasses.dataclass(kw_only=True)
class Report:
  """Findings about a dataset.

  Attributes:
    dataset: name of the dataset.
    ids: key of `label_tables.TABLES` for the raw ids in its labels.
    own: the classes of the raw ids 1, 2, ... if it has names of its own.
    layout: the file layout that was found, in human-readable form.
    code: how its raw depth is encoded.
    expected: split -> number of images that the publisher states.
    counts: split -> numbers of (images, labels, depth maps) found.
    examined: split -> contents of the examples that were read.
    problems: all problems, fatal ones first.
    samples: split -> the first few intact examples.
    codes: see `specs.Spec.codes`.
    unused: (file, reason) for each file that no example uses.
  """

  dataset: str
  ids: str
  own: labels.ClassSet | None
  layout: str
  code: depth_codes.DepthCode
  expected: dict[str, int]
  counts: dict[str, tuple[int, int, int]]
  examined: dict[str, findings.Examination]
  problems: list[specs.Problem]
  samples: dict[str, list[findings.Sample]]
  codes: Mapping[int, tuple[str, str]] = dataclasses.field(default_factory=dict)
  unused: Sequence[tuple[str, str]] = ()

  @property
  def fatal(self) -> bool:
    """Whether anything would spoil a training run."""
    return any(x.fatal for x in self.problems)


def diagnose(
  dataset: str,
  *,
  manual_dir: str | None = None,
  data_dir: str | None = None,
  limit: int | None = None,
) -> Report:
  """Examines a dataset: the user's files or, without them, the prepared one.

  Args:
    dataset: name of the dataset, such as 'cityscapes/stereo'.
    manual_dir: the user's folder or archive; None for the prepared dataset.
    data_dir: folder of prepared data; default: that of TFDS.
    limit: number of examples to read per split, evenly spaced; None for all.

  Raises:
    UserError: the dataset is unknown, the folder does not exist, or it holds no
      such dataset.
  """
  family = registry.find(dataset)
  spec = family.describe(dataset, manual_dir) if family.describe else None
  if not manual_dir:
    report, splits, where = _open_prepared(dataset, family, spec, data_dir)
  elif spec is None:
    raise errors.UserError(
      f'{dataset} is not read from files; expected no manual_dir'
    )
  else:
    report, splits, where = _open_files(manual_dir, spec)
  for split, (items, read) in splits.items():
    chosen = _spread(items, limit)
    title = f'reading {dataset} {split}'
    found = report.examined[split] = findings.Examination()
    whole = report.samples[split] = []
    for sample in display.track(read(chosen), name=title, total=len(chosen)):
      found.add(sample)
      if len(whole) < _SHOWN and not sample.problems:
        whole.append(sample)
    report.counts.setdefault(split, (len(items), found.labelled, found.deep))
    report.problems += findings.judge(
      found,
      dataset=dataset,
      where=f'{split} in {where}',
      telltale=spec.telltale if spec else (),
      codes=report.codes,
    )
    report.problems += depth_checks.find_odd_depth(report, split)
  report.problems += _find_shared(report)
  report.problems += _find_absent(report)
  for split, expected in report.expected.items():
    count = report.counts.get(split, (0, 0, 0))[0]
    if count != expected:
      report.problems.append(
        specs.Problem(
          kind='unexpected number of images',
          text=f'{dataset}: {count} images in {split}; the publisher gives'
          f' {expected}',
          # Having fewer may be intended.
          fatal=False,
        )
      )
  for found in report.examined.values():
    report.problems += found.problems
  report.problems.sort(key=lambda x: not x.fatal)
  return report


def _open_files(manual_dir, spec):
  """Returns a report, {split: (examples, reader)}, and their location."""
  layout = layout_lib.find(manual_dir, spec)
  problems = list(layout.problems)
  if spec.check:
    # A broken file is reported when all files are read.
    with contextlib.suppress(errors.UserError):
      problems += spec.check(layout)
  report = Report(
    dataset=spec.dataset,
    ids=spec.ids,
    own=spec.own,
    layout=layout.describe(),
    code=depth_codes.DepthCode.of(spec.depth or {}),
    expected=dict(spec.expected),
    counts={
      split: (
        len(items),
        sum(bool(x.label) for x in items),
        sum(bool(x.depth) for x in items),
      )
      for split, items in layout.splits.items()
    },
    examined={},
    problems=[
      *problems,
      *_find_unscored(layout),
      *_find_unlabelled(layout),
      *depth_checks.find_none(layout),
    ],
    samples={},
    codes=spec.codes,
    unused=[(layout.tree.where(x), why) for x, why in layout.unused],
  )
  read = functools.partial(findings.read_raw, layout)
  splits = {split: (items, read) for split, items in layout.splits.items()}
  return report, splits, layout.tree.root


def _open_prepared(dataset, family, spec, data_dir):
  """Returns the same as `_open_files`."""
  builder = registry.find_prepared(dataset, data_dir=data_dir)
  metadata = registry.metadata(builder.info)
  report = Report(
    dataset=dataset,
    ids=metadata.get('ids', family.ids),
    own=labels.read_own(metadata),
    layout=f'prepared in {builder.data_dir}',
    code=depth_codes.DepthCode.of(metadata),
    expected=dict(spec.expected) if spec else {},
    counts={},
    examined={},
    problems=[],
    samples={},
  )
  skipped = registry.keep_encoded(builder.info, ('image', 'label', 'depth'))
  splits = {}
  for split, info in builder.info.splits.items():
    try:
      source = builder.as_data_source(split=split, decoders=skipped)
      len(source)
    except Exception as e:
      text = (
        f'{dataset}: split {split} in {builder.data_dir} cannot be read'
        f' ({tree_lib.one_line(e)[:200]})'
      )
      report.problems.append(specs.Problem(kind='bad file', text=text))
      continue
    read = functools.partial(
      findings.read_prepared,
      source.__getitem__,
      ids=report.ids,
      own=report.own,
      where=f'{builder.data_dir} {split}',
    )
    splits[split] = (range(info.num_examples), read)
  return report, splits, builder.data_dir


def _find_unscored(layout):
  """Yields scored splits without labels; notes if no split has labels."""
  spec = layout.spec
  bare = set(layout.unlabelled) == set(layout.splits)
  alike = _find_alike(layout)
  for split in set(layout.unlabelled) & set(spec.scored) - set(spec.unlabelled):
    text = f'{spec.dataset}: {split} has images but no labels'
    near = [
      x
      for x, _ in layout.unused
      if split in _name_places(x, spec) and (x in alike or 'label' in x.lower())
    ]
    if near:
      text += f'; {layout.tree.where(near[0])} exists but is not read'
    elif bare:
      text += ', like all other splits; it can be adapted to but not scored'
    forms = ' or '.join(x.shown for x in spec.spellings['label'])
    yield specs.Problem(
      kind='scored split without labels',
      text=f'{text}; expected {forms} (from {spec.get})',
      # The labels of a test split are often withheld.
      fatal=split != 'test' and bool(near or not bare),
    )


def _name_places(path, spec):
  """Returns the splits that the folders of a path are named after."""
  folders = specs.fold(path).split('/')[:-1]
  return {
    split
    for spelling, split in spec.splits.items()
    for folder in folders
    # Such as valannot and val_labels.
    if spelling and folder.startswith(spelling)
  }


def _find_alike(layout):
  """Returns unused pictures that seem to be labels: named like an image."""
  names = {
    pathlib.PurePath(x.name).name
    for items in layout.splits.values()
    for x in items
  }
  found = []
  for path, reason in layout.unused:
    place = pathlib.PurePosixPath(path)
    # A suffix such as _gtFine_color or .jpg may follow.
    parts = re.split('([_.-])', place.name)
    starts = itertools.accumulate(parts)
    known = not names.isdisjoint(starts)
    labelled = known and not _NO_LABELS.search(path.lower())
    picture = place.suffix.lower().removeprefix('.') in decoding.SUFFIXES
    stray = reason == 'label without an example'
    if picture and (stray or labelled):
      found.append(path)
  return found


def _find_unlabelled(layout):
  """Yields a problem if labels are expected and there are none at all."""
  spec = layout.spec
  bare = set(layout.unlabelled) == set(layout.splits)
  if not bare or set(layout.splits) <= set(spec.unlabelled):
    return
  # Without a table, and in splits to be scored, see `_find_unscored`.
  if not spec.codes and (spec.ids == 'folder' or spec.scored):
    return
  what = 'the class table has ids, but ' if spec.codes else ''
  text = f'{spec.dataset}: {what}no image has a label'
  alike = _find_alike(layout)
  if alike:
    text += (
      f'; {layout.tree.where(alike[0])}{suspicions.count_more(alike)} exists'
      ' but is not read'
    )
  forms = ' or '.join(x.shown for x in spec.spellings['label'])
  yield specs.Problem(
    kind='no labels', text=f'{text}; expected {forms}', fatal=bool(alike)
  )


def _find_shared(report):
  """Yields pairs of splits that have pictures in common."""
  for one, other in itertools.combinations(report.examined, 2):
    found = [report.examined[x].pictures for x in (one, other)]
    shared = sorted(set(found[0]) & set(found[1]), key=found[0].get)
    if shared:
      names = [x[shared[0]] for x in found]
      yield specs.Problem(
        kind='picture in two splits',
        text=f'{report.dataset}: {len(shared)} of the {len(found[1])} pictures'
        f' of {other} are in {one}, too ({names[1]} is {names[0]} of {one});'
        ' expected no picture twice: scores on them would mean nothing',
        # Training is not affected.
        fatal=False,
      )


def _find_absent(report):
  """Yields a note about classes of the user's table without a single pixel."""
  counts: collections.Counter[int] = collections.Counter()
  for found in report.examined.values():
    counts.update(found.codes)
  # A class may be without a code: it has no pixel, either.
  names = report.own.names if report.own else ()
  pixels: collections.Counter[str] = collections.Counter(
    dict.fromkeys(names, 0)
  )
  for code, (_, name) in report.codes.items():
    pixels[name] += counts[code]
  absent = [x for x, n in pixels.items() if not n and x != 'ignored']
  # Labels that have none at all are an error of their own.
  if counts and absent and any(n for x, n in pixels.items() if x != 'ignored'):
    yield specs.Problem(
      kind='class without a pixel',
      text=f'{report.dataset}: no pixel of any label that was read is'
      f' {", ".join(absent)}; expected some of each class in the table',
      # It may be there for another folder's sake.
      fatal=False,
    )


def _spread(items, limit):
  if limit is None or len(items) <= limit:
    return items
  return [items[i * len(items) // limit] for i in range(limit)]
