"""What is wrong with a dataset: the user's files, or what was prepared."""

from collections.abc import Sequence
import contextlib
import dataclasses
from typing import Any

from jaxuda import errors
from jaxuda.data.classes import labels
from jaxuda.data.datasets import registry
from jaxuda.data.files import layout as layout_lib
from jaxuda.data.pixels import depth_codes
from jaxuda.data.store import findings
from jaxuda.data.store import prepared
from jaxuda.ui import display

# Examples of a split that are kept for pictures.
_SHOWN = 6


@dataclasses.dataclass(kw_only=True)
class Report:
  """What was found of a dataset.

  Attributes:
    dataset: its name.
    ids: whose raw ids its labels are.
    own: the classes of the raw ids 1, 2, ... if it has names of its own.
    layout: which spellings were found, for people.
    expected: split -> images that the publisher gives.
    counts: split -> (images, labels, depth maps) that there are.
    examined: split -> what is in them.
    code: what depth means.
    problems: all of them, fatal ones first.
    samples: split -> the first few examples.
  """

  dataset: str
  ids: str
  own: labels.ClassSet | None = None
  layout: str
  expected: dict[str, int]
  counts: dict[str, tuple[int, int, int]]
  examined: dict[str, findings.Examination]
  code: depth_codes.DepthCode
  problems: list[layout_lib.Problem]
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
    dataset: e.g. 'cityscapes/stereo'.
    manual_dir: the user's folder or archive.
    data_dir: where prepared data are; default: that of TFDS.
    limit: examples of a split that are read, evenly spread; None: all.

  Raises:
    UserError: unknown dataset, no such folder, or nothing like it in there.
  """
  family = registry.find(dataset)
  if manual_dir is None:
    return _diagnose_prepared(dataset, family, data_dir, limit)
  if family.describe is None:
    raise errors.UserError(
      f'{dataset} is not made of files; expected no manual_dir'
    )
  spec = family.describe(dataset, manual_dir)
  tree = prepared.open_tree(manual_dir, spec)
  layout = layout_lib.find(tree, spec)
  problems = list(layout.problems)
  if spec.check:
    # A broken file is found again below.
    with contextlib.suppress(errors.UserError):
      problems += spec.check(tree, layout)
  examined, samples, counts = {}, {}, {}
  for split, items in layout.splits.items():
    chosen = _spread(items, limit)
    found = findings.read_raw(tree, spec, layout, chosen)
    examined[split], samples[split] = _examine(
      found, f'{dataset} {split}', len(chosen)
    )
    problems += findings.judge(
      examined[split],
      dataset=dataset,
      telltale=spec.telltale,
      where=f'{split} in {tree.root}',
    )
    counts[split] = (
      len(items),
      sum(bool(x.label) for x in items),
      sum(bool(x.depth) for x in items),
    )
  return _finish(
    dataset=dataset,
    ids=spec.ids,
    own=spec.own,
    layout=layout.describe(),
    expected=dict(spec.expected),
    counts=counts,
    examined=examined,
    code=depth_codes.DepthCode.of(spec.depth or {}),
    problems=problems + _judge_counts(spec, counts),
    samples=samples,
  )


def _diagnose_prepared(dataset, family, data_dir, limit):
  builder = registry.find_prepared(dataset, data_dir=data_dir)
  metadata = registry.metadata(builder.info)
  ids, own = metadata.get('ids', family.ids), labels.read_own(metadata)
  examined, samples, counts, problems = {}, {}, {}, []
  spec = family.describe(dataset) if family.stores else None
  skipped = registry.keep_encoded(builder.info, ('image', 'label', 'depth'))
  for split, info in builder.info.splits.items():
    total = info.num_examples
    try:
      with registry.quiet():
        source = builder.as_data_source(split=split, decoders=skipped)
      len(source)
    except Exception as e:
      problems.append(
        layout_lib.Problem(
          kind='bad file',
          text=f'{dataset}: split {split} in {builder.data_dir} cannot be read'
          f' ({" ".join(str(e).split())[:200]})',
        )
      )
      continue
    chosen = _spread(range(total), limit)
    found = findings.read_prepared(
      source.__getitem__,
      chosen,
      ids=ids,
      own=own,
      where=f'{builder.data_dir} {split}',
    )
    examined[split], samples[split] = _examine(
      found, f'{dataset} {split}', len(chosen)
    )
    problems += findings.judge(
      examined[split],
      dataset=dataset,
      telltale=spec.telltale if spec else (),
      where=f'{split} in {builder.data_dir}',
    )
    seen = examined[split]
    counts[split] = (total, seen.labelled, seen.deep)
  return _finish(
    dataset=dataset,
    ids=ids,
    own=own,
    layout=f'prepared in {builder.data_dir}',
    expected=dict(spec.expected) if spec else {},
    counts=counts,
    examined=examined,
    code=depth_codes.DepthCode.of(metadata),
    problems=problems + (_judge_counts(spec, counts) if spec else []),
    samples=samples,
  )


def _examine(found, title, total):
  samples = []

  def keep(items):
    for sample in items:
      if len(samples) < _SHOWN and not sample.problems:
        samples.append(sample)
      yield sample

  tracked = display.track(keep(found), name=f'reading {title}', total=total)
  return findings.examine(tracked), samples


def _spread(items: Sequence[Any], limit: int | None) -> Sequence[Any]:
  if limit is None or len(items) <= limit:
    return items
  return [items[i * len(items) // limit] for i in range(limit)]


def _judge_counts(spec, counts):
  """Fewer images than the publisher gives may be meant: no fatal problem."""
  problems = []
  for split, expected in spec.expected.items():
    found = counts.get(split, (0, 0, 0))[0]
    if found != expected:
      problems.append(
        layout_lib.Problem(
          kind='another number of images',
          text=f'{spec.dataset}: {found} images in {split}; the publisher gives'
          f' {expected}',
          fatal=False,
        )
      )
  return problems


def _finish(*, problems, examined, **fields):
  every = [
    *problems,
    *(x for found in examined.values() for x in found.problems),
  ]
  every.sort(key=lambda x: not x.fatal)
  return Report(problems=every, examined=examined, **fields)
