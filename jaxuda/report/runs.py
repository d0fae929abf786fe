"""What the files of runs say, and which runs can be compared."""

from collections.abc import Mapping, Sequence
import dataclasses
import json
import pathlib
import re
import statistics
from typing import Any

from jaxuda import errors
from jaxuda.data.classes import class_tables
from jaxuda.data.classes import labels
from jaxuda.evaluate import comparison
from jaxuda.run import config_fields
from jaxuda.run import provenance
from jaxuda.run import workdir as workdir_lib


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunFiles:
  """A run as its files describe it; no checkpoint is read.

  Attributes:
    workdir: the run's folder.
    name: short, and no other run's.
    config: dotted names -> values in JSON types.
    scores: content of scores.json, {} if the run was never evaluated.
    lines: those of metrics.jsonl.
    parameters: how many the networks have, None if that is not known.
    code: with which versions and commits it was trained, [] if that is not
      known.
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
    """Steps a second, the median over the log; None without one."""
    rates = [
      x['steps_per_second'] for x in self.lines if x.get('steps_per_second')
    ]
    return statistics.median(rates) if rates else None

  @property
  def step(self) -> int:
    """The last step in the log, 0 without one."""
    return max((x['step'] for x in self.lines), default=0)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Group:
  """Runs that were scored alike, or are to be.

  Attributes:
    runs: in the order given.
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
  names = unique_names(workdirs)
  return [_read(w, n) for w, n in zip(workdirs, names, strict=True)]


def unique_names(workdirs: Sequence[str]) -> list[str]:
  """Returns the shortest ends of the paths that tell them apart.

  Raises:
    UserError: a folder is given twice.
  """
  paths = [pathlib.Path(w).absolute().parts for w in workdirs]
  for i, path in enumerate(paths):
    if path in paths[:i]:
      raise errors.UserError(f'{workdirs[i]} is given twice; expected it once')
  for length in range(1, max(map(len, paths), default=0) + 1):
    names = ['/'.join(path[-length:]) for path in paths]
    if len(set(names)) == len(names):
      break
  return names


def make_groups(runs: Sequence[RunFiles]) -> list[Group]:
  """Parts runs by what must agree for their scores to stand side by side.

  A run without scores joins the first group of its classes, dataset and split.
  """
  groups: list[tuple[Any, list[RunFiles]]] = []
  # Those with scores first: only they know all of their protocol.
  for run in sorted(runs, key=lambda run: not run.scores):
    protocol = _protocol(run)
    for known, members in groups:
      # Both checkpoints must agree: the split may have changed in between.
      if protocol == known or (not run.scores and _within(protocol, known)):
        members.append(run)
        break
    else:
      groups.append((protocol, [run]))
  result = [
    Group(runs=sorted(members, key=runs.index), protocol=protocol[0])
    for protocol, members in groups
  ]
  return sorted(result, key=lambda group: runs.index(group.runs[0]))


def _within(protocol, known):
  return protocol[0].items() <= known[0].items()


def _protocol(run):
  """Protocols of the last and the best checkpoint."""
  if run.scores:
    return [
      comparison.read_protocol(run.scores[kind]['figures'])
      for kind in ('last', 'best')
      if kind in run.scores
    ]
  classes = run.config.get('classes', '')
  if class_tables.is_table(classes):
    classes = labels.identify(str(pathlib.Path(run.workdir, 'classes.json')))
  target = 'data.target.'
  return [
    {
      'classes': classes,
      'dataset': run.config.get(target + 'dataset'),
      'split': run.config.get(target + 'eval_split'),
    }
  ]


def _read(workdir, name):
  config = workdir_lib.config_to_dict(workdir_lib.read_config(workdir))
  try:
    scores = workdir_lib.read_scores(workdir)
  except ValueError as e:
    raise errors.UserError(
      f'{workdir}/scores.json is not JSON: {e}; expected what a training wrote'
    ) from e
  return RunFiles(
    workdir=workdir,
    name=name,
    config=config_fields.flatten(config),
    scores=scores,
    lines=_read_lines(pathlib.Path(workdir) / 'metrics.jsonl'),
    parameters=_read_count(pathlib.Path(workdir) / 'parameters.txt'),
    code=provenance.read(workdir),
  )


def _read_lines(path):
  lines = []
  for line in path.read_text().splitlines() if path.is_file() else ():
    try:
      lines.append(json.loads(line))
    except ValueError:
      continue  # The last line of a process that was killed.
  return lines


def _read_count(path):
  """The total of parameters.txt, of all networks that it lists."""
  text = path.read_text() if path.is_file() else ''
  totals = re.findall(r'^Total: ([\d,]+)', text, re.MULTILINE)
  return sum(int(x.replace(',', '')) for x in totals) or None
