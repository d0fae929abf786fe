"""What a method needs of the data as a whole, made before training begins."""

import importlib
from typing import Any

import ml_collections

# Method -> the module whose `prepare(method, config)` returns it completed.
_MODULES = {'depdis': 'jaxuda.depdis.fit'}


def run(method: Any, config: ml_collections.ConfigDict) -> Any:
  """Returns a method ready for training; most are already.

  Args:
    method: made from the config.
    config: the whole config.

  Raises:
    UserError: what it needs is missing or does not fit.
  """
  if config.name not in _MODULES:
    return method
  module = importlib.import_module(_MODULES[config.name])
  return module.prepare(method, config)
