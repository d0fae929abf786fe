r"""Runs all stages of Depth Distribution in turn, see `stages`.

    jaxuda depdis run --config=depdis:pair=streets --workdir=DIR \
        [--config.field=value ...]

If killed at any point, the same command resumes at the stage it was in. Each
run in DIR is an ordinary one: `jaxuda evaluate --workdir=DIR/round1/training`.
With --config.distributed=True, several processes share all stages:
docs/clusters.md.
"""

from absl import flags

from jaxuda.depdis.run import stages
from jaxuda.run import cluster
from jaxuda.ui import command


def main() -> int:
  """Runs the command line; returns 1 if it was stopped early."""
  config = flags.FLAGS.config
  with cluster.joined(
    bool(config.get('distributed')), switch='--config.distributed=True'
  ):
    command.hide_accelerators()
    return 0 if stages.run(config, flags.FLAGS.workdir) else 1


if __name__ == '__main__':
  command.define_config('Config: depdis:argument=value,...')
  flags.DEFINE_string('workdir', None, 'Folder of all stages.')
  command.define_cluster()
  flags.mark_flags_as_required(['config', 'workdir'])
  command.run(main)
