"""Panels of a network's inputs and outputs, and picture files. Needs no TF."""

from collections.abc import Callable, Mapping, Sequence
import contextlib
import os
from typing import Any
import warnings

import cv2
import numpy as np
from PIL import Image
from PIL import ImageOps
from PIL import UnidentifiedImageError

from jaxuda import errors
from jaxuda.ui import files

# In pixels: the gap between cells, a heading's height, the widest cell.
_MARGIN = 4
_HEADING = 18
_WIDEST = 640
# Colour of pixels that have none of the classes.
IGNORED = (0, 0, 0)
# Most pixels along a side of a picture; more take gigabytes to label.
_LONGEST = 1 << 17
# Formats that OpenCV reads and Pillow does not. OpenCV is used for no others:
# from a damaged file it returns whatever part is intact.
_UNKNOWN = ('.hdr', '.avif')
# Problems with a file are reported in one line of our own.
warnings.filterwarnings('ignore', module='PIL')
cv2.utils.logging.setLogLevel(0)


def color_labels(label: np.ndarray, colors: np.ndarray) -> np.ndarray:
  """Paints labels in the colours of their classes.

  Args:
    label: int [...], train ids 0..C-1; anything else is painted black.
    colors: uint8 [C, 3].

  Returns:
    uint8 [..., 3] RGB.
  """
  table = np.array([*colors, IGNORED], np.uint8)
  inside = (label >= 0) & (label < len(colors))
  return table[np.where(inside, label, len(colors))]


def apply_colormap(share: np.ndarray, colormap: int) -> np.ndarray:
  """Paints numbers [H, W] in 0..1, NaN as 0, with a colormap of OpenCV.

  Returns:
    uint8 [H, W, 3] RGB.
  """
  level = np.round(255 * np.clip(np.nan_to_num(share), 0, 1)).astype(np.uint8)
  picture = cv2.applyColorMap(level, colormap)
  return np.ascontiguousarray(picture[..., ::-1])


def color_depth(
  depth: np.ndarray, *, valid: np.ndarray | None = None
) -> np.ndarray:
  """Paints depth on the scale of disparity: near is bright.

  Args:
    depth: [H, W] in metres, > 0.
    valid: bool [H, W]; pixels that are not valid are painted black. If None,
      all pixels are valid that are not NaN.

  Returns:
    uint8 [H, W, 3] RGB. 4 m and nearer is the bright end, infinity the dark
    end.
  """
  depth = np.asarray(depth, np.float32)
  picture = apply_colormap(4.0 / np.maximum(depth, 4.0), cv2.COLORMAP_INFERNO)
  picture[np.isnan(depth) if valid is None else ~valid] = IGNORED
  return picture


def color_density(density: np.ndarray) -> np.ndarray:
  """Paints a predicted density [H, W]: 0 is dark, 255 is bright."""
  return apply_colormap(np.asarray(density) / 255, cv2.COLORMAP_VIRIDIS)


def self_information(logits: np.ndarray) -> np.ndarray:
  """Returns -sum_c p log2(p) / log2(C) of logits [..., C], in [0, 1].

  This is the sum over the classes of ADVENT's weighted self-information maps: 0
  where the network is certain, 1 where all classes are equally likely.
  """
  logits = np.asarray(logits, np.float32)
  p = np.exp(logits - logits.max(-1, keepdims=True))
  p /= p.sum(-1, keepdims=True)
  return -(p * np.log2(p + 1e-30)).sum(-1) / np.log2(p.shape[-1])


def color_information(information: np.ndarray) -> np.ndarray:
  """Paints self-information [H, W] in 0..1: dark is certain, bright is not."""
  return apply_colormap(information, cv2.COLORMAP_VIRIDIS)


def make_panel(
  batch: Mapping[str, Any],
  prediction: Mapping[str, np.ndarray],
  *,
  colors: np.ndarray,
) -> np.ndarray:
  """Lays out one row per image: image, ground truth and predictions.

  Args:
    batch: 'image' uint8 [B, H, W, 3]; if known, 'label', B maps of int [h, w],
      and 'depth', B maps [h, w] in metres, with 'depth_valid'.
    prediction: 'logits' [B, H, W, C] and, if the network predicts them, 'depth'
      [B, H, W] in metres and 'density' [B, H, W] in 0..255.
    colors: uint8 [C, 3].

  Returns:
    What `make_training_panel` returns.
  """
  size = batch['image'].shape[1:3]
  logits, depths = prediction['logits'], {}
  if 'depth' in prediction:
    depths['depth'] = prediction['depth']
  if 'depth' in batch:
    depths['true depth'] = [
      np.where(_fit(valid, size), _fit(depth, size), np.nan)
      for depth, valid in zip(batch['depth'], batch['depth_valid'], strict=True)
    ]
  truth = {}
  if 'label' in batch:
    truth['ground truth'] = [_fit(x, size) for x in batch['label']]
  shown = {
    'image': {'image': batch['image']},
    'label': {**truth, 'prediction': logits.argmax(-1)},
    'depth': depths,
    'density': {k: prediction[k] for k in ('density',) if k in prediction},
    'share': {'self-information': self_information(logits)},
  }
  return make_training_panel(shown, colors=colors)


