r"""Checks a dataset for everything that would spoil a training run.

    python -m jaxuda.data.doctor --dataset=synthia --manual_dir=DIR \
        [--pictures=DIR] [--classes=synthia16] [--limit=500]

Reads the user's own files, folders or archives or, without --manual_dir, the
dataset prepared in --data_dir. It prints how many files were found and how many
were expected, unpaired files, sizes, the share of every class, the range of raw
depth and how much of it is zero or saturated, and the name of each broken file.
The exit status is 1 if anything would spoil a training run. --pictures writes a
contact sheet of each split: image, coloured labels, depth.
"""

from absl import flags

from jaxuda.data.classes import labels
from jaxuda.data.doctor import checkup
from jaxuda.data.doctor import diagnosis
from jaxuda.ui import command
from jaxuda.ui import files


def define_flags() -> None:
  """Defines the flags; not on import, as other commands share their names."""
  string = flags.DEFINE_string
  string('dataset', None, 'Dataset, e.g. cityscapes/stereo.', required=True)
  string(
    *('manual_dir', None),
    'Folder or archive with the files; the prepared data are read if unset.',
  )
  string('data_dir', None, 'Folder of the prepared TFDS datasets.')
  string('pictures', None, 'Folder to write contact sheets to.')
  string('classes', None, 'Class set to count: a name or a class table.')
  flags.DEFINE_integer(
    *('limit', None),
    'Read at most N examples of a split, evenly spaced.',
    lower_bound=1,
  )


def main() -> int:
  """Runs the command and returns its exit status."""
  command.hide_accelerators()
  f = flags.FLAGS
  # Before all files are read, which can take long.
  if f.classes:
    labels.get_class_set(f.classes)
  if f.pictures:
    files.check_folder(f.pictures)
    if f.manual_dir:
      checkup.check_pictures(
        f.pictures, dataset=f.dataset, manual_dir=f.manual_dir
      )
  report = diagnosis.diagnose(
    f.dataset, manual_dir=f.manual_dir, data_dir=f.data_dir, limit=f.limit
  )
  checkup.print_report(report, classes=f.classes)
  if f.pictures:
    for path in checkup.write_pictures(report, f.pictures, classes=f.classes):
      print(path)
  return int(report.fatal)


if __name__ == '__main__':
  define_flags()
  command.run(main)
