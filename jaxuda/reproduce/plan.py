"""The runs that a table needs."""

from collections.abc import Mapping, Sequence
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
from jaxuda.run import config_fields
from jaxuda.run import own_classes
from jaxuda.run import workdir as workdir_lib
from jaxuda.ui import command

_PIPELINE = 'jaxuda.depdis.run'
# Backbones that are not trained from scratch.
_PRETRAINED = ('resnet101', 'vgg16', 'vgg16_adaptsegnet')


@dataclasses.dataclass(frozen=True, kw_only=True)
class Part:
  """A training; most runs are one, a pipeline is several, one after another.

  Attributes:
    workdir: folder of the training.
    steps: step at which it ends.
    scored: whether there is anything to score.
  """

  workdir: pathlib.Path
  steps: int
  scored: bool


@dataclasses.dataclass(frozen=True, kw_only=True)
class Run:
  """A run: one process.

  Attributes:
    name: its folder in that of the reproduction, e.g. 'S1/seed1'.
    command: what follows `python` on the command line.
    config: the config that it is called with.
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
  """A row of the table with its runs.

  Attributes:
    label: the row's name.
    paper: figure -> percent that the paper reports on `Plan.paper_pair`.
    runs: seed -> name of a run.
    same_as: label of an earlier row with the same runs, or ''.
  """

  label: str
  paper: Mapping[str, float]
  runs: dict[int, str]
  same_as: str = ''


@dataclasses.dataclass(frozen=True, kw_only=True)
class Plan:
  """A table with its runs.

  Attributes:
    table: the table's name.
    title: the paper, and what the table shows.
    pair: domain pair of the runs.
    paper_pair: domain pair of the paper's figures.
    seeds: seeds of every row.
    rows: the rows in the paper's order.
    runs: name -> run, in the order in which they are started: seed by seed, so
      that what is done at any time is a table.
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
    name: the table's name.
    table: a table of configs/tables.py.
    folder: folder of the configs.
    workdir: folder of the reproduction.
    pair: domain pair; '' for the paper's own.
    classes: class set; '' for the table's.
    seeds: seeds for each of which every row has a run.
    rows: labels of the rows; none for all.
    overrides: flags for every run, each '--config.field=value' but the seed. A
      run before a row takes those that its config has.

  Raises:
    UserError: an unknown row or pair, a wrong flag, an impossible config, or
      rows that would not be scored in the same way.
  """
  pair = pair or table.pairs[0]
  paper_pair = pair if pair in table.pairs else table.pairs[0]
  chosen = _choose_rows(name, table, rows)
  _check_overrides(overrides)
  expander = _Expander(
    table,
    folder=pathlib.Path(folder),
    workdir=pathlib.Path(workdir),
    pair=pair,
    classes=classes or table.classes,
    overrides=overrides,
  )
  names = {row.label: {} for row in chosen}
  for seed in seeds:
    for row in chosen:
      names[row.label][seed] = expander.add(row, seed)
  planned, owners = [], {}
  for row in chosen:
    runs = names[row.label]
    owner = owners.setdefault(tuple(runs.values()), row.label)
    planned.append(
      Row(
        label=row.label,
        paper=row.paper.get(paper_pair, {}),
        runs=runs,
        same_as='' if owner == row.label else owner,
      )
    )
  _check_alike(name, pair, planned, expander.runs)
  return Plan(
    table=name,
    title=f'{table.paper}: {table.what}',
    pair=pair,
    paper_pair=paper_pair,
    seeds=tuple(seeds),
    rows=tuple(planned),
    runs=expander.runs,
  )


def _slug(label):
  """Returns a label as a folder's name: 'Depth_Distribution', '10'."""
  return re.sub(r'[^\w.+-]+', '_', label).strip('_')


def _choose_rows(name, table, labels):
  known = [row.label for row in table.rows]
  by_name = {_slug(x): x for x in known} | {x: x for x in known}
  for label in labels:
    if label not in by_name:
      raise errors.UserError(
        f'unknown row {label!r} of {name}; expected one of {", ".join(known)}'
      )
  # In the table's order: the others are compared with its first row.
  wanted = [by_name[x] for x in labels] or known
  return [row for row in table.rows if row.label in wanted]


def _check_overrides(overrides):
  for override in overrides:
    if not re.fullmatch(r'--?config\.[\w.]+=.*', override, re.DOTALL):
      raise errors.UserError(
        f'{override!r} after --; expected --config.field=value'
      )
    if _read_field(override) == 'seed':
      raise errors.UserError(f'{override} after --; expected --seeds')


