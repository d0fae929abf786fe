r"""Trains a method on a domain pair; the same call again goes on with it.

python -m jaxuda.main --config=configs/dada.py:pair=streets --workdir=DIR \
    [--config.field=value ...]
"""

from absl import flags
from ml_collections import config_flags

from jaxuda import command

_CONFIG = config_flags.DEFINE_config_file(
  'config', None, 'configs/<method>.py:argument=value,...', lock_config=True
)
_WORKDIR = flags.DEFINE_string('workdir', None, 'Folder of the run.')


def main() -> None:
  """Runs the command line."""
  # TensorFlow takes seconds to load: a misspelt flag is reported before.
  from jaxuda import train

  command.hide_accelerators()
  train.train(_CONFIG.value, _WORKDIR.value)


if __name__ == '__main__':
  flags.mark_flags_as_required(['config', 'workdir'])
  command.run(main)
