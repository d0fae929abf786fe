"""Finds datasets by name, as prepared TFDS builders.

A dataset made of files is a module with

    describe(name) -> specs.Spec

and a line in `DATASETS`; any other dataset provides a TFDS builder itself. The
examples of a builder hold encoded pictures:

* 'name': text, unique in a split;
* 'image': PNG or JPEG, RGB;
* 'label': 8-bit grey PNG of raw ids, if it has labels;
* 'depth': 16-bit grey PNG of raw depth, if it has depth;
* 'depth_factor': baseline times focal length, with the code 'disparity';

and possibly other fields, which are not read. These metadata are read:

* 'unlabelled_splits': splits whose 'label' is empty (default: none);
* 'depthless_splits': splits whose 'depth' is empty (default: none);
* 'depth_code', 'depth_unit', 'depth_missing': see `depth_codes` (default: raw
  depth is centimetres).

The file format is array_record, for random access.
"""

from collections.abc import Callable, Iterable, Mapping
import contextlib
import dataclasses
import functools
import io
import os
import pathlib
import sys
from typing import Any

from absl import logging
import tensorflow_datasets as tfds

from jaxuda import errors
from jaxuda.data.datasets import camvid
from jaxuda.data.datasets import cityscapes
from jaxuda.data.datasets import folder
from jaxuda.data.datasets import gta5
from jaxuda.data.datasets import idd_lite
from jaxuda.data.datasets import kitti
from jaxuda.data.datasets import mapillary
from jaxuda.data.datasets import streets
from jaxuda.data.datasets import synthia
from jaxuda.data.datasets import virtual_kitti
from jaxuda.data.files import layout
from jaxuda.data.files import specs
from jaxuda.data.files import tree as tree_lib
from jaxuda.data.store import descriptions
from jaxuda.data.store import examples
from jaxuda.data.store import prepared
from jaxuda.data.store import shards

