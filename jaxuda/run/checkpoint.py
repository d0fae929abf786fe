"""Checkpoints of a run: the only file that uses orbax.

A checkpoint gets its final name by a single rename, after everything in it has
been written. A process killed at any moment therefore leaves only finished
checkpoints, and a temporary folder that the next start removes.

orbax can rank checkpoints by metrics only if these are known when it saves.
Here the state is saved first and scored afterwards, so that nothing is lost if
an evaluation is cut short, and the loop names the best (`Checkpoints.best`).

orbax keeps no checksums of values either: a bit flipped on disk would go
unnoticed as a different parameter. The checksums are stored next to the state.
"""

from collections.abc import Callable, Iterator, Mapping
import contextlib
import functools
import os
import pathlib
import re
import sys
import types
from typing import Any
import zlib

from absl import logging
import jax
import numpy as np
import orbax.checkpoint as ocp
from orbax.checkpoint import checkpoint_managers

from jaxuda import errors
from jaxuda.step import parallel

FOLDER = 'checkpoints'
_SUMS = 'sums'


def _sum_up(leaves: Mapping[str, Any]) -> dict[str, int]:
  """Returns a checksum of every array."""
  return {
    path: zlib.crc32(np.asarray(leaf).ravel().view(np.uint8))
    for path, leaf in leaves.items()
  }


def flatten(state: Any) -> dict[str, Any]:
  """Returns the leaves of a tree by path: {'nets/task/params/...': array}."""
  leaves = jax.tree_util.tree_flatten_with_path(state)[0]
  return {
    jax.tree_util.keystr(path, simple=True, separator='/'): leaf
    for path, leaf in leaves
  }


@functools.cache  # One hook is enough.
def _ignore_late_reads() -> None:
  """Silences reads that finish after another one has failed.

  They report to an event loop that orbax has closed, which prints a traceback
  after the line that names the damage. Nothing else is silenced.
  """
  before = sys.unraisablehook
  sys.unraisablehook = lambda x: (
    None if 'Event loop is closed' in str(x.exc_value) else before(x)
  )


@functools.cache  # One filter is enough.
def _silence_threads() -> None:
  """Silences the tracebacks that orbax's threads log for a save that fails.

  On a full disk they are 250 lines. The error itself is raised by the next call
  that waits for the save. Nothing else is silenced.
  """
  logging.get_absl_logger().addFilter(
    lambda x: not (x.exc_info and 'orbax' in x.pathname)
  )


def _reason(error: Exception) -> str:
  """Returns the operating system's reason for an error; '' if it gave none."""
  if isinstance(error, OSError):
    return error.strerror or str(error)
  # TensorStore, which writes the arrays, raises ValueError.
  code = re.search(r"os_error_code='(\d+)'", str(error))
  return os.strerror(int(code[1])) if code else ''


