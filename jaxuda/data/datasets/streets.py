"""`streets`: domains rendered on first use, without a download.

`streets/source` looks like a clean game engine, `streets/target` like a camera
in a town, and `streets/wide` like the source varied in every way, see
`jaxuda.streets.domains`. Every number and picture is a function of the name:

    streets/target                          160x320, 800 + 150 images
    streets/wide-foliage                    the source, but with other trees
    streets/target_180x240                  another size
    streets/source_train100_val20_seed7     other scenes
    streets/target_stereo_sequence          with more views

An example has

* name: text, '<domain>_<seed>_<index>';
* image: uint8 [H, W, 3] RGB PNG;
* label: uint8 [H, W, 1] PNG of Cityscapes train ids 0..18, 255 = none;
* depth: uint16 [H, W, 1] PNG of centimetres along the optical axis, 65535 =
  sky ('depth_unit' of the metadata is 0.01 metres);
* with stereo: right, an image taken `streets.BASELINE` metres to the right;
* with sequence: previous and next, images of a slow drive, and
  motion_previous and motion_next, float32 [4, 4], which map points of this
  frame to those frames;
* with either: intrinsics, float32 [3]: focal length, cx, cy in pixels.
"""

from collections.abc import Iterator
import dataclasses
import os
import re
from typing import Any, ClassVar

import numpy as np
import tensorflow_datasets as tfds

from jaxuda import errors
from jaxuda import streets
from jaxuda.ui import display

# The first scene index of val, whatever the size of train.
_VAL = 1_000_000

# `BASELINE` and `STEP` are in metres, as in `streets.cameras`.
METADATA = {
  'depth_unit': 0.01,
  'baseline': streets.BASELINE,
  'step': streets.STEP,
}

_FORM = (
  'streets/DOMAIN[_HEIGHTxWIDTH][_trainN][_valN][_seedN][_stereo][_sequence]'
  ' with DOMAIN source, target, wide, or wide-KIND such as wide-sky'
)
_NAME = re.compile(
  r'(?P<domain>source|target|wide(-[a-z]+)*)(_(?P<height>\d+)x(?P<width>\d+))?'
  r'(_train(?P<train>\d+))?(_val(?P<val>\d+))?(_seed(?P<seed>\d+))?'
  r'(?P<stereo>_stereo)?(?P<sequence>_sequence)?'
)


@dataclasses.dataclass
class StreetsConfig(tfds.core.BuilderConfig):
  """A collection of streets, named after its fields with non-default values.

  Attributes:
    domain: 'source', 'target', 'wide' or 'wide-KIND', see `streets.check_view`.
    height, width: size of the images in pixels.
    train: number of images to train on.
    val: number of images to evaluate on, taken from other scenes.
    seed: seed of all scenes.
    stereo: whether there is a right view.
    sequence: whether there are a previous and a next frame.
  """

  name: str = ''  # Derived from the other fields.
  domain: str = 'source'
  height: int = 160
  width: int = 320
  train: int = 800
  val: int = 150
  seed: int = 0
  stereo: bool = False
  sequence: bool = False

  def __post_init__(self):
    streets.check_view(self.domain, 'left')
    for key in ('height', 'width'):
      if getattr(self, key) < 8:
        raise errors.UserError(
          f'streets: {key} is {getattr(self, key)}, expected at least 8'
        )
    for key in ('train', 'val'):
      if not 1 <= getattr(self, key) <= _VAL:
        raise errors.UserError(
          f'streets: {key} is {getattr(self, key)}, expected 1..{_VAL}'
        )
    self.name = self._describe()

  def _describe(self) -> str:
    default = {f.name: f.default for f in dataclasses.fields(type(self))}
    name = self.domain
    if (self.height, self.width) != (default['height'], default['width']):
      name += f'_{self.height}x{self.width}'
    for key in ('train', 'val', 'seed'):
      if getattr(self, key) != default[key]:
        name += f'_{key}{getattr(self, key)}'
    for key in ('stereo', 'sequence'):
      if getattr(self, key):
        name += f'_{key}'
    return name

  @property
  def views(self) -> tuple[str, ...]:
    """The views in addition to the left one."""
    stereo = ('right',) if self.stereo else ()
    return (*stereo, *(('previous', 'next') if self.sequence else ()))


