r"""Predicts a target's depth from single images, after training on the source.

    python -m jaxuda.depth.transfer \
        --config=source_only:pair=streets2camvid \
        --config.data.target.manual_dir=CAMVID_DIR --workdir=DIR --out=FOLDER

Trains a network with a depth output on the source's own depth (source-only with
DADA's depth loss) and writes its predictions for the target's training images.
This is the last resort if there are neither stereo pairs nor videos. Running
the same command again resumes it, and does nothing once all is done. Then train
with

    --config.data.target.depth_dir=FOLDER

With --config.distributed=True several processes train together, and the first
one writes: docs/clusters.md.
"""

import functools

from absl import flags

from jaxuda.run import cluster
from jaxuda.step import parallel
from jaxuda.ui import command
from jaxuda.ui import files


def main() -> None:
  """Runs the command line."""
  # TensorFlow takes seconds to load; a misspelt flag is reported before that.
  config = flags.FLAGS.config
  with cluster.joined(
    bool(config.get('distributed')), switch='--config.distributed=True'
  ):
    _main(config)


def _main(config):
  from jaxuda import methods
  from jaxuda.data.records import rows
  from jaxuda.depth import maps
  from jaxuda.depth.transfer import transferring
  from jaxuda.run import own_classes
  from jaxuda.run import workdir as workdir_lib
  from jaxuda.train import segmentation

  transferring.set_depth_loss(config)
  command.hide_accelerators()
  target = config.data.target
  # Checked before the training, which can take long.
  maps.check_out(flags.FLAGS.out, made_by=transferring.MADE_BY)
  # The run's pictures are no maps.
  files.check_apart(flags.FLAGS.workdir, flags.FLAGS.out)
  if target.manual_dir:
    files.check_apart(flags.FLAGS.out, target.manual_dir)
  images = rows.Images(
    target.dataset,
    split=target.split,
    data_dir=config.data.data_dir,
    manual_dir=target.manual_dir,
  )
  workdir = flags.FLAGS.workdir
  state = parallel.local(segmentation.train(config, workdir))
  step = int(state.step)
  # Not the steps: a signal during the last evaluation leaves all of them.
  if not cluster.gather(workdir_lib.is_done(workdir, config.stop_step))[0]:
    return
  predict = functools.partial(
    transferring.predict_depth,
    methods.create(own_classes.count(config)),
    state,
    size=tuple(target.size),
    image_resize=target.image_resize,
    fit=target.fit,
  )
  described = transferring.describe(config, step)
  with cluster.first_process_first():
    if not cluster.is_first():
      return
    written = transferring.write_depths(
      predict, images, flags.FLAGS.out, description=described
    )
    print(f'wrote {written} of {len(images)} maps to {flags.FLAGS.out}')


if __name__ == '__main__':
  command.define_config('Config of the run: source_only:argument=value,...')
  flags.DEFINE_string('workdir', None, 'Folder of the run.')
  flags.DEFINE_string('out', None, 'Folder to write to.')
  flags.mark_flags_as_required(['config', 'workdir', 'out'])
  command.define_cluster()
  command.run(main)
