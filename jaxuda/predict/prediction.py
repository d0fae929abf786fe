"""Segments pictures that have no labels. Needs no TF.

A picture is resized to the network's input size as in training, and the logits
are resized to that of the picture.
"""

import collections
from collections.abc import Iterable, Iterator
import dataclasses
import functools
import itertools
import os
import pathlib
from typing import Any

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
from PIL import Image

from jaxuda import errors
from jaxuda import methods
from jaxuda.data.classes import labels
from jaxuda.data.pixels import aspect
from jaxuda.data.pixels import resizing
from jaxuda.data.store import ahead
from jaxuda.evaluate import views as views_lib
from jaxuda.ops import resize
from jaxuda.predict import scenes
from jaxuda.run import workdir as workdir_lib
from jaxuda.step import parallel
from jaxuda.ui import display
from jaxuda.ui import files
from jaxuda.ui import image_files
from jaxuda.ui import panels
from jaxuda.ui import video

# Threads that read and write pictures while the network runs.
_THREADS = 4
# Most logits at a picture's size that are held at once: 1 GiB.
_LOGITS = 1 << 28
# Most pixels of a picture after padding: as many as Pillow decodes.
_PIXELS = 2 * Image.MAX_IMAGE_PIXELS


def check_paths(source: str | os.PathLike, out: str | os.PathLike) -> None:
  """Checks what can be checked before a network is loaded.

  Args:
    source: folder of pictures, or a video.
    out: folder to write to, or a video.

  Raises:
    UserError: there is nothing to read, the output cannot be written, or it is
      the input.
  """
  if video.is_video(out):
    video.check_out(out)
    files.check_file(out)
    if os.path.isfile(source):
      if os.path.exists(out) and os.path.samefile(source, out):
        raise errors.UserError(f'{out} is the input; expected another --out')
    elif video.is_video(source):
      raise errors.UserError(f'no file {source}; expected a video')
    else:
      image_files.list_images(source)
    return
  if os.path.isfile(source) and video.is_video(source):
    raise errors.UserError(
      f'{source} is a video; expected --out=NAME.mp4, not the folder {out}'
    )
  image_files.list_images(source)
  for kind in ('ids', 'colors', 'confidence', 'panels'):
    files.check_apart(files.check_folder(pathlib.Path(out, kind)), source)


def predict_labels(
  image: np.ndarray, run: workdir_lib.Run, **options: Any
) -> np.ndarray:
  """Segments one image, uint8 [H, W, 3] RGB; see `label_images`.

  Returns:
    uint8 [H, W], indices into the class set.
  """
  ((_, label),) = label_images([image], run, **options)
  return label


def label_images(
  images: Iterable[np.ndarray],
  run: workdir_lib.Run,
  *,
  views: views_lib.Views = views_lib.ONCE,
  batch_size: int = 1,
  confidence: bool = False,
) -> Iterator[tuple[np.ndarray, ...]]:
  """Segments images of any sizes, `batch_size` at a time on each device.

  The network runs at its own input size and is compiled once. Only the
  upsampling of the logits is compiled for every new size of image. All devices
  are used, each for its own images; the labels do not depend on their number.

  Args:
    images: uint8 [H, W, 3] RGB each.
    run: run whose network is used.
    views: views of each image; several views are computed one by one, on one
      device.
    batch_size: number of images that the network sees at once on a device.
    confidence: whether to yield the largest probability, too, of the mean over
      the views.

  Yields:
    In order, each image with its label map, uint8 [H, W], indices into the
    class set; with `confidence` also the probability of that class, float32
    [H, W].
  """
  target = run.config.data.target
  size, method = tuple(target.size), target.get('image_resize', 'bicubic')
  around = functools.partial(shape_around, target=target)

  if views != views_lib.ONCE:
    for image in images:
      maps = views_lib.mean_probabilities(
        resizing.pad_to(image, around(image)),
        run.state,
        method=run.method,
        size=size,
        views=views,
        image_resize=method,
      )[: image.shape[0], : image.shape[1]]
      found = [maps.argmax(-1).astype(np.uint8)]
      yield image, *found, *([maps.max(-1)] if confidence else [])
    return
  state = parallel.everywhere(run.state)
  frame = functools.partial(
    resizing.frame_image, size=size, method=method, fit=_fit(target)
  )
  framed = ahead.map_ahead(lambda x: (x, frame(x)), images, workers=_THREADS)
  count = batch_size * jax.local_device_count()
  batches = iter(lambda: list(itertools.islice(framed, count)), [])

  def label_batch(batch):
    whole, small = zip(*batch, strict=True)
    # The last batch is padded, so that nothing is compiled for it.
    seen = np.stack(parallel.pad_rows([*small], count=batch_size))
    logits = views_lib.grid_logits(
      state, parallel.spread(seen), method=run.method
    )
    label = functools.partial(
      _label,
      confidence=confidence,
      align_corners=run.method.network.align_corners,
    )
    rows = zip(whole, parallel.split_rows(logits), strict=False)
    return [(x, label(row, size=around(x))) for x, row in rows]

  for labelled in ahead.one_behind(map(label_batch, batches)):
    for image, found in labelled:
      height, width = image.shape[:2]
      yield image, *(np.asarray(x)[:height, :width] for x in found)


