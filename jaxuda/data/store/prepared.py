"""Prepared datasets: TFDS records of a user's files.

The folder of a preparation is named after the files (by their fingerprint, so a
changed file means another preparation) and after the form in which examples are
kept, see `examples`. Everything is checked while it is prepared.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
import contextlib
import os
import pathlib
import sys
from typing import Any

import cv2
import numpy as np
import tensorflow_datasets as tfds

from jaxuda import errors
from jaxuda.data.classes import class_tables
from jaxuda.data.files import layout as layout_lib
from jaxuda.data.files import specs
from jaxuda.data.pixels import depth_codes
from jaxuda.data.store import descriptions
from jaxuda.data.store import examples
from jaxuda.data.store import findings
from jaxuda.data.store import record_order
from jaxuda.data.store import shards

# 1.1.0: labels and depth of the png and jpeg stores are no longer PNG.
_VERSION = '1.2.0'
_UNFINISHED = '.unfinished'
# Labels and depth maps of a split that are looked at before all are read.
_LOOKED_AT = 20


def locate(
  layout: layout_lib.Layout,
  *,
  store: examples.Store,
  data_dir: str | None = None,
) -> pathlib.Path:
  """Returns the folder in which files are prepared, or will be.

  Args:
    layout: files of the dataset.
    store: form in which examples are kept.
    data_dir: folder of prepared data; default: that of TFDS.

  Raises:
    UserError: the layout has a fatal problem.
  """
  layout_lib.raise_first(layout)
  used = [
    path
    for items in layout.splits.values()
    for item in items
    for path in (item.image, item.label, item.depth, item.extra)
    if path
  ]
  stamp = layout.tree.fingerprint(used, token=layout.spec.token)
  root, variant = _name_folders(layout.spec, data_dir)
  return root / f'{variant}_{store.describe()}_{stamp}' / _VERSION


def _name_folders(spec, data_dir):
  """Returns a family's folder, and how the names of those in it begin."""
  family, _, variant = spec.dataset.partition('/')
  root = os.path.expanduser(data_dir or tfds.core.constants.DATA_DIR)
  return pathlib.Path(root, family), (variant or 'plain').replace('/', '_')


def prepare(
  layout: layout_lib.Layout, folder: pathlib.Path, *, store: examples.Store
) -> None:
  """Prepares a dataset, going on where it was interrupted.

  Args:
    layout: files of the dataset.
    folder: folder to write, see `locate`.
    store: form in which examples are kept.

  Raises:
    UserError: a file is not as it should be, or the disk is full.
  """
  with claim(folder) as work:
    if work is None:
      return
    for problem in _find_problems(layout):
      raise errors.UserError(problem.text)
    if store.form == 'raw':
      done = sum(x.stat().st_size for x in work.glob('*.array_record*'))
      shards.check_space(work, _count_bytes(layout) - done)
    key = layout.spec.order or record_order.hash_name
    stored = {
      split: {
        x.name: x
        for x in sorted(items, key=lambda x, split=split: key(x.name, split))
      }
      for split, items in layout.splits.items()
    }
    maker = examples.Maker(layout=layout, store=store)
    write(
      work,
      folder,
      _describe(layout, store, folder),
      stored,
      lambda split, name: maker.make(split, stored[split][name]),
    )


@contextlib.contextmanager
def claim(folder: pathlib.Path) -> Iterator[pathlib.Path | None]:
  """A context in which no other process prepares a dataset.

  Args:
    folder: the dataset's folder.

  Yields:
    The folder of the unfinished dataset; None if it is finished.
  """
  # TFDS takes a folder for a dataset only when its name is a version.
  work = folder.with_name(folder.name + _UNFINISHED)
  with shards.lock(work):
    if folder.exists():
      yield None
      return
    # Of a process that was killed.
    for part in work.glob('.*.part*'):
      part.unlink()
    yield work