# Hides TFDS's log messages, except errors, from the user.
logging.get_absl_logger().addFilter(
  lambda record: (
    record.levelno >= logging.converter.STANDARD_ERROR
    or 'tensorflow_datasets' not in record.pathname
  )
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Dataset:
  """A family of datasets.

  Attributes:
    ids: key of `label_tables.TABLES` for the raw ids in its labels.
    describe: (name, manual_dir) -> its `specs.Spec`, if it is made of files.
    build: (name, *, data_dir) -> TFDS builder, if it is not.
    metadata: metadata that all of these builders write.
  """

  ids: str
  describe: Callable[..., specs.Spec] | None = None
  build: Callable[..., tfds.core.DatasetBuilder] | None = None
  metadata: Mapping[str, Any] = dataclasses.field(default_factory=dict)


def _of_files(ids: str, describe: Callable[[str], specs.Spec]) -> Dataset:
  return Dataset(ids=ids, describe=lambda name, manual_dir=None: describe(name))


# Keyed by the part of a dataset's name before '/'.
DATASETS: dict[str, Dataset] = {
  'camvid': _of_files('camvid', camvid.describe),
  'streets': Dataset(
    ids='streets', build=streets.builder, metadata=streets.METADATA
  ),
  'synthia': _of_files('synthia', synthia.describe),
  'gta5': _of_files('gta5', gta5.describe),
  'cityscapes': _of_files('cityscapes', cityscapes.describe),
  'mapillary': _of_files('mapillary', mapillary.describe),
  'mapillary_v2': _of_files('mapillary_v2', mapillary.describe),
  'kitti': _of_files('kitti', kitti.describe),
  'idd_lite': _of_files('idd_lite', idd_lite.describe),
  'vkitti': _of_files('vkitti', virtual_kitti.describe),
  # Its classes come from the table in `manual_dir`.
  'folder': Dataset(ids='folder', describe=folder.describe),
}


def find(dataset: str) -> Dataset:
  """Returns the family of a dataset, such as 'streets/target'.

  Raises:
    UserError: there is no such dataset.
  """
  family = str(dataset).split('/')[0]
  if family not in DATASETS:
    raise errors.UserError(
      f'unknown dataset {dataset!r}; expected one of {", ".join(DATASETS)}'
    )
  return DATASETS[family]


def load(
  dataset: str,
  *,
  data_dir: str | None = None,
  manual_dir: str | None = None,
  store: examples.Store | None = None,
) -> tfds.core.DatasetBuilder:
  """Returns the builder of a dataset, preparing the data on first use.

  Args:
    dataset: name of the dataset, such as 'camvid' or 'streets/source'.
    data_dir: folder of prepared data; default: that of TFDS.
    manual_dir: folder of the user's files; without it, data prepared earlier is
      used, so that raw files can be deleted, or prepared ones moved to another
      machine. A note says so if the dataset is not made of files.
    store: form in which examples are stored; default: as in the files.

  Raises:
    UserError: the dataset is unknown, or the user's files have a problem.
  """
  family, store = find(dataset), store or examples.Store()
  if family.build and store.form != 'raw':
    raise errors.UserError(
      f'{dataset} cannot be stored as {store.form}; expected store=raw'
    )
  data_dir = os.path.expanduser(data_dir) if data_dir else None
  _check_data_dir(data_dir)
  manual_dir = os.path.expanduser(manual_dir) if manual_dir else None

  if family.build:
    if manual_dir:
      _note_unread(dataset, manual_dir)
    made = _build(family, dataset, data_dir)
    if not made.is_prepared():
      _prepare(made, dataset)
      made = _build(family, dataset, data_dir)
    return made
  spec = family.describe(dataset, manual_dir)
  if not manual_dir:
    return prepared.find(spec, data_dir=data_dir, store=store)
  files = layout.find(manual_dir, spec)
  folder = prepared.locate(files, data_dir=data_dir, store=store)
  if not folder.exists():
    print(f'preparing {dataset} in {folder}', file=sys.stderr)
    prepared.prepare(files, folder, store=store)
  return prepared.open_folder(folder, spec)


@functools.lru_cache
def _note_unread(dataset, manual_dir):
  print(
    f'note: {dataset} is not read from files, so manual_dir={manual_dir} is'
    ' ignored',
    file=sys.stderr,
  )


def _check_data_dir(data_dir):
  """Raises UserError if there is a file where a folder is expected."""
  path = pathlib.Path(data_dir or '.').absolute()
  there = next(x for x in (path, *path.parents) if x.exists())
  if not there.is_dir():
    raise errors.UserError(
      f'data_dir: {there} is a file; expected a folder for prepared data'
    )


def find_prepared(
  dataset: str, *, data_dir: str | None = None
) -> tfds.core.DatasetBuilder:
  """Returns the builder of a dataset that was prepared earlier, in any form.

  Raises:
    UserError: the dataset is unknown, not prepared, or prepared in more than
      one form.
  """
  family = find(dataset)
  if family.describe:
    return prepared.find(family.describe(dataset), data_dir=data_dir)
  made = _build(family, dataset, data_dir)
  if not made.is_prepared():
    raise errors.UserError(
      f'{dataset} is not prepared in {made.data_dir}; expected data_dir to be'
      ' where it is'
    )
  return made


def _build(family, dataset, data_dir):
  """Returns the builder of a dataset that is not made of files."""
  try:
    made = family.build(dataset, data_dir=data_dir)
  except errors.UserError:
    raise
  except Exception as e:  # A damaged description makes TFDS raise anything.
    raise errors.UserError(
      f'{dataset} in {data_dir or tfds.core.constants.DATA_DIR} cannot be read'
      f' ({tree_lib.one_line(e)[:120]}); delete it there to prepare it again'
    ) from None
  descriptions.check(made.info, metadata=family.metadata)
  return made


def _prepare(made: tfds.core.DatasetBuilder, dataset: str) -> None:
  if not sys.stderr.isatty():
    tfds.disable_progress_bar()
  print(f'preparing {dataset} in {made.data_dir}', file=sys.stderr)
  try:
    # TFDS prints messages about downloads; its progress bar goes to stderr.
    with (
      contextlib.redirect_stdout(io.StringIO()),
      shards.explain_full_disk(pathlib.Path(made.data_dir), resumes=False),
    ):
      made.download_and_prepare()
  except Exception as error:
    mistake = _find_mistake(error)
    if mistake is not None:
      raise mistake from None
    # Another process was first: TFDS renames a finished folder into place.
    if isinstance(error, OSError) and os.path.isdir(made.data_dir):
      return
    raise


def _find_mistake(error: BaseException | None) -> errors.UserError | None:
  """Finds a UserError wrapped by TFDS, to show one line and no traceback."""
  while error is not None and not isinstance(error, errors.UserError):
    error = error.__cause__ or error.__context__
  return error


def describe_fields(info: tfds.core.DatasetInfo) -> str:
  """Lists which of image, label and depth a dataset has, for messages."""
  return ', '.join(x for x in ('image', 'label', 'depth') if x in info.features)


def metadata(info: tfds.core.DatasetInfo) -> Mapping[str, Any]:
  """Returns a dataset's metadata; empty if it has none."""
  return info.metadata or {}


def keep_encoded(
  info: tfds.core.DatasetInfo, fields: Iterable[str]
) -> dict[str, Any]:
  """Returns TFDS decoders that leave the pictures among the fields encoded."""
  return {
    x: tfds.decode.SkipDecoding()
    for x in fields
    if x in info.features and isinstance(info.features[x], tfds.features.Image)
  }