def _fit(target):
  return target.get('fit', 'stretch')


def shape_around(
  image: np.ndarray, *, target: ml_collections.ConfigDict
) -> tuple[int, int]:
  """Returns the shape of an image after padding to the network's aspect ratio.

  Args:
    image: [H, W, 3].
    target: `config.data.target` of the run that labels it.

  Raises:
    UserError: the image is too narrow for the network.
  """
  shape = image.shape[:2]
  if _fit(target) == 'stretch':
    return shape
  size = tuple(target.size)
  around = aspect.pad_shape(shape, size)
  if 0 in aspect.fit_size(shape, size) or np.prod(around) > _PIXELS:
    height, width = shape
    raise errors.UserError(
      f'{width}x{height} pixels are too narrow for a network that keeps the'
      f' aspect and sees {size[1]}x{size[0]}'
    )
  return around


def _read(path, run, note):
  """Reads a picture that can be labelled, else returns why not as a line."""
  try:
    image = panels.read_image(path, note=note)
    shape_around(image, target=run.config.data.target)
  except errors.UserError as e:
    return str(e) if str(path) in str(e) else f'{path}: {e}'
  return image


def run_folder(
  run: workdir_lib.Run,
  folder: str | os.PathLike,
  out: str | os.PathLike,
  *,
  confidence: bool = False,
  drawn: bool = False,
  **options: Any,
) -> list[str]:
  """Segments every picture of a folder.

  Args:
    run: run whose network is used.
    folder: folder of the pictures.
    out: folder in which `ids` and `colors` are created.
    confidence: whether to write `confidence`, too: 8-bit grey PNGs of 255 times
      the largest probability, rounded.
    drawn: whether to write `panels`, too, see `scenes.draw`.
    **options: 'views' and 'batch_size' of `label_images`.

  Returns:
    One line for every picture that could not be read.

  Raises:
    UserError: as for `check_paths`, or `out` cannot be written to.
  """
  check_paths(folder, out)
  bad, names = [], collections.deque()
  colors = labels.get_class_set(run.config.classes).colors
  note = lambda line: progress.message(f'note: {line}')

  def read_all(paths):
    outputs = image_files.name_outputs(paths, folder, note=note)
    read = functools.partial(_read, run=run, note=note)
    read_ahead = ahead.map_ahead(read, paths, workers=_THREADS)
    for name, image in zip(outputs, read_ahead, strict=True):
      if isinstance(image, str):
        bad.append(image)
        progress.message(f'skipped: {image}')
      else:
        names.append(name)
        yield image

  total = len(image_files.list_images(folder))
  with display.Progress('predict', total=total, unit='images') as progress:
    images = read_all(image_files.list_images(folder, note=note))
    options['confidence'] = confidence
    labelled = (
      (names.popleft(), _make_maps(found, run, drawn))
      for found in label_images(images, run, **options)
    )
    write = functools.partial(_write, out=pathlib.Path(out), colors=colors)
    written = ahead.map_ahead(write, labelled, workers=_THREADS)
    for done, _ in enumerate(written, 1):
      progress.update(done + len(bad))
    progress.update(total)
  return bad


