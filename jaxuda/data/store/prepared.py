"""Prepared datasets: from a user's files to TFDS records.

What is prepared depends on the files (their fingerprint is in the name of the
folder, so a changed file means another preparation) and on how they are kept,
see `making`. Everything is checked while it is prepared.
"""

from collections.abc import Callable, Sequence
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
from jaxuda.data.files import tree as tree_lib
from jaxuda.data.store import encoding
from jaxuda.data.store import findings
from jaxuda.data.store import record_order
from jaxuda.data.store import shards

# 1.1.0: labels and depth of the png and jpeg stores are no longer PNG.
_VERSION = '1.1.0'
_UNFINISHED = '.unfinished'
# Labels and depth maps of a split that are looked at before all are.
_LOOKED_AT = 20

with tfds.core.registered.skip_registration():

  class Prepared(tfds.core.GeneratorBasedBuilder):
    """A dataset of a user's files; made by `build`."""

    VERSION = tfds.core.Version(_VERSION)

    def __init__(self, *, maker: encoding.Maker, **kwargs: Any):
      self._maker = maker
      super().__init__(**kwargs)

    def _info(self) -> tfds.core.DatasetInfo:
      maker = self._maker
      features: dict[str, Any] = {
        'name': tfds.features.Text(),
        'image': tfds.features.Image(shape=(None, None, 3)),
        'label': _maps(maker.store, np.uint8),
      }
      metadata: dict[str, Any] = {
        'unlabelled_splits': list(maker.layout.unlabelled),
        'depthless_splits': list(maker.layout.depthless),
        'layout': maker.layout.describe(),
        'store': maker.store.describe(),
        'ids': maker.spec.ids,
      }
      own = maker.spec.own
      if own is not None:
        metadata['classes'] = class_tables.to_json(own.names, own.colors)
      if maker.has_depth:
        features['depth'] = _maps(maker.store, np.uint16)
        metadata |= maker.spec.depth
        if maker.spec.factor:
          features['depth_factor'] = tfds.features.Scalar(np.float32)
      return tfds.core.DatasetInfo(
        builder=self,
        features=tfds.features.FeaturesDict(features),
        metadata=tfds.core.MetadataDict(metadata),
        homepage=maker.spec.homepage,
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
      maker, target = self._maker, pathlib.Path(self.data_dir)
      # TFDS takes a folder for a dataset only when its name is a version.
      work = target.with_name(target.name + _UNFINISHED)
      with shards.lock(work):
        if target.exists():
          return
        for problem in find_problems(maker.tree, maker.spec, maker.layout):
          raise errors.UserError(problem.text)
        done = sum(x.stat().st_size for x in work.glob('*.array_record*'))
        if maker.store.form == 'raw':
          shards.check_space(work, self._raw_bytes() - done)
        infos = [
          self._write_split(work, split, items)
          for split, items in maker.layout.splits.items()
        ]
        with shards.explain_full_disk(work):
          self.info.set_splits(tfds.core.splits.SplitDict(infos))
          self.info.write_to_directory(work)
          record_order.write_names(work, self._order_names())
          os.replace(work, target)

    def _order_names(self) -> dict[str, list[str]]:
      names = {
        split: [x.name for x in items]
        for split, items in self._maker.layout.splits.items()
      }
      return {k: [x[i] for i in shards.shuffle(x)] for k, x in names.items()}

    def _raw_bytes(self) -> int:
      entries = self._maker.tree.entries
      return sum(
        entries[path].size
        for items in self._maker.layout.splits.values()
        for item in items
        for path in (item.image, item.depth)
        if path
      )

    def _write_split(
      self, work: pathlib.Path, split: str, items: Sequence[layout_lib.Item]
    ) -> tfds.core.splits.SplitInfo:
      def encode(number: int) -> bytes:
        example = self._maker.make(split, items[number])
        return self.info.features.serialize_example(example)

      # Rows of OpenCV in as many threads would only get in each other's way.
      cv2.setNumThreads(0)
      return shards.write_split(
        work,
        split,
        [x.name for x in items],
        encode,
        dataset=self.name,
        workers=max(os.cpu_count() or 1, 1),
      )


def _maps(store: encoding.Store, dtype: Any) -> tfds.features.FeatureConnector:
  """The feature of labels and depth, see `making`."""
  if store.form == 'raw':
    return tfds.features.Image(shape=(None, None, 1), dtype=dtype)
  return tfds.features.Tensor(
    shape=(None, None, 1), dtype=dtype, encoding=tfds.features.Encoding.BYTES
  )


def open_tree(manual_dir: str, spec: layout_lib.Spec) -> tree_lib.Tree:
  """Lists a user's files, archives included.

  Raises:
    UserError: see `tree.Tree`.
  """
  return tree_lib.Tree(manual_dir, dataset=spec.dataset)


def build(
  name: str,
  *,
  describe: Callable[..., layout_lib.Spec],
  data_dir: str | None = None,
  manual_dir: str | None = None,
  store: encoding.Store | None = None,
) -> tfds.core.DatasetBuilder:
  """Returns the builder for the files that are in `manual_dir` now.

  Args:
    name: of the dataset, e.g. 'cityscapes/stereo'.
    describe: (name, manual_dir) -> its `layout.Spec`.
    data_dir: where prepared data are; default: that of TFDS.
    manual_dir: the user's folder; None takes what was prepared before, so that
      raw files can be deleted, or prepared ones moved to another machine.
    store: how examples are kept; default: raw.

  Raises:
    UserError: an unknown name, no files, or what `layout.find` finds wrong.
  """
  store = store or encoding.Store()
  spec = describe(name, manual_dir)
  folder = name_folder(spec)
  if not manual_dir:
    return find_prepared(
      spec, pattern=f'{folder[1]}_{store.describe()}_*', data_dir=data_dir
    )
  tree = open_tree(manual_dir, spec)
  layout = layout_lib.find(tree, spec)
  layout_lib.raise_first(layout)
  used = [
    path
    for items in layout.splits.values()
    for item in items
    for path in (item.image, item.label, item.depth, item.extra)
    if path
  ]
  stamp = tree.fingerprint(used, token=spec.token)
  config = f'{folder[1]}_{store.describe()}_{stamp}'
  return _name_class(folder[0])(
    maker=encoding.Maker(tree=tree, spec=spec, layout=layout, store=store),
    data_dir=data_dir,
    config=tfds.core.BuilderConfig(name=config),
    file_format='array_record',
  )


def find_problems(
  tree: tree_lib.Tree, spec: layout_lib.Spec, layout: layout_lib.Layout
) -> list[layout_lib.Problem]:
  """Finds what only many files show, by a look at some.

  Labels that are something else than their folder says, and depth that had 8
  bits once.

  Raises:
    UserError: one of the files is broken.
  """
  problems = list(spec.check(tree, layout)) if spec.check else []
  if problems:
    return problems
  for split, items in layout.splits.items():
    some = items[:: max(1, len(items) // _LOOKED_AT)]
    found = findings.Examination()
    for item in some:
      sample = findings.Sample(name=item.name)
      if item.label:
        sample.label = encoding.read_label(tree, spec, layout, item)
      if item.depth:
        sample.depth = encoding.read_depth(tree, spec, layout, item)
      found.add(sample)
    problems += findings.judge(
      found,
      dataset=spec.dataset,
      telltale=spec.telltale,
      where=f'{split} ({_first_folder(tree, some)})',
    )
  return [x for x in problems if x.fatal]


def _first_folder(tree, items):
  item = items[0]
  return os.path.dirname(tree.where(item.label or item.depth or item.image))


@functools.lru_cache
def _name_class(name: str) -> type[Prepared]:
  """Returns a builder class for the folder `name`."""
  with tfds.core.registered.skip_registration():
    return type(name, (Prepared,), {'name': name})


def name_folder(spec: layout_lib.Spec) -> tuple[str, str]:
  """Returns the names of a dataset's folder and of the one in it."""
  family, _, variant = spec.dataset.partition('/')
  return family, (variant or 'plain').replace('/', '_')


def find_prepared(
  spec: layout_lib.Spec, *, pattern: str, data_dir: str | None = None
) -> tfds.core.DatasetBuilder:
  """Returns the builder of what was prepared before.

  Args:
    spec: the dataset.
    pattern: of its folders' names.
    data_dir: where prepared data are; default: that of TFDS.

  Raises:
    UserError: nothing was prepared, or more than one thing.
  """
  folder = name_folder(spec)
  root = pathlib.Path(
    os.path.expanduser(data_dir or tfds.core.constants.DATA_PATH)
  )
  found = sorted(
    x
    for x in (root / folder[0]).glob(f'{pattern}/*')
    if not x.name.endswith(_UNFINISHED) and (x / 'dataset_info.json').is_file()
  )
  if not found:
    raise errors.UserError(
      f'{spec.dataset}: manual_dir is not set, and nothing is prepared in'
      f' {root / folder[0]}; expected manual_dir to be the folder with'
      f' {spec.get}'
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
