"""Segments pictures that have no labels. Needs no TF.

A picture is brought to the network's size as in training, and the logits are
brought back to the picture's.
"""

import collections
from collections.abc import Iterable, Iterator
import dataclasses
import itertools
import os
import pathlib
from typing import Any

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np

from jaxuda import errors
from jaxuda import methods
from jaxuda.data.classes import labels
from jaxuda.data.pixels import aspect
from jaxuda.data.pixels import resizing
from jaxuda.data.store import ahead
from jaxuda.evaluate import views as views_lib
from jaxuda.ops import resize
from jaxuda.run import workdir as workdir_lib
from jaxuda.ui import display
from jaxuda.ui import files
from jaxuda.ui import image_files
from jaxuda.ui import panels
from jaxuda.ui import video

# Threads that read and write pictures beside the network.
_THREADS = 4


def predict_labels(
  image: np.ndarray, run: workdir_lib.Run, **options: Any
) -> np.ndarray:
  """Segments one image, uint8 [H, W, 3] RGB; see `label_images`.

  Returns:
    uint8 [H, W], places in the class set.
  """
  ((_, label),) = label_images([image], run, **options)
  return label


def label_images(
  images: Iterable[np.ndarray],
  run: workdir_lib.Run,
  *,
  views: views_lib.Views = views_lib.ONCE,
  batch_size: int = 1,
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
  """Segments images of any sizes, `batch_size` at a time.

  The network runs at its own size and is compiled once. Only the upsampling of
  the logits is compiled for every new size of image.

  Args:
    images: uint8 [H, W, 3] RGB each.
    run: run whose network segments.
    views: how a picture is looked at; several views are taken one by one.
    batch_size: number of images that the network sees at once.

  Yields:
    Each image with its label map, uint8 [H, W], places in the class set.
  """
  target = run.config.data.target
  size = tuple(target.size)
  method = target.get('image_resize', 'bicubic')
  fit = target.get('fit', 'stretch')

  def shape_around(image):
    shape = image.shape[:2]
    return shape if fit == 'stretch' else aspect.pad_shape(shape, size)

  if views != views_lib.ONCE:
    for image in images:
      maps = views_lib.mean_probabilities(
        resizing.pad_to(image, shape_around(image)),
        run.state,
        method=run.method,
        size=size,
        views=views,
        image_resize=method,
      )
      label = maps.argmax(-1).astype(np.uint8)
      yield image, label[: image.shape[0], : image.shape[1]]
    return
  images = iter(images)
  while batch := list(itertools.islice(images, batch_size)):
    small = [
      resizing.frame_image(x, size, method=method, fit=fit) for x in batch
    ]
    # The last batch is filled up, so that nothing is compiled for it.
    small += small[-1:] * (batch_size - len(batch))
    logits = views_lib.grid_logits(
      run.state, np.stack(small), method=run.method
    )
    for i, image in enumerate(batch):
      label = np.asarray(_label(logits, i, size=shape_around(image)))
      yield image, label[: image.shape[0], : image.shape[1]]


def run_folder(
  run: workdir_lib.Run,
  folder: str | os.PathLike,
  out: str | os.PathLike,
  **options: Any,
) -> list[str]:
  """Segments every picture of a folder.

  Args:
    run: run whose network segments.
    folder: folder of the pictures.
    out: folder in which `ids` and `colors` are made.
    **options: 'views' and 'batch_size' of `label_images`.

  Returns:
    One line for every picture that could not be read.

  Raises:
    UserError: no folder, no picture in it, or a file at `out`.
  """
  colors = labels.get_class_set(run.config.classes).colors
  paths = image_files.list_images(folder)
  out = files.check_folder(out)
  bad, names = [], collections.deque()

  def read(path):
    try:
      return panels.read_image(path)
    except errors.UserError as e:
      return str(e)

  def read_all():
    read_ahead = ahead.map_ahead(read, paths, workers=_THREADS)
    outputs = image_files.name_outputs(paths, folder)
    for name, image in zip(outputs, read_ahead, strict=True):
      if isinstance(image, str):
        bad.append(image)
        progress.message(f'skipped: {image}')
      else:
        names.append(name)
        yield image

  def write(pair):
    name, label = pair
    panels.write_png(out / 'ids' / name, label)
    panels.write_png(out / 'colors' / name, label, colors=colors)

  with display.Progress('predict', total=len(paths), unit='images') as progress:
    labelled = (
      (names.popleft(), label)
      for _, label in label_images(read_all(), run, **options)
    )
    written = ahead.map_ahead(write, labelled, workers=_THREADS)
    for done, _ in enumerate(written, 1):
      progress.update(done + len(bad))
    progress.update(len(paths))
  return bad


@jax.jit(static_argnames='size')
def _label(logits, index, *, size):
  """Labels the image at `index` of a batch."""
  one = jax.lax.dynamic_slice_in_dim(logits, index, 1)
  full = resize.resize_align_corners(one, size)
  return jnp.argmax(full[0], axis=-1).astype(jnp.uint8)


def run_video(
  run: workdir_lib.Run,
  source: str | os.PathLike,
  out: str | os.PathLike,
  **options: Any,
) -> int:
  """Writes a video with the label maps over its frames.

  Args:
    run: run whose network segments.
    source: a video, or a folder of frames, which are sorted by name.
    out: video to write.
    **options: 'views' and 'batch_size' of `label_images`.

  Returns:
    The number of frames.

  Raises:
    UserError: nothing to read, or `out` has no suffix of a video.
  """
  if pathlib.Path(source).is_dir():
    frames = map(panels.read_image, image_files.list_images(source))
    rate = 25.0
  else:
    frames, rate = video.read_video(source), video.frame_rate(source)
  return video.write_video(
    out,
    label_images(frames, run, **options),
    colors=labels.get_class_set(run.config.classes).colors,
    rate=rate,
  )


def computing_in(run: workdir_lib.Run, dtype: str) -> workdir_lib.Run:
  """Returns a run whose network computes in another type of number.

  Args:
    run: run to take the network from; its parameters stay as they are.
    dtype: 'float32' or 'bfloat16'.

  Raises:
    UserError: another type.
  """
  config = ml_collections.ConfigDict(run.config.to_dict())
  config.network.dtype = dtype
  return dataclasses.replace(run, config=config, method=methods.create(config))
