"""The runs that a table needs."""

from collections.abc import Sequence
import contextlib
import dataclasses
import json
import os
import pathlib
import re
import shlex
from typing import Any

import ml_collections

from jaxuda import errors
from jaxuda import methods
from jaxuda.reproduce import choices
from jaxuda.run import own_classes
from jaxuda.run import workdir as workdir_lib
from jaxuda.ui import command

_PIPELINE = 'jaxuda.depdis.run'
# Not trained from scratch.
_PRETRAINED = ('resnet101', 'vgg16', 'vgg16_adaptsegnet')


@dataclasses.dataclass(frozen=True, kw_only=True)
class Part:
  """A training; most runs are one, a pipeline is several, one after another.

  Attributes:
    workdir: its folder.
    steps: where it ends.
    scored: whether there is anything to score.
  """

  workdir: pathlib.Path
  steps: int
  scored: bool


@dataclasses.dataclass(frozen=True, kw_only=True)
class Run:
  """One process.

  Attributes:
    name: e.g. 'S1/seed1', its folder in the reproduction's.
    command: what follows `python`.
    config: what it is called with.
    parts: its trainings in order; the last one is scored.
    before: name of the run that must be done before, or ''.
  """

  name: str
  command: tuple[str, ...]
  config: ml_collections.ConfigDict
  parts: tuple[Part, ...]
  before: str = ''

  @property
  def steps(self) -> int:
    """Steps of all parts."""
    return sum(part.steps for part in self.parts)

  def __str__(self) -> str:
    return shlex.join(['python', *self.command])


@dataclasses.dataclass(frozen=True, kw_only=True)
class Row:
  """A row with its runs.

  Attributes:
    label: its name.
    paper: pair -> figure -> percent.
    runs: seed -> name of a run.
    same_as: label of an earlier row that is the same run, or ''.
  """

  label: str
  paper: dict[str, dict[str, float]]
  runs: dict[int, str]
  same_as: str = ''


@dataclasses.dataclass(frozen=True, kw_only=True)
class Plan:
  """A table with its runs.

  Attributes:
    table: its name.
    title: what it is, and whose.
    pair: that the runs are on.
    paper_pair: that the paper's figures are on.
    seeds: of the runs.
    rows: in the paper's order.
    runs: by name, in the order in which they are started: seed by seed, so that
      what is done at any time is a table.
  """

  table: str
  title: str
  pair: str
  paper_pair: str
  seeds: tuple[int, ...]
  rows: tuple[Row, ...]
  runs: dict[str, Run]

  @property
  def steps(self) -> int:
    """Steps of all runs."""
    return sum(run.steps for run in self.runs.values())


def expand(
  name: str,
  table: Any,
  *,
  folder: str | os.PathLike,
  workdir: str | os.PathLike,
  pair: str = '',
  classes: str = '',
  seeds: Sequence[int] = (1,),
  rows: Sequence[str] = (),
  overrides: Sequence[str] = (),
) -> Plan:
  """Returns the runs of a table.

  Args:
    name: of the table.
    table: see configs/tables.py.
    folder: where the configs are.
    workdir: where the runs will be.
    pair: '' for the paper's own.
    classes: a class set; '' for the table's.
    seeds: a run of every row for each.
    rows: labels; all if there are none.
    overrides: see `choices.check_overrides`. A run before a row takes those
      that its config has.

  Raises:
    UserError: an unknown row or pair, a config that cannot be, or rows that
      would not be scored in the same way.
  """
  pair = pair or table.pairs[0]
  chosen = _choose_rows(name, table, rows)
  expander = _Expander(
    table,
    folder=pathlib.Path(folder),
    workdir=pathlib.Path(workdir),
    pair=pair,
    classes=classes or table.classes,
    overrides=choices.check_overrides(overrides),
  )
  planned = {row.label: {} for row in chosen}
  for seed in seeds:
    for row in chosen:
      planned[row.label][seed] = expander.add(row, seed)
  _check_alike(name, pair, chosen, planned, expander.runs)
  owners = {}
  return Plan(
    table=name,
    title=f'{table.paper}: {table.what}',
    pair=pair,
    paper_pair=pair if pair in table.pairs else table.pairs[0],
    seeds=tuple(seeds),
    rows=tuple(
      Row(
        label=row.label,
        paper={k: dict(v) for k, v in row.paper.items()},
        runs=planned[row.label],
        same_as=_first_owner(owners, row.label, planned[row.label]),
      )
      for row in chosen
    ),
    runs=expander.runs,
  )


def slug(label: str) -> str:
  """Returns a label as a folder's name: 'Depth_Distribution', '10'."""
  return re.sub(r'[^\w.+-]+', '_', label).strip('_')


def _choose_rows(name, table, labels):
  known = {row.label: row for row in table.rows}
  by_slug = {slug(label): row for label, row in known.items()}
  for label in labels:
    if label not in known and label not in by_slug:
      raise errors.UserError(
        f'unknown row {label!r} of {name}; expected one of {", ".join(known)}'
      )
  # In the table's order: the first is what the others are compared with.
  wanted = {(known.get(x) or by_slug[x]).label for x in labels} or set(known)
  return [row for row in table.rows if row.label in wanted]


