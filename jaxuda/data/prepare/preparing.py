r"""Prepares a dataset once, from the user's own files.

    python -m jaxuda.data.prepare --dataset=cityscapes/stereo \
        --manual_dir=DIR [--data_dir=DIR] [--store=png --size=512x1024 \
        --image_resize=bilinear]

Training prepares what it needs by itself; this does it beforehand. Files are
read from folders or from the publishers' archives, checked, and written in
parallel. A preparation that was killed goes on where it was, in steps of 256
examples, and what is half done is never taken for a whole dataset. Afterwards
the raw files are not needed any more: without `manual_dir`, training takes what
is prepared.

--store, --size, --image_resize, --depth_resize and --fit are the fields of
`config.data.source` and `config.data.target` of these names: training finds
what was prepared only if they agree.
"""

import re

from absl import flags

from jaxuda import errors
from jaxuda.data.datasets import registry
from jaxuda.data.pixels import aspect
from jaxuda.data.pixels import transforms
from jaxuda.data.store import encoding
from jaxuda.ui import command


def read_size(text: str) -> tuple[int, int]:
  """Reads HEIGHTxWIDTH.

  Raises:
    UserError: it has another form.
  """
  match = re.fullmatch(r'(\d+)x(\d+)', text)
  if match is None or not int(match[1]) or not int(match[2]):
    raise errors.UserError(f'--size={text}; expected HEIGHTxWIDTH, as 512x1024')
  return int(match[1]), int(match[2])


def main() -> None:
  """Runs the command."""
  command.hide_accelerators()
  values = flags.FLAGS
  store = encoding.Store()
  if values.store != 'raw':
    store = encoding.Store(
      form=values.store,
      size=read_size(values.size),
      image_resize=values.image_resize,
      depth_resize=values.depth_resize,
      fit=values.fit,
    )
  elif values.size:
    raise errors.UserError(
      '--size is set; expected --store=png or jpeg with it'
    )
  made = registry.load(
    values.dataset,
    data_dir=values.data_dir,
    manual_dir=values.manual_dir,
    store=store,
  )
  info = made.info
  for split, found in info.splits.items():
    print(f'{split}: {found.num_examples} images, {found.num_bytes:,} bytes')
  print(f'fields: {registry.describe_fields(info)}')
  print(made.data_dir)


def define_flags():
  """Only when run as a program: others have flags of these names."""
  flags.DEFINE_string(
    'dataset', None, 'For example cityscapes/stereo.', required=True
  )
  flags.DEFINE_string('manual_dir', None, 'Folder or archive of the files.')
  flags.DEFINE_string(
    'data_dir', None, 'Where prepared data go; default: that of TFDS.'
  )
  flags.DEFINE_enum(
    'store', 'raw', encoding.FORMS, 'As the files are, or at --size.'
  )
  flags.DEFINE_string('size', '', 'HEIGHTxWIDTH, the training size.')
  flags.DEFINE_enum(
    'image_resize', 'bicubic', transforms.IMAGE_RESIZES, 'Of images.'
  )
  flags.DEFINE_enum(
    'depth_resize', 'reference', transforms.DEPTH_RESIZES, 'Of depth.'
  )
  flags.DEFINE_enum('fit', 'stretch', aspect.FITS, 'pad: keep the aspect.')
