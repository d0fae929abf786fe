"""Labels a picture, for the scripts next to it. Needs numpy and Pillow."""

import contextlib
import json
import pathlib
import sys

import numpy as np
from PIL import Image
from PIL import ImageOps

# Most pixels that a picture may have after padding.
_PIXELS = 2 * Image.MAX_IMAGE_PIXELS
# Rows of a label that are upsampled at a time.
_ROWS = 32
FOLDER = pathlib.Path(__file__).resolve().parent


def main(load):
  """Runs the command line: PICTURE OUT.png.

  Args:
    load: function that takes the folder and returns the network: a function
      from images, uint8 [B, H, W, 3], to {'grid': logits [B, h, w, C], ...}.
  """
  if len(sys.argv) != 3 or not sys.argv[2].lower().endswith('.png'):
    sys.exit(f'expected: {pathlib.Path(sys.argv[0]).name} PICTURE OUT.png')
  picture, out = sys.argv[1:]
  info = json.loads((FOLDER / 'export.json').read_text())
  image = _read(picture)
  label = labelled(image, load(FOLDER), info, name=picture)
  label.putpalette(np.asarray(info['colors'], np.uint8).tobytes())
  try:
    label.save(out)
  except OSError as e:
    sys.exit(f'error: {out} cannot be written: {e}')


def _read(picture):
  """Returns an upright RGB image, of 8 bits."""
  try:
    # Of a file that has a name, Pillow maps some pictures into memory, and some
    # TIFFs that are to be turned at the wrong size.
    with open(picture, 'rb') as file, Image.open(file) as opened:
      opened.load()
      # A picture whose tags cannot be read counts as upright.
      with contextlib.suppress(Exception):
        ImageOps.exif_transpose(opened, in_place=True)
      image = opened.copy()
      # Pillow reads the 16 bits of these formats as I, up to 65535.
      short = opened.format in ('PNG', 'PPM')
  except Exception as e:  # Pillow raises many kinds.
    sys.exit(f'error: {picture} cannot be read: {e}')
  if image.mode == 'F' or (image.mode == 'I' and not short):
    sys.exit(f'{picture} has 32-bit pixels; expected 8 or 16 bits')
  if image.mode.startswith('I'):  # 16 bits; the upper byte is kept.
    image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
  return image.convert('RGB')


def labelled(image, network, info, *, name=''):
  """Returns the label of a picture, an image of its size.

  Args:
    image: a picture in RGB.
    network: what `load` of one of the scripts returned.
    info: content of export.json.
    name: name of the picture, for errors.
  """
  height, width = info['size']
  inner, around = (width, height), image.size
  if info['fit'] == 'pad':
    # The aspect ratio is kept, and the rest is black.
    inner = (
      min(width, image.width * height // image.height),
      min(height, image.height * width // image.width),
    )
    around = (
      max(image.width, image.height * width // height),
      max(image.height, image.width * height // width),
    )
    if 0 in inner or around[0] * around[1] > _PIXELS:
      sys.exit(
        f'error: {name}: {image.width}x{image.height} pixels are too narrow'
        f' for a network that keeps the aspect and sees {width}x{height}'
      )
  small = Image.new('RGB', (width, height))
  small.paste(resized(image, inner, info['image_resize']))
  logits = np.asarray(network(np.asarray(small)[None])['grid'][0])
  corners = info['align_corners']
  label = Image.fromarray(
    upsampled_label(logits, around[::-1], align_corners=corners)
  )
  return label.crop((0, 0, *image.size))


def resized(image, size, how):
  """Resizes to (width, height) with a filter of Pillow or 'linear'."""
  if how != 'linear':
    return image.resize(size, Image.Resampling[how.upper()])
  # OpenCV's INTER_LINEAR, which does not average when shrinking.
  values = np.asarray(image, np.float32)
  shape = (*values.shape[:2], *size[::-1])
  down, across = (
    _interpolation(shape[i], shape[i + 2], align_corners=False) for i in (0, 1)
  )
  values = np.einsum('Hh,Ww,hwc->HWc', down, across, values, optimize=True)
  return Image.fromarray(np.rint(values).astype(np.uint8))


def upsampled_label(logits, size, *, align_corners):
  """Returns the argmax of bilinearly upsampled logits.

  Args:
    logits: float32 [h, w, C].
    size: (height, width).
    align_corners: False for half-pixel centres.

  Returns:
    uint8 [height, width], indices into the list of classes.
  """
  down, across = (
    _interpolation(*sides, align_corners=align_corners)
    for sides in zip(logits.shape[:2], size, strict=True)
  )
  logits = np.einsum('Ww,hwc->hWc', across, logits, optimize=True)
  # A few rows at a time: the logits of all pixels would take a lot of memory.
  blocks = np.split(down, range(_ROWS, len(down), _ROWS))
  found = (
    np.einsum('Hh,hWc->HWc', block, logits, optimize=True) for block in blocks
  )
  return np.concatenate([x.argmax(-1).astype(np.uint8) for x in found])


def _interpolation(source, target, *, align_corners):
  """Returns the interpolation matrix of one axis, float32 [target, source]."""
  position = np.arange(target) * ((source - 1) / max(target - 1, 1))
  if not align_corners:
    position = (np.arange(target) + 0.5) * (source / target) - 0.5
    position = np.clip(position, 0, source - 1)
  distance = np.abs(position[:, None] - np.arange(source))
  return np.maximum(0, 1 - distance).astype(np.float32)


def refused(folder, name, reads, error):
  """Returns the exception for a network that can no longer be read.

  Args:
    folder: folder of the export.
    name: file of the network.
    reads: the library that refuses it, and the versions that it reads.
    error: the error that was raised.
  """
  info = json.loads((folder / 'export.json').read_text())
  return SystemExit(
    f'error: {name} of {info["date"]} (jax {info["jax"]}, calling convention'
    f' {info["calling_convention"]}) is refused by {reads}: {error}; exports'
    ' are only promised to be readable for six months; export again from'
    f' {info["checkpoint"]}: {info["command"]}'
  )