def parse(name: str) -> StreetsConfig:
  """Returns the config of a name such as 'streets/target_180x240'.

  Raises:
    UserError: the name has another form, or a number is out of range.
  """
  match = _NAME.fullmatch(str(name).removeprefix('streets/'))
  if match is None:
    raise errors.UserError(f'unknown dataset {name!r}; expected {_FORM}')
  numbers = ('height', 'width', 'train', 'val', 'seed')
  return StreetsConfig(
    domain=match['domain'],
    stereo=bool(match['stereo']),
    sequence=bool(match['sequence']),
    **{key: int(match[key]) for key in numbers if match[key]},
  )


def builder(name: str, *, data_dir: str | None = None) -> 'Streets':
  """Returns the builder of a collection.

  Args:
    name: name such as 'streets/target' or 'streets/target_180x240'.
    data_dir: folder of prepared data; default: that of TFDS.

  Raises:
    UserError: see `parse`.
  """
  config = parse(name)
  # For a config name that it knows, TFDS requires that very object.
  config = Streets.builder_configs.get(config.name, config)
  return Streets(data_dir=data_dir, config=config, file_format='array_record')


class Streets(tfds.core.GeneratorBasedBuilder):
  """Procedural street scenes with labels and depth in several domains."""

  VERSION = tfds.core.Version('1.4.0')
  BUILDER_CONFIGS: ClassVar = [StreetsConfig(domain=d) for d in streets.DOMAINS]

  # Number of rendering processes; the data does not depend on it.
  workers = max(os.cpu_count() or 1, 1)

  def _info(self) -> tfds.core.DatasetInfo:
    config = self.builder_config
    shape = (config.height, config.width)
    picture = tfds.features.Image(shape=(*shape, 3), encoding_format='png')
    features: dict[str, Any] = {
      'name': tfds.features.Text(),
      'image': picture,
      'label': tfds.features.Image(shape=(*shape, 1), encoding_format='png'),
      'depth': tfds.features.Image(
        shape=(*shape, 1), dtype=np.uint16, encoding_format='png'
      ),
    }
    features |= dict.fromkeys(config.views, picture)
    if config.views:
      features['intrinsics'] = tfds.features.Tensor(
        shape=(3,), dtype=np.float32
      )
    if config.sequence:
      for view in ('previous', 'next'):
        features[f'motion_{view}'] = tfds.features.Tensor(
          shape=(4, 4), dtype=np.float32
        )
    return tfds.core.DatasetInfo(
      builder=self,
      description=__doc__,
      features=tfds.features.FeaturesDict(features),
      metadata=tfds.core.MetadataDict(METADATA),
    )

  def download_and_prepare(self, **kwargs: Any) -> None:
    """Renders the collection, displaying progress."""
    # The progress bar of TFDS does not know the number of images.
    tfds.disable_progress_bar()
    try:
      super().download_and_prepare(**kwargs)
    finally:
      tfds.enable_progress_bar()

  def _split_generators(
    self, dl_manager: tfds.download.DownloadManager
  ) -> dict[str, Any]:
    del dl_manager
    counts = {
      'train': (0, self.builder_config.train),
      'val': (_VAL, self.builder_config.val),
    }
    return {k: self._generate_examples(k, *v) for k, v in counts.items()}

  def _generate_examples(
    self, split: str, start: int, number: int
  ) -> Iterator[tuple[str, dict[str, Any]]]:
    config = self.builder_config
    title = f'rendering streets/{config.name} {split}'
    scenes = streets.render_scenes(
      config.domain,
      range(start, start + number),
      seed=config.seed,
      height=config.height,
      width=config.width,
      views=config.views,
      workers=min(self.workers, number),
    )
    for scene in display.track(scenes, name=title, total=number):
      name = f'{config.domain}_{config.seed}_{scene["index"]:07d}'
      example = {k: scene[k] for k in self.info.features if k != 'name'}
      yield name, {'name': name, **example}
