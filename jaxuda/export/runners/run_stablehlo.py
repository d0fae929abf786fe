"""Labels a picture with an exported network. Needs jax, numpy and Pillow.

    python run_stablehlo.py PICTURE OUT.png

Runs on whatever JAX finds: CPU, NVIDIA GPU or TPU. OUT.png has the picture's
size; its pixels are indices into the list of classes in export.json.
"""

import jax
import jax.export
import numpy as np
import picture


def load(folder=picture.FOLDER):
  """Returns a function, uint8 [B, H, W, 3] -> {'logits', 'label', ...}.

  Raises:
    SystemExit: this version of jax refuses the network.
  """
  path = folder / 'network.stablehlo'
  oldest = jax.export.minimum_supported_calling_convention_version
  newest = jax.export.maximum_supported_calling_convention_version
  try:
    network = jax.export.deserialize(bytearray(path.read_bytes()))
    version = network.calling_convention_version
    if not oldest <= version <= newest:
      raise ValueError(f'calling convention {version}')
    network.mlir_module()  # Reads the program, in its version of StableHLO.
  except Exception as e:
    reads = f'jax {jax.__version__} (calling conventions {oldest} to {newest})'
    raise picture.refused(folder, path.name, reads, e) from e
  with np.load(folder / 'weights.npz') as file:
    # Transferred to the device once.
    weights = [jax.numpy.asarray(file[name]) for name in file.files]
  call = jax.jit(network.call)
  return lambda image: call(weights, image)


if __name__ == '__main__':
  picture.main(load)