def differing(here: Any, there: Any) -> Iterator[tuple[str, str, str]]:
  """Yields the leaves of two trees that differ in dtype or shape.

  Args:
    here: a tree of arrays, or of their shapes.
    there: another one.

  Yields:
    (path, leaf here, leaf there); leaves such as 'float32[3]', '' if missing.
  """
  trees = flatten(here), flatten(there)
  for path in sorted({*trees[0], *trees[1]}):
    shown = [
      f'{x[path].dtype}{list(x[path].shape)}' if path in x else ''
      for x in trees
    ]
    if shown[0] != shown[1]:
      yield path, *shown


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
      keep_last: number of the newest checkpoints to keep, at least 1.
      write: whether to create the folder and remove unfinished checkpoints of a
        killed process. False to read a run that may still be training.

    Raises:
      UserError: keep_last < 1.
    """
    if keep_last < 1:
      raise errors.UserError(f'keep_last={keep_last}; expected at least 1')
    self.best: int | None = None
    self._keep_last = keep_last
    # orbax reports a relative path late, from a background thread.
    self.folder = pathlib.Path(os.path.abspath(workdir)) / FOLDER
    keep_best = types.SimpleNamespace(
      should_preserve=lambda found, *, context: [
        x.step == self.best for x in found
      ]
    )
    policy = checkpoint_managers.AnyPreservationPolicy(
      [checkpoint_managers.LatestN(keep_last), keep_best]
    )
    # Without a folder there is nothing to read, and orbax would raise.
    self._manager = None
    if write:
      _silence_threads()
    if write or self.folder.is_dir():
      self._manager = ocp.CheckpointManager(
        self.folder,
        item_handlers={
          'state': ocp.StandardCheckpointHandler(),
          'config': ocp.JsonCheckpointHandler(),
          _SUMS: ocp.JsonCheckpointHandler(),
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
    # Waits for the saves in progress.
    if self._manager:
      with self._named():
        self._manager.close()

  def steps(self) -> list[int]:
    """Returns the steps of all finished checkpoints in ascending order."""
    return sorted(self._manager.all_steps()) if self._manager else []

  def latest(self) -> int | None:
    """Returns the step of the newest finished checkpoint, or None."""
    return max(self.steps(), default=None)

  def save(self, step: int, state: Any, *, config: Mapping[str, Any]) -> None:
    """Saves in the background; the state may be donated right after the call.

    Args:
      step: steps taken so far. If it is already saved, nothing happens.
      state: the training state.
      config: the run's config in JSON types, stored in the checkpoint.

    Raises:
      UserError: this save or the one before it cannot be written.
    """
    if step in self._manager.all_steps():
      return
    leaves = flatten(state)
    items = {
      'state': ocp.args.StandardSave(leaves),
      'config': ocp.args.JsonSave(dict(config)),
      _SUMS: ocp.args.JsonSave(_sum_up(parallel.local(leaves))),
    }
    with self._named():
      self._manager.save(step, args=ocp.args.Composite(**items), force=True)

  def prune(self) -> None:
    """Removes the previous best checkpoint once `best` has changed.

    Every save removes checkpoints that are no longer needed, but the last save
    of a run precedes its last evaluation.
    """
    for step in self.steps()[: -self._keep_last]:
      if step != self.best:
        self._manager.delete(step)

  def wait(self) -> None:
    """Blocks until every save has finished.

    Raises:
      UserError: one cannot be written.
    """
    if self._manager:
      with self._named():
        self._manager.wait_until_finished()

  @contextlib.contextmanager
  def _named(self):
    """A context that turns a save that cannot be written into one line."""
    try:
      yield
    except Exception as e:
      if not (reason := _reason(e)):
        raise
      raise errors.UserError(
        f'{self.folder}: a checkpoint cannot be written ({reason}); those that'
        ' are finished are kept, and the same command continues after the last'
      ) from e

  def config(self, step: int) -> dict[str, Any]:
    """Returns the config inside a checkpoint.

    Raises:
      UserError: it cannot be read.
    """
    with self._explained(step):
      return self._read_json(step, 'config')

  def _read_json(self, step, item):
    args = ocp.args.Composite(**{item: ocp.args.JsonRestore()})
    return dict(self._manager.restore(step, args=args)[item])

  def restore(
    self,
    step: int,
    like: Any,
    *,
    name: str,
    only: Callable[[str], bool] | None = None,
  ) -> Any:
    """Restores a state, replicated over all devices.

    Args:
      step: one of `steps()`.
      like: the state, or its shapes (`jax.eval_shape`).
      name: name of the method that `like` belongs to, for the message.
      only: path of a leaf (see `flatten`) -> whether to read it; None for all.

    Returns:
      A tree with the structure of `like` and new arrays, which may be donated;
      None for the leaves that were not read.

    Raises:
      UserError: the checkpoint does not exist, cannot be read, or is of another
        model.
    """
    if step not in self.steps():
      there = ', '.join(map(str, self.steps())) or 'none: the folder is empty'
      raise errors.UserError(
        f'no checkpoint of step {step} in {self.folder}; expected one of'
        f' {there}'
      )
    leaves, treedef = flatten(like), jax.tree.structure(like)
    with self._explained(step):
      self._check_same(step, leaves, name)
    sharding = parallel.replicated()
    target = {
      path: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding)
      for path, x in leaves.items()
      if only is None or only(path)
    }
    with self._explained(step):
      if only is None:
        args = ocp.args.Composite(state=ocp.args.StandardRestore(target))
        read = self._manager.restore(step, args=args)['state']
      else:
        read = self._read_some(step, target)
      self._check_sums(step, read)
    return jax.tree.unflatten(treedef, map(read.get, leaves))

  @contextlib.contextmanager
  def _explained(self, step):
    """A context that turns any error of a damaged checkpoint into one line."""
    try:
      yield
    except errors.UserError:
      raise
    except Exception as e:
      _ignore_late_reads()
      why = ' '.join(str(e).split())[:160] or type(e).__name__
      raise errors.UserError(
        f'{self.folder / str(step)} cannot be read ({why}); if it is damaged,'
        ' remove that folder to continue from an earlier one'
      ) from e

  def _read_some(self, step, target):
    """Reads some leaves of a state, which the manager cannot do."""
    args = ocp.args.PyTreeRestore(
      item=target,
      restore_args=ocp.checkpoint_utils.construct_restore_args(target),
      partial_restore=True,
    )
    with ocp.Checkpointer(ocp.PyTreeCheckpointHandler()) as reader:
      return reader.restore(self.folder / str(step) / 'state', args=args)

  def _check_sums(self, step, read):
    """Raises ValueError unless all values are those that were saved."""
    # Earlier versions stored no checksums.
    if (self.folder / str(step) / _SUMS).is_dir():
      sums = self._read_json(step, _SUMS)
      for path, value in _sum_up(parallel.local(read)).items():
        if value != sums[path]:
          raise ValueError(f'the checksum of {path} is wrong')

  def _check_same(self, step, expected, name):
    """Compares names, shapes and dtypes before anything is read."""
    found = self._manager.item_metadata(step)['state'].tree
    for path, here, there in differing(expected, found):
      problem = f'{path} is {there or "missing"}, expected {here}'
      if not here:
        problem = f'it has {path} {there}, which this model lacks'
      other = self.config(step).get('name', 'an unknown method')
      raise errors.UserError(
        f'{self.folder / str(step)} is a checkpoint of another model (method'
        f' {other} there, {name} here): {problem}'
      )
