"""Prepared datasets: TFDS records of a user's files.

The folder of a preparation is named after the files (by their fingerprint, so a
changed file means another preparation) and after the form in which examples are
kept, see `examples`. Everything is checked while it is prepared.
"""

from collections.abc import Sequence
import functools
import os
import pathlib
from typing import Any

import cv2
import numpy as np
import tensorflow_datasets as tfds

from jaxuda import errors
from jaxuda.data.classes import class_tables
from jaxuda.data.files import layout as layout_lib
from jaxuda.data.files import specs
from jaxuda.data.files import tree as tree_lib
from jaxuda.data.store import examples
from jaxuda.data.store import findings
from jaxuda.data.store import record_order
from jaxuda.data.store import shards

# 1.1.0: labels and depth of the png and jpeg stores are no longer PNG.
_VERSION = '1.1.0'
_UNFINISHED = '.unfinished'
# Labels and depth maps of a split that are looked at before all are read.
_LOOKED_AT = 20

with tfds.core.registered.skip_registration():

  class Prepared(tfds.core.GeneratorBasedBuilder):
    """A dataset of a user's files; made by `build`."""

    VERSION = tfds.core.Version(_VERSION)

    def __init__(
      self, *, layout: layout_lib.Layout, store: examples.Store, **kwargs: Any
    ):
      self._layout, self._store = layout, store
      super().__init__(**kwargs)

    def _info(self) -> tfds.core.DatasetInfo:
      layout, spec = self._layout, self._layout.spec
      features: dict[str, Any] = {
        'name': tfds.features.Text(),
        'image': tfds.features.Image(shape=(None, None, 3)),
        'label': _maps(self._store, np.uint8),
      }
      metadata: dict[str, Any] = {
        'unlabelled_splits': list(layout.unlabelled),
        'depthless_splits': list(layout.depthless),
        'layout': layout.describe(),
        'store': self._store.describe(),
        'ids': spec.ids,
      }
      if spec.own is not None:
        metadata['classes'] = class_tables.to_json(
          spec.own.names, spec.own.colors
        )
      if 'depth' in layout.spellings:
        features['depth'] = _maps(self._store, np.uint16)
        metadata |= spec.depth
        if spec.factor:
          features['depth_factor'] = tfds.features.Scalar(np.float32)
      return tfds.core.DatasetInfo(
        builder=self,
        features=tfds.features.FeaturesDict(features),
        metadata=tfds.core.MetadataDict(metadata),
        homepage=spec.homepage,
      )

    def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
      raise NotImplementedError('download_and_prepare writes the records')

    def _generate_examples(self) -> Any:
      raise NotImplementedError('download_and_prepare writes the records')

    def download_and_prepare(self, **kwargs: Any) -> None:
      """Prepares the dataset, going on where it was interrupted.

      Raises:
        UserError: a file is not as it should be, or the disk is full.
      """
      del kwargs
      layout, target = self._layout, pathlib.Path(self.data_dir)
      # TFDS takes a folder for a dataset only when its name is a version.
      work = target.with_name(target.name + _UNFINISHED)
      with shards.lock(work):
        if target.exists():
          return
        for problem in find_problems(layout):
          raise errors.UserError(problem.text)
        # Of a process that was killed.
        for part in work.glob('.*.part*'):
          part.unlink()
        if self._store.form == 'raw':
          done = sum(x.stat().st_size for x in work.glob('*.array_record*'))
          shards.check_space(work, _count_bytes(layout) - done)
        key = layout.spec.order or record_order.hash_name
        stored = {
          split: sorted(items, key=lambda x, split=split: key(x.name, split))
          for split, items in layout.splits.items()
        }
        infos = [self._write_split(work, *x) for x in stored.items()]
        with shards.explain_full_disk(work):
          self.info.set_splits(tfds.core.splits.SplitDict(infos))
          self.info.write_to_directory(work)
          names = {k: [x.name for x in v] for k, v in stored.items()}
          record_order.write_names(work, names)
          os.replace(work, target)

    def _write_split(
      self, work: pathlib.Path, split: str, items: Sequence[specs.Item]
    ) -> tfds.core.splits.SplitInfo:
      maker = examples.Maker(layout=self._layout, store=self._store)

      def encode(number: int) -> bytes:
        example = maker.make(split, items[number])
        return self.info.features.serialize_example(example)

      # Rows of OpenCV in as many threads would only get in each other's way.
      cv2.setNumThreads(0)
      return shards.write_split(
        work, split, len(items), encode, dataset=self.name
      )


