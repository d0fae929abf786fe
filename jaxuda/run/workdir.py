"""What lies in the folder of a run, and how it is read back. Needs no TF.

config.json     the config of the run
code.json       which code trained it, see `provenance`
classes.json    its class set, if that is the user's own
checkpoints/    see `checkpoint`
metrics.jsonl   one JSON object per logged step or evaluation
scores.json     the scores of the last and of the best checkpoint
pictures/       panels
events.*        TensorBoard
"""

from collections.abc import Callable, Mapping
import dataclasses
import json
import math
import os
import pathlib
from typing import Any

import jax
import ml_collections
import numpy as np

from jaxuda import errors
from jaxuda import methods
from jaxuda.run import checkpoint
from jaxuda.step import rng

# What may change between two starts of one run, because no parameter after any
# given step depends on it.
_FREE = (
  'stop_step',
  'log_every',
  'eval_every',
  'checkpoint_every',
  'picture_every',
  'keep_last',
  'eval_batch_size',
  'data.data_dir',
  'data.source.manual_dir',
  'data.target.manual_dir',
  'data.source.depth_dir',
  'data.target.depth_dir',
  'data.target.eval_split',
  # Of the depth tools.
  'data.manual_dir',
  'data.eval_split',
  'data.workers',
  'data.target.label_dir',
  'initial',
  'initial_checkpoint',
  'generator',
  # How it is launched.
  'distributed',
)
# What may differ between the processes of one run: where they find things.
_PLACES = (
  'data.data_dir',
  'data.manual_dir',
  'data.source.manual_dir',
  'data.target.manual_dir',
  'data.source.depth_dir',
  'data.target.depth_dir',
  'data.target.label_dir',
  'data.workers',
  'initial',
  'generator',
)

# A copy of the user's own class table.
CLASSES = 'classes.json'


def write_json(path: str | os.PathLike, tree: Any) -> None:
  """Writes a JSON file that is at any moment either the old or the new one."""
  path = pathlib.Path(path)
  path.parent.mkdir(parents=True, exist_ok=True)
  part = path.with_name(path.name + '.part')
  with part.open('w') as f:
    json.dump(jsonable(tree), f, indent=2, allow_nan=False)
    f.write('\n')
    f.flush()
    os.fsync(f.fileno())
  part.rename(path)


def jsonable(tree: Any) -> Any:
  """Returns the tree in JSON types: NumPy numbers as numbers, NaN as null."""
  if isinstance(tree, Mapping):
    return {str(k): jsonable(v) for k, v in tree.items()}
  if isinstance(tree, list | tuple):
    return [jsonable(v) for v in tree]
  if isinstance(tree, np.ndarray | np.generic | jax.Array):
    return jsonable(np.asarray(tree).tolist())
  if isinstance(tree, float) and not math.isfinite(tree):
    return None
  return tree


def config_to_dict(config: ml_collections.ConfigDict) -> dict[str, Any]:
  """Returns a config in JSON types."""
  return jsonable(config.to_dict())


def config_from_dict(tree: Mapping[str, Any]) -> ml_collections.ConfigDict:
  """The inverse of `config_to_dict`; lists come back as tuples."""

  def convert(x):
    if isinstance(x, Mapping):
      return {k: convert(v) for k, v in x.items()}
    return tuple(map(convert, x)) if isinstance(x, list) else x

  return ml_collections.ConfigDict(convert(tree))


def read_config(workdir: str | os.PathLike) -> ml_collections.ConfigDict:
  """Reads the config of a run.

  Raises:
    UserError: the folder or the file is missing, or not JSON.
  """
  path = pathlib.Path(workdir) / 'config.json'
  if not path.is_file():
    raise errors.UserError(
      f'{path} is missing; expected the workdir of a run that was started'
    )
  try:
    return config_from_dict(json.loads(path.read_text()))
  except ValueError as e:
    raise errors.UserError(f'{path} is not a config: {e}') from e


def read_scores(workdir: str | os.PathLike) -> dict[str, Any]:
  """Returns the content of scores.json; {} where there is none."""
  path = pathlib.Path(workdir) / 'scores.json'
  return json.loads(path.read_text()) if path.is_file() else {}


def check_config(
  old: Mapping[str, Any], new: Mapping[str, Any], *, workdir: str
) -> None:
  """Checks that a run can go on under a config.

  Args:
    old: what the run was started with; JSON types.
    new: what it is asked to go on with.
    workdir: for the message.

  Raises:
    UserError: a field differs that changes the numbers; all are named.
  """
  old, new = flatten(old), flatten(new)
  if all(is_own(x.get('classes')) for x in (old, new)):
    # Where the file is says nothing: see `own_classes`.
    new['classes'] = old['classes']
  differ = _differing(old, new, _FREE)
  if differ:
    raise errors.UserError(
      f'{workdir} holds a run with another config; differing:'
      f' {", ".join(differ)}; expected the same fields or another --workdir'
    )


def check_command(first: Mapping[str, Any], mine: Mapping[str, Any]) -> None:
  """Checks that this process was started as process 0 was.

  Args:
    first: the config of process 0; JSON types.
    mine: of this process.

  Raises:
    UserError: a field differs that is not a place; all are named.
  """
  differ = _differing(flatten(first), flatten(mine), _PLACES)
  if differ:
    raise errors.UserError(
      f'process {jax.process_index()} has another config than process 0;'
      f' differing: {", ".join(differ)}; expected the same command for all'
    )


