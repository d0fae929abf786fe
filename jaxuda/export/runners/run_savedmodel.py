"""Label map of a picture by an exported network. Needs tensorflow and Pillow.

    python run_savedmodel.py PICTURE OUT.png

OUT.png has the picture's size; its pixels are places in the list of classes of
export.json.
"""

import json
import pathlib
import sys

import numpy as np
from PIL import Image
import tensorflow as tf

FOLDER = pathlib.Path(__file__).resolve().parent


def load(folder=FOLDER):
  """Returns image uint8 [B, H, W, 3] -> {'logits', 'label', ...}."""
  model = tf.saved_model.load(str(folder / 'savedmodel'))
  call = model.signatures['serving_default']
  # The model is to stay alive as long as its function.
  return lambda image, model=model: {
    name: x.numpy() for name, x in call(image=tf.constant(image)).items()
  }


def main():
  """Runs the command line."""
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
  label = load()(np.asarray(small)[None])['label'][0]
  label = Image.fromarray(label).crop((0, 0, *inner))
  label = label.resize(image.size, Image.Resampling.NEAREST)
  label.putpalette(np.asarray(info['colors'], np.uint8).tobytes())
  label.save(out)


if __name__ == '__main__':
  main()
