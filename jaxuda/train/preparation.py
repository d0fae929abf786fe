"""Preparation of a method that needs something of the data as a whole."""

import importlib
from typing import Any

import ml_collections


def run(method: Any, config: ml_collections.ConfigDict) -> Any:
  """Returns a method ready for training; most are so already.

  The others name a module, `preparation`, whose `prepare(method, config)`
  returns them completed. It is a name, so that no method imports the module.

  Args:
    method: the method that the config names.
    config: the whole config.

  Raises:
    UserError: what the method needs is missing or does not fit.
  """
  if not method.preparation:
    return method
  return importlib.import_module(method.preparation).prepare(method, config)
