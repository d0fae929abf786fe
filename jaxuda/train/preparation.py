"""What a method needs of the data as a whole, made before training begins."""

import importlib
from typing import Any

import ml_collections


def run(method: Any, config: ml_collections.ConfigDict) -> Any:
  """Returns a method ready for training; most are already.

  The others name a module, `preparation`, whose `prepare(method, config)`
  returns them completed. A name, so that the methods import none of it.

  Args:
    method: made from the config.
    config: the whole config.

  Raises:
    UserError: what it needs is missing or does not fit.
  """
  if not method.preparation:
    return method
  return importlib.import_module(method.preparation).prepare(method, config)
