"""Prepares datasets: TFDS records made from a user's files.

The folder of a prepared dataset is named after the files (by their fingerprint,
so that a changed file leads to a new folder) and after the form in which
examples are stored, see `examples`. All files are checked during preparation.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
import contextlib
import os
import pathlib
import re
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
# Number of examples of a split that are checked before all are read.
_LOOKED_AT = 20


def locate(
  layout: layout_lib.Layout,
  *,
  store: examples.Store,
  data_dir: str | None = None,
) -> pathlib.Path:
  """Returns the folder for the prepared dataset, which may not exist yet.

  Args:
    layout: files of the dataset.
    store: form in which examples are stored.
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
  # A published dataset is one; users' folders can be alike by all but pixels.
  # Labels are left out: those of a target's training images are never opened.
  own = layout.spec.ids == 'folder'
  stamp = layout.tree.fingerprint(
    used,
    token=layout.spec.token,
    contents=[
      x.image for items in layout.splits.values() for x in items if own
    ],
  )
  root, variant = _name_folders(layout.spec, data_dir)
  return root / f'{variant}_{store.describe()}_{stamp}' / _VERSION


def _name_folders(spec, data_dir):
  """Returns a family's folder, and the prefix of the folders inside it."""
  family, _, variant = spec.dataset.partition('/')
  root = os.path.expanduser(data_dir or tfds.core.constants.DATA_DIR)
  return pathlib.Path(root, family), (variant or 'plain').replace('/', '_')


def prepare(
  layout: layout_lib.Layout, folder: pathlib.Path, *, store: examples.Store
) -> None:
  """Prepares a dataset, resuming an interrupted preparation.

  Args:
    layout: files of the dataset.
    folder: folder to write, see `locate`.
    store: form in which examples are stored.

  Raises:
    UserError: a file is broken or invalid, or the disk is full.
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
  """Keeps other processes from preparing a dataset at the same time.

  Args:
    folder: the dataset's folder.

  Yields:
    The folder of the unfinished dataset, or None if it is finished.
  """
  # TFDS recognises a folder as a dataset only if its name is a version.
  work = folder.with_name(folder.name + _UNFINISHED)
  with shards.lock(work):
    if folder.exists():
      yield None
      return
    # Left over from a process that was killed.
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
  """Writes the missing parts of a dataset and renames its folder.

  Args:
    work: folder of the unfinished dataset, see `claim`.
    folder: the dataset's folder.
    info: description without splits, see `create_info`.
    names: split -> names of its examples, in the order of the records.
    make: function from (split, name) to the example; called in threads.

  Raises:
    UserError: the disk is full, or `make` raises it.
  """
  # OpenCV's own threads would only compete with those that call `make`.
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
    store.form,
    deep=deep,
    factor=deep and bool(spec.factor),
    sized=store.form != 'raw',
  )
  metadata: dict[str, Any] = {
    'unlabelled_splits': list(layout.unlabelled),
    'depthless_splits': list(layout.depthless),
    'layout': layout.describe(),
    'store': store.describe(),
    **_describe_spec(spec, deep=deep),
  }
  return create_info(folder, features, metadata, homepage=spec.homepage)


def _create_features(form, *, deep, factor, sized):
  """Returns the features of a dataset, of which some may be missing."""

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
  if sized:
    features['image_size'] = tfds.features.Tensor(shape=(2,), dtype=np.int32)
  return features


def _describe_spec(spec, *, deep):
  """Returns the metadata that do not depend on the files."""
  metadata: dict[str, Any] = {'ids': spec.ids}
  if spec.own is not None:
    metadata['classes'] = class_tables.to_json(spec.own.names, spec.own.colors)
  return metadata | (spec.depth or {} if deep else {})


def create_map(dtype: type) -> tfds.features.Tensor:
  """Returns the feature for label or depth maps stored as plain arrays."""
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
    metadata: metadata of the dataset, in JSON types.
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
  """Returns the total size of the images and depth maps in bytes."""
  return sum(
    layout.tree.entries[path].size
    for items in layout.splits.values()
    for item in items
    for path in (item.image, item.depth)
    if path
  )


def _find_problems(layout):
  """Finds problems that show only across many files, by sampling some.

  These are labels of another kind than their folder suggests, and depth that
  once had 8 bits.
  """
  spec = layout.spec
  problems = list(spec.check(layout)) if spec.check else []
  for split, items in layout.splits.items():
    some = items[:: max(1, len(items) // _LOOKED_AT)]
    found = _examine(layout, some)
    honest = found.ids[list(spec.telltale)].any()
    if spec.telltale and found.labelled and not honest:
      # A sample without these ids is rare; in a whole split it is an error.
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
  """Prints the doctor's doubts about depth in metres, as mere notes."""
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
  """Returns the builder of a dataset that was prepared earlier.

  Args:
    spec: description of the dataset.
    data_dir: folder of prepared data; default: that of TFDS.
    store: form in which examples are stored; None for any form.

  Raises:
    UserError: no prepared dataset was found, or more than one.
  """
  root, variant = _name_folders(spec, data_dir)
  # The whole name: one form or variant may begin like another.
  form = re.escape(store.describe()) if store else examples.ANY_FORM
  named = re.compile(f'{re.escape(variant)}_{form}_[0-9a-f]{{16}}')
  found = sorted(
    x
    for x in root.glob('*/*')
    if named.fullmatch(x.parent.name)
    and not x.name.endswith(_UNFINISHED)
    and (x / 'dataset_info.json').is_file()
  )
  if not found:
    form = f' as {store.describe()}' if store else ''
    raise errors.UserError(
      f'{spec.dataset}: manual_dir is not set, and nothing is prepared in'
      f' {root}{form}; expected manual_dir to be the folder with {spec.get}'
    )
  if len(found) > 1:
    # With their versions, which may be all that differs.
    one, other = (x.relative_to(root) for x in found[:2])
    raise errors.UserError(
      f'{spec.dataset}: manual_dir is not set, and {one} and {other} are both'
      f' prepared in {root}; expected manual_dir, or one of them deleted'
    )
  return open_folder(found[0], spec)


def open_folder(
  folder: pathlib.Path, spec: specs.Spec
) -> tfds.core.DatasetBuilder:
  """Returns the builder of a finished dataset made from files.

  Args:
    folder: the dataset's folder, see `locate`.
    spec: description of the dataset. If it is the user's own folder and its
      table is not available, classes and depth are not compared.

  Raises:
    UserError: the dataset's description is damaged or was changed.
  """
  builder = descriptions.read_folder(folder)
  info = builder.info
  if folder.name == _VERSION:  # Other versions were described differently.
    # Datasets prepared earlier have no sizes.
    deep, factor, sized = (
      x in info.features for x in ('depth', 'depth_factor', 'image_size')
    )
    form = str(info.metadata.get('store')).split('_')[0]
    features = _create_features(form, deep=deep, factor=factor, sized=sized)
    metadata = _describe_spec(spec, deep=deep)
    descriptions.check(info, features=features, metadata=metadata)
  return builder
