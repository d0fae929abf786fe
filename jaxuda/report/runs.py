"""Reads the files of runs, and groups the runs that can be compared."""

from collections.abc import Mapping, Sequence
import dataclasses
import math
import pathlib
import re
import statistics
from typing import Any

from jaxuda import errors
from jaxuda.data.classes import class_tables
from jaxuda.data.classes import labels
from jaxuda.evaluate import tables
from jaxuda.run import config_fields
from jaxuda.run import provenance
from jaxuda.run import workdir as workdir_lib
from jaxuda.ui import display


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunFiles:
  """A run as its files describe it; no checkpoint is read.

  Attributes:
    workdir: folder of the run.
    name: short name that no other run has.
    config: dotted name of a field -> its value in JSON types.
    scores: content of scores.json, {} if the run was never evaluated.
    lines: lines of metrics.jsonl.
    parameters: number of parameters of all networks, None if not known.
    code: versions and commits that it was trained with, [] if not known.
  """

  workdir: str
  name: str
  config: Mapping[str, Any]
  scores: Mapping[str, Any]
  lines: Sequence[Mapping[str, Any]]
  parameters: int | None
  code: Sequence[str]

  @property
  def rate(self) -> float | None:
    """Steps per second, the median over the log; None if there is none."""
    rates = [x.get('steps_per_second') for x in self.lines]
    return statistics.median([x for x in rates if x] or [None])

  @property
  def evaluations(self) -> list[Mapping[str, Any]]:
    """The log of each evaluation: 'step' and figures by name."""
    return [x for x in self.lines if x.get('kind') == 'eval']

  @property
  def score(self) -> str | None:
    """Name of the main mean IoU; None without labels or evaluations."""
    if 'IoU' in self.scores.get('last', {}).get('figures', {}):
      return self.scores['last']['main']
    return None

  @property
  def step(self) -> int:
    """The last step in the log; 0 if there is none."""
    return max((x['step'] for x in self.lines), default=0)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Group:
  """Runs that were scored, or would be scored, in the same way.

  Attributes:
    runs: the runs in the given order.
    protocol: 'classes', 'dataset', 'split' and, if scored, 'images' and
      'label_resolution'.
  """

  runs: Sequence[RunFiles]
  protocol: Mapping[str, Any]


def read(workdirs: Sequence[str]) -> list[RunFiles]:
  """Reads the files of runs.

  Raises:
    UserError: a folder is given twice or is not a run's, or a file is broken.
  """
  names = tables.unique_names(workdirs)
  return [_read(w, n) for w, n in zip(workdirs, names, strict=True)]


def make_groups(runs: Sequence[RunFiles]) -> list[Group]:
  """Groups runs by the fields that must agree for their scores to compare.

  A run without scores joins the first group with its classes, dataset and
  split.
  """
  groups: list[tuple[Any, list[RunFiles]]] = []
  # Runs with scores first: only they know their whole protocol.
  for run in sorted(runs, key=lambda run: not run.scores):
    protocol = _protocols(run)
    for known, members in groups:
      # Both checkpoints must agree: the split may have changed in between.
      within = protocol[0].items() <= known[0].items()
      if protocol == known or (not run.scores and within):
        members.append(run)
        break
    else:
      groups.append((protocol, [run]))
  result = [
    Group(runs=sorted(members, key=runs.index), protocol=protocol[0])
    for protocol, members in groups
  ]
  return sorted(result, key=lambda group: runs.index(group.runs[0]))


def _protocols(run):
  """Returns the protocols of the last and of the best checkpoint."""
  if run.scores:
    return [
      tables.read_protocol(run.scores[kind]['figures'])
      for kind in ('last', 'best')
      if kind in run.scores
    ]
  classes = run.config.get('classes', '')
  if class_tables.is_table(classes):
    classes = labels.identify(str(pathlib.Path(run.workdir, 'classes.json')))
  dataset, split = (
    run.config.get(f'data.target.{field}')
    for field in ('dataset', 'eval_split')
  )
  return [{'classes': classes, 'dataset': dataset, 'split': split}]


def _read(workdir, name):
  folder = pathlib.Path(workdir)
  config = workdir_lib.config_to_dict(workdir_lib.read_config(workdir))
  try:
    scores = workdir_lib.read_scores(workdir)
  except ValueError as e:
    raise errors.UserError(
      f'{workdir}/scores.json is not JSON: {e}; expected the file that training'
      ' wrote'
    ) from e
  path = folder / 'parameters.txt'
  text = path.read_text() if path.is_file() else ''
  totals = re.findall(r'^Total: ([\d,]+)', text, re.MULTILINE)
  return RunFiles(
    workdir=workdir,
    name=name,
    config=config_fields.flatten(config),
    scores=scores,
    lines=[
      x
      for x in workdir_lib.read_lines(folder / 'metrics.jsonl')
      if isinstance(x.get('step'), int)
    ],
    # The total over all networks.
    parameters=sum(int(x.replace(',', '')) for x in totals) or None,
    code=provenance.read(workdir),
  )


def differing_fields(
  configs: Sequence[Mapping[str, Any]],
) -> list[tuple[str, list[str]]]:
  """Returns (field, its value in every config) for the fields that differ.

  For a single config it returns all fields. Configs are flat: dotted name ->
  value.
  """
  rows = []
  for field in sorted({name for config in configs for name in config}):
    shown = [config_fields.show(config, field) for config in configs]
    if len(set(shown)) > 1 or len(configs) == 1:
      rows.append((field, shown))
  return rows


def describe_cost(run: RunFiles) -> dict[str, str]:
  """Returns the cost of a run's training, and the code that it ran with."""
  rate, steps = run.rate, run.step
  known = {
    'steps': f'{steps:,}' if steps else '',
    'steps per second': f'{rate:.3g}' if rate else '',
    'time of these steps': display.format_time(steps / rate) if rate else '',
    'batch': str(run.config.get('batch_size', '')),
    'parameters, all networks': f'{run.parameters:,}' if run.parameters else '',
  }
  code = '; '.join(run.code) or 'not recorded'
  return {**{k: v or '–' for k, v in known.items()}, 'trained with': code}


def list_curves(
  runs: Sequence[RunFiles],
) -> dict[str, list[tuple[int, list[float], list[float]]]]:
  """Returns name of a quantity -> [(number of the run, steps, values), ...].

  Scores come first, then the learning rate, then losses, then the rest. Values
  that are missing or not finite are left out, as are runs without any.
  """
  skipped = ('kind', 'step', 'steps_per_second', 'depth_pixels')
  curves = {}
  for number, run in enumerate(runs):
    for line in run.lines:
      for name, value in line.items():
        number_like = isinstance(value, int | float) and math.isfinite(value)
        if number_like and name not in skipped:
          curve = curves.setdefault(name, {}).setdefault(number, ([], []))
          curve[0].append(line['step'])
          curve[1].append(value)
  return {
    name: [(number, *curve) for number, curve in curves[name].items()]
    for name in sorted(curves, key=rank_quantity)
  }


def rank_quantity(name: str) -> tuple[int, int, str]:
  """Returns the key by which quantities are sorted.

  Of the means, the one over the most classes is first.
  """
  if name.startswith('mIoU'):
    count = name.removeprefix('mIoU')
    return (0, -int(count) if count.isdigit() else 0, name)
  groups = (('depth_',), ('learning_rate', 'lr'), ('loss',))
  places = [i for i, group in enumerate(groups, 1) if name.startswith(group)]
  return (places[0] if places else len(groups) + 1, 0, name)
