"""Label map of a picture by an exported network. Needs jax, numpy and Pillow.

    python run_stablehlo.py PICTURE OUT.png

Runs on whatever JAX finds: CPU, NVIDIA GPU or TPU. OUT.png has the picture's
size; its pixels are places in the list of classes of export.json.
"""

import jax
import jax.export
import numpy as np
import picture


def load(folder=picture.FOLDER):
  """Returns image uint8 [B, H, W, 3] -> {'logits', 'label', ...}."""
  network = jax.export.deserialize(
    bytearray((folder / 'network.stablehlo').read_bytes())
  )
  with np.load(folder / 'weights.npz') as file:
    # Once to the device.
    weights = [jax.numpy.asarray(file[name]) for name in file.files]
  call = jax.jit(network.call)
  return lambda image: call(weights, image)


if __name__ == '__main__':
  picture.main(load)
