"""The folder of a run, and how to read it. Needs no TensorFlow.

config.json     the config of the run
code.json       the code that trained it, see `provenance`
classes.json    its class set, if it is the user's own
checkpoints/    see `checkpoint`
metrics.jsonl   a JSON object per logged step or evaluation
scores.json     the scores of the last and of the best checkpoint
pictures/       panels
events.*        TensorBoard
"""

from collections.abc import Callable, Iterable, Mapping
import contextlib
import dataclasses
import hashlib
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
from jaxuda.data.classes import class_tables
from jaxuda.run import checkpoint
from jaxuda.run import cluster
from jaxuda.step import rng
from jaxuda.ui import files

# A copy of the user's own class table.
CLASSES = 'classes.json'
# Arrays of a batch: (channels, dtype) per pixel; 'place' is per image.
_PIXELS = {
  'image': ((3,), np.uint8),
  'label': ((), np.int32),
  'depth': ((), np.float32),
  'depth_valid': ((), bool),
}


def write_json(path: str | os.PathLike, tree: Any) -> None:
  """Writes a JSON file that is always either the old or the new one."""
  with files.atomic(path) as part, part.open('w') as f:
    json.dump(jsonable(tree), f, indent=2, allow_nan=False)
    f.write('\n')
    f.flush()
    os.fsync(f.fileno())


def read_json(path: str | os.PathLike, *, kind: type = dict) -> Any:
  """Reads a JSON file that this program wrote.

  Args:
    path: the file.
    kind: type of its content, dict or list.

  Returns:
    Its content; an empty `kind` if there is no file.

  Raises:
    UserError: the file cannot be read, or holds something else.
  """
  path = pathlib.Path(path)
  if not path.is_file():
    return kind()
  try:
    tree = json.loads(path.read_text())
    if not isinstance(tree, kind):
      raise ValueError(f'a {type(tree).__name__}, not a {kind.__name__}')
  except (OSError, ValueError) as e:
    raise errors.UserError(
      f'{path} cannot be read ({e}); expected the file as it was written, or'
      ' none'
    ) from e
  return tree


def read_lines(path: str | os.PathLike) -> list[dict[str, Any]]:
  """Reads a file of JSON objects, one per line, skipping damaged lines.

  A killed process or a crash of the machine may leave such lines.
  """
  path, entries = pathlib.Path(path), []
  text = path.read_text(errors='replace') if path.is_file() else ''
  for line in text.split('\n'):
    with contextlib.suppress(ValueError):
      entries.append(json.loads(line))
  return [x for x in entries if isinstance(x, dict)]


def write_lines(path: str | os.PathLike, entries: Iterable[Any]) -> None:
  """Writes a file of JSON lines atomically."""
  with files.atomic(path) as part:
    part.write_text(''.join(json.dumps(x) + '\n' for x in entries))


def jsonable(tree: Any) -> Any:
  """Converts a tree to JSON types: NumPy numbers to numbers, NaN to None."""
  if isinstance(tree, Mapping):
    return {str(k): jsonable(v) for k, v in tree.items()}
  if isinstance(tree, list | tuple):
    return [jsonable(v) for v in tree]
  if isinstance(tree, np.ndarray | np.generic | jax.Array):
    return jsonable(np.asarray(tree).tolist())
  if isinstance(tree, float) and not math.isfinite(tree):
    return None
  return tree


def digest(tree: Any) -> str:
  """Returns a hash of a tree of JSON types: 16 hexadecimal digits."""
  text = json.dumps(tree, sort_keys=True)
  return hashlib.sha256(text.encode()).hexdigest()[:16]


def config_to_dict(config: ml_collections.ConfigDict) -> dict[str, Any]:
  """Returns a config in JSON types."""
  return jsonable(config.to_dict())


def config_from_dict(tree: Mapping[str, Any]) -> ml_collections.ConfigDict:
  """Inverts `config_to_dict`; lists become tuples."""

  def convert(x):
    if isinstance(x, Mapping):
      return {k: convert(v) for k, v in x.items()}
    return tuple(map(convert, x)) if isinstance(x, list) else x

  return ml_collections.ConfigDict(convert(tree))


def read_config(workdir: str | os.PathLike) -> ml_collections.ConfigDict:
  """Reads the config of a run.

  Raises:
    UserError: the folder or the file is missing, or is not that of a run.
  """
  path = pathlib.Path(workdir) / 'config.json'
  if not path.is_file():
    raise errors.UserError(
      f'{path} is missing; expected the workdir of a run that was started'
      f'{_name_inside(path.parent)}'
    )
  tree = read_json(path)
  if not isinstance(tree.get('name'), str):
    raise errors.UserError(f'{path} has no name; expected the config of a run')
  return config_from_dict(tree)


def find_runs(folder: pathlib.Path) -> list[pathlib.Path]:
  """Returns the runs inside a folder, up to two levels deep, in order."""
  inside = [*folder.glob('*/config.json'), *folder.glob('*/*/config.json')]
  return sorted(x.parent for x in inside)


