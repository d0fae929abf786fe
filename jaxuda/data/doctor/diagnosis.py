"""Problems of a dataset: of the user's files, or of what was prepared."""

from collections.abc import Callable, Iterator, Sequence
import contextlib
import dataclasses
from typing import Any

from jaxuda import errors
from jaxuda.data.classes import labels
from jaxuda.data.datasets import registry
from jaxuda.data.files import layout as layout_lib
from jaxuda.data.files import specs
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
    ids: the dataset whose raw ids its labels hold.
    own: the classes of the raw ids 1, 2, ... if it has names of its own.
    layout: which spellings were found, for people.
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
  counts: dict[str, tuple[int, int, int]] = dataclasses.field(
    default_factory=dict
  )
  examined: dict[str, findings.Examination] = dataclasses.field(
    default_factory=dict
  )
  problems: list[specs.Problem] = dataclasses.field(default_factory=list)
  samples: dict[str, list[findings.Sample]] = dataclasses.field(
    default_factory=dict
  )

  @property
  def fatal(self) -> bool:
    """Whether anything would spoil a training run."""
    return any(x.fatal for x in self.problems)


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Split:
  """Examples of a split, and how they are read."""

  name: str
  items: Sequence[Any]
  read: Callable[[Sequence[Any]], Iterator[findings.Sample]]
  counts: tuple[int, int, int] | None = None


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
  spec = None
  if family.describe:
    spec = family.describe(dataset, manual_dir)
  if manual_dir is None:
    report, splits, where = _open_prepared(dataset, family, spec, data_dir)
  elif spec is None:
    raise errors.UserError(
      f'{dataset} is not made of files; expected no manual_dir'
    )
  else:
    report, splits, where = _open_files(manual_dir, spec)
  for split in splits:
    chosen = _spread(split.items, limit)
    title = f'reading {dataset} {split.name}'
    found = findings.Examination()
    whole = report.samples[split.name] = []
    for sample in display.track(
      split.read(chosen), name=title, total=len(chosen)
    ):
      found.add(sample)
      if len(whole) < _SHOWN and not sample.problems:
        whole.append(sample)
    report.examined[split.name] = found
    report.counts[split.name] = split.counts or (
      *(len(split.items), found.labelled, found.deep),
    )
    report.problems += findings.judge(
      found,
      dataset=dataset,
      telltale=spec.telltale if spec else (),
      where=f'{split.name} in {where}',
    )
  report.problems += _judge_counts(report)
  for found in report.examined.values():
    report.problems += found.problems
  report.problems.sort(key=lambda x: not x.fatal)
  return report


def _open_files(manual_dir, spec):
  layout = layout_lib.find(manual_dir, spec)
  report = Report(
    dataset=spec.dataset,
    ids=spec.ids,
    own=spec.own,
    layout=layout.describe(),
    code=depth_codes.DepthCode.of(spec.depth or {}),
    expected=dict(spec.expected),
    problems=list(layout.problems),
  )
  if spec.check:
    # A broken file is found again when all are read.
    with contextlib.suppress(errors.UserError):
      report.problems += spec.check(layout)
  splits = [
    _Split(
      name=name,
      items=items,
      read=lambda chosen: findings.read_raw(layout, chosen),
      counts=(
        len(items),
        sum(bool(x.label) for x in items),
        sum(bool(x.depth) for x in items),
      ),
    )
    for name, items in layout.splits.items()
  ]
  return report, splits, layout.tree.root


def _open_prepared(dataset, family, spec, data_dir):
  builder = registry.find_prepared(dataset, data_dir=data_dir)
  metadata = registry.metadata(builder.info)
  report = Report(
    dataset=dataset,
    ids=metadata.get('ids', family.ids),
    own=labels.read_own(metadata),
    layout=f'prepared in {builder.data_dir}',
    code=depth_codes.DepthCode.of(metadata),
    expected=dict(spec.expected) if spec else {},
  )
  skipped = registry.keep_encoded(builder.info, ('image', 'label', 'depth'))
  splits = []
  for name, info in builder.info.splits.items():
    try:
      with registry.quiet():
        source = builder.as_data_source(split=name, decoders=skipped)
      len(source)
    except Exception as e:
      text = (
        f'{dataset}: split {name} in {builder.data_dir} cannot be read'
        f' ({" ".join(str(e).split())[:200]})'
      )
      report.problems.append(specs.Problem(kind='bad file', text=text))
      continue

    def read(chosen, name=name, source=source):
      return findings.read_prepared(
        source.__getitem__,
        chosen,
        ids=report.ids,
        own=report.own,
        where=f'{builder.data_dir} {name}',
      )

    items = range(info.num_examples)
    splits.append(_Split(name=name, items=items, read=read))
  return report, splits, builder.data_dir


def _spread(items, limit):
  if limit is None or len(items) <= limit:
    return items
  return [items[i * len(items) // limit] for i in range(limit)]


def _judge_counts(report) -> Iterator[specs.Problem]:
  """Yields where the publisher has more images: that may be meant."""
  for split, expected in report.expected.items():
    found = report.counts.get(split, (0, 0, 0))[0]
    if found != expected:
      yield specs.Problem(
        kind='another number of images',
        text=f'{report.dataset}: {found} images in {split}; the publisher gives'
        f' {expected}',
        fatal=False,
      )
