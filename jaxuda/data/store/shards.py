"""Writes the array_record files of a split, in parallel and resumably.

A shard appears only once it is complete: it is written under another name and
read back. A preparation that was killed keeps its complete shards and resumes
from them, and the folder gets its final name only when all shards exist.
"""

from collections.abc import Callable, Iterator
import contextlib
import errno
import fcntl
import os
import pathlib
import shutil

from tensorflow_datasets.core import file_adapters
from tensorflow_datasets.core import naming
from tensorflow_datasets.core import splits as splits_lib

from jaxuda import errors
from jaxuda.data.store import ahead
from jaxuda.ui import display
from jaxuda.ui import files

# Examples per shard, which is the most that a restart repeats.
PER_SHARD = 256
# Free bytes below which a disk counts as full.
_LITTLE = 1 << 20

_ADAPTER = file_adapters.ArrayRecordFileAdapter


def count_records(path: str | os.PathLike[str]) -> int:
  """Returns the number of records in a file, according to its index."""
  return _ADAPTER.num_examples(os.fspath(path))


def check_space(folder: str | os.PathLike[str], needed: int) -> None:
  """Checks that a disk has enough space.

  Args:
    folder: a folder on the disk, which may not exist yet.
    needed: number of bytes required.

  Raises:
    UserError: the disk has less free space.
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
  count: int,
  encode: Callable[[int], bytes],
  *,
  dataset: str,
) -> splits_lib.SplitInfo:
  """Writes the missing shards of a split.

  Args:
    folder: folder of the unfinished dataset; complete shards in it are kept.
    split: name of the split.
    count: number of examples in the split.
    encode: function from an example's number to its serialized record; called
      in threads.
    dataset: name of the dataset, with which the file names begin.

  Returns:
    The description of the split.

  Raises:
    UserError: the disk is full, or `encode` raises it.
  """
  starts = range(0, count, PER_SHARD)
  template = naming.ShardedFileTemplate(
    data_dir=folder,
    dataset_name=dataset,
    split=split,
    filetype_suffix=_ADAPTER.FILE_SUFFIX,
  )
  lengths, size = [], 0
  with display.Progress(
    f'preparing {dataset} {split}', total=count, unit='images'
  ) as progress:
    for shard, start in enumerate(starts):
      numbers = range(start, min(start + PER_SHARD, count))
      path = pathlib.Path(
        template.sharded_filepath(shard_index=shard, num_shards=len(starts))
      )
      if not path.exists():
        records = ahead.map_ahead(encode, numbers)
        _write(path, _count_up(records, progress, start), len(numbers))
      progress.update(numbers.stop)
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
    # The file is kept, so that all waiting processes lock the same file.
    fcntl.flock(held, fcntl.LOCK_EX)
    yield


@contextlib.contextmanager
def explain_full_disk(
  folder: pathlib.Path, *, resumes: bool = True
) -> Iterator[None]:
  """Turns any error on a full disk into a one-line message.

  Args:
    folder: folder that is written.
    resumes: whether the same command goes on with what was written.

  Raises:
    UserError: the disk is full.
  """
  try:
    yield
  except errors.UserError:
    raise
  except Exception as e:
    # The array_record writer raises errors of its own.
    full = isinstance(e, OSError) and e.errno in (errno.ENOSPC, errno.EDQUOT)
    full = full or os.strerror(errno.ENOSPC) in str(e)
    if full or _free(folder) < _LITTLE:
      how = ', which resumes where it stopped' if resumes else ''
      raise errors.UserError(
        f'{folder}: the disk is full; free some space and run the same command'
        f' again{how}; or set data_dir to another disk'
      ) from e
    raise


def _free(folder):
  folder = pathlib.Path(folder)
  while not folder.exists():
    folder = folder.parent
  return shutil.disk_usage(folder).free


def _count_up(records, progress, start) -> Iterator[tuple[None, bytes]]:
  for done, record in enumerate(records, start + 1):
    progress.update(done)
    # TFDS takes (key, record) and does not write the key.
    yield None, record


def _write(path, records, count):
  with files.atomic(path) as part, explain_full_disk(path.parent):
    _ADAPTER.write_examples(os.fspath(part), records)
    # The writer may swallow an error; a truncated file has no index.
    if count_records(part) != count:
      raise OSError(errno.EIO, f'{part} was not written completely')