def _read_field(override):
  """Returns 'data.size' of '--config.data.size=3'."""
  return override.partition('=')[0].lstrip('-').removeprefix('config.')


def _merge(overrides):
  """Keeps the last override of each field: tuples given twice would grow."""
  return list({_read_field(x): x for x in overrides}.values())


class _Expander:
  """Collects runs, each once."""

  def __init__(self, table, *, folder, workdir, pair, classes, overrides):
    self._table, self._folder, self._workdir = table, folder, workdir
    self._pair, self._classes, self._overrides = pair, classes, overrides
    self.runs: dict[str, Run] = {}
    self._names: dict[str, str] = {}

  def add(self, row, seed, overrides=None) -> str:
    """Adds a row's run, and the one before it; returns the run's name."""
    path, before, own = self._path(row), '', [*row.overrides]
    if row.before:
      before = self._add_before(row.before.row, seed)
      own.append(f'--config.{row.before.field}={self._workdir / before}')
    given = self._overrides if overrides is None else overrides
    given = [*own, f'--config.seed={seed}', *given]
    try:
      config = command.read_config(path, _merge(given))
      if config.network.backbone in _PRETRAINED and _is_scored(config):
        weights = row.weights or self._table.weights
        initial = f'--config.initial=pretrained/{weights.file}'
        given = [*weights.overrides, initial, *given]
      config = own_classes.count(command.read_config(path, _merge(given)))
      scored = _is_scored(config)
      if not 1 <= config.stop_step <= config.total_steps:
        raise errors.UserError(
          f'stop_step={config.stop_step}; expected at least 1 and at most'
          f' total_steps={config.total_steps}'
        )
    except errors.UserError as e:
      raise errors.UserError(f'row {row.label}: {e}') from e
    tree = workdir_lib.config_to_dict(config)
    identity = json.dumps([row.module, tree], sort_keys=True)
    if identity not in self._names:
      name = self._names[identity] = f'{_slug(row.label)}/seed{seed}'
      workdir = self._workdir / name
      flags = (f'--config={path}', f'--workdir={workdir}', *_merge(given))
      self.runs[name] = Run(
        name=name,
        command=('-m', row.module, *flags),
        config=config,
        parts=tuple(
          Part(workdir=workdir / folder, steps=steps, scored=scored)
          for folder, steps in _list_trainings(row.module, config).items()
        ),
        before=before,
      )
    return self._names[identity]

  def _add_before(self, row, seed):
    """The run before may be of another method, without some of the fields."""
    config = command.read_config(self._path(row)).to_dict()
    fields = config_fields.flatten(config)
    known = [x for x in self._overrides if _read_field(x) in fields]
    return self.add(row, seed, known)

  def _path(self, row):
    classes = f'classes={self._classes}' if self._classes else ''
    more = row.arguments, row.by_pair.get(self._pair)
    pieces = (f'pair={self._pair}', classes, *more)
    return f'{self._folder / row.config}:{",".join(filter(None, pieces))}'


def _is_scored(config):
  """Says whether the method segments; a CycleGAN does not."""
  return methods.create(own_classes.count(config)).predict is not None


def _list_trainings(module, config):
  """Folder -> steps of the trainings of a run."""
  if module != _PIPELINE:
    return {'': config.stop_step}
  training = config.self_training
  folders = {} if training.adversarial else {'adversarial': config.stop_step}
  for number in range(1, training.rounds + 1):
    folders[f'round{number}/training'] = training.stop_step
  return folders


def _check_alike(name, pair, rows, runs):
  """Rows that could not stand side by side are not worth the training."""
  if len(rows) > 1 and len({tuple(row.runs.values()) for row in rows}) == 1:
    raise errors.UserError(
      f'all rows of {name} are the same run with pair={pair}; expected another'
      ' pair'
    )
  protocols = {
    row.label: _scoring(runs[row.runs[min(row.runs)]].config) for row in rows
  }
  first = rows[0].label
  for label, protocol in protocols.items():
    for field, value in protocol.items():
      if value != protocols[first][field]:
        raise errors.UserError(
          f'row {label} would be scored with {field}={value}, {first} with'
          f' {protocols[first][field]}; expected the same: choose --rows'
        )


def _scoring(config):
  """What in a config decides how its run is scored."""
  target = config.data.target
  labels = target.get('eval_labels', 'native')
  return {
    'classes': config.classes,
    'dataset': same_images(target.dataset),
    'split': target.eval_split,
    'labels': labels if labels == 'native' else f'{labels} {target.size}',
  }


def same_images(dataset: str) -> str:
  """Returns a dataset's name without the source of its depth."""
  return re.sub(r'/(stereo|mono)$', '', dataset)
