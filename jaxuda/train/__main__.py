"""Trains a method on a domain pair; the same command again resumes it.

jaxuda train --config=dada:pair=streets --workdir=DIR [--config.field=value ...]

With --config.distributed=True this is one of several processes that run the
same command, on one machine or many: docs/clusters.md.
"""

from absl import flags

from jaxuda.run import cluster
from jaxuda.ui import command

_CONFIG = command.define_config()
_WORKDIR = flags.DEFINE_string('workdir', None, 'Folder of the run.')
command.define_cluster()


def main() -> None:
  """Runs the command line."""
  config = _CONFIG.value
  with cluster.joined(
    bool(config.get('distributed')), switch='--config.distributed=True'
  ):
    # TensorFlow takes seconds to load: a misspelt flag is reported first.
    from jaxuda.train import segmentation

    command.hide_accelerators()
    segmentation.train(config, _WORKDIR.value)


if __name__ == '__main__':
  flags.mark_flags_as_required(['config', 'workdir'])
  command.run(main)