def _make_maps(found, run, drawn):
  """Returns the maps to write for a labelled picture, kind -> map."""
  image, label, *shares = found
  made = {'ids': label, 'colors': label}
  for share in shares:
    made['confidence'] = np.round(255 * share).astype(np.uint8)
  if drawn:
    around = shape_around(image, target=run.config.data.target)
    made['panels'] = scenes.draw(image, label, run, around=around)
  return made


def _write(found, out, colors):
  """Writes the files of a picture, given its name and a map of each kind."""
  name, made = found
  for kind, x in made.items():
    palette = colors if kind == 'colors' else None
    panels.write_png(out / kind / name, x, colors=palette)


@jax.jit(static_argnames=('size', 'confidence', 'align_corners'))
def _label(one, *, size, confidence, align_corners):
  """Labels an image from its logits [1, ...]; a large one in bands of rows."""
  (height, width), (_, low, _, classes) = size, one.shape

  def finish(full):
    label = jnp.argmax(full, axis=-1).astype(jnp.uint8)
    return (label, jax.nn.softmax(full).max(-1)) if confidence else (label,)

  rule = {'align_corners': align_corners}
  rows = max(1, _LOGITS // (width * classes))
  if rows >= height:
    return finish(resize.resize_maps(one, size, **rule)[0])
  wide = resize.resize_maps(one, (low, width), **rule)[0]
  down = np.float32(resize.interpolation_matrix(low, height, **rule))
  down = np.pad(down, ((0, -height % rows), (0, 0))).reshape(-1, rows, low)
  bands = jax.lax.map(
    lambda m: finish(jnp.einsum('Hh,hwc->Hwc', m, wide, precision='highest')),
    jnp.asarray(down, wide.dtype),
  )
  return tuple(x.reshape(-1, width)[:height] for x in bands)


def run_video(
  run: workdir_lib.Run,
  source: str | os.PathLike,
  out: str | os.PathLike,
  **options: Any,
) -> tuple[int, list[str]]:
  """Writes a video with the label maps over its frames.

  Args:
    run: run whose network is used.
    source: a video, or a folder of frames, which are sorted by name.
    out: video to write.
    **options: 'views' and 'batch_size' of `label_images`.

  Returns:
    (number of frames written, a line for each frame that could not be read, or
    for a video that ends too early).

  Raises:
    UserError: as for `check_paths`, or no frame can be read.
  """
  check_paths(source, out)
  bad, rate = [], 25.0
  if os.path.isdir(source):
    found = (_read(x, run, None) for x in image_files.list_images(source))
  else:
    found, rate = video.read_video(source), video.frame_rate(source)

  def read_all():
    try:
      for frame in found:
        if isinstance(frame, str):
          bad.append(frame)
        else:
          yield frame
    except errors.UserError as e:  # The frames up to here are good.
      bad.append(str(e))

  count = video.write_video(
    out,
    label_images(read_all(), run, **options),
    colors=labels.get_class_set(run.config.classes).colors,
    rate=rate,
  )
  if not count:
    raise errors.UserError(f'nothing to write: {image_files.name_some(bad)}')
  return count, bad


def computing_in(run: workdir_lib.Run, dtype: str) -> workdir_lib.Run:
  """Returns a run whose network computes in another dtype.

  Args:
    run: run to take the network from; its parameters stay as they are.
    dtype: 'float32' or 'bfloat16'.

  Raises:
    UserError: the dtype is another one.
  """
  config = ml_collections.ConfigDict(run.config.to_dict())
  config.network.dtype = dtype
  return dataclasses.replace(run, config=config, method=methods.create(config))
