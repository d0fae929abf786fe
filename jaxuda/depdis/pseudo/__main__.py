r"""Writes pseudo-labels of the target's training images.

    jaxuda depdis pseudo --workdir=RUN --out=FOLDER \
        [--checkpoint=last|best|STEP] [--confidence=0.9] [--[no]spatial_prior] \
        [--data_dir=FOLDER] [--manual_dir=FOLDER]

Writes FOLDER/NAME.png for every image (class ids at the network's size, 255 =
not trusted), FOLDER/summary.json with the number of pixels kept of each class,
and, while it runs, FOLDER/images.jsonl. If the target has true labels, the
summary also gives the share of each class that is labelled, and how much of
that is correct; the true labels are not used for training. A killed command,
run again, resumes with the first image that is not done.
`config.data.target.label_dir=FOLDER` trains on the labels, see
configs/self_training.py. With --distributed, several processes share the
images: docs/clusters.md.
"""

import dataclasses
import pathlib

from absl import flags

from jaxuda.depdis.pseudo import labelling
from jaxuda.evaluate import evaluation
from jaxuda.run import cluster
from jaxuda.run import workdir as workdir_lib
from jaxuda.ui import command


def main() -> None:
  """Runs the command line."""
  given = flags.FLAGS
  with cluster.joined(given.distributed, switch='--distributed'):
    _main(given)


def _main(given):
  command.hide_accelerators()
  run = workdir_lib.load(
    given.workdir, which=given.checkpoint, only=workdir_lib.predicts
  )
  evaluation.set_folders(
    run.config, data_dir=given.data_dir, manual_dir=given.manual_dir
  )
  changes = {k: given[k].value for k in ('confidence', 'spatial_prior')}
  options = dataclasses.replace(
    labelling.read_options(run.config),
    **{k: v for k, v in changes.items() if v is not None},
  )
  out = pathlib.Path(given.out)
  summary = labelling.write_labels(run, out, options)
  if cluster.is_first():
    labelling.show(summary)
    print(f'wrote {out}')


if __name__ == '__main__':
  flags.DEFINE_string('workdir', None, 'Folder of the run.', required=True)
  flags.DEFINE_string('out', None, 'Folder to write to.', required=True)
  command.define_checkpoint('best')
  flags.DEFINE_float(
    'confidence', None, "Smallest probability to keep; the run's if unset."
  )
  flags.DEFINE_bool(
    'spatial_prior', None, 'Use the spatial prior; as the run does if unset.'
  )
  command.define_data()
  flags.DEFINE_bool(
    'distributed',
    False,
    'Run as one of several processes, see docs/clusters.md.',
  )
  command.define_cluster()
  command.run(main)
