"""Depth from a separate folder, prepared at the training size.

A domain whose `store` is not 'raw' stores the maps of its `depth_dir` in the
same way as a dataset's own, see `examples`. They are stored next to the
dataset, in a folder named after the form and the files: another `depth_dir` or
a changed file leads to a new folder.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
import hashlib
import os
import pathlib
import sys

import numpy as np

from jaxuda import errors
from jaxuda.data.files import depth_folder
from jaxuda.data.files import tree as tree_lib
from jaxuda.data.store import descriptions
from jaxuda.data.store import examples
from jaxuda.data.store import prepared

_VERSION = '1.0.0'
# No dataset family has this name, so no dataset is searched for in it.
_FAMILY = 'depths'
_SPLIT = 'maps'
_FEATURES = {'depth': prepared.create_map(np.uint16)}


class PreparedDepth(depth_folder.DepthFolder):
  """Depth maps, found by the names of examples, from prepared records."""

  def __init__(
    self,
    folder: str | os.PathLike[str],
    *,
    split: str,
    names: Iterable[str],
    needed: Collection[str],
    store: examples.Store,
    root: str | os.PathLike[str],
    find_sizes: Callable[[], Mapping[str, Sequence[int]]] = dict,
  ):
    """Opens the maps, preparing them on first use.

    Args:
      folder: the folder, see `depth_folder`.
      split: name of the dataset's split.
      names: names of the split's examples.
      needed: names of the examples that are read; others may lack a map.
      store: form in which examples are stored, other than 'raw'.
      root: folder of prepared data.
      find_sizes: function that returns name -> (height, width) of the image, as
        far as it is known; called only if maps are prepared.

    Raises:
      UserError: as for `DepthFolder`; or a needed map is missing, a map is
        broken or rotated, or the disk is full.
    """
    super().__init__(folder, split=split)
    paths = {
      name: self.find(name)
      for name in sorted(names)
      if name in self or name in needed
    }
    stamp = _fingerprint(paths)
    variant = f'{store.describe_depth()}_{stamp}'
    self._prepared = pathlib.Path(root, _FAMILY, variant, _VERSION)
    if not self._prepared.exists():
      print(f'preparing {folder} in {self._prepared}', file=sys.stderr)
      _prepare(paths, self._prepared, store=store, sizes=find_sizes())
    builder = descriptions.read_folder(self._prepared)
    descriptions.check(builder.info, features=_FEATURES)
    descriptions.check_files(builder.info, _SPLIT, dataset='depth_dir')
    self._records = builder.as_data_source(split=_SPLIT)
    self._places = {name: i for i, name in enumerate(paths)}

  def read(self, name: str, *, size: Sequence[int] = ()) -> np.ndarray:
    """Reads the raw depth of an example: uint16 [H, W].

    Args:
      name: name of the example.
      size: ignored, since its image has the training size, too; rotated maps
        are found when they are prepared.

    Raises:
      UserError: the record is damaged; also kept in `error`.
    """
    del size
    try:
      return self._records[self._places[name]]['depth'][..., 0]
    except Exception as e:  # Damaged files can make TFDS raise anything.
      self.error = self.error or errors.UserError(
        f'depth_dir: the depth of {name!r} in {self._prepared} is damaged'
        f' ({tree_lib.one_line(e)[:120]}); delete that folder to prepare it'
        ' again'
      )
      raise self.error from None


def _fingerprint(paths: Mapping[str, pathlib.Path]) -> str:
  """Returns 16 hex digits that change when one of the files does.

  They depend on names, paths, sizes and modification times.
  """
  digest = hashlib.sha256()
  for name, path in paths.items():
    info = path.stat()
    stamp = f'{info.st_size} {info.st_mtime_ns}'
    digest.update(f'{name} {path.absolute()} {stamp}\n'.encode())
  return digest.hexdigest()[:16]


def _prepare(paths, folder, *, store, sizes):
  def make(split, name):
    del split
    depth = depth_folder.read_map(paths[name])
    if name in sizes:
      depth_folder.check_upright(paths[name], depth.shape, sizes[name])
    return {'depth': store.shrink_depth(depth)[..., None]}

  with prepared.claim(folder) as work:
    if work is not None:
      info = prepared.create_info(folder, _FEATURES, metadata={})
      prepared.write(work, folder, info, {_SPLIT: paths}, make)
