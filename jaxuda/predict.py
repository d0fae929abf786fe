r"""Label maps of a folder of images. Needs no TF.

    python -m jaxuda.predict --workdir=DIR --images=FOLDER --out=FOLDER \
        [--checkpoint=last|best|STEP]

Writes OUT/ids/NAME.png (class ids, one byte per pixel: places in the class set,
from 0 on) and OUT/colors/NAME.png
(indexed colours), each of its image's own size. An image is brought to the
network's size as in training; the logits are brought back to the image's.
"""

from collections.abc import Sequence
import functools
import os
import pathlib
from typing import Any

from absl import flags
import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image

from jaxuda import command
from jaxuda import display
from jaxuda import errors
from jaxuda import pictures
from jaxuda import workdir as workdir_lib
from jaxuda.data import labels
from jaxuda.ops import resize

# What a camera, a phone or a data set brings; anything else in the folder (a
# README, a list of files) is not an image that failed.
SUFFIXES = (
  '.png',
  '.jpg',
  '.jpeg',
  '.jpe',
  '.jp2',
  '.bmp',
  '.dib',
  '.gif',
  '.webp',
  '.avif',
  '.tif',
  '.tiff',
  '.ppm',
  '.pgm',
  '.pbm',
  '.pnm',
  '.tga',
  '.exr',
  '.hdr',
)
_FILTERS = {
  'bicubic': Image.Resampling.BICUBIC,
  'bilinear': Image.Resampling.BILINEAR,
}


def list_images(folder: str | os.PathLike) -> list[pathlib.Path]:
  """Returns the pictures in a folder, sorted, those in subfolders included.

  Raises:
    UserError: no folder, or no picture in it.
  """
  folder = pathlib.Path(folder)
  if not folder.is_dir():
    raise errors.UserError(f'no folder {folder}; expected one with images')
  found = sorted(
    path
    for path in folder.rglob('*')
    if path.is_file() and path.suffix.lower() in SUFFIXES
  )
  if not found:
    raise errors.UserError(
      f'no image in {folder}; expected files ending in {" ".join(SUFFIXES)}'
    )
  return found


def name_outputs(
  paths: Sequence[pathlib.Path], folder: str | os.PathLike
) -> list[pathlib.Path]:
  """Returns the name of each result, relative to the output folder.

  a/b.jpg becomes a/b.png; where two images differ only in their suffix it stays
  in the name: b.jpg.png, b.png.png.
  """
  names = [path.relative_to(folder) for path in paths]
  stems = [name.with_suffix('.png') for name in names]
  return [
    stem if stems.count(stem) == 1 else name.with_name(name.name + '.png')
    for name, stem in zip(names, stems, strict=True)
  ]


def predict_labels(image: np.ndarray, run: workdir_lib.Run) -> np.ndarray:
  """Segments one image of any size.

  The network runs at its own size, compiled once. Only the upsampling of the
  logits is compiled for every new size of image.

  Args:
    image: uint8 [H, W, 3] RGB.
    run: what `workdir.load` returned.

  Returns:
    uint8 [H, W] train ids.
  """
  target = run.config.data.target
  height, width = target.size
  small = Image.fromarray(image).resize(
    (width, height), _FILTERS[target.get('image_resize', 'bicubic')]
  )
  logits = _logits(run.state, np.asarray(small)[None], method=run.method)
  return np.asarray(_label(logits, size=image.shape[:2]))


def run_folder(
  run: workdir_lib.Run, folder: str | os.PathLike, out: str | os.PathLike
) -> list[str]:
  """Segments every picture of a folder.

  Args:
    run: what `workdir.load` returned.
    folder: where the pictures are.
    out: where `ids` and `colors` are made.

  Returns:
    One line for every picture that could not be read.

  Raises:
    UserError: no folder, no picture in it, or an unknown file at `out`.
  """
  colors = labels.get_class_set(run.config.classes).colors
  paths = list_images(folder)
  out = pathlib.Path(out)
  if out.exists() and not out.is_dir():
    raise errors.UserError(f'{out} is a file; expected a folder to write to')
  bad = []
  with display.Progress('predict', total=len(paths), unit='images') as progress:
    names = name_outputs(paths, folder)
    for done, (path, name) in enumerate(zip(paths, names, strict=True), 1):
      try:
        label = predict_labels(pictures.read_image(path), run)
        pictures.write_png(out / 'ids' / name, label)
        pictures.write_png(out / 'colors' / name, label, colors=colors)
      except errors.UserError as e:
        bad.append(str(e))
        progress.message(f'skipped: {e}')
      progress.update(done)
  return bad


@functools.partial(jax.jit, static_argnames='method')
def _logits(state: Any, image: jax.Array, *, method: Any) -> jax.Array:
  return method.predict(state, image)['logits']


@functools.partial(jax.jit, static_argnames='size')
def _label(logits: jax.Array, *, size: tuple[int, int]) -> jax.Array:
  full = resize.resize_align_corners(logits, size)
  return jnp.argmax(full[0], axis=-1).astype(jnp.uint8)


def main() -> int:
  """Runs the command line; 1 if a picture could not be read."""
  list_images(flags.FLAGS.images)  # Before the network is loaded.
  run = workdir_lib.load(
    flags.FLAGS.workdir,
    which=flags.FLAGS.checkpoint,
    only=workdir_lib.predicts,
  )
  bad = run_folder(run, flags.FLAGS.images, flags.FLAGS.out)
  print(f'wrote {flags.FLAGS.out}/ids and {flags.FLAGS.out}/colors')
  if bad:
    more = f' and {len(bad) - 5} more' if len(bad) > 5 else ''
    command.fail(
      f'pictures that could not be read: {len(bad)}: {"; ".join(bad[:5])}{more}'
    )
  return 0


def _define_flags():
  """Only when run as a program: `main` has flags of its own."""
  flags.DEFINE_string('workdir', None, 'Folder of the run.', required=True)
  flags.DEFINE_string('images', None, 'Folder of images.', required=True)
  flags.DEFINE_string('out', None, 'Folder to write to.', required=True)
  flags.DEFINE_string(
    'checkpoint', 'last', 'last, best (by the main mIoU) or a step.'
  )


if __name__ == '__main__':
  _define_flags()
  command.run(main)