def _differing(old, new, free):
  """Describes the fields that differ and are not free to."""
  return [
    f'{field} ({show(old, field)} there, {show(new, field)} here)'
    for field in sorted({*old, *new})
    if field not in free and show(old, field) != show(new, field)
  ]


def is_own(classes: Any) -> bool:
  """Says whether a config's `classes` are a file, not a name."""
  return str(classes).lower().endswith(('.yaml', '.yml', '.json'))


def example_batch(
  config: ml_collections.ConfigDict, needs: Mapping[str, tuple[str, ...]]
) -> dict[str, dict[str, np.ndarray]]:
  """Returns a training batch of zeros with one example per domain.

  Args:
    config: the whole config.
    needs: `method.needs`.

  Returns:
    The batch that the pipeline would give, but for its first axis.
  """
  batch = {}
  for domain, names in needs.items():
    options = config.data[domain]
    crop = tuple(options.get('crop', (0, 0)))
    shape = (1, *(crop if all(crop) else options.size))
    batch[domain] = arrays = {}
    for name in names:
      if name == 'image':
        arrays[name] = np.zeros((*shape, 3), np.uint8)
      elif name == 'label':
        arrays[name] = np.zeros(shape, np.int32)
      elif name == 'depth':
        arrays[name] = np.zeros(shape, np.float32)
        arrays['depth_valid'] = np.zeros(shape, bool)
      else:
        raise ValueError(f'a method needs {name!r}, which no batch holds')
  return batch


def init_args(
  config: ml_collections.ConfigDict, method: Any
) -> tuple[jax.Array, Any]:
  """Returns what `method.init` is called with in this run."""
  return rng.for_init(config.seed), example_batch(config, method.needs)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Run:
  """A trained run, read back.

  Attributes:
    config: its config.
    method: its method.
    state: the state of one checkpoint.
    step: the step of that checkpoint.
  """

  config: ml_collections.ConfigDict
  method: Any
  state: Any
  step: int


def predicts(path: str) -> bool:
  """Says whether a leaf of a state is one that a prediction may need.

  Task network and teacher, without optimizers; no generator, no discriminator.

  Args:
    path: see `checkpoint.flatten`.
  """
  return path.startswith(
    ('step', 'nets/task/params', 'nets/task/batch_stats', 'teacher')
  )


def load(
  workdir: str | os.PathLike,
  *,
  which: str = 'last',
  only: Callable[[str], bool] | None = None,
) -> Run:
  """Reads one checkpoint of a run.

  Args:
    workdir: the run's folder.
    which: 'last', 'best' (by the main mIoU) or a step.
    only: which leaves of the state are read, e.g. `predicts`; None for all. The
      others are None.

  Raises:
    UserError: no run, no checkpoint, none of that step, or one that does not
      fit the config.
  """
  config = read_config(workdir)
  own = pathlib.Path(workdir) / CLASSES
  if is_own(config.classes) and own.is_file():
    config.classes = str(own)
  method = methods.create(config)
  if only is predicts and method.predict is None:
    raise errors.UserError(
      f'{workdir} is a run of {config.name}, which labels no pixels; expected a'
      ' run of another method, or jaxuda.translate'
    )
  with checkpoint.Checkpoints(workdir, write=False) as checkpoints:
    step = choose_step(checkpoints, read_scores(workdir), which)
    like = jax.eval_shape(method.init, *init_args(config, method))
    state = checkpoints.restore(step, like, name=config.name, only=only)
  return Run(config=config, method=method, state=state, step=step)


def choose_step(
  checkpoints: checkpoint.Checkpoints, scores: Mapping[str, Any], which: str
) -> int:
  """Returns the step that 'last', 'best' or a number means.

  Raises:
    UserError: there is no such checkpoint, or none is the best yet.
  """
  steps = checkpoints.steps()
  if not steps:
    raise errors.UserError(
      f'no checkpoint in {checkpoints.folder}; expected at least one'
    )
  if which == 'last':
    return steps[-1]
  if which == 'best':
    if 'best' not in scores:
      raise errors.UserError(
        f'no checkpoint of {checkpoints.folder.parent} was evaluated yet, so'
        ' none is the best; expected --checkpoint=last or a step of '
        + ', '.join(map(str, steps))
      )
    return scores['best']['checkpoint_step']
  if not which.isdigit():
    raise errors.UserError(
      f'unknown checkpoint {which!r}; expected last, best or a step of '
      + ', '.join(map(str, steps))
    )
  return int(which)


def flatten(tree: Mapping[str, Any], *, prefix: str = '') -> dict[str, Any]:
  """Returns {'data.source.size': value, ...} of a nested config.

  Args:
    tree: the config.
    prefix: of every name.
  """
  flat = {}
  for name, value in tree.items():
    if isinstance(value, Mapping):
      flat.update(flatten(value, prefix=f'{prefix}{name}.'))
    else:
      flat[prefix + name] = value
  return flat


def show(flat: Mapping[str, Any], field: str) -> str:
  """A value as JSON, so that 1 and 1.0, or a tuple and a list, are the same.

  Args:
    flat: what `flatten` returned.
    field: one of its names, or another one, which is 'absent'.
  """
  if field not in flat:
    return 'absent'
  value = flat[field]
  if isinstance(value, float) and value.is_integer():
    value = int(value)
  return json.dumps(value)
