"""Compares networks, losses and gradients on the device with golden numbers.

`float64` is the check: errors up to 1e-6, for the same programs. `float32` and
`tf32` show how much agreement is left in these precisions, for outputs and
losses: gradients through the statistics of one tiny batch cannot be compared in
either.
"""

import argparse
import importlib
import pathlib

import check_golden
import jax
import numpy as np

from accelerator import precisions
from accelerator import report


def measure(path: pathlib.Path, kind: str) -> dict[str, float]:
  """Returns the relative error of every entry of a file.

  Args:
    path: a file of golden numbers.
    kind: 'float64', 'float32' or 'tf32'.
  """
  jax.config.update('jax_enable_x64', kind == 'float64')
  with np.load(path, allow_pickle=False) as data:
    golden = {k: data[k] for k in data.files}
  module = importlib.import_module(f'golden.{path.stem}')
  with precisions.use('tf32' if kind == 'tf32' else 'float32'):
    found = module.measure(
      golden, dtype='float64' if kind == 'float64' else 'float32'
    )
  return check_golden.compare(golden, found)


def main() -> None:
  """Runs the stage."""
  parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
  report.add_flags(parser)
  parser.add_argument('--file', type=pathlib.Path, required=True)
  parser.add_argument(
    '--kind', required=True, choices=('float64', 'float32', 'tf32')
  )
  args = parser.parse_args()
  errors = measure(args.file, args.kind)
  found = {'file': args.file.stem, 'kind': args.kind, 'errors': errors}
  if args.kind == 'float64':
    found['agrees'] = all(x <= check_golden.TOLERANCE for x in errors.values())
  report.write(args.part, found)


if __name__ == '__main__':
  main()