def write(
  work: pathlib.Path,
  folder: pathlib.Path,
  info: tfds.core.DatasetInfo,
  names: Mapping[str, Collection[str]],
  make: Callable[[str, str], Mapping[str, Any]],
) -> None:
  """Writes what is missing of a dataset, and gives it its name.

  Args:
    work: folder of the unfinished dataset, see `claim`.
    folder: the dataset's folder.
    info: description without splits, see `create_info`.
    names: split -> names of its examples, in the order of the records.
    make: (split, name) -> the example; called in threads.

  Raises:
    UserError: the disk is full, or what `make` raises.
  """
  # Rows of OpenCV in as many threads would only get in each other's way.
  cv2.setNumThreads(0)
  infos, stored = [], {split: list(x) for split, x in names.items()}
  for split, order in stored.items():

    def encode(number: int, split=split, order=order) -> bytes:
      return info.features.serialize_example(make(split, order[number]))

    infos.append(
      shards.write_split(work, split, len(order), encode, dataset=info.name)
    )
  with shards.explain_full_disk(work):
    info.set_splits(tfds.core.splits.SplitDict(infos))
    info.write_to_directory(work)
    record_order.write_names(work, stored)
    os.replace(work, folder)


def _describe(layout, store, folder) -> tfds.core.DatasetInfo:
  spec, deep = layout.spec, 'depth' in layout.spellings
  features = _create_features(
    store.form, deep=deep, factor=deep and bool(spec.factor)
  )
  metadata: dict[str, Any] = {
    'unlabelled_splits': list(layout.unlabelled),
    'depthless_splits': list(layout.depthless),
    'layout': layout.describe(),
    'store': store.describe(),
    **_describe_spec(spec, deep=deep),
  }
  return create_info(folder, features, metadata, homepage=spec.homepage)


def _create_features(form, *, deep, factor):
  """The features of a dataset, with depth, and with its factor."""

  def maps(dtype):
    if form == 'raw':
      return tfds.features.Image(shape=(None, None, 1), dtype=dtype)
    return create_map(dtype)

  features: dict[str, Any] = {
    'name': tfds.features.Text(),
    'image': tfds.features.Image(shape=(None, None, 3)),
    'label': maps(np.uint8),
  }
  if deep:
    features['depth'] = maps(np.uint16)
  if factor:
    features['depth_factor'] = tfds.features.Scalar(np.float32)
  return features


def _describe_spec(spec, *, deep):
  """The metadata that do not depend on which files there are."""
  metadata: dict[str, Any] = {'ids': spec.ids}
  if spec.own is not None:
    metadata['classes'] = class_tables.to_json(spec.own.names, spec.own.colors)
  return metadata | (spec.depth or {} if deep else {})


def create_map(dtype: type) -> tfds.features.Tensor:
  """Returns the feature of a label or depth map that is a plain array."""
  return tfds.features.Tensor(
    shape=(None, None, 1), dtype=dtype, encoding=tfds.features.Encoding.BYTES
  )


def create_info(
  folder: pathlib.Path,
  features: Mapping[str, Any],
  metadata: Mapping[str, Any],
  *,
  homepage: str = '',
) -> tfds.core.DatasetInfo:
  """Returns the description of a dataset, without splits.

  Args:
    folder: the dataset's folder, FAMILY/VARIANT/VERSION.
    features: name -> TFDS feature.
    metadata: what the dataset says of itself, in JSON types.
    homepage: address of the publisher.
  """
  info = tfds.core.DatasetInfo(
    builder=tfds.core.dataset_info.DatasetIdentity(
      name=folder.parents[1].name,
      version=tfds.core.Version(folder.name),
      data_dir=str(folder),
      module_name=__name__,
      config_name=folder.parent.name,
    ),
    features=tfds.features.FeaturesDict(features),
    metadata=tfds.core.MetadataDict(metadata),
    homepage=homepage,
  )
  info.set_file_format(tfds.core.FileFormat.ARRAY_RECORD)
  return info


