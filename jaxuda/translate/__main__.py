r"""Writes the source's training images, translated by a run's network.

    jaxuda translate --workdir=DIR --out=FOLDER \
        [--checkpoint=last|best|STEP]

Writes FOLDER in the layout for your own pictures (docs/data.md), at the size
that the run was trained at: images/train/NAME.png, labels/train/NAME.png,
depth/train/NAME.png (where the source has depth) and classes.json. Any method
trains on it with

    --config.data.source.dataset=folder --config.data.source.manual_dir=FOLDER

Runs of --config=gio_ada (rows with a transform network) and of
--config=cyclegan have one. If it is killed, the same command resumes.
"""

from absl import flags

from jaxuda.run import workdir as workdir_lib
from jaxuda.translate import translating
from jaxuda.ui import command
from jaxuda.ui import files


def main() -> None:
  """Runs the command line."""
  given = flags.FLAGS
  command.hide_accelerators()
  run = workdir_lib.load(
    given.workdir,
    which=given.checkpoint,
    only=lambda path: path.startswith(('step', 'nets/gen/params')),
  )
  data = run.config.data
  data.data_dir = given.data_dir or data.data_dir
  data.source.manual_dir = given.manual_dir or data.source.manual_dir
  for read in (data.source.manual_dir, data.source.get('depth_dir')):
    if read:
      files.check_apart(given.out, read)
  count = translating.write_set(run, given.out)
  print(f'wrote {count} examples to {given.out}')


if __name__ == '__main__':
  flags.DEFINE_string('workdir', None, 'Folder of the run.', required=True)
  flags.DEFINE_string('out', None, 'Folder to write to.', required=True)
  command.define_checkpoint()
  command.define_data('source')
  command.run(main)