def make_training_panel(
  shown: Mapping[str, Mapping[str, np.ndarray]], *, colors: np.ndarray
) -> np.ndarray:
  """Lays out a method's maps of a training batch, one row per image.

  Args:
    shown: kind -> heading -> maps of the batch. The kind determines how they
      are painted: 'image' [B, H, W, 3] RGB in 0..255; 'label' int [B, H, W];
      'depth' [B, H, W] in metres, NaN = none; 'density' [B, H, W] in 0..255;
      'share' [B, H, W] in 0..1.
    colors: uint8 [C, 3].

  Returns:
    uint8 [height, width, 3] RGB with a heading over every column. Images wider
    than 640 pixels are shown at a half, a third, ... of their size.
  """
  paint = {
    'image': lambda x: np.clip(np.round(x), 0, 255).astype(np.uint8),
    'label': lambda x: color_labels(x, colors),
    'depth': color_depth,
    'density': color_density,
    'share': color_information,
  }
  columns = {
    heading: [paint[kind](x) for x in maps]
    for kind in paint  # A jitted function returns its keys sorted.
    for heading, maps in shown.get(kind, {}).items()
  }
  # A panel is for viewing, not for measuring.
  every = -(-next(iter(columns.values()))[0].shape[1] // _WIDEST)
  thin = {k: [x[::every, ::every] for x in v] for k, v in columns.items()}
  return lay_out(thin)


def make_comparison(
  images: np.ndarray,
  truth: Sequence[np.ndarray] | None,
  predictions: Mapping[str, Sequence[np.ndarray]],
  *,
  colors: np.ndarray,
  depths: Mapping[str, Sequence[np.ndarray]] | None = None,
) -> np.ndarray:
  """Lays out one row per image: image, ground truth, each network's labels.

  Args:
    images: uint8 [B, H, W, 3].
    truth: B maps of int [h, w], of any size; None if unknown.
    predictions: name -> B maps of int [H, W].
    colors: uint8 [C, 3].
    depths: heading -> B maps [H, W] in metres.

  Returns:
    What `make_training_panel` returns.
  """
  shown = {'image': {'image': images}, 'label': dict(predictions)}
  shown['depth'] = depths or {}
  if truth is not None:
    fitted = [_fit(x, images.shape[1:3]) for x in truth]
    shown['label'] = {'ground truth': fitted, **predictions}
  return make_training_panel(shown, colors=colors)


def draw_legend(
  names: Sequence[str], colors: np.ndarray, *, width: int
) -> np.ndarray:
  """Returns a legend of the classes' colours, uint8 [h, width, 3]."""
  cell, line = 118, 16
  per_row = max(1, width // cell)
  rows = -(-len(names) // per_row)
  strip = np.full((rows * line + _MARGIN, width, 3), 255, np.uint8)
  for i, (name, color) in enumerate(zip(names, colors, strict=True)):
    y, x = _MARGIN + i // per_row * line, _MARGIN + i % per_row * cell
    strip[y : y + line - 4, x : x + 12] = color
    write_text(strip, name, (x + 16, y + 10))
  return strip


def stack(pictures: Sequence[np.ndarray]) -> np.ndarray:
  """Puts RGB pictures below one another, left-aligned on white."""
  width = max(p.shape[1] for p in pictures)
  return np.concatenate(
    [
      np.pad(p, ((0, 0), (0, width - p.shape[1]), (0, 0)), constant_values=255)
      for p in pictures
    ]
  )


def stack_with_legend(
  pictures: Sequence[np.ndarray], names: Sequence[str], colors: np.ndarray
) -> np.ndarray:
  """Puts RGB pictures below one another, with a legend of the classes below.

  Args:
    pictures: each uint8 [H, W, 3] RGB.
    names: the C classes.
    colors: uint8 [C, 3] RGB.

  Returns:
    uint8 [H, W, 3] RGB.
  """
  width = max(p.shape[1] for p in pictures)
  return stack([*pictures, draw_legend(names, colors, width=width)])


def write_png(
  path: str | os.PathLike,
  picture: np.ndarray,
  *,
  colors: np.ndarray | None = None,
) -> None:
  """Writes a PNG atomically.

  Args:
    path: the file; its folder is created if missing.
    picture: uint8 [H, W, 3] RGB, or [H, W] ids.
    colors: uint8 [C, 3]; with them, ids are written as an indexed-colour
      picture in which index 255 (ignored) is black.
  """
  image = Image.fromarray(np.ascontiguousarray(picture))
  if colors is not None:
    image = image.convert('P') if image.mode != 'L' else image
    palette = np.zeros((256, 3), np.uint8)
    palette[: len(colors)] = colors
    image.putpalette(palette.ravel().tolist())
  with files.atomic(path) as part:
    image.save(part, format='PNG')


def read_image(
  path: str | os.PathLike, *, note: Callable[[str], None] | None = None
) -> np.ndarray:
  """Reads a picture of any common format as uint8 [H, W, 3] RGB.

  Grey becomes RGB, transparency is dropped, 16-bit channels keep their upper
  byte, and the EXIF orientation is applied.

  Args:
    path: file of the picture.
    note: called with a line if the file has several pictures; the first one is
      read.

  Raises:
    UserError: it cannot be decoded, has 32 bits per channel, or is larger than
      179 megapixels or 131072 pixels per side.
  """
  if not os.path.isfile(path):
    raise errors.UserError(f'{path} is not a readable file')
  try:
    with Image.open(path) as opened:
      if opened.format == 'PNG':
        opened.verify()  # Loading does not verify the checksums.
    # Of a file that has a name, Pillow maps some pictures into memory, and some
    # TIFFs that are to be turned at the wrong size.
    with open(path, 'rb') as file, Image.open(file) as opened:
      image = _decode(opened)
      if note and opened.format != 'MPO' and _has_more(opened):
        note(f'{path} has several pictures; the first was taken')
      return image
  except UnidentifiedImageError:
    if str(path).lower().endswith(_UNKNOWN) and os.path.getsize(path):
      with contextlib.suppress(cv2.error):
        image = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_COLOR)
        if image is not None:
          return np.ascontiguousarray(image[..., ::-1])
    why = '' if os.path.getsize(path) else ': it is empty'
    raise errors.UserError(f'{path} is not a readable picture{why}') from None
  except Exception as e:  # Pillow may raise anything for a corrupt file.
    why = ' '.join(str(e).split()) or type(e).__name__
    raise errors.UserError(f'{path} is not a readable picture: {why}') from e


def _decode(opened):
  if max(opened.size) > _LONGEST:
    width, height = opened.size
    raise ValueError(f'{width}x{height} pixels; expected at most {_LONGEST}')
  # A picture whose tags cannot be read counts as upright, as in training.
  opened.load()
  with contextlib.suppress(Exception):
    ImageOps.exif_transpose(opened, in_place=True)
  # Pillow would clip 16 bits; it reads those of a PGM as I, up to 65535.
  if opened.mode.startswith('I;16') or (
    opened.mode == 'I' and opened.format == 'PPM'
  ):
    grey = (np.asarray(opened) >> 8).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=-1)
  if opened.mode in ('I', 'F'):
    raise ValueError('32-bit pixels of unknown range; expected 8 or 16 bits')
  if opened.mode == 'P':
    opened.info.pop('transparency', None)  # Its conversion would warn.
  return np.asarray(opened.convert('RGB'))


def _has_more(opened):
  with contextlib.suppress(Exception):
    opened.seek(1)
    return True
  return False


def _fit(x: np.ndarray, size: tuple[int, int]) -> np.ndarray:
  """Resizes a map [h, w] to (H, W) by nearest neighbour."""
  height, width = size
  rows = ((np.arange(height) + 0.5) * x.shape[0] / height).astype(int)
  columns = ((np.arange(width) + 0.5) * x.shape[1] / width).astype(int)
  return np.asarray(x)[rows[:, None], columns[None]]


def lay_out(columns: Mapping[str, Sequence[np.ndarray]]) -> np.ndarray:
  """Puts columns of cells of equal size side by side.

  Args:
    columns: heading -> cells, uint8 [H, W, 3] RGB, the same number in each.

  Returns:
    uint8 [height, width, 3] RGB.
  """
  first = next(iter(columns.values()))
  count, (height, width) = len(first), first[0].shape[:2]
  total = _HEADING + count * (height + _MARGIN)
  across = len(columns) * (width + _MARGIN) - _MARGIN
  picture = np.full((total, across, 3), 255, np.uint8)
  for i, (name, cells) in enumerate(columns.items()):
    x = i * (width + _MARGIN)
    write_text(picture[:, x : x + width], name, (2, 13))
    for j, cell in enumerate(cells):
      y = _HEADING + j * (height + _MARGIN)
      picture[y : y + height, x : x + width] = cell
  return picture


def write_text(
  picture: np.ndarray, text: str, position: tuple[int, int]
) -> None:
  """Draws black text in place, with its baseline starting at (x, y)."""
  # OpenCV draws only into contiguous arrays; a slice is drawn on a copy.
  canvas, font = np.ascontiguousarray(picture), cv2.FONT_HERSHEY_SIMPLEX
  cv2.putText(canvas, text, position, font, 0.4, (0, 0, 0), 1, cv2.LINE_AA)
  picture[...] = canvas
