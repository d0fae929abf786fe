"""Writes a stage's part of the report atomically."""

import argparse
import json
import math
import os
import pathlib
from typing import Any


def add_flags(parser: argparse.ArgumentParser) -> None:
  """Adds the flags that all stages have."""
  parser.add_argument('--part', type=pathlib.Path, required=True)
  parser.add_argument(
    '--small', action='store_true', help='tiny sizes, for CPUs'
  )
  parser.add_argument(
    '--seconds',
    type=float,
    default=600,
    help='start nothing new after this time',
  )


def _plain(tree):
  if isinstance(tree, dict):
    return {str(k): _plain(v) for k, v in tree.items()}
  if isinstance(tree, list | tuple):
    return [_plain(v) for v in tree]
  if isinstance(tree, float) and not math.isfinite(tree):
    return str(tree)
  return tree


def write(path: str | os.PathLike, tree: Any) -> None:
  """Writes a JSON file with a rename, so that no reader sees half of it."""
  path = pathlib.Path(path)
  part = path.with_name(path.name + '.part')
  part.write_text(json.dumps(_plain(tree), indent=1, allow_nan=False))
  part.rename(path)
