"""Writes a split as array_record files: in parallel, resumable, all or nothing.

A shard is written under another name, read back, and renamed when it is whole.
A preparation that is killed goes on where it was: whole shards are kept, and
the folder gets its final name only when all of them are there.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent import futures
import contextlib
import errno
import fcntl
import hashlib
import itertools
import os
import pathlib
import shutil
from typing import Any

from tensorflow_datasets.core import file_adapters
from tensorflow_datasets.core import naming
from tensorflow_datasets.core import splits as splits_lib

from jaxuda import errors
from jaxuda.ui import display

# Examples of a shard: what a restart repeats at most.
PER_SHARD = 256
# Below it a disk counts as full.
_LITTLE = 1 << 20

_ADAPTER = file_adapters.ArrayRecordFileAdapter


def count_records(path: str | os.PathLike[str]) -> int:
  """Returns the number of records of a file; reads its index."""
  return _ADAPTER.num_examples(os.fspath(path))


def shuffle(names: Sequence[str]) -> list[int]:
  """Returns a random order of examples that is a function of their names.

  So that a fraction of a split, which is its first records, is a fair one.
  """
  keys = [hashlib.sha256(x.encode()).digest() for x in names]
  return sorted(range(len(names)), key=keys.__getitem__)


def check_space(folder: str | os.PathLike[str], needed: int) -> None:
  """Checks that a disk has room.

  Args:
    folder: where; it may not exist yet.
    needed: bytes.

  Raises:
    UserError: it has less.
  """
  free = _free(folder)
  if free < needed:
    raise errors.UserError(
      f'{folder}: {free / 1e9:.1f} GB are free on this disk; expected at least'
      f' {needed / 1e9:.1f} GB; free some, or set data_dir to another disk'
    )


def write_split(
  folder: pathlib.Path,
  split: str,
  names: Sequence[str],
  encode: Callable[[int], bytes],
  *,
  dataset: str,
  workers: int,
  per_shard: int | None = None,
) -> splits_lib.SplitInfo:
  """Writes what is missing of a split.

  Args:
    folder: of the unfinished dataset; whole shards in it are kept.
    split: its name.
    names: of the examples, unique.
    encode: index of an example -> its serialized record; called in threads.
    dataset: name of the files.
    workers: threads.
    per_shard: examples of a shard; default: `PER_SHARD`.

  Raises:
    UserError: the disk is full, or what `encode` raises.
  """
  order = shuffle(names)
  per_shard = per_shard or PER_SHARD
  count = -(-len(order) // per_shard)
  template = naming.ShardedFileTemplate(
    data_dir=folder,
    dataset_name=dataset,
    split=split,
    filetype_suffix=_ADAPTER.FILE_SUFFIX,
  )
  title = f'preparing {dataset} {split}'
  lengths, size = [], 0
  with (
    display.Progress(title, total=len(order), unit='images') as progress,
    futures.ThreadPoolExecutor(workers) as pool,
  ):
    for shard in range(count):
      start = shard * per_shard
      numbers = order[start : start + per_shard]
      path = pathlib.Path(
        template.sharded_filepath(shard_index=shard, num_shards=count)
      )
      if not path.exists():
        records = _encode_ahead(pool, encode, numbers, ahead=2 * workers)
        _write(path, _count_up(records, progress, start), len(numbers))
      progress.update(start + len(numbers))
      lengths.append(len(numbers))
      size += path.stat().st_size
  return splits_lib.SplitInfo(
    name=split,
    shard_lengths=lengths,
    num_bytes=size,
    filename_template=template,
  )


@contextlib.contextmanager
def lock(folder: pathlib.Path) -> Iterator[None]:
  """Keeps other processes from preparing into a folder at the same time."""
  folder.mkdir(parents=True, exist_ok=True)
  path = folder.with_name(folder.name + '.lock')
  with open(path, 'w') as held:
    # The file stays: one that waits for it must not lock another than the next.
    fcntl.flock(held, fcntl.LOCK_EX)
    yield


@contextlib.contextmanager
def explain_full_disk(folder: pathlib.Path) -> Iterator[None]:
  """Turns whatever is raised on a full disk into one line.

  Raises:
    UserError: the disk is full.
  """
  try:
    yield
  except errors.UserError:
    raise
  except Exception as e:
    # The writer of array_record has errors of its own.
    full = isinstance(e, OSError) and e.errno in (errno.ENOSPC, errno.EDQUOT)
    if full or _free(folder) < _LITTLE:
      raise errors.UserError(
        f'{folder}: the disk is full; free some space and run the same command'
        ' again, it goes on where it stopped; or set data_dir to another disk'
      ) from e
    raise


def _free(folder):
  folder = pathlib.Path(folder)
  while not folder.exists():
    folder = folder.parent
  return shutil.disk_usage(folder).free


def _encode_ahead(pool, encode, numbers, *, ahead):
  """Yields records in order, some being encoded while one is written."""
  numbers = iter(numbers)
  waiting = [pool.submit(encode, x) for x in itertools.islice(numbers, ahead)]
  try:
    while waiting:
      record = waiting.pop(0).result()
      waiting += [pool.submit(encode, x) for x in itertools.islice(numbers, 1)]
      yield record
  finally:
    for x in waiting:
      x.cancel()


def _count_up(records, progress, start) -> Iterator[tuple[Any, bytes]]:
  for done, record in enumerate(records, start + 1):
    progress.update(done)
    yield None, record


def _write(path, records, count):
  part = path.with_name(path.name + '.part')
  with explain_full_disk(path.parent):
    _ADAPTER.write_examples(os.fspath(part), records)
    # A writer may swallow an error; a short file has no index.
    if count_records(part) != count:
      raise OSError(errno.EIO, f'{part} was not written whole')
    os.replace(part, path)
