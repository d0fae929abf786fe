"""Problems of a dataset, in the user's files or in the prepared records."""

import contextlib
import dataclasses
import functools

from jaxuda import errors
from jaxuda.data.classes import labels
from jaxuda.data.datasets import registry
from jaxuda.data.files import layout as layout_lib
from jaxuda.data.files import specs
from jaxuda.data.files import tree as tree_lib
from jaxuda.data.pixels import depth_codes
from jaxuda.data.store import findings
from jaxuda.ui import display

# Examples of a split that are kept for pictures.
_SHOWN = 6


@dataclasses.dataclass(kw_only=True)
class Report:
  """Findings about a dataset.

  Attributes:
    dataset: name of the dataset.
    ids: key of `label_tables.TABLES`, whose raw ids its labels hold.
    own: the classes of the raw ids 1, 2, ... if it has names of its own.
    layout: spellings that were found, for people.
    code: meaning of its depth.
    expected: split -> number of images that the publisher gives.
    counts: split -> (images, labels, depth maps) that there are.
    examined: split -> contents of the examples that were read.
    problems: all problems, fatal ones first.
    samples: split -> the first few whole examples.
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
  """Examines a dataset: the user's files, or without them the prepared one.

  Args:
    dataset: such as 'cityscapes/stereo'.
    manual_dir: the user's folder or archive.
    data_dir: folder of prepared data; default: that of TFDS.
    limit: number of examples of a split that are read, evenly spread; None for
      all.

  Raises:
    UserError: unknown dataset, no such folder, or nothing like it in there.
  """
  family = registry.find(dataset)
  spec = family.describe(dataset, manual_dir) if family.describe else None
  if manual_dir is None:
    report, splits, where = _open_prepared(dataset, family, spec, data_dir)
  elif spec is None:
    raise errors.UserError(
      f'{dataset} is not made of files; expected no manual_dir'
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
    )
  for split, expected in report.expected.items():
    count = report.counts.get(split, (0, 0, 0))[0]
    if count != expected:
      report.problems.append(
        specs.Problem(
          kind='another number of images',
          text=f'{dataset}: {count} images in {split}; the publisher gives'
          f' {expected}',
          # Fewer may be meant.
          fatal=False,
        )
      )
  for found in report.examined.values():
    report.problems += found.problems
  report.problems.sort(key=lambda x: not x.fatal)
  return report


def _open_files(manual_dir, spec):
  """Returns a report, {split: (examples, reader of some)}, and the place."""
  layout = layout_lib.find(manual_dir, spec)
  problems = list(layout.problems)
  if spec.check:
    # A broken file is found again when all are read.
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
    problems=problems,
    samples={},
  )
  read = functools.partial(findings.read_raw, layout)
  splits = {split: (items, read) for split, items in layout.splits.items()}
  return report, splits, layout.tree.root


def _open_prepared(dataset, family, spec, data_dir):
  """Returns as `_open_files`."""
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


def _spread(items, limit):
  if limit is None or len(items) <= limit:
    return items
  return [items[i * len(items) // limit] for i in range(limit)]
