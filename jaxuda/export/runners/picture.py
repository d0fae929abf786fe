"""Label map of a picture, for the script beside. Needs numpy and Pillow."""

import json
import pathlib
import sys

import numpy as np
from PIL import Image

FOLDER = pathlib.Path(__file__).resolve().parent


def main(load):
  """Runs the command line: PICTURE OUT.png.

  Args:
    load: a function of the folder; returns the network, a function of images
      uint8 [B, H, W, 3] that returns {'label': [B, H, W], ...}.
  """
  picture, out = sys.argv[1:]
  info = json.loads((FOLDER / 'export.json').read_text())
  height, width = info['size']
  image = Image.open(picture).convert('RGB')
  inner = width, height
  if info['fit'] == 'pad':
    # Its aspect is kept, the rest is black.
    inner = (
      min(width, image.width * height // image.height),
      min(height, image.height * width // image.width),
    )
  small = Image.new('RGB', (width, height))
  small.paste(image.resize(inner, Image.Resampling.BICUBIC))
  label = np.asarray(load(FOLDER)(np.asarray(small)[None])['label'][0])
  label = Image.fromarray(label).crop((0, 0, *inner))
  label = label.resize(image.size, Image.Resampling.NEAREST)
  label.putpalette(np.asarray(info['colors'], np.uint8).tobytes())
  label.save(out)
