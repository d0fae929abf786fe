r"""Fits the class-wise mixtures of the source, once, and draws them.

    jaxuda depdis fit --config=depdis:pair=streets [--out=FILE.npz] \
        [--config.field=value ...]

Training with configs/depdis.py does this by itself. The file is stored next to
the datasets, see `fitting`; --out also writes a copy, with its picture, to
another place.
"""

import pathlib

from absl import flags

from jaxuda import errors
from jaxuda.depdis.fit import fitting
from jaxuda.methods.parts import mixtures
from jaxuda.ui import command


def main() -> None:
  """Runs the command line."""
  out = flags.FLAGS.out and pathlib.Path(flags.FLAGS.out)
  if out and out.suffix != '.npz':
    raise errors.UserError(f'--out={out}; expected a name ending in .npz')
  command.hide_accelerators()
  kept = fitting.find_or_fit(flags.FLAGS.config)
  if out:
    fitting.write(out, mixtures.read(kept))
  fitting.show(out or kept)
  print(out or kept)


if __name__ == '__main__':
  command.define_config('Config: depdis:argument=value,...')
  flags.DEFINE_string('out', None, 'Additional .npz file to write.')
  flags.mark_flags_as_required(['config'])
  command.run(main)