def _count_bytes(layout):
  """Returns how large the images and depth maps are."""
  return sum(
    layout.tree.entries[path].size
    for items in layout.splits.values()
    for item in items
    for path in (item.image, item.depth)
    if path
  )


def _find_problems(layout):
  """Finds problems that only many files show, by a look at some.

  Labels that are something else than their folder says, and depth that had 8
  bits once.
  """
  spec = layout.spec
  problems = list(spec.check(layout)) if spec.check else []
  for split, items in layout.splits.items():
    some = items[:: max(1, len(items) // _LOOKED_AT)]
    found = _examine(layout, some)
    honest = found.ids[list(spec.telltale)].any()
    if spec.telltale and found.labelled and not honest:
      # A label of nothing is rare, and a set of such labels is an error.
      found = _examine(layout, items)
    problems += found.problems
    _note_doubts(found, spec, split)
    first = some[0].label or some[0].depth or some[0].image
    folder = os.path.dirname(layout.tree.where(first))
    problems += findings.judge(
      found,
      dataset=spec.dataset,
      where=f'{split} ({folder})',
      telltale=spec.telltale,
      codes=spec.codes,
    )
  return [x for x in problems if x.fatal]


def _note_doubts(found, spec, split):
  """Says what the doctor would of depth in metres, but stops nothing."""
  code = depth_codes.DepthCode.of(spec.depth or {})
  if found.deep and code.code == 'metres':
    for _, text in depth_codes.find_doubts(found.depths, code):
      print(f'note: {spec.dataset}: depth of {split} {text}', file=sys.stderr)


def _examine(layout, items):
  found = findings.Examination()
  for sample in findings.read_raw(layout, items):
    found.add(sample)
  return found


def find(
  spec: specs.Spec,
  *,
  data_dir: str | None = None,
  store: examples.Store | None = None,
) -> tfds.core.DatasetBuilder:
  """Returns the builder of what was prepared before.

  Args:
    spec: description of the dataset.
    data_dir: folder of prepared data; default: that of TFDS.
    store: form in which examples are kept; None: any.

  Raises:
    UserError: nothing was prepared, or more than one thing.
  """
  root, variant = _name_folders(spec, data_dir)
  pattern = f'{variant}_{store.describe()}_*' if store else f'{variant}_*'
  found = sorted(
    x
    for x in root.glob(f'{pattern}/*')
    if not x.name.endswith(_UNFINISHED) and (x / 'dataset_info.json').is_file()
  )
  if not found:
    raise errors.UserError(
      f'{spec.dataset}: manual_dir is not set, and nothing is prepared in'
      f' {root}; expected manual_dir to be the folder with {spec.get}'
    )
  if len(found) > 1:
    raise errors.UserError(
      f'{spec.dataset}: manual_dir is not set, and {found[0].parent.name} and'
      f' {found[1].parent.name} are both prepared in {found[0].parents[1]};'
      ' expected manual_dir, or one of them deleted'
    )
  return open_folder(found[0], spec)


def open_folder(
  folder: pathlib.Path, spec: specs.Spec
) -> tfds.core.DatasetBuilder:
  """Returns the builder of a finished dataset of files.

  Args:
    folder: the dataset's folder, see `locate`.
    spec: description of the dataset. That of an own folder whose table is not
      at hand says nothing of classes and depth, which are then not compared.

  Raises:
    UserError: its description is damaged, or was changed.
  """
  builder = descriptions.read_folder(folder)
  info = builder.info
  if folder.name == _VERSION:  # Others were described in other ways.
    deep, factor = (x in info.features for x in ('depth', 'depth_factor'))
    form = str(info.metadata.get('store')).split('_')[0]
    features = _create_features(form, deep=deep, factor=factor)
    metadata = _describe_spec(spec, deep=deep)
    descriptions.check(info, features=features, metadata=metadata)
  return builder
