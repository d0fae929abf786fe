"""Dataset name -> prepared TFDS builder.

A dataset is a module with

    builder(name, *, data_dir=None, manual_dir=None) -> tfds builder

(and `store`, see `making`, if `Dataset.stores`)
and a line in `DATASETS`. Its examples hold encoded pictures:

* 'name': text, unique in a split;
* 'image': PNG or JPEG, RGB;
* 'label': 8-bit grey PNG of raw ids, if it has labels;
* 'depth': 16-bit grey PNG of raw depth, if it has depth;
* 'depth_factor': of depth whose code is 'disparity';

and what else it likes: only these are read. Of its metadata these are read:

* 'unlabelled_splits': splits whose 'label' is empty (default: none);
* 'depthless_splits': splits whose 'depth' is empty (default: none);
* 'depth_code', 'depth_unit', 'depth_missing': see `depth_codes` (default: raw
  depth is centimetres).

Its file format is array_record, for random access.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
import contextlib
import dataclasses
import functools
import io
import os
import sys
from typing import Any

from absl import logging
import tensorflow_datasets as tfds

from jaxuda import errors
from jaxuda.data.datasets import camvid
from jaxuda.data.datasets import cityscapes
from jaxuda.data.datasets import folder
from jaxuda.data.datasets import gta5
from jaxuda.data.datasets import kitti
from jaxuda.data.datasets import mapillary
from jaxuda.data.datasets import streets
from jaxuda.data.datasets import synthia
from jaxuda.data.datasets import virtual_kitti
from jaxuda.data.files import layout
from jaxuda.data.store import encoding
from jaxuda.data.store import prepared as prepared_lib


@dataclasses.dataclass(frozen=True, kw_only=True)
class Dataset:
  """A family of datasets.

  Attributes:
    build: (name, *, data_dir, manual_dir) -> TFDS builder.
    ids: whose raw ids its labels are, a dataset name of `labels`.
    stores: whether it can be prepared at the training size.
    describe: (name, manual_dir) -> its `layout.Spec`, where it has one.
  """

  build: Callable[..., tfds.core.DatasetBuilder]
  ids: str
  stores: bool = False
  describe: Callable[..., layout.Spec] | None = None


# By the part of a dataset's name before '/'.
DATASETS: dict[str, Dataset] = {
  'camvid': Dataset(
    build=camvid.builder, ids='camvid', describe=camvid.describe
  ),
  'streets': Dataset(build=streets.builder, ids='streets'),
  **{
    name: Dataset(
      build=functools.partial(prepared_lib.build, describe=module.describe),
      ids=name,
      stores=True,
      describe=module.describe,
    )
    for name, module in (
      ('synthia', synthia),
      ('gta5', gta5),
      ('cityscapes', cityscapes),
      ('mapillary', mapillary),
      ('mapillary_v2', mapillary),
      ('kitti', kitti),
      ('vkitti', virtual_kitti),
      ('folder', folder),
    )
  },
}


def find(dataset: str) -> Dataset:
  """Returns the family of a dataset, e.g. of 'streets/target'.

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
  store: encoding.Store | None = None,
) -> tfds.core.DatasetBuilder:
  """Returns the builder of a dataset, preparing the data on first use.

  Args:
    dataset: e.g. 'camvid', 'streets/source'.
    data_dir: where prepared data are; default: that of TFDS.
    manual_dir: where the user's files are, for datasets that need them.
    store: how examples are kept; default: as the files are.

  Raises:
    UserError: unknown dataset, or something is wrong with the user's files.
  """
  family = find(dataset)
  more = {'store': store} if family.stores and store else {}
  if not family.stores and store and store.form != 'raw':
    raise errors.UserError(
      f'{dataset} cannot be stored as {store.form}; expected store=raw'
    )
  data_dir = os.path.expanduser(data_dir) if data_dir else None
  manual_dir = os.path.expanduser(manual_dir) if manual_dir else None

  def create() -> tfds.core.DatasetBuilder:
    with quiet():
      return family.build(
        dataset, data_dir=data_dir, manual_dir=manual_dir, **more
      )

  made = create()
  with quiet():
    prepared = made.is_prepared()
  if not prepared:
    _prepare(made, dataset)
    made = create()
  return made


def find_prepared(
  dataset: str, *, data_dir: str | None = None
) -> tfds.core.DatasetBuilder:
  """Returns the builder of a dataset that was prepared before, in any form.

  Raises:
    UserError: unknown dataset, nothing prepared, or more than one thing.
  """
  family = find(dataset)
  with quiet():
    if family.describe is not None:
      spec = family.describe(dataset)
      variant = (
        f'{prepared_lib.name_folder(spec)[1]}_*' if family.stores else '*'
      )
      return prepared_lib.find_prepared(
        spec, pattern=variant, data_dir=data_dir
      )
    made = family.build(dataset, data_dir=data_dir, manual_dir=None)
    if not made.is_prepared():
      raise errors.UserError(
        f'{dataset} is not prepared in {made.data_dir}; expected data_dir to be'
        ' where it is'
      )
  return made


@contextlib.contextmanager
def quiet() -> Iterator[None]:
  """Keeps TFDS from logging what is no concern of the user's."""
  before = logging.get_verbosity()
  logging.set_verbosity(min(before, logging.ERROR))
  try:
    yield
  finally:
    logging.set_verbosity(before)


def _prepare(made: tfds.core.DatasetBuilder, dataset: str) -> None:
  if not sys.stderr.isatty():
    tfds.disable_progress_bar()
  print(f'preparing {dataset} in {made.data_dir}', file=sys.stderr)
  try:
    # TFDS prints about downloads; its progress bar goes to stderr.
    with quiet(), contextlib.redirect_stdout(io.StringIO()):
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
  """Finds what TFDS has wrapped, to show one line and not its trace."""
  while error is not None and not isinstance(error, errors.UserError):
    error = error.__cause__ or error.__context__
  return error


def describe_fields(info: tfds.core.DatasetInfo) -> str:
  """Returns what a dataset has of name, image, label, depth, for messages."""
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
