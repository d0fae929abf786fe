r"""Exports a trained network for use without this package.

    python -m jaxuda.export RUN --to=DIR [--formats=stablehlo,savedmodel] \
        [--size=512x1024] [--checkpoint=last|best|STEP]
    python -m jaxuda.export FILE --to=DIR --config=dada:... \
        [--network=student|teacher|NAME] [--family=dacs]

FILE is a published checkpoint or the folder of a conversion. The exported
network includes normalisation and upsampling, and takes any number of images.
DIR receives:

  network.stablehlo, weights.npz, run_stablehlo.py   for jax, on CPU, GPU or TPU
  savedmodel/, run_savedmodel.py                     for TensorFlow alone
  picture.py, export.json                            for both: size, colours

An earlier export in DIR is removed. The size is fixed: the dilated heads are
compiled for it. jax promises to read network.stablehlo for six months;
export.json holds the command that repeats the export.
"""

import os
import pathlib
import shlex
import sys

from absl import flags

from jaxuda import errors
from jaxuda.export import exporting
from jaxuda.run import checkpoint
from jaxuda.ui import command
from jaxuda.weights import converted
from jaxuda.weights import runs


def define_flags() -> None:
  """Defines the flags of the command."""
  command.define_config('Config for weights: METHOD:argument=value,...')
  flags.DEFINE_string('to', None, 'Folder to write to.', required=True)
  flags.DEFINE_list('formats', list(exporting.FORMATS), 'Formats to write.')
  flags.DEFINE_string(
    'size', None, "Input size, e.g. 512x1024; the config's if unset."
  )
  command.define_network()
  command.define_checkpoint()


def main(source: str) -> None:
  """Exports a run, or weights under a config."""
  f = flags.FLAGS
  size = exporting.read_size(f.size)
  path = pathlib.Path(source)
  if path.is_file() or converted.is_stored(path):
    if f.config is None:
      raise errors.UserError(
        f'{source} holds only weights; expected also --config of its method'
      )
    run = runs.load(
      weights=source,
      which=f.checkpoint,
      network=f.network,
      family=f.family,
      config=f.config,
    )
    again = []
  else:
    run = runs.load(
      workdir=source,
      which=f.checkpoint,
      network=f.network,
      family=f.family,
      config=f.config,
    )
    path = path / checkpoint.FOLDER / str(run.step)
    again = [f'--checkpoint={run.step}']
  command.hide_accelerators()
  words = ['python', '-m', 'jaxuda.export', *sys.argv[1:], *again]
  exporting.export(
    run,
    f.to,
    formats=f.formats,
    size=size,
    source={
      'checkpoint': str(path.resolve()),
      'command': f'cd {shlex.quote(os.getcwd())} && {shlex.join(words)}',
    },
  )
  print(f'wrote {", ".join(f.formats)} to {f.to}')


if __name__ == '__main__':
  define_flags()
  command.run(main, argument='RUN or FILE')
