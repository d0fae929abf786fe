r"""Draws the predictions of runs for some images side by side, as in README.

    python scripts/show_runs.py --output=FILE.png \
        --workdirs=runs/source_only,runs/dada [--names=source-only,DADA] \
        [--dataset=NAME] [--split=val] [--numbers=0,1,2] [--checkpoint=best] \
        [--nodepth] [--legend]

One row per image: image, ground truth if it is known, the prediction of every
run, and the depth from the last run that predicts any. The images are those of
the first run's target, by their indices in its evaluation split, unless another
dataset or split with the same classes is named.
"""

from collections.abc import Sequence

from absl import flags
import numpy as np

from jaxuda import errors
from jaxuda.evaluate import evaluation
from jaxuda.evaluate import other_data
from jaxuda.evaluate import tables
from jaxuda.run import workdir as workdir_lib
from jaxuda.ui import command
from jaxuda.ui import files
from jaxuda.ui import panels


def draw(
  workdirs: Sequence[str],
  *,
  names: Sequence[str] | None = None,
  numbers: Sequence[str] = ('0', '1', '2'),
  dataset: str | None = None,
  split: str | None = None,
  checkpoint: str = 'last',
  data_dir: str | None = None,
  manual_dir: str | None = None,
  depth: bool = True,
  legend: bool = False,
) -> np.ndarray:
  """Returns the picture, uint8 [height, width, 3] RGB.

  Args:
    workdirs: folders of the runs.
    names: names of the runs in the picture; None for names from the folders.
    numbers: indices of the images in the split, from 0, as text.
    dataset: a dataset other than the target of the first run, or None.
    split: a split other than its evaluation split, or None.
    checkpoint: 'last', 'best' or a step.
    data_dir: see `evaluation.set_folders`, also for `manual_dir`.
    manual_dir: folder of the files of the dataset.
    depth: whether to show depth.
    legend: whether to draw a legend of the classes below.

  Raises:
    UserError: a folder is not that of a run, the classes differ, or an image
      does not exist.
  """
  # Checked before networks are loaded.
  names = names or tables.unique_names(workdirs)
  if not len({*names}) == len(names) == len(workdirs):
    raise errors.UserError(
      f'--names={",".join(names)}; expected a different name for each of the'
      f' {len(workdirs)} workdirs'
    )
  if not numbers or not all(x.isdecimal() for x in numbers):
    raise errors.UserError(
      f'--numbers={",".join(numbers)}; expected numbers from 0, such as 0,3,7'
    )
  # TensorFlow takes seconds to load.
  from jaxuda.notebook import gallery

  options = {'which': checkpoint, 'only': workdir_lib.predicts}
  runs = {
    name: workdir_lib.load(folder, **options)
    for name, folder in zip(names, workdirs, strict=True)
  }
  # Only the networks of the other runs are used.
  config = runs[names[0]].config
  other_data.replace(config, {'dataset': dataset})
  evaluation.set_folders(config, data_dir=data_dir, manual_dir=manual_dir)
  config.data.target.eval_split = split or config.data.target.eval_split
  return gallery.draw_predictions(
    runs, numbers=[int(x) for x in numbers], depth=depth, legend=legend
  )


def main() -> None:
  """Runs the command line."""
  given = flags.FLAGS
  command.hide_accelerators()
  files.check_file(given.output)
  options = (
    *('names', 'numbers', 'dataset', 'split', 'checkpoint'),
    *('data_dir', 'manual_dir', 'depth', 'legend'),
  )
  picture = draw(given.workdirs, **{x: given[x].value for x in options})
  panels.write_png(given.output, picture)
  print(given.output)


if __name__ == '__main__':
  flags.DEFINE_string('output', None, 'PNG file to write.', required=True)
  flags.DEFINE_list('workdirs', None, 'Folders of the runs.', required=True)
  flags.DEFINE_list('names', None, 'Names of the runs in the picture.')
  flags.DEFINE_list(
    'numbers', ['0', '1', '2'], 'Indices of the images to draw, from 0.'
  )
  flags.DEFINE_string('dataset', None, other_data.FIELDS['dataset'])
  flags.DEFINE_string(
    'split', None, "Split to draw; the config's eval_split if unset."
  )
  flags.DEFINE_bool('depth', True, 'Whether to show depth.')
  flags.DEFINE_bool('legend', False, 'Whether to name the classes below.')
  command.define_checkpoint()
  command.define_data()
  command.run(main)
