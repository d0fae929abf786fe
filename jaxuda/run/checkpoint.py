"""Checkpoints of a run: the only file that knows orbax.

A checkpoint appears under its final name by one rename, after everything in it
has been written, so a process killed at any moment leaves the checkpoints that
it had finished and a temporary folder that the next start sweeps away.

The score of a checkpoint is known only after its evaluation, which may be
interrupted. So the state is saved first and the best checkpoint is named by the
loop (`Checkpoints.best`) instead of being ranked by orbax from metrics that
must be there at the save: nothing is lost when an evaluation is cut short.
"""

from collections.abc import Callable, Mapping, Sequence
import os
import pathlib
from typing import Any

import jax
import orbax.checkpoint as ocp
from orbax.checkpoint import checkpoint_managers

from jaxuda import errors
from jaxuda.step import parallel

FOLDER = 'checkpoints'


def flatten(state: Any) -> dict[str, Any]:
  """Returns the leaves of a tree by path: {'nets/task/params/...': array}."""
  leaves = jax.tree_util.tree_flatten_with_path(state)[0]
  return {
    jax.tree_util.keystr(path, simple=True, separator='/'): leaf
    for path, leaf in leaves
  }


class Checkpoints:
  """The checkpoints of one run: the last few, and the best.

  Attributes:
    best: step of the checkpoint that is never removed, or None.
  """

  def __init__(
    self,
    workdir: str | os.PathLike,
    *,
    keep_last: int = 2,
    write: bool = True,
  ):
    """Opens the folder `checkpoints` of a run.

    Args:
      workdir: the run's folder; it may be relative.
      keep_last: how many of the newest checkpoints stay, at least 1.
      write: make the folder and sweep away what a killed process left half
        written. False to read a run that may still be training.

    Raises:
      UserError: keep_last < 1.
    """
    if keep_last < 1:
      raise errors.UserError(f'keep_last={keep_last}; expected at least 1')
    self.best: int | None = None
    self._keep_last = keep_last
    # orbax reports a relative path from a background thread, and badly.
    self.folder = pathlib.Path(os.path.abspath(workdir)) / FOLDER
    policy = checkpoint_managers.AnyPreservationPolicy(
      [checkpoint_managers.LatestN(keep_last), _KeepBest(self)]
    )
    # Without a folder there is nothing to read, and orbax would raise.
    self._manager = None
    if write or self.folder.is_dir():
      self._manager = ocp.CheckpointManager(
        self.folder,
        item_handlers={
          'state': ocp.StandardCheckpointHandler(),
          'config': ocp.JsonCheckpointHandler(),
        },
        options=ocp.CheckpointManagerOptions(
          create=write,
          cleanup_tmp_directories=write,
          preservation_policy=policy,
        ),
      )

  def __enter__(self) -> 'Checkpoints':
    return self

  def __exit__(self, *unused: Any) -> None:
    self.close()

  def steps(self) -> list[int]:
    """Returns the steps of all finished checkpoints, oldest first."""
    return sorted(self._manager.all_steps()) if self._manager else []

  def latest(self) -> int | None:
    """Returns the step of the newest finished checkpoint, if there is one."""
    return max(self.steps(), default=None)

  def save(self, step: int, state: Any, *, config: Mapping[str, Any]) -> None:
    """Saves in the background; the state may be donated right after.

    Args:
      step: number of steps taken. Nothing happens if it is saved already.
      state: the training state.
      config: JSON types only; kept inside the checkpoint.
    """
    if step in self._manager.all_steps():
      return
    self._manager.save(
      step,
      args=ocp.args.Composite(
        state=ocp.args.StandardSave(flatten(state)),
        config=ocp.args.JsonSave(dict(config)),
      ),
      force=True,
    )

  def prune(self) -> None:
    """Removes the best of before, once `best` is another one.

    A save removes what is to go by then, but the last save of a run comes
    before its last evaluation.
    """
    steps = self.steps()
    for step in steps[: -self._keep_last]:
      if step != self.best:
        self._manager.delete(step)

  def wait(self) -> None:
    """Blocks until every save has finished, and raises what went wrong."""
    if self._manager:
      self._manager.wait_until_finished()

  def close(self) -> None:
    """Waits and lets go of the folder."""
    if self._manager:
      self._manager.close()

  def config(self, step: int) -> dict[str, Any]:
    """Returns the config inside a checkpoint."""
    args = ocp.args.Composite(config=ocp.args.JsonRestore())
    return self._manager.restore(step, args=args)['config']

  def restore(
    self,
    step: int,
    like: Any,
    *,
    name: str,
    only: Callable[[str], bool] | None = None,
  ) -> Any:
    """Reads a state back, replicated over all devices.

    Args:
      step: one of `steps()`.
      like: the state, or its shapes (`jax.eval_shape`).
      name: the method that `like` belongs to, for the message.
      only: path (see `flatten`) -> whether to read that leaf; None for all.

    Returns:
      A tree like `like` of fresh arrays, which may be donated; None for the
      leaves that were not read.

    Raises:
      UserError: there is no such checkpoint, or it is of another model.
    """
    if step not in self.steps():
      raise errors.UserError(
        f'no checkpoint of step {step} in {self.folder}; expected one of'
        f' {_names(self.steps())}'
      )
    self._check_same(step, flatten(like), name)
    target = {
      path: jax.ShapeDtypeStruct(
        x.shape, x.dtype, sharding=parallel.replicated()
      )
      for path, x in flatten(like).items()
    }
    treedef = jax.tree_util.tree_structure(like)
    if only is not None:
      flat = self._read_some(step, {k: v for k, v in target.items() if only(k)})
      return jax.tree_util.tree_unflatten(treedef, map(flat.get, target))
    flat = self._manager.restore(
      step, args=ocp.args.Composite(state=ocp.args.StandardRestore(target))
    )['state']
    return jax.tree_util.tree_unflatten(treedef, [flat[p] for p in target])

  def _read_some(self, step, target):
    """Reads some leaves of a state, which the manager cannot."""
    args = ocp.args.PyTreeRestore(
      item=target,
      restore_args=ocp.checkpoint_utils.construct_restore_args(target),
      partial_restore=True,
    )
    with ocp.Checkpointer(ocp.PyTreeCheckpointHandler()) as reader:
      return reader.restore(self.folder / str(step) / 'state', args=args)

  def _check_same(self, step, expected, name):
    """Compares names, shapes and dtypes before anything is read."""
    found = flatten(self._manager.item_metadata(step)['state'].tree)
    there = self.config(step).get('name', 'an unknown method')
    head = (
      f'{self.folder / str(step)} is a checkpoint of another model (method'
      f' {there} there, {name} here): '
    )
    for path, leaf in expected.items():
      here = _describe(leaf)
      if path not in found:
        raise errors.UserError(f'{head}{path} is missing, expected {here}')
      if _describe(found[path]) != here:
        raise errors.UserError(
          f'{head}{path} is {_describe(found[path])}, expected {here}'
        )
    for path in found:
      if path not in expected:
        raise errors.UserError(
          f'{head}it has {path} {_describe(found[path])}, which this model'
          ' lacks'
        )


class _KeepBest:
  """Preservation policy: the checkpoint that the loop calls the best."""

  def __init__(self, checkpoints: Checkpoints):
    self._checkpoints = checkpoints

  def should_preserve(
    self, checkpoints: Sequence[Any], *, context: Any
  ) -> list[bool]:
    del context
    return [c.step == self._checkpoints.best for c in checkpoints]


def _describe(leaf: Any) -> str:
  return f'{leaf.dtype}{list(leaf.shape)}'


def _names(steps: Sequence[int]) -> str:
  return ', '.join(map(str, steps)) or 'none: the folder is empty'
