"""The runs of a table's rows: commands, configs, folders."""

from collections.abc import Sequence
import dataclasses
import json
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
# Fields that are right for one target only.
_OF_TARGET = tuple(
  f'data.target.{x}' for x in ('dataset', 'manual_dir', 'depth_dir')
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Part:
  """A training; most runs have one, a pipeline has several in sequence.

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
    name: its folder within that of the reproduction, e.g. 'S1/seed1'.
    command: the arguments of `python` on the command line.
    config: the config that it is run with.
    parts: its trainings in order; the last one is scored.
    before: name of the run that must be done first, or ''.
  """

  name: str
  command: tuple[str, ...]
  config: ml_collections.ConfigDict
  parts: tuple[Part, ...]
  before: str = ''

  @property
  def steps(self) -> int:
    """Number of steps of all parts."""
    return sum(part.steps for part in self.parts)

  def __str__(self) -> str:
    return shlex.join(['python', *self.command])


def slug(label: str) -> str:
  """Converts a label to a folder name: 'Depth_Distribution', '10'."""
  return re.sub(r'[^\w.+-]+', '_', label).strip('_')


def check_overrides(overrides: Sequence[str]) -> None:
  """Checks the flags that are passed to every run.

  Raises:
    UserError: one is not '--config.field=value', or sets the seed.
  """
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
  """Keeps the last override of each field: repeated tuples would add up."""
  return list({_read_field(x): x for x in overrides}.values())


class Expander:
  """Collects runs without repeating any.

  Attributes:
    runs: name -> run, in the order in which they were added.
  """

  def __init__(
    self,
    *,
    folder: pathlib.Path,
    workdir: pathlib.Path,
    pair: str,
    classes: str,
    overrides: Sequence[str],
  ):
    """Collects nothing yet; for the arguments see `plan.expand`."""
    self._folder, self._workdir = folder, workdir
    self._pair, self._classes, self._overrides = pair, classes, overrides
    self.runs: dict[str, Run] = {}
    self._names: dict[str, str] = {}

  def add(self, row: Any, seed: int, *, lenient: bool = False) -> str:
    """Adds a row's run, and the run that it needs before.

    Args:
      row: the table's row.
      seed: seed of the run.
      lenient: whether to ignore overrides of fields that the config does not
        have; otherwise they are errors.

    Returns:
      The run's name.

    Raises:
      UserError: a flag is wrong, or the config is impossible.
    """
    path, before = self._path(row), ''
    own = [*row.overrides, *row.pair_overrides.get(self._pair, ())]
    fixed = [*row.fixed]
    if row.before:
      self._check_target(row.before.row)
      # It may use another method.
      before = self.add(row.before.row, seed, lenient=True)
      fixed.append(f'--config.{row.before.field}={self._workdir / before}')
    given = self._known(path) if lenient else self._overrides
    given = [*own, f'--config.seed={seed}', *given, *fixed]
    try:
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
      name = self._names[identity] = f'{slug(row.label)}/seed{seed}'
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

  def _check_target(self, row):
    """Refuses overrides for one target if an earlier run has another one."""
    own = [x for x in row.arguments.split(',') if x.startswith('pair=')]
    for override in self._overrides if own else ():
      if _read_field(override) in _OF_TARGET:
        raise errors.UserError(
          f'row {row.label}: {override} after --, but it is trained on another'
          f' target ({own[0]}); expected both prepared (jaxuda prepare) and no'
          ' such flag, or --rows without it'
        )

  def _known(self, path):
    """Returns the overrides of fields that a config has."""
    fields = config_fields.flatten(command.read_config(path).to_dict())
    return [x for x in self._overrides if _read_field(x) in fields]

  def _path(self, row):
    classes = f'classes={self._classes}' if self._classes else ''
    more = row.arguments, row.by_pair.get(self._pair)
    pieces = (f'pair={self._pair}', classes, *more)
    return f'{self._folder / row.config}:{",".join(filter(None, pieces))}'


def _is_scored(config):
  """Returns whether the method segments; a CycleGAN does not."""
  return methods.create(own_classes.count(config)).predict is not None


def _list_trainings(module, config):
  """Returns folder -> steps for the trainings of a run."""
  if module != _PIPELINE:
    return {'': config.stop_step}
  training = config.self_training
  folders = {} if training.adversarial else {'adversarial': config.stop_step}
  for number in range(1, training.rounds + 1):
    folders[f'round{number}/training'] = training.stop_step
  return folders