def _maps(store, dtype):
  """Returns the feature of labels or depth."""
  if store.form == 'raw':
    return tfds.features.Image(shape=(None, None, 1), dtype=dtype)
  return tfds.features.Tensor(
    shape=(None, None, 1), dtype=dtype, encoding=tfds.features.Encoding.BYTES
  )


def _count_bytes(layout):
  """Returns how large the images and depth maps are."""
  return sum(
    layout.tree.entries[path].size
    for items in layout.splits.values()
    for item in items
    for path in (item.image, item.depth)
    if path
  )


def build(
  layout: layout_lib.Layout,
  *,
  store: examples.Store,
  data_dir: str | None = None,
) -> tfds.core.DatasetBuilder:
  """Returns the builder for files that are there now.

  Args:
    layout: the files.
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
  family, variant = _name_folders(layout.spec)
  return _name_class(family)(
    layout=layout,
    store=store,
    data_dir=data_dir,
    config=tfds.core.BuilderConfig(
      name=f'{variant}_{store.describe()}_{stamp}'
    ),
    file_format='array_record',
  )


@functools.lru_cache
def _name_class(name: str) -> type[Prepared]:
  """Returns a builder class for the folder `name`."""
  with tfds.core.registered.skip_registration():
    return type(name, (Prepared,), {'name': name})


def _name_folders(spec):
  """Returns the name of a dataset's folder, and the prefix of those in it."""
  family, _, variant = spec.dataset.partition('/')
  return family, (variant or 'plain').replace('/', '_')


def find_problems(layout: layout_lib.Layout) -> list[specs.Problem]:
  """Finds problems that only many files show, by a look at some.

  Labels that are something else than their folder says, and depth that had 8
  bits once.

  Raises:
    UserError: one of the files is broken.
  """
  spec = layout.spec
  problems = list(spec.check(layout)) if spec.check else []
  if problems:
    return problems
  for split, items in layout.splits.items():
    some = items[:: max(1, len(items) // _LOOKED_AT)]
    found = findings.Examination()
    for item in some:
      sample = findings.Sample(name=item.name)
      if item.label:
        sample.label = layout.read_label(item)
      if item.depth:
        sample.depth = layout.read_depth(item)
      found.add(sample)
    first = some[0].label or some[0].depth or some[0].image
    folder = os.path.dirname(layout.tree.where(first))
    problems += findings.judge(
      found,
      dataset=spec.dataset,
      telltale=spec.telltale,
      where=f'{split} ({folder})',
    )
  return [x for x in problems if x.fatal]


def find(
  spec: specs.Spec,
  *,
  data_dir: str | None = None,
  store: examples.Store | None = None,
) -> tfds.core.DatasetBuilder:
  """Returns the builder of what was prepared before.

  Args:
    spec: the dataset.
    data_dir: folder of prepared data; default: that of TFDS.
    store: form in which examples are kept; None: any.

  Raises:
    UserError: nothing was prepared, or more than one thing.
  """
  family, variant = _name_folders(spec)
  root = pathlib.Path(
    os.path.expanduser(data_dir or tfds.core.constants.DATA_PATH)
  )
  pattern = f'{variant}_{store.describe()}_*' if store else f'{variant}_*'
  found = sorted(
    x
    for x in (root / family).glob(f'{pattern}/*')
    if not x.name.endswith(_UNFINISHED) and (x / 'dataset_info.json').is_file()
  )
  if not found:
    raise errors.UserError(
      f'{spec.dataset}: manual_dir is not set, and nothing is prepared in'
      f' {root / family}; expected manual_dir to be the folder with {spec.get}'
    )
  if len(found) > 1:
    raise errors.UserError(
      f'{spec.dataset}: manual_dir is not set, and {found[0].parent.name} and'
      f' {found[1].parent.name} are both prepared in {found[0].parents[1]};'
      ' expected manual_dir, or one of them deleted'
    )
  try:
    return tfds.builder_from_directory(found[0])
  except Exception as e:
    raise errors.UserError(
      f'{spec.dataset}: {found[0]} cannot be read ({tree_lib.one_line(e)});'
      ' delete it and prepare it again'
    ) from None