def _first_owner(owners, label, runs):
  first = owners.setdefault(tuple(runs.values()), label)
  return '' if first == label else first


def _merge(overrides):
  """The last of each field: tuples given twice would become longer."""
  return list({choices.read_field(x): x for x in overrides}.values())


class _Expander:
  """Collects runs, each once."""

  def __init__(self, table, *, folder, workdir, pair, classes, overrides):
    self._table, self._folder, self._workdir = table, folder, workdir
    self._pair, self._classes, self._overrides = pair, classes, overrides
    self.runs: dict[str, Run] = {}
    self._names: dict[str, str] = {}

  def add(self, row, seed) -> str:
    """Returns the name of a row's run."""
    return self._add(row, seed, self._overrides)

  def _add(self, row, seed, overrides):
    own, before = [*row.overrides], ''
    if row.before:
      before = self._add_before(row.before.row, seed)
      own.append(f'--config.{row.before.field}={self._workdir / before}')
    path = self._path(row)
    given = [*own, f'--config.seed={seed}', *overrides]
    with _naming(f'row {row.label}'):
      config = command.read_config(path, _merge(given))
      if config.network.backbone in _PRETRAINED and _is_scored(config):
        weights = row.weights or self._table.weights
        initial = f'--config.initial=pretrained/{weights.file}'
        given = [*weights.overrides, initial, *given]
      return self._keep(
        *(row.module, path, slug(row.label), seed, given), before=before
      )

  def _add_before(self, row, seed):
    """It may be another method, without some of the fields."""
    config = command.read_config(self._path(row)).to_dict()
    fields = workdir_lib.flatten(config)
    known = [x for x in self._overrides if choices.read_field(x) in fields]
    return self._add(row, seed, known)

  def _path(self, row):
    classes = f'classes={self._classes}' if self._classes else ''
    more = row.arguments, row.by_pair.get(self._pair)
    pieces = (f'pair={self._pair}', classes, *more)
    return f'{self._folder / row.config}:{",".join(filter(None, pieces))}'

  def _keep(self, module, path, folder, seed, given, *, before=''):
    given = _merge(given)
    config = own_classes.count(command.read_config(path, given))
    _check_steps(config)
    tree = workdir_lib.config_to_dict(config)
    identity = json.dumps([module, tree], sort_keys=True)
    if identity in self._names:
      return self._names[identity]
    name = f'{folder}/seed{seed}'
    workdir = self._workdir / name
    self._names[identity] = name
    self.runs[name] = Run(
      name=name,
      command=(
        *('-m', module, f'--config={path}', f'--workdir={workdir}'),
        *given,
      ),
      config=config,
      parts=_parts(module, config, workdir),
      before=before,
    )
    return name


@contextlib.contextmanager
def _naming(where):
  """Adds to a user's mistake where it is."""
  try:
    yield
  except errors.UserError as e:
    raise errors.UserError(f'{where}: {e}') from e


def _check_steps(config):
  if not 1 <= config.stop_step <= config.total_steps:
    raise errors.UserError(
      f'stop_step={config.stop_step}; expected at least 1 and at most'
      f' total_steps={config.total_steps}'
    )


def _is_scored(config):
  """A CycleGAN segments nothing."""
  return methods.create(own_classes.count(config)).predict is not None


def _parts(module, config, workdir):
  scored = _is_scored(config)
  if module != _PIPELINE:
    return (Part(workdir=workdir, steps=config.stop_step, scored=scored),)
  training = config.self_training
  folders = []
  if not training.adversarial:
    folders.append(('adversarial', config.stop_step))
  for number in range(1, training.rounds + 1):
    folders.append((f'round{number}/training', training.stop_step))
  return tuple(
    Part(workdir=workdir / folder, steps=steps, scored=scored)
    for folder, steps in folders
  )


def _check_alike(name, pair, rows, planned, runs):
  """Rows that could not stand side by side are not worth the training."""
  first = tuple(planned[rows[0].label].values())
  if len(rows) > 1 and all(
    tuple(planned[row.label].values()) == first for row in rows
  ):
    raise errors.UserError(
      f'all rows of {name} are the same run with pair={pair}; expected another'
      ' pair'
    )
  protocols = [
    scoring(runs[planned[row.label][min(planned[row.label])]].config)
    for row in rows
  ]
  for row, protocol in zip(rows, protocols, strict=True):
    for field, value in protocol.items():
      if value != protocols[0][field]:
        raise errors.UserError(
          f'row {row.label} would be scored with {field}={value},'
          f' {rows[0].label} with {protocols[0][field]}; expected the same:'
          ' choose --rows'
        )


def scoring(config: ml_collections.ConfigDict) -> dict[str, Any]:
  """Returns what of a config decides how it is scored."""
  target = config.data.target
  labels = target.get('eval_labels', 'native')
  return {
    'classes': config.classes,
    'dataset': same_images(target.dataset),
    'split': target.eval_split,
    'labels': labels if labels == 'native' else f'{labels} {target.size}',
  }


def same_images(dataset: str) -> str:
  """Returns a dataset's name without where its depth is from."""
  return re.sub(r'/(stereo|mono)$', '', dataset)
