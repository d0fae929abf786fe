r"""Label maps of a folder of images. Needs no TF.

    python -m jaxuda.predict --workdir=DIR --images=FOLDER --out=FOLDER \
        [--checkpoint=last|best|STEP] [--flip] [--scales=0.75,1,1.25] [--window]
    python -m jaxuda.predict --weights=FILE --config=configs/dada.py:... \
        --images=VIDEO_OR_FOLDER --out=OVERLAY.mp4

--flip, --scales and --window average what several views of a picture give, see
`views`. FILE is a published checkpoint or the folder of a conversion. With a
video to write, the colours lie over the frames.

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
from ml_collections import config_flags
import numpy as np
from PIL import Image

from jaxuda import command
from jaxuda import display
from jaxuda import errors
from jaxuda import overlay
from jaxuda import pictures
from jaxuda import views as views_lib
from jaxuda import workdir as workdir_lib
from jaxuda.data import labels
from jaxuda.ops import resize
from jaxuda.weights import runs
from jaxuda.weights import stored

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
# One look at all of a picture.
_ONCE = views_lib.Views()


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


def predict_labels(
  image: np.ndarray,
  run: workdir_lib.Run,
  *,
  views: views_lib.Views = _ONCE,
) -> np.ndarray:
  """Segments one image of any size.

  The network runs at its own size, compiled once. Only the upsampling of the
  logits is compiled for every new size of image.

  Args:
    image: uint8 [H, W, 3] RGB.
    run: what `workdir.load` returned.
    views: how the picture is looked at.

  Returns:
    uint8 [H, W] train ids.
  """
  target = run.config.data.target
  if views != _ONCE:
    maps = views_lib.mean_probabilities(
      image,
      run.state,
      method=run.method,
      size=tuple(target.size),
      views=views,
      image_resize=target.get('image_resize', 'bicubic'),
    )
    return maps.argmax(-1).astype(np.uint8)
  height, width = target.size
  small = Image.fromarray(image).resize(
    (width, height), views_lib.FILTERS[target.get('image_resize', 'bicubic')]
  )
  logits = _logits(run.state, np.asarray(small)[None], method=run.method)
  return np.asarray(_label(logits, size=image.shape[:2]))


def run_folder(
  run: workdir_lib.Run,
  folder: str | os.PathLike,
  out: str | os.PathLike,
  *,
  views: views_lib.Views = _ONCE,
) -> list[str]:
  """Segments every picture of a folder.

  Args:
    run: what `workdir.load` returned.
    folder: where the pictures are.
    out: where `ids` and `colors` are made.
    views: how the pictures are looked at.

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
        image = pictures.read_image(path)
        label = predict_labels(image, run, views=views)
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


def run_video(
  run: workdir_lib.Run,
  source: str | os.PathLike,
  out: str | os.PathLike,
  *,
  views: views_lib.Views = _ONCE,
) -> int:
  """Writes a video with the label maps over its frames.

  Args:
    run: what `workdir.load` returned.
    source: a video, or a folder of frames, which are taken by name.
    out: the video to write.
    views: how the frames are looked at.

  Returns:
    The number of frames.

  Raises:
    UserError: nothing to read, or a name that no video has.
  """
  if pathlib.Path(source).is_dir():
    frames, rate = map(pictures.read_image, list_images(source)), 25.0
  else:
    frames, rate = overlay.read_video(source), overlay.frame_rate(source)
  return overlay.write_video(
    out,
    frames,
    lambda frame: predict_labels(frame, run, views=views),
    colors=labels.get_class_set(run.config.classes).colors,
    rate=rate,
  )


def _load() -> workdir_lib.Run:
  f = flags.FLAGS
  if bool(f.workdir) == bool(f.weights):
    raise errors.UserError('expected either --workdir or --weights')
  if f.workdir:
    return workdir_lib.load(
      f.workdir, which=f.checkpoint, only=workdir_lib.predicts
    )
  if f.config is None:
    raise errors.UserError('--weights needs --config=configs/<method>.py:...')
  return runs.from_weights(stored.read(f.weights), f.config)


def _views() -> views_lib.Views:
  f = flags.FLAGS
  try:
    scales = tuple(map(float, f.scales))
  except ValueError as e:
    raise errors.UserError(f'scales: {e}; expected numbers') from e
  return views_lib.Views(scales=scales, flip=f.flip, window=f.window)


def main() -> int:
  """Runs the command line; 1 if a picture could not be read."""
  views, source, out = _views(), flags.FLAGS.images, flags.FLAGS.out
  if pathlib.Path(out).suffix in overlay.VIDEOS:
    count = run_video(_load(), source, out, views=views)
    print(f'wrote {out}, {count} frames')
    return 0
  list_images(source)  # Before the network is loaded.
  bad = run_folder(_load(), source, out, views=views)
  print(f'wrote {flags.FLAGS.out}/ids and {flags.FLAGS.out}/colors')
  if bad:
    more = f' and {len(bad) - 5} more' if len(bad) > 5 else ''
    command.fail(
      f'pictures that could not be read: {len(bad)}: {"; ".join(bad[:5])}{more}'
    )
  return 0


def _define_flags():
  """Only when run as a program: `main` has flags of its own."""
  config_flags.DEFINE_config_file(
    'config', None, 'With --weights: configs/<method>.py:argument=value,...'
  )
  flags.DEFINE_string('workdir', None, 'Folder of the run.')
  flags.DEFINE_string('weights', None, 'Published file, or a conversion.')
  flags.DEFINE_string(
    'images', None, 'Folder of images; or a video.', required=True
  )
  flags.DEFINE_string(
    'out', None, 'Folder to write to; or a video.', required=True
  )
  flags.DEFINE_bool('flip', False, 'Also look at the mirrored picture.')
  flags.DEFINE_list('scales', ['1'], "Of the network's input.")
  flags.DEFINE_bool('window', False, 'Overlapping pieces at full resolution.')
  flags.DEFINE_string(
    'checkpoint', 'last', 'last, best (by the main mIoU) or a step.'
  )


if __name__ == '__main__':
  _define_flags()
  command.run(main)
