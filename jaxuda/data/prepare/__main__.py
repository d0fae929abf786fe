r"""Prepares a dataset once, from the user's own files.

    python -m jaxuda.data.prepare --dataset=cityscapes/stereo \
        --manual_dir=DIR [--data_dir=DIR] [--store=png --size=512x1024 \
        --image_resize=bilinear]

Training prepares what it needs by itself; this command does so beforehand.
Files are read from folders or from the publishers' archives, checked, and
written in parallel. A preparation that was killed resumes where it stopped, in
steps of 256 examples, and an incomplete dataset is never mistaken for a
complete one. Afterwards the raw files are no longer needed: without
`manual_dir`, training uses the prepared dataset.

--store, --size, --image_resize, --depth_resize and --fit correspond to the
fields of `config.data.source` and `config.data.target` with the same names:
training finds the prepared dataset only if they agree.
"""

import re

from absl import flags

from jaxuda import errors
from jaxuda.data.datasets import registry
from jaxuda.data.pixels import aspect
from jaxuda.data.pixels import transforms
from jaxuda.data.store import examples
from jaxuda.ui import command


def define_flags() -> None:
  """Defines the flags; not on import, as other commands share their names."""
  string, enum = flags.DEFINE_string, flags.DEFINE_enum
  string('dataset', None, 'Dataset, e.g. cityscapes/stereo.', required=True)
  string('manual_dir', None, 'Folder or archive with the files.')
  string('data_dir', None, "Folder to prepare data in; TFDS's if unset.")
  enum(
    *('store', 'raw', examples.FORMS),
    'How images are stored: as the files are (raw), or at --size.',
  )
  string('size', '', 'Training size, HEIGHTxWIDTH.')
  enum(
    'image_resize',
    'bicubic',
    transforms.IMAGE_RESIZES,
    'How images are resized.',
  )
  enum(
    'depth_resize',
    'reference',
    transforms.DEPTH_RESIZES,
    'How depth is resized.',
  )
  enum(
    *('fit', 'stretch', aspect.FITS),
    'How images are fitted to --size; pad keeps the aspect ratio.',
  )


def read_size(text: str) -> tuple[int, int]:
  """Parses a size HEIGHTxWIDTH and returns (height, width).

  Raises:
    UserError: the text has another form.
  """
  match = re.fullmatch(r'(\d+)x(\d+)', text)
  if match is None or not int(match[1]) or not int(match[2]):
    raise errors.UserError(
      f'--size={text}; expected HEIGHTxWIDTH, e.g. 512x1024'
    )
  return int(match[1]), int(match[2])


def main() -> None:
  """Runs the command."""
  command.hide_accelerators()
  f = flags.FLAGS
  store = examples.Store()
  if f.store != 'raw':
    store = examples.Store(
      form=f.store,
      size=read_size(f.size),
      image_resize=f.image_resize,
      depth_resize=f.depth_resize,
      fit=f.fit,
    )
  elif f.size:
    raise errors.UserError(
      '--size is set; expected --store=png or jpeg with it'
    )
  made = registry.load(
    f.dataset, data_dir=f.data_dir, manual_dir=f.manual_dir, store=store
  )
  for split, found in made.info.splits.items():
    print(f'{split}: {found.num_examples} images, {found.num_bytes:,} bytes')
  print(f'fields: {registry.describe_fields(made.info)}')
  print(made.data_dir)


if __name__ == '__main__':
  define_flags()
  command.run(main)