def _name_inside(folder):
  """Returns ', or one of ...' with the first runs in a folder, '' for none."""
  names = [str(x) for x in find_runs(folder)]
  more = ', ...' if len(names) > 5 else ''
  return f', or one of {", ".join(names[:5])}{more}' if names else ''


def read_scores(workdir: str | os.PathLike) -> dict[str, Any]:
  """Returns the content of scores.json; {} if there is none."""
  return read_json(pathlib.Path(workdir) / 'scores.json')


def is_done(workdir: str | os.PathLike, stop_step: int) -> bool:
  """Returns whether a run was trained and scored to its end."""
  last = read_scores(workdir).get('last', {})
  return last.get('checkpoint_step', -1) >= stop_step


def init_args(
  config: ml_collections.ConfigDict, method: Any
) -> tuple[jax.Array, dict[str, dict[str, np.ndarray]]]:
  """Returns the arguments of `method.init` in this run.

  Args:
    config: the whole config.
    method: the method; its `needs` name the arrays of a batch.

  Returns:
    A PRNG key, and a training batch like those of the pipeline, but of zeros
    and with one example per domain.
  """
  batch = {}
  for domain, names in method.needs.items():
    options = config.data[domain]
    crop = tuple(options.get('crop', (0, 0)))
    size = crop if all(crop) else options.size
    if 'depth' in names:
      names = (*names, 'depth_valid')
    batch[domain] = {}
    for name in names:
      if name == 'place':
        batch[domain][name] = np.zeros((1, 5), np.int32)
        continue
      channels, dtype = _PIXELS[name]
      batch[domain][name] = np.zeros((1, *size, *channels), dtype)
  return rng.for_init(config.seed), batch


@dataclasses.dataclass(frozen=True, kw_only=True)
class Run:
  """A trained run, restored from its folder.

  Attributes:
    config: the run's config.
    method: the method that the config names.
    state: the training state of one checkpoint.
    step: the step of that checkpoint.
  """

  config: ml_collections.ConfigDict
  method: Any
  state: Any
  step: int


def predicts(path: str) -> bool:
  """Returns whether predictions may need a leaf of a state.

  They need the task network and the teacher without their optimizers, but no
  generator or discriminator.

  Args:
    path: the leaf's path, see `checkpoint.flatten`.
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
  """Reads one checkpoint of a run. All processes must call it.

  Args:
    workdir: the run's folder.
    which: 'last', 'best' (by the main mIoU) or a step.
    only: path of a leaf of the state -> whether to read it, e.g. `predicts`;
      None for all. Leaves that are not read are None.

  Raises:
    UserError: the run or the checkpoint does not exist, or the checkpoint does
      not fit the config.
  """
  config = read_config(workdir)
  own = pathlib.Path(workdir) / CLASSES
  if class_tables.is_table(config.get('classes')) and own.is_file():
    config.classes = str(own)
  method = methods.create(config)
  if only is predicts and method.predict is None:
    raise errors.UserError(
      f'{workdir} is a run of {config.name}, which labels no pixels; expected a'
      ' run of another method, or jaxuda.translate'
    )
  with checkpoint.Checkpoints(workdir, write=False) as checkpoints:
    step = _agree_on_step(checkpoints, workdir, which)
    like = jax.eval_shape(method.init, *init_args(config, method))
    state = checkpoints.restore(step, like, name=config.name, only=only)
  return Run(config=config, method=method, state=state, step=step)


def _agree_on_step(checkpoints, workdir, which):
  """Returns the step that the first process chooses, or raises its error."""
  found = None
  # Files may reach the others later.
  if cluster.is_first():
    try:
      found = choose_step(checkpoints, read_scores(workdir), which), ''
    except errors.UserError as e:
      found = 0, str(e)
  step, mistake = cluster.gather(found)[0]
  if mistake:
    raise errors.UserError(mistake)
  return step


def choose_step(
  checkpoints: checkpoint.Checkpoints, scores: Mapping[str, Any], which: str
) -> int:
  """Returns the step that 'last', 'best' or a number refers to.

  Raises:
    UserError: there is no checkpoint, none is the best yet, or `which` is none
      of these.
  """
  steps = checkpoints.steps()
  if not steps:
    raise errors.UserError(
      f'no checkpoint in {checkpoints.folder}; expected at least one'
      f'{_name_inside(checkpoints.folder.parent)}'
    )
  if which == 'last':
    return steps[-1]
  known = f'a step of {", ".join(map(str, steps))}'
  if which == 'best' and 'best' not in scores:
    raise errors.UserError(
      f'no checkpoint of {checkpoints.folder.parent} has been evaluated yet, so'
      f' none is the best; expected --checkpoint=last or {known}'
    )
  if which == 'best':
    return scores['best']['checkpoint_step']
  if not which.isdecimal():
    raise errors.UserError(
      f'unknown checkpoint {which!r}; expected last, best or {known}'
    )
  return int(which)
