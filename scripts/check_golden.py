"""Compares our networks with the reference implementations' numbers.

  python scripts/check_golden.py FILE.npz... [--dtype=float64|float32]

Prints the largest relative error of every entry and exits with 1 if one is
above 1e-6 (or an entry is missing). In float32, outputs and losses agree to
about 1e-4; gradients through batch statistics cannot be compared in float32, in
any framework.
"""

import argparse
from collections.abc import Mapping
import importlib
import json
import pathlib
import pkgutil
import sys
from typing import Any
import zipfile

import jax
import numpy as np

TOLERANCE = 1e-6
# A number smaller than the largest of its dict by this factor is the round-off
# of a 0, such as the gradient of a bias in front of an instance norm.
_ROUND_OFF = 1e-13
# Entries that describe the run and are not results.
_DESCRIPTION = (
  *('sizes', 'shapes', 'chosen', 'image'),
  *('gmm_weights', 'gmm_means', 'gmm_variances'),
)


def relative_error(ours: Any, golden: Any) -> float:
  """Returns the relative error: of arrays in norm, of dicts the largest.

  Args:
    ours: an array, or a dict of arrays or scalars.
    golden: the same; every key must be in `ours`, and entries that are only in
      `ours` must be 0. A golden 0 must be matched exactly, as must a list of
      names. A number that is round-off next to the largest of its dict need
      only be as small.
  """
  if isinstance(golden, dict):
    # A parameter that the reference does not train must not move here either.
    extra = [np.abs(v).max() for k, v in ours.items() if k not in golden]
    if set(golden) - set(ours) or any(extra):
      return float('inf')
    least = _ROUND_OFF * max(np.abs(v).max() for v in golden.values())
    return max(
      0.0
      if 0 < np.abs(v).max() < least and np.abs(ours[k]).max() < least
      else relative_error(ours[k], v)
      for k, v in golden.items()
    )
  if isinstance(golden, list) and isinstance(golden[0], str):
    return 0.0 if sorted(golden) == sorted(ours) else float('inf')
  golden, ours = np.asarray(golden, float), np.asarray(ours, float)
  if golden.shape != ours.shape or not np.isfinite(ours).all():
    return float('inf')
  if golden.shape == (2,):
    # A pair (mean, norm) of a buffer: two scales, two errors.
    return max(relative_error(o, g) for o, g in zip(ours, golden, strict=True))
  difference, scale = np.linalg.norm(ours - golden), np.linalg.norm(golden)
  if not scale:
    return 0.0 if not difference else float('inf')
  return float(difference / scale)


def compare(
  golden: Mapping[str, np.ndarray], ours: Mapping[str, Any]
) -> dict[str, float]:
  """Returns the relative error of every entry; inf for those we lack."""
  errors = {}
  for name, value in golden.items():
    if name in _DESCRIPTION:
      continue
    if value.dtype.kind == 'U':
      value = json.loads(str(value))
    errors[name] = (
      relative_error(ours[name], value) if name in ours else float('inf')
    )
  return errors


def _modules():
  """Yields the modules of the folder `golden` that check a file."""
  # Imported after the switches: they build arrays.
  folder = pathlib.Path(__file__).parent / 'golden'
  for found in pkgutil.iter_modules([str(folder)]):
    # The modules that make a file need the reference implementation.
    if found.name.startswith('make_'):
      continue
    module = importlib.import_module(f'golden.{found.name}')
    # Others hold the inputs, whose numbers are checked by tests.
    if hasattr(module, 'recognises'):
      yield module


def main() -> int:
  """Runs the command line; returns the exit status."""
  parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
  parser.add_argument('files', nargs='+', type=pathlib.Path)
  parser.add_argument(
    '--dtype', choices=('float64', 'float32'), default='float64'
  )
  args = parser.parse_args()
  jax.config.update('jax_enable_x64', args.dtype == 'float64')
  # The golden batches are small: one device, whatever the machine has.
  jax.config.update('jax_num_cpu_devices', 1)
  failed = False
  for file in args.files:
    if not file.is_file():
      print(f'{file}: no such file', file=sys.stderr)
      return 1
    try:
      # Opened here, as NumPy leaves a file open that it cannot read.
      with (
        file.open('rb') as opened,
        np.load(opened, allow_pickle=False) as data,
      ):
        golden = {k: data[k] for k in data.files}
    except (
      *(OSError, EOFError, ValueError, AttributeError),
      zipfile.BadZipFile,
    ):
      # Pickles are refused, and an .npy has no `files`.
      print(f'{file}: not a whole .npz file', file=sys.stderr)
      return 1
    module = next((m for m in _modules() if m.recognises(golden)), None)
    if module is None:
      print(f'{file}: no method here has these entries', file=sys.stderr)
      return 1
    print(f'{file} ({args.dtype})')
    errors = compare(golden, module.measure(golden, dtype=args.dtype))
    for name, error in errors.items():
      bad = not error <= TOLERANCE
      failed |= bad
      print(f'  {name:24s} {error:.2e}{"  ABOVE 1e-6" if bad else ""}')
  return int(failed)


if __name__ == '__main__':
  sys.exit(main())
